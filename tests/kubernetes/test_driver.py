"""Runs that are driven in the cluster: started from here, followed, left alone, killed and gone on with."""

from __future__ import annotations

import base64
import json
import random
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import obstore
import psycopg
import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod, Secret
from obstore.store import S3Store
from tests.clusters import Cluster
from tests.integration.kfp_pipelines import Made, parts
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project, allow_drivers, driven_project

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import ClusterClient, Kind

#: The server asks for none; it is one all the same.
PASSWORD = f"pw{secrets.token_hex(16)}"
_HEX = re.compile(r"\\\\x((?:[0-9a-f]{2})+)")

FLOW = """
import os
import time
from headrace import flow, step

@step(cpu=0.02)
def fit(n: int, seconds: float) -> int:
    time.sleep(seconds)
    print("fitted", n, "in", os.environ["HEADRACE_POD"], flush=True)
    return n * n

@flow
def train(n: int = 4, seconds: float = 0.0) -> int:
    print("the flow is in", os.environ.get("HEADRACE_POD", "no pod"), flush=True)
    return sum(one.result() for one in fit.map(list(range(n)), seconds=seconds))
"""


@pytest.fixture(scope="module")
def prepared(space: Space, database: str, bucket: dict[str, str]) -> dict[str, str]:
    """The variables of the stores, which a secret has."""
    variables = {"HEADRACE_DATABASE": database.replace("postgres@", f"postgres:{PASSWORD}@"), **bucket}
    allow_drivers(space, variables)
    return variables


@pytest.fixture
def project(tmp_path: Path, space: Space, cluster: Cluster, image: str, prepared: dict[str, str]) -> Project:
    return driven_project(tmp_path, space, cluster, image, prepared)


BROKEN = """
import os
from headrace import flow, step

@step(cpu=0.02)
def fit(n: int) -> int:
    assert os.environ["HEADRACE_POD"]
    return 1 // (n - 7)

@flow
def train(n: int = 7) -> int:
    return fit(n)
"""


def test_failed_task_is_looked_at_in_a_pod_with_its_inputs_and_the_run_goes_on_there(
    project: Project, space: Space
) -> None:
    project.write(BROKEN)
    said = project.run("run", "train.py", "--on", "pods", code=1)
    assert "train/1 failed" in said
    next_ones = ["headrace debug train/1/fit/1 --on pods", "headrace resume train/1"]
    assert [line.strip().removeprefix("next").strip() for line in said.splitlines()][-2:] == next_ones
    assert f"Look into it: {next_ones[0]}" in project.run("show", "train/1")
    said = project.run("run", "train.py", "--on", "pods", "--driver", "here", code=1)
    again = "headrace resume train/2 --driver here"
    assert again in said, "else the next driver would be in the cluster, as the place says"
    assert "its driver is in place" not in project.run(*again.split()[1:], "--n", "8")
    (project.folder / "train.py").unlink()  # the pod has the code that was kept
    command = [sys.executable, "-m", "headrace", *next_ones[0].split()[1:]]
    done = subprocess.run(
        command, cwd=project.folder, env=project.environ, input="p 'n is', n\nq\n", capture_output=True, text=True
    )
    assert "('n is', 7)" in done.stdout, done
    assert done.returncode == 0, done
    assert "ZeroDivisionError" in done.stdout + done.stderr
    left = [pod.metadata for pod in space.client.list(Pod) if "-debug-" in str(pod.metadata.name)]
    assert all(one.deletionTimestamp for one in left), (left, done)

    said = project.run("resume", "train/1", "--code", "recorded", "--n", "8")
    assert "its driver is in place 'pods'" in said
    assert "train/1 succeeded" in said
    assert project.result("train/1") == 1
    said = project.run("run", "--code-of", "train/1", "--", "--n", "6")  # as the pages start runs
    assert "train/3: its driver is in place 'pods'" in said
    assert project.result("train/3") == -1


