"""Environments of steps: locking them, building them, finding interpreters for them. All of it is done by ``uv``."""
