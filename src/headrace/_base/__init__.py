"""Clock, sizes, durations, processes: no words of the domain."""
