"""Steps that are command lines: ``headrace.command`` defines them, workers and plain calls run them here."""
