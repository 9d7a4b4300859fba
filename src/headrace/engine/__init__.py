"""What happens in a run: ``decide`` is pure, ``loop`` is its shell."""
