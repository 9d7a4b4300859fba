"""Not a flow: commands of ``profiled.py`` with settings from files, and what ``metaflow_config`` says of them."""

import json
import os
import re
import subprocess
import sys

os.environ.pop("METAFLOW_USER", None)
SHOW = """
from metaflow import get_namespace
from metaflow.metaflow_config import *
from metaflow.metaflow_config import DATATOOLS_S3ROOT, MAXIMUM_FOREACH_VALUE_CHARS, SERVICE_HEADERS
from metaflow.metaflow_config import S3_RETRY_COUNT, SPIN_PERSIST, UI_URL, USER
from metaflow.util import get_username
print(DATATOOLS_S3ROOT, MAXIMUM_FOREACH_VALUE_CHARS, SERVICE_HEADERS, SPIN_PERSIST, UI_URL, USER)
print(S3_RETRY_COUNT, get_username(), get_namespace())
"""


def put(path, **values):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        json.dump({f"METAFLOW_{name}": value for name, value in values.items()}, file)


def call(*words, **env):
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env={**os.environ, **env})
    lines = done.stdout.splitlines()
    if "run" in words:
        lines = [line.partition(")] ")[2] for line in lines]
        lines = sorted(line for line in lines if re.match("first|again|filed|other", line))
    print(done.returncode, *lines, sep="\n  ")
    return done


def home(**values):
    put("home/config.json", **values)


HOME = {"METAFLOW_HOME": "home"}
RETRIED = "retry:times=1,minutes_between_retries=0"
call("-c", SHOW)
home(USER="filed", TEMPDIR="/tmp/there", DEFAULT_DECOSPECS=RETRIED, NAMESPACED_EVENTS_PREFIX="us")
call("profiled.py", "run", **HOME)
call("-c", SHOW, **HOME)
put(
    "home/config_other.json", USER="other", DEFAULT_DECOSPECS=RETRIED, MAXIMUM_FOREACH_VALUE_CHARS="4", SPIN_PERSIST="1"
)
call("profiled.py", "run", METAFLOW_PROFILE="other", **HOME)
put(
    "home/config_more.json",
    SERVICE_HEADERS='{"a": "b"}',
    DATATOOLS_S3ROOT="s3://b/c",
    UI_URL="http://ui",
    SPIN_PERSIST="true",
)
call("-c", SHOW, METAFLOW_PROFILE="more", METAFLOW_USER="named", METAFLOW_S3_RETRY_COUNT="3", **HOME)
put("home/config_half.json", SERVICE_HEADERS="[1]")
for profile in ("nowhere", "half"):
    print(call("-c", SHOW, METAFLOW_PROFILE=profile, **HOME).returncode != 0)
put(os.path.join(os.environ["HOME"], ".metaflowconfig/config.json"), USER="homely")
call("-c", "from metaflow.util import get_username; print(get_username())")
put(".metaflow/config.json", USER="local", TEMPDIR="x")
call("-c", "from metaflow.util import get_username; print(get_username())")
call("-c", "from metaflow import current; print(current.tempdir)", METAFLOW_TEMPDIR="y")
