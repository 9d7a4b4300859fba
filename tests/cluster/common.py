"""What `up`, `down` and `image` share: places, addresses, and programs in the background."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUILD = Path(__file__).resolve().parent / "programs"  # the Go module
CACHE = Path(os.environ.get("HEADRACE_CLUSTER_CACHE") or "~/.cache/headrace-cluster").expanduser().resolve()
BIN = CACHE / "bin"  # what `up` builds: kept by `down`
IMAGES = CACHE / "images"  # image archives, loaded by each `up`: kept by `down`
RUN = CACHE / "run"  # the state of the running cluster: removed by `down`
LOGS = RUN / "logs"
SOCKETS = Path("/run/headrace-cluster")  # a socket's path must be shorter than 108 bytes
CONTAINERD = SOCKETS / "containerd.sock"
KUBECONFIG = RUN / "kubeconfig"
KUBECTL = (BIN / "kubectl", "--kubeconfig", KUBECONFIG)
KERNEL_SETTINGS = RUN / "kernel-settings.json"  # what they were before the kubelet changed them

NODE = "localhost"  # the node's name: the API server calls the kubelet by it
VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")  # both say it
API_PORT = 6443
DNS_PORT = 10053
BRIDGE = "headrace0"
HOST = "10.222.0.1"  # the machine as pods see it, on the bridge only
HOST_NAME = "host.headrace.internal"
PODS = "10.222.0.0/24"
SERVICES = "10.223.0.0/24"
API_SERVICE = "10.223.0.1"
DNS_SERVICE = "10.223.0.10"


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Say how long a part of the work took."""
    began = time.monotonic()
    yield
    print(f"{name:<34}{time.monotonic() - began:8.2f} s", flush=True)


def run(*command: str | Path, **options) -> str:
    """Run a command, return what it printed; a failure shows what it said."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\nfailed:\n{done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*words: str, **options) -> str:
    return run(*KUBECTL, *words, **options)


def go_module(path: str) -> dict:
    """What Go knows of a module that `build` requires: its Version, for one."""
    return json.loads(run("go", "list", "-m", "-json", path, cwd=BUILD))


def go_source(path: str) -> Path:
    """The folder with the files of such a module, which is fetched where Go does not have it."""
    return Path(json.loads(run("go", "mod", "download", "-json", path, cwd=BUILD))["Dir"])


def go_build(source: str, program: Path, *options: str) -> None:
    version = go_module("k8s.io/kubernetes")["Version"]
    link = " ".join(["-s", "-w", *(f"-X {package}.gitVersion={version}" for package in VERSION_PACKAGES)])
    # Minutes of all cores, in no hurry.
    command = ["nice", "-n", "19", "go", "build", "-trimpath", "-buildvcs=false", *options]
    run(*command, "-ldflags", link, "-o", program, source, cwd=BUILD, env=dict(os.environ, CGO_ENABLED="0"))


def archive_of(image: str) -> Path:
    return IMAGES / (re.sub(r"[^\w.-]+", "_", image) + ".tar")


def import_image(archive: Path) -> None:
    run("ctr", "--address", CONTAINERD, "--namespace", "k8s.io", "images", "import", archive)


def pid_of(name: str) -> int | None:
    """The process id of a program that `start` started and that still runs."""
    try:
        pid = int((RUN / "pids" / name).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.path.basename(command[0]) == name.encode() else None


def start(name: str, *arguments: str, program: str | Path | None = None, environment: dict | None = None) -> None:
    """Start a program in the background, unless it runs already. Its output goes to LOGS."""
    if pid_of(name):
        return
    with open(LOGS / f"{name}.log", "ab") as log:
        process = subprocess.Popen(
            [str(program or BIN / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=RUN,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    (RUN / "pids" / name).write_text(str(process.pid))


def stop(name: str, patience: float = 10) -> None:
    pid = pid_of(name)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while pid_of(name) and time.monotonic() < deadline:
        time.sleep(0.05)
    if pid_of(name):
        os.kill(pid, signal.SIGKILL)


def wait_until(ready, what: str, patience: float = 120) -> None:
    deadline = time.monotonic() + patience
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {patience:.0f} s; see {LOGS}")
        time.sleep(0.1)
