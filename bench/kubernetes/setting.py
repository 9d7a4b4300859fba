"""The cluster that the benches of this folder use, and the place that they describe."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import ClusterClient, ClusterError, Kind
from headrace.executors.kubernetes.rights import DRIVER, Grant, bindings_of, role_of, service_account
from headrace.testing.postgres import restartable_postgres
from headrace.testing.proxy import Proxy


class Setting(NamedTuple):
    """A namespace of a cluster, an image with Headrace, and the address of this machine for pods."""

    kubeconfig: str
    namespace: str
    image: str
    address: str


def arguments(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], Setting]:
    """Add the options for it; gives what reads them."""
    parser.add_argument("--kubeconfig", default="")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--address", required=True, help="of this machine, for pods")
    return lambda told: Setting(told.kubeconfig, told.namespace, told.image, told.address)


def places_file(setting: Setting, variables: Mapping[str, str], pods: int = 4, cpu_limit: str = "") -> str:
    """A ``pyproject.toml`` with the place ``pods``, and ``driven``, the same with the driver in the cluster."""
    inline = ", ".join(f"{name} = {json.dumps(value)}" for name, value in variables.items())
    limit = ""
    if cpu_limit:
        limit = f'pod.patch.spec.containers = [{{name = "worker", resources = {{limits = {{cpu = "{cpu_limit}"}}}}}}]'
    common = f"""
kind = "kubernetes"
namespace = {json.dumps(setting.namespace)}
image = {json.dumps(setting.image)}
limits = {{pods = {pods}}}
{limit}
"""
    here = f'driver = "here"\nkubeconfig = {json.dumps(setting.kubeconfig)}\naddress = {json.dumps(setting.address)}'
    return f"""
[tool.headrace.places.pods]
{here}
variables = {{{inline}}}
{common}
[tool.headrace.places.driven]
driver = "cluster"
secret = "bench-stores"
{common}
"""


@contextlib.contextmanager
def drivers_allowed(setting: Setting, variables: Mapping[str, str]) -> Iterator[str]:
    """Let the namespace have drivers, whose stores are those of ``variables`` and a PostgreSQL; gives its URL."""
    with restartable_postgres() as server, Proxy(server.socket, "0.0.0.0") as proxy:
        database = f"postgresql://postgres@{setting.address}:{proxy.address[1]}/postgres"
        wanted = {**variables, "HEADRACE_DATABASE": database}
        data = {name: base64.b64encode(value.encode()).decode() for name, value in wanted.items()}
        namespace = setting.namespace
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bench-stores"}, "data": data}
        account = (service_account(namespace, DRIVER), role_of(namespace), *bindings_of(namespace, Grant()))
        with ClusterClient(Access(setting.kubeconfig), namespace) as client:
            for one in (secret, *account):
                with contextlib.suppress(ClusterError):  # an earlier bench made it
                    client.create(one)
            try:
                yield database
            finally:
                client.delete(Kind("v1", "Secret"), "bench-stores")