def test_driver_that_cannot_start_or_work_says_why(project: Project, space: Space) -> None:
    project.write(FLOW, secret="nothing")
    process = project.start("run", "train.py", "--on", "pods")
    assert process.stdout is not None
    said = ""
    while "cannot start" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    assert "driver: pod train-1-" in said
    assert "nothing" in said
    project.run("cancel", "train/1")
    rest, _ = process.communicate(timeout=60)
    assert "train/1 cancelled" in rest
    assert process.returncode == 1

    data = {"HEADRACE_DATABASE": base64.b64encode(b"/tmp/elsewhere.db").decode()}
    space.client.create(Secret(metadata=ObjectMeta(name="others"), data=data))
    project.write(FLOW, secret="others")
    assert "the stores of this pod are not those of train/2" in project.run("run", "train.py", "--on", "pods", code=1)

    (project.folder / "only_here.py").touch()
    settings = (project.folder / "pyproject.toml").read_text()
    project.write("import only_here\n" + FLOW)
    excluded = '\n[tool.headrace]\nexclude = ["only_here.py"]\n'
    (project.folder / "pyproject.toml").write_text(settings.replace('"others"', '"stores"') + excluded)
    said = project.run("run", "train.py", "--on", "pods", code=1)
    assert "No module named 'only_here'; the image of place 'pods' needs the packages that the flow imports" in said


def _awaited(project: Project, run: str, words: str, after: float = 0.0) -> dict[str, Any]:
    """The row of a run once somebody has seen, later than ``after``, that its driver waits for what ``words`` say."""
    until = time.monotonic() + 60
    while True:
        rows = {row["name"]: row for row in json.loads(project.run("runs", "--json"))}
        row: dict[str, Any] = rows.get(run, {"waits_for": "", "waits_seen": None})
        if words in row["waits_for"] and row["waits_seen"] > after:
            return row
        assert time.monotonic() < until, rows
        time.sleep(0.3)


def test_all_who_look_at_a_run_see_why_its_driver_has_not_begun(project: Project) -> None:
    project.write(FLOW, image="localhost/headrace/none:1")
    project.add_place("crowded", pod={"node_selector": {"kind": "none"}})
    process = project.start("run", "train.py", "--on", "pods")
    row = _awaited(project, "train/1", "image localhost/headrace/none:1 cannot be pulled")
    assert (row["state"], row["driver"]) == ("running", "pending")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert "train/1 goes on without this terminal" in said
    assert _awaited(project, "train/1", "cannot be pulled")["waits_seen"] >= row["waits_seen"]  # what was seen last
    shown = project.run("show", "train/1")
    assert "waiting to begin in the cluster: pod train-1-" in shown
    assert "image localhost/headrace/none:1 cannot be pulled" in shown

    follower = project.start("follow", "train/1")  # which writes down what it sees, too
    _awaited(project, "train/1", "cannot be pulled", after=row["waits_seen"] + 1)
    project.run("cancel", "train/1")
    said, _ = follower.communicate(timeout=60)
    assert "driver: pod train-1-" in said
    assert "train/1 cancelled" in said

    process = project.start("run", "train.py", "--on", "crowded")
    row = _awaited(project, "train/2", "not match its node selector or affinity")
    assert "train/2: waiting to begin in the cluster: pod train-2-" in project.run("runs")
    assert row["driver"] == "pending"
    project.run("cancel", "train/2")
    said, _ = process.communicate(timeout=60)
    assert "train/2 cancelled" in said
    assert not project.run("doctor", "train/2", code=1).count("pending")


COUNTED = """
import os
import time
import psycopg
from headrace import flow, step

@step(cpu=0.02)
def fit(n: int) -> int:
    with psycopg.connect(os.environ["HEADRACE_DATABASE"], autocommit=True) as database:
        database.execute("insert into fitted values (%s)", [n])
    time.sleep(0.5)
    return n * n

@flow
def train() -> int:
    return sum(one.result() for one in fit.map(list(range(100))))
"""


