"""The in-memory store: its server, its Python client and the SmartRedis wire format."""
