"""Not a flow: what the package of ``packed.py`` holds beside Python files. Arguments come before the command."""

import subprocess
import sys
import tarfile


def call(*words):
    done = subprocess.run([sys.executable, "packed.py", *sys.argv[1:], *words], capture_output=True, text=True)
    return done.returncode, done.stderr


def shown(names):
    own = (".mf_install", ".mf_meta/INFO", ".mf_meta/CONFIG", ".mf_meta/DIST_INFO", "INFO")
    return sorted(one for one in names if not one.endswith(".py") and one not in own and "metaflow" not in one)


code, err = call("package", "list", "--archive")
print(code, shown(err.splitlines()[2 if "Creating local" not in err else 3 :]) if code == 0 else "")
code, err = call("package", "save", "saved.tgz")
if code == 0:
    with tarfile.open("saved.tgz") as archive:
        print(shown(one.name for one in archive if one.isfile()))
