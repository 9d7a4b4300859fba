"""What steps work with."""
