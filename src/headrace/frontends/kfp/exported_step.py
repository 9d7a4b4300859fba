"""The one step of an exported flow, in its container: ``python3 -c THIS EXECUTOR_INPUT REQUIREMENT ENTRY CODE...``.

Uses the standard library alone until Headrace is installed.
"""

import base64
import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile

told, requirement, entry, code = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
folder = tempfile.mkdtemp()
with tarfile.open(fileobj=io.BytesIO(base64.b64decode("".join(code)))) as archive:
    archive.extractall(folder, filter="data")
os.chdir(folder)
if importlib.util.find_spec("headrace") is None:
    subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet", requirement])
with open("parameters.json", "w") as file:  # noqa: PTH123
    json.dump(told["inputs"].get("parameterValues", {}), file)
if not any(name in os.environ for name in ("HEADRACE_HOME", "HEADRACE_DATABASE", "HEADRACE_SERVER")):
    os.environ["HEADRACE_HOME"] = os.path.join(folder, ".headrace")  # noqa: PTH118
command = [sys.executable, "-m", "headrace", "run", "--json", entry, "--params-file", "parameters.json"]
done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
if done.returncode:
    print(done.stdout)
    sys.exit(done.returncode)
run = json.loads(done.stdout)["run"]
result = told["outputs"].get("parameters", {}).get("result")
if result is not None:
    read = "import json, sys, headrace; print(json.dumps(headrace.Run(sys.argv[1]).result))"
    text = subprocess.run([sys.executable, "-c", read, run], stdout=subprocess.PIPE, text=True, check=True).stdout
    value = json.loads(text.splitlines()[-1])
    os.makedirs(os.path.dirname(result["outputFile"]), exist_ok=True)  # noqa: PTH103, PTH120
    with open(result["outputFile"], "w") as file:  # noqa: PTH123
        file.write(value if isinstance(value, str) else json.dumps(value))
subprocess.call([sys.executable, "-m", "headrace", "logs", run])
