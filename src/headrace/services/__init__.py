"""Use cases over stores and engine, one way for the command line, servers and the library."""