def _delete_driver(space: Space, before: str) -> str:
    """Delete the pod of the driver that is at work, when it is another one than ``before``; returns its name."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pods = [
            pod.metadata.name
            for pod in space.client.list(Pod, fields={"status.phase": "Running"})
            if pod.metadata.deletionTimestamp is None and "headrace.io/driver" in (pod.metadata.labels or {})
        ]
        if pods and pods[0] != before:
            time.sleep(random.random())  # it may be anywhere in its work
            space.client.delete(Pod, pods[0])
            return str(pods[0])
        time.sleep(0.2)
    raise AssertionError("no driver came")


@pytest.mark.timeout(400)
def test_driver_deleted_ten_times_goes_on_and_nothing_runs_twice(project: Project, space: Space, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table fitted (n integer)")
        project.write(COUNTED)
        process = project.start("run", "train.py", "--on", "pods")
        before = ""
        for _ in range(10):
            before = _delete_driver(space, before)
        said, _ = process.communicate(timeout=200)
        assert process.returncode == 0, said
        assert "train/1 succeeded" in said
        ran = sorted(n for (n,) in connection.execute("select n from fitted").fetchall())
    assert ran == list(range(100))
    assert project.result("train/1") == sum(n * n for n in range(100))


KINDS = ("Pod", "Job", "Service", "ConfigMap", "Event", "ServiceAccount", "Role", "ControllerRevision", "EndpointSlice")


def _stored_by_the_cluster(space: Space) -> str:
    """All that the API server has in the namespace, but for secrets, and what the pods there have printed."""
    groups = {"Job": "batch/v1", "Role": "rbac.authorization.k8s.io/v1", "EndpointSlice": "discovery.k8s.io/v1"}
    groups["ControllerRevision"] = "apps/v1"
    with ClusterClient(Access(space.variables["KUBECONFIG"]), space.name) as client:
        found = []
        for kind in KINDS:
            for one in client.list(Kind(groups.get(kind, "v1"), kind)):
                found.append(json.dumps(one))
                if kind == "Pod" and one["status"].get("phase") != "Pending":
                    found.append(client.log(one["metadata"]["name"]))
    return "\n".join(found)


def _stored_by_headrace(database: str, bucket: dict[str, str]) -> bytes:
    """All rows of the database, and all objects of the bucket."""
    parts = []
    with psycopg.connect(database) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        for (table,) in tables:
            rows = connection.execute(f'select to_jsonb(t)::text from "{table}" t').fetchall()  # type: ignore[arg-type]
            parts += [row.encode() for (row,) in rows]
            parts += [bytes.fromhex(text) for row in parts[-len(rows) :] for text in _HEX.findall(row.decode())]
    store = S3Store.from_url(
        bucket["HEADRACE_ARTIFACTS"],
        client_options={"allow_http": True},
        **{name.lower(): value for name, value in bucket.items() if name.startswith("AWS_")},
    )
    for page in obstore.list(store):
        parts += [bytes(obstore.get(store, one["path"]).bytes()) for one in page]
    return b"\n".join(parts)


def test_run_is_driven_in_the_cluster_without_this_terminal_and_no_credential_leaves_its_secret(
    project: Project, space: Space, database: str, bucket: dict[str, str]
) -> None:
    project.write(FLOW)
    process = project.start("run", "train.py", "--on", "pods", "--n", "2", "--seconds", "4")
    assert process.stdout is not None
    said = ""
    while "the flow is in train-1-" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "train/1 goes on without this terminal" in rest
    seen = _stored_by_the_cluster(space)
    followed = project.run("follow", "train/1")
    assert "the flow is in train-1-" in followed
    assert "train/1 succeeded" in followed
    assert project.result("train/1") == 1
    assert "fitted 1 in train-1-" in project.run("logs", "train/1")

    seen += _stored_by_the_cluster(space)
    kept = _stored_by_headrace(database, bucket)
    assert "train-1-" in seen
    assert b"fitted" in kept, "else nothing was looked at"
    made = [one.data or {} for one in space.client.list(Secret)]  # the joining token and the identity, too
    told = [base64.b64decode(data[name]).decode() for data in made for name in ("token", "identity") if name in data]
    assert told
    for word in (PASSWORD, bucket["AWS_SECRET_ACCESS_KEY"], *told):
        assert word not in seen
        assert word.encode() not in kept


METAFLOW = """
import os
from metaflow import FlowSpec, Parameter, step

class Squares(FlowSpec):
    most = Parameter("most", default=3)

    @step
    def start(self):
        self.numbers = list(range(self.most))
        self.next(self.fit, foreach="numbers")

    @step
    def fit(self):
        self.square, self.pod = self.input ** 2, os.environ["HEADRACE_POD"]
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total, self.pods = sum(one.square for one in inputs), {one.pod for one in inputs}
        self.next(self.end)

    @step
    def end(self):
        print("total", self.total, self.pods)

if __name__ == "__main__":
    Squares()
"""


SQUARE = """
def square(n: int) -> int:
    print("squared", n, flush=True)
    return n * n
"""


def test_flows_of_other_dialects_are_driven_in_the_cluster(project: Project) -> None:
    project.write(METAFLOW)
    said = project.run("run", "train.py", "--on", "pods", "--most", "4")
    assert "Squares/1 succeeded" in said
    assert "total 14 {'squares-1-" in project.run("logs", "Squares/1/end")
    pipeline = Made("squared").add("square", parts.lightweight(SQUARE, "square"), takes={"n": ("NUMBER_INTEGER", 7)})
    (project.folder / "squared.yaml").write_text(json.dumps(pipeline.document))
    said = project.run("run", "squared.yaml", "--on", "pods", "--containers", "host")
    assert "squared/1 succeeded" in said
    assert "squared 7" in project.run("logs", "squared/1")
