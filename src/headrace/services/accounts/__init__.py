"""Users of a server: adding them, their roles and tokens, logging in, and the audit log."""
