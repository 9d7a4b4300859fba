"""An API server and an etcd of a test's own, to be killed, kept away and compacted; nothing runs its pods."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster import common

_PKI = common.RUN / "pki"


class ControlPlane:
    """Processes in ``folder``; ``kubeconfig`` reaches the API server as its administrator."""

    def __init__(self, folder: Path) -> None:
        self.port, self._etcd_port = _free_ports(2)
        self.kubeconfig = folder / "kubeconfig"
        self._folder = folder
        self._etcd: subprocess.Popen[bytes] | None = None
        self._api: subprocess.Popen[bytes] | None = None
        config = json.loads(common.KUBECONFIG.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.port}"
        self.kubeconfig.write_text(json.dumps(config))

    def start_api(self) -> None:
        """Start the API server, and wait until it answers."""
        key = _PKI / "service-accounts.key"
        self._api = self._start(
            "kube-apiserver",
            *("--bind-address=127.0.0.1", f"--secure-port={self.port}", "--advertise-address=10.222.0.1"),
            *(f"--etcd-servers=http://127.0.0.1:{self._etcd_port}", "--etcd-compaction-interval=1s"),
            *(f"--client-ca-file={_PKI}/ca.crt", f"--tls-cert-file={_PKI}/apiserver.crt"),
            *(f"--tls-private-key-file={_PKI}/apiserver.key", "--service-account-issuer=https://headrace.test"),
            *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
            *("--service-cluster-ip-range=10.223.0.0/24", "--authorization-mode=AlwaysAllow"),
            "--disable-admission-plugins=ServiceAccount",
        )
        until = time.monotonic() + 90
        ask = ("kubectl", "--kubeconfig", self.kubeconfig, "get", "namespace", "default")
        while subprocess.run([common.BIN / ask[0], *ask[1:]], capture_output=True).returncode:
            assert time.monotonic() < until, (self._folder / "kube-apiserver.log").read_text()[-3000:]
            time.sleep(0.1)

    def kill_api(self) -> None:
        """Kill the API server, as a machine that fails does."""
        if self._api is not None:
            self._api.send_signal(signal.SIGKILL)
            self._api.wait()

    def start(self) -> None:
        """Start both."""
        self._etcd = self._start(
            "etcd",
            *("--data-dir", self._folder / "etcd", "--unsafe-no-fsync", "--log-level", "warn"),
            *("--listen-client-urls", f"http://127.0.0.1:{self._etcd_port}"),
            *("--advertise-client-urls", f"http://127.0.0.1:{self._etcd_port}"),
            *("--listen-peer-urls", "http://127.0.0.1:0"),
        )
        self.start_api()

    def close(self) -> None:
        """Kill both."""
        self.kill_api()
        if self._etcd is not None:
            self._etcd.kill()
            self._etcd.wait()

    def _start(self, program: str, *words: str | Path) -> subprocess.Popen[bytes]:
        with (self._folder / f"{program}.log").open("ab") as log:
            return subprocess.Popen([common.BIN / program, *words], stdout=log, stderr=log)


@contextlib.contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """A control plane while the ``with`` block lasts; where its programs are not there, the test is left out."""
    if not (common.BIN / "kube-apiserver").exists() or not _PKI.exists():
        pytest.skip("needs the programs of tests/cluster")
    plane = ControlPlane(folder)
    try:
        plane.start()
        yield plane
    finally:
        plane.close()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]
