"""What code of a step or a flow uses while it runs: its attempt, secrets, random generators, registered functions."""
