"""Drivers that a server starts: orders in a folder of the home, and the supervisor that carries them out."""
