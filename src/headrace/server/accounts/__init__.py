"""Who asks, and what they may: authentication, login, users, roles, tokens, and the audit log."""
