"""A real cluster: namespaces of tests, an image of this tree's Headrace, and stores that pods reach."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Pod
from tests import clusters
from tests.kubernetes import controllers

from headrace.testing.postgres import restartable_postgres
from headrace.testing.proxy import Proxy
from headrace.testing.servers import rclone_s3

HERE = Path(__file__).parent


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait for the cluster before the time of the first test counts."""
    if item.path.is_relative_to(HERE):  # where tests share the work, this is called for those of all folders
        with contextlib.suppress(RuntimeError):  # the fixture says it
            clusters.wait()
            if item.path.name in controllers.FILES:
                controllers.set_up()
    return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let those come last that need more controllers than a cluster has."""
    items.sort(key=lambda item: item.path.is_relative_to(HERE) and item.path.name in controllers.FILES)


@pytest.fixture(scope="session")
def more_controllers(cluster: clusters.Cluster) -> None:
    """JobSet, Trainer and Kueue are set up where ``.ci/run`` has built them."""
    problem = controllers.set_up()
    assert not problem, problem


@pytest.fixture(scope="session")
def cluster() -> clusters.Cluster:
    """The cluster; without one the test fails (in CI; elsewhere it is not collected)."""
    clusters.wait()
    found = clusters.given()
    assert found is not None, clusters.HOW
    return found


@pytest.fixture(scope="session")
def image(cluster: clusters.Cluster) -> str:
    """The name of an image with this tree's Headrace."""
    return clusters.worker_image()


class Space(NamedTuple):
    """A namespace, and a client whose default it is."""

    name: str
    client: Client
    #: Environment variables with which processes find the cluster.
    variables: dict[str, str]


@pytest.fixture(scope="module")
def space(request: pytest.FixtureRequest, cluster: clusters.Cluster) -> Iterator[Space]:
    """A namespace for the tests of a file; gone afterwards with all that is in it."""
    module = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    with made_space(cluster, module[:40]) as made:
        yield made


@contextlib.contextmanager
def made_space(cluster: clusters.Cluster, what: str) -> Iterator[Space]:
    """A namespace while the block lasts, or until it is deleted; ``what`` is in its name."""
    name = f"hr-{what}-{secrets.token_hex(3)}"
    config = KubeConfig.from_file(cluster.kubeconfig)
    with Client(config=config, namespace=name) as client:
        client.create(Namespace(metadata=ObjectMeta(name=name, labels={"headrace-test": str(os.getpid())})))
        try:
            _await_pods(client)
            yield Space(name, client, {"KUBECONFIG": str(cluster.kubeconfig)})
        finally:
            with contextlib.suppress(ApiError):  # it is gone, or going
                client.delete(Namespace, name, grace_period=0)


def _await_pods(client: Client) -> None:
    """Wait until the namespace takes pods: it needs a service account, and Kueue's webhook has to hear of it."""
    pod = Pod(metadata=ObjectMeta(name="probe"), spec=PodSpec(containers=[Container(name="probe", image="probe")]))
    until = time.monotonic() + 60
    while True:
        try:
            client.create(pod, dry_run=True)
        except ApiError:
            assert time.monotonic() < until, "the namespace takes no pods"
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def database(cluster: clusters.Cluster) -> Iterator[str]:
    """The URL of a PostgreSQL database, for the test and for pods."""
    with restartable_postgres() as server, Proxy(server.socket, "0.0.0.0") as proxy:
        yield f"postgresql://postgres@{cluster.host}:{proxy.address[1]}/postgres"


@pytest.fixture(scope="session")
def bucket(cluster: clusters.Cluster) -> Iterator[dict[str, str]]:
    """Environment variables that name an empty bucket, for the test and for pods."""
    with rclone_s3(host="0.0.0.0") as (url, config):
        port = config["aws_endpoint_url"].rpartition(":")[2]
        config = {**config, "aws_endpoint_url": f"http://{cluster.host}:{port}"}
        yield {"HEADRACE_ARTIFACTS": url, **{name.upper(): value for name, value in config.items()}}
