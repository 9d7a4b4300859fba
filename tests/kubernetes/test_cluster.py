"""What all tests on a cluster take for granted."""

from __future__ import annotations

from lightkube.models.core_v1 import Container, EnvVar, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod
from tests.kubernetes.conftest import Space

from headrace import __version__

_LOOK = """
import os, obstore, psycopg
from obstore.store import S3Store
from headrace import __version__
url, options = os.environ.pop("HEADRACE_ARTIFACTS"), {"client_options": {"allow_http": True}}
print(psycopg.connect(os.environ["HEADRACE_DATABASE"]).execute("select 6 * 7").fetchone()[0])
print(type(obstore.list(S3Store.from_url(url, **options)).collect()).__name__)
print(__version__)
"""


def test_pod_with_this_headrace_reaches_the_database_and_the_bucket(
    space: Space, image: str, database: str, bucket: dict[str, str]
) -> None:
    variables = {"HEADRACE_DATABASE": database, **bucket}
    container = Container(
        name="main",
        image=image,
        command=["python", "-c", _LOOK],
        env=[EnvVar(name=name, value=value) for name, value in variables.items()],
    )
    spec = PodSpec(containers=[container], restartPolicy="Never", terminationGracePeriodSeconds=1)
    space.client.create(Pod(metadata=ObjectMeta(name="look"), spec=spec))
    seen = list(space.client.log("look", follow=True)) if _ran(space) else []
    assert "".join(seen).split("\n")[:3] == ["42", "list", __version__]


def _ran(space: Space) -> bool:
    for _, pod in space.client.watch(Pod, fields={"metadata.name": "look"}, server_timeout=60):
        if pod.status and pod.status.phase in ("Running", "Succeeded", "Failed"):
            return True
    return False
