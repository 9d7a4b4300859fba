"""The process that runs attempts, and the server it is forked from."""
