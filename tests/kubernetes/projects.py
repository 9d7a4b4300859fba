"""Folders with flows whose steps run in pods of the test's namespace."""

from __future__ import annotations

import ast
import base64
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Secret
from tests.cluster import common
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import ClusterClient
from headrace.executors.kubernetes.rights import DRIVER, Grant, bindings_of, role_of, service_account


class Project:
    """A folder with a flow, and how its runs are started. Its place ``pods`` is the namespace of ``space``."""

    def __init__(self, folder: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> None:
        self.folder = folder
        self.space = space
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "AWS_"))}
        self.environ = {**clean, **bucket, **space.variables}
        self.environ["HEADRACE_ARTIFACTS"] = f"{bucket['HEADRACE_ARTIFACTS']}/{folder.name}"
        self.settings: dict[str, Any] = {
            "kind": "kubernetes",
            "driver": "here",
            "namespace": space.name,
            "image": image,
            "address": cluster.host,
            "variables": {name: value for name, value in bucket.items() if name.startswith("AWS_")},
            "limits": {"pods": 4},
            "start_timeout": "60s",
        }

    def write(self, flow: str, **settings: Any) -> None:
        """Write the flow into ``train.py``, and the place with these settings."""
        (self.folder / "train.py").write_text(flow)
        place = self.settings | settings
        lines = [f"{key} = {_toml(value)}" for key, value in place.items()]
        (self.folder / "pyproject.toml").write_text("\n".join(["[tool.headrace.places.pods]", *lines, ""]))

    def add_place(self, name: str, **settings: Any) -> None:
        """Write another place, like the first one but for these settings."""
        lines = [f"{key} = {_toml(value)}" for key, value in (self.settings | settings).items()]
        with (self.folder / "pyproject.toml").open("a") as file:
            file.write("\n".join([f"[tool.headrace.places.{name}]", *lines, ""]))

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command of Headrace in the folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "headrace", *command],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, seconds: float = 120.0, code: int = 0) -> str:
        """Run a command, which is to end with this code; returns what it prints."""
        process = self.start(*command)
        try:
            said, _ = process.communicate(timeout=seconds)
        finally:
            process.kill()
        assert process.returncode == code, said
        return said

    def result(self, run: str) -> Any:
        """What the flow returned."""
        return ast.literal_eval(json.loads(self.run("get", run, "--json"))["text"])


def driven_project(folder: Path, space: Space, cluster: Cluster, image: str, variables: dict[str, str]) -> Project:
    """A folder whose runs are driven in the cluster; their stores are those of ``variables``, in a project alone."""
    made = Project(folder, space, cluster, image, variables)
    made.environ |= variables | {"HEADRACE_PROJECT": f"p{secrets.token_hex(4)}"}
    del made.settings["address"]
    made.settings |= {"driver": "cluster", "secret": "stores", "variables": {}}
    return made


def allow_drivers(space: Space, variables: dict[str, str]) -> None:
    """Make what drivers need in the namespace: what ``place manifest`` prints, and a secret with ``variables``."""
    client = space.client
    data = {name: base64.b64encode(value.encode()).decode() for name, value in variables.items()}
    client.create(Secret(metadata=ObjectMeta(name="stores"), data=data))
    with ClusterClient(Access(space.variables["KUBECONFIG"]), space.name) as cluster:
        for one in (service_account(space.name, DRIVER), role_of(space.name), *bindings_of(space.name, Grant())):
            cluster.create(one)


def act_as(project: Project, cluster: Cluster, account: str) -> Path:
    """Make a service account; commands of the project have its rights from now on. Returns its kubeconfig."""
    namespace = project.space.name
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    with ClusterClient(Access(str(cluster.kubeconfig)), namespace) as client:
        client.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}})
        config["users"][0]["user"] = {"token": client.request("POST", path, body)["status"]["token"]}
    config["contexts"][0]["context"]["namespace"] = namespace
    file = project.folder / f"kubeconfig-{account}"
    file.write_text(json.dumps(config))
    project.environ["KUBECONFIG"] = str(file)
    return file


def checks_of(project: Project, code: int) -> dict[str, dict[str, Any]]:
    """What ``place check`` says of the place, by what was looked at; it is to end with this code."""
    said = project.run("place", "check", "pods", "--json", code=code)
    return {one["name"]: one for one in json.loads(said)}


def missing_in(checks: dict[str, dict[str, Any]]) -> set[str]:
    """The names of what is missing."""
    return {name for name, one in checks.items() if one["ok"] is False}


def kubectl(kubeconfig: Path, *words: str, given: str = "") -> str:
    """What kubectl prints; ``given`` is its standard input."""
    program = common.BIN / "kubectl"
    command = [str(program if program.exists() else "kubectl"), "--kubeconfig", str(kubeconfig), *words]
    return subprocess.run(command, input=given, check=True, capture_output=True, text=True).stdout


def _toml(value: Any) -> str:
    """``value`` as TOML, whose inline tables are all that JSON lacks."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)
