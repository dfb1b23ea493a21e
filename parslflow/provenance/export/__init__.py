"""A run's graph in formats that others read: each module writes one and reads it back."""
