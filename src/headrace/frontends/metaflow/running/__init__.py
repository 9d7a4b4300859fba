"""A flow becomes a run: how it is planned, launched, walked through, resumed and spun, and what a task does."""
