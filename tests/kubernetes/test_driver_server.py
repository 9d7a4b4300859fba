"""Runs whose only store is a Headrace server, for the laptop and for pods: behind TLS, with an authority of its own."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Service
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import allow_drivers, driven_project

from headrace.testing.proxy import ConnectProxy

FLOW = """
from headrace import flow, step

@step(cpu=0.02)
def fit(n: int) -> bytes:
    return bytes([n]) * 300_000

@flow
def train() -> int:
    return sum(len(one.result()) for one in fit.map(range(5)))
"""


class Office:
    """A server with accounts, and the token of an editor."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        self.certificate = folder / "cert.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-days", "2", "-subj", "/CN=office", "-addext", f"subjectAltName=IP:{host}"),
                *("-keyout", str(folder / "key.pem"), "-out", str(self.certificate)),
            ],
            check=True,
            capture_output=True,
        )
        with socket.create_server(("0.0.0.0", 0)) as found:
            self.port = int(found.getsockname()[1])
        self.url = f"https://{host}:{self.port}"
        self.command("user", "add", "ada", "--password-stdin", given="correct horse 9")
        self.command("user", "role", "ada", "editor")
        self.token = json.loads(self.command("token", "add", "laptop", "--user", "ada", "--json"))["token"]

    def command(self, *words: str, given: str = "") -> str:
        command = [sys.executable, "-m", "headrace", *words, "--home", str(self.folder / "home")]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def serve(self) -> subprocess.Popen[bytes]:
        tls = ["--tls-cert", str(self.certificate), "--tls-key", str(self.folder / "key.pem"), "--auth", "users"]
        command = [sys.executable, "-m", "headrace", "server", "--host", "0.0.0.0", "--port", str(self.port)]
        process = subprocess.Popen(
            [*command, "--home", str(self.folder / "home"), *tls], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        trusted = ssl.create_default_context(cafile=str(self.certificate))
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=5, context=trusted).close()
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.1)
            else:
                return process


@pytest.fixture
def office(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Office]:
    made = Office(tmp_path_factory.mktemp("office"), cluster.host)
    process = made.serve()
    yield made
    process.kill()
    process.wait()


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    made = ConnectProxy("0.0.0.0")
    yield made
    made.close()


def test_server_is_the_only_store_of_laptop_driver_and_workers_which_reach_it_through_a_proxy(
    tmp_path: Path, space: Space, cluster: Cluster, image: str, office: Office, proxy: ConnectProxy
) -> None:
    variables = {"HEADRACE_SERVER": office.url, "HEADRACE_TOKEN": office.token}
    allow_drivers(space, variables)
    authority = ConfigMap(metadata=ObjectMeta(name="authority"), data={"ca.pem": office.certificate.read_text()})
    space.client.create(authority)
    project = driven_project(tmp_path, space, cluster, image, {**variables, "HEADRACE_ARTIFACTS": ""})
    project.environ |= {"SSL_CERT_FILE": str(office.certificate), "HEADRACE_PROJECT": "default"}
    del project.environ["HEADRACE_ARTIFACTS"]
    project.write(
        FLOW,
        variables={
            "SSL_CERT_FILE": "/authority/ca.pem",
            "HTTPS_PROXY": f"http://{cluster.host}:{proxy.port}",
            "NO_PROXY": str(space.client.get(Service, "kubernetes", namespace="default").spec.clusterIP),  # type: ignore[union-attr]
        },
        pod={
            "volumes": [{"name": "authority", "configMap": {"name": "authority"}}],
            "volume_mounts": [{"name": "authority", "mountPath": "/authority"}],
        },
    )
    said = project.run("run", "train.py", "--on", "pods")
    assert "train/1 succeeded" in said
    assert project.result("train/1") == 5 * 300_000
    assert set(proxy.asked) == {f"{cluster.host}:{office.port}"}
    [row] = json.loads(project.run("runs", "--json"))
    assert row["user"] == "ada", "who started it, by the token"
