"""What a run came to: its progress, its summary and its figures."""
