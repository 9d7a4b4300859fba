"""Not a flow: prints files, sorted by line, or says that they are not there."""

import os
import sys

for name in sys.argv[1:]:
    print(name, sorted(open(name).read().splitlines()) if os.path.exists(name) else "absent")
