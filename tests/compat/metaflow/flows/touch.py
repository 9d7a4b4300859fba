"""Not a flow: makes a file, so that a flow that waits for it works."""

import sys

open(sys.argv[1], "w").close()
