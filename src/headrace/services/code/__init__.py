"""The code package of a run: which files belong to it, how they are stored, and how they are read again."""
