"""Real payloads through the kinds that read them: `make replay`."""
