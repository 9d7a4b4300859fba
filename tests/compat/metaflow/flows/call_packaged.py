"""Not a flow: calls commands of ``packaged.py`` and prints their code and what they wrote; of mistakes, the headline.

Nothing is run: the real one wants a package manager from the network for that.
"""

import os
import re
import subprocess
import sys

for words in sys.argv[1:]:
    done = subprocess.run([sys.executable, "packaged.py", *words.split()], capture_output=True, text=True)
    print("$", words, done.returncode)
    text = (done.stdout + done.stderr).replace(os.getcwd(), "FOLDER")
    text = re.sub(r"python=3\.\d+\.\d+(?= disabled=False>$)", "python=HERE", text)
    told = ("Creating local datastore", "Running pylint", "    Pylint not found")  # what only the real one says
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith(told)]
    if done.returncode:
        lines = [line for line in lines if re.match(r"    \S.*:$", line)]
    print(*lines, sep="\n")
