"""Where workers come from. The executors do not know each other."""
