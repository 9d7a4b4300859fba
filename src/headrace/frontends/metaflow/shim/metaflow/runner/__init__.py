"""Running flows from programs."""
