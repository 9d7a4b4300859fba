"""Names of environment variables by which Headrace's own processes tell each other what they are; no settings."""

from __future__ import annotations

#: Set where whoever started this process asks it by SIGUSR1 to leave the run to another driver.
KEPT = "HEADRACE_KEPT"
#: A file for what was handed over to a driver elsewhere, for a process that another one has started to do this alone.
HAND_OVER = "HEADRACE_HAND_OVER"
#: The name of the pod, in workers there.
POD = "HEADRACE_POD"
#: Names folders, by colon, of which ``PYTHON-PLATFORM`` (such as ``3.10-linux-x86_64``) has what workers need there.
RUNTIMES = "HEADRACE_RUNTIMES"
