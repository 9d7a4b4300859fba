"""Workers that join from elsewhere."""
