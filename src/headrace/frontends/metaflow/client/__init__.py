"""The Client API: runs, steps, tasks and artifacts as objects, and what a run keeps for it."""
