"""Dialects. Each turns what its users write into calls on the engine; none knows another."""
