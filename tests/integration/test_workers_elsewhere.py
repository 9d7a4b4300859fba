"""Runs whose tasks are executed by workers of another machine: another network and another root folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.model.handshake import SILENCE_SECONDS
from headrace.testing.namespaces import OtherMachine
from headrace.testing.postgres import restartable_postgres
from headrace.testing.proxy import Proxy
from headrace.testing.servers import rclone_s3

pytestmark = pytest.mark.slow

HELPERS = """
FACTOR = 3

class Model:
    def __init__(self, weight):
        self.weight = weight
"""
FLOW = """
import os
import signal
from headrace import flow, step, log_metric
from helpers import FACTOR, Model

OFFSET = 10

@step(place={place!r})
def fit(n: int) -> Model:
    print("fitting", n, flush=True)
    log_metric("loss", 1 / n)
    open(os.path.join("/tmp", "made-by-fit"), "a").close()
    return Model(bytes([n]) * 100_000 * FACTOR)

@step(place={place!r}, isolated=True)
def where(n: int) -> bool:
    return os.path.exists({project!r})

@step
def size(model: Model) -> int:
    return len(model.weight) + OFFSET

@flow
def train() -> list[int]:
    models = fit.map([1, 2, 3, 4])
    return [size(one) for one in models] + [sum(one.result() for one in where.map([1, 2]))]
"""


@pytest.fixture(scope="module")
def bucket(machine: OtherMachine) -> Iterator[tuple[str, dict[str, str]]]:
    with rclone_s3(host=machine.here) as (url, settings):
        yield url, {name.upper(): value for name, value in settings.items()}


class Project:
    """A folder with a flow, and how its runs are started."""

    def __init__(self, folder: Path, machine: OtherMachine, bucket: tuple[str, dict[str, str]], port: int) -> None:
        self.folder = folder
        self.machine = machine
        self.port = port
        self.url, self.credentials = bucket
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "AWS_"))}
        self.environ = {**clean, **self.credentials, "HEADRACE_ARTIFACTS": f"{self.url}/{folder.name}"}
        self.write(
            "pyproject.toml", f'[tool.headrace.places.far]\nkind = "workers"\nlisten = "{machine.here}:{port}"\n'
        )

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "headrace.cli", *command],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, seconds: float = 90.0) -> str:
        process = self.start(*command)
        said, _ = process.communicate(timeout=seconds)
        assert process.returncode == 0, said
        return said

    def join(self, *more: str) -> subprocess.Popen[bytes]:
        """Have the other machine join what is started next."""
        file = self.folder / ".headrace" / "places" / "far.join"
        deadline = time.monotonic() + 30
        while not file.exists():
            assert time.monotonic() < deadline, "no joining token was written"
            time.sleep(0.05)
        arguments = ["-m", "headrace.cli", "worker", "--connect", f"{self.machine.here}:{self.port}"]
        arguments += ["--workers", "2", "--root", "/root/work", *more]
        return self.machine.start(arguments, {**self.credentials, "HEADRACE_WORKER_SECRET": file.read_text()})

    def artifacts(self, run: str) -> dict[str, str]:
        """Digests by the task and name within the run."""
        found = json.loads(self.run("artifacts", run, "--json"))
        return {f"{one['task'].removeprefix(run)}/{one['name']}": one["digest"] for one in found}

    def result(self, run: str) -> Any:
        return json.loads(json.loads(self.run("get", run, "--json"))["text"])


@pytest.fixture
def project(tmp_path: Path, machine: OtherMachine, bucket: tuple[str, dict[str, str]]) -> Project:
    return Project(tmp_path, machine, bucket, 7700 + os.getpid() % 100)


def test_run_on_two_places_gives_the_same_artifacts_as_on_one(project: Project) -> None:
    project.write("helpers.py", HELPERS)
    project.write("train.py", FLOW.format(place="local", project=str(project.folder)))
    project.run("run", "train.py")
    project.write("train.py", FLOW.format(place="far", project=str(project.folder)))
    driver = project.start("run", "train.py")
    worker = project.join("--once")
    said, _ = driver.communicate(timeout=90)
    assert driver.returncode == 0, said
    assert worker.wait(30) == 0
    here, there = (project.artifacts(f"train/{n}") for n in (1, 2))
    same = {name for name in here if name.startswith(("/fit", "/size"))}
    assert len(same) == 8
    assert {name: there[name] for name in same} == {name: here[name] for name in same}
    assert (project.result("train/1")[-1], project.result("train/2")[-1]) == (2, 0), "the project's folder is not there"
    assert "fitting 3" in project.run("logs", "train/2")


METAFLOW = """
import os
from metaflow import FlowSpec, Parameter, card, current, resources, retry, step
from helpers import FACTOR, Model

class Train(FlowSpec):
    depth = Parameter("depth", default=2)

    @step
    def start(self):
        self.sizes = [1, 2, 3]
        self.next(self.fit, foreach="sizes")

    @resources(cpu=1)
    @retry(times=1)
    @step
    def fit(self):
        if current.retry_count == 0 and self.input == 2:
            raise ValueError("once")
        self.model = Model(bytes([self.input]) * 50_000 * FACTOR)
        print("fitted", self.input)
        self.next(self.join)

    @card
    @step
    def join(self, inputs):
        self.weights = [len(one.model.weight) * self.depth for one in inputs]
        if not os.path.exists("fixed") and self.depth == 7:
            raise RuntimeError("not yet")
        self.next(self.end)

    @step
    def end(self):
        print("project is here:", os.path.exists(PROJECT))

PROJECT = {project!r}

if __name__ == "__main__":
    Train()
"""


def test_metaflow_file_on_another_machine_makes_the_same_artifacts(project: Project) -> None:
    with restartable_postgres() as server, Proxy(server.socket, project.machine.here) as relay:
        project.environ["HEADRACE_DATABASE"] = "postgresql://postgres@{}:{}/postgres".format(*relay.address)
        compare_places(project)


def compare_places(project: Project) -> None:
    project.write("helpers.py", HELPERS)
    project.write("train.py", METAFLOW.format(project=str(project.folder)))
    project.run("run", "train.py")
    driver = project.start("run", "train.py", "--on", "far")
    worker = project.join("--once")
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    assert worker.wait(60) == 0
    here, there = (
        {re.sub(r"-[0-9a-f]{32}", "", name): digest for name, digest in project.artifacts(f"Train/{n}").items()}
        for n in (1, 2)
    )
    assert set(here) >= {"/fit/3/model", "/join/5/weights", "/join/5/_card_default.html"}
    assert set(here) == set(there), project.run("logs", "Train/2")
    differing = {name.rpartition("/")[2] for name in here if here[name] != there[name]}
    assert differing <= {"_card_default.html", "_attempt_0__exception"}, "cards name their run, and tracebacks the file"
    assert "project is here: True" in project.run("logs", "Train/1")
    assert "project is here: False" in project.run("logs", "Train/2")
    shown = json.loads(project.run("show", "Train/2/fit/3", "--json"))
    assert {one["place"] for one in shown["attempts"]} == {"far"}


GANG = """
import socket
from metaflow import FlowSpec, current, parallel, step

class Gang(FlowSpec):
    @step
    def start(self):
        self.next(self.work, num_parallel=2)

    @parallel
    @step
    def work(self):
        self.node = current.parallel.node_index
        address = current.parallel.main_ip
        if self.node == 0:
            with socket.create_server(("", 7999)) as listener:
                listener.settimeout(60)
                peer, _ = listener.accept()
                self.heard = peer.recv(100).decode()
        else:
            self.heard = address
            for _ in range(600):
                try:
                    with socket.create_connection((address, 7999)) as peer:
                        peer.sendall(b"hello from 1")
                    break
                except OSError:
                    import time
                    time.sleep(0.1)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.heard = [one.heard for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        print("heard:", *self.heard)

if __name__ == "__main__":
    Gang()
"""


def test_every_node_of_a_gang_elsewhere_knows_where_the_first_one_is(project: Project) -> None:
    project.write("gang.py", GANG)
    driver = project.start("run", "gang.py", "--on", "far")
    hosts = [project.join("--once", "--root", f"/root/g{n}", "--workers", "1") for n in range(2)]
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    assert f"heard: hello from 1 {project.machine.there}" in project.run("logs", "Gang/1")
    for host in hosts:
        assert host.wait(60) == 0


CROWD = """
import os
import time
from metaflow import FlowSpec, current, parallel, resources, step

class Crowd(FlowSpec):
    @step
    def start(self):
        self.next(self.work, num_parallel=6)

    @resources(cpu=0.3)
    @parallel
    @step
    def work(self):
        open(f"node-{current.parallel.node_index}", "w").close()
        deadline = time.monotonic() + 60
        while len([one for one in os.listdir(".") if one.startswith("node-")]) < 6 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.seen = len([one for one in os.listdir(".") if one.startswith("node-")])
        self.next(self.join)

    @step
    def join(self, inputs):
        self.seen = [one.seen for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        print("seen:", self.seen)

if __name__ == "__main__":
    Crowd()
"""


def test_gang_runs_at_once_on_a_machine_with_fewer_workers_than_nodes(project: Project) -> None:
    project.write("crowd.py", CROWD)
    driver = project.start("run", "crowd.py", "--on", "far")
    host = project.join("--once", "--root", "/root/crowd")
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    assert "seen: [6, 6, 6, 6, 6, 6]" in project.run("logs", "Crowd/1")
    assert host.wait(60) == 0


def test_metaflow_run_is_resumed_where_it_ran(project: Project) -> None:
    project.write("helpers.py", HELPERS)
    project.write("train.py", METAFLOW.format(project=str(project.folder)))
    driver = project.start("run", "train.py", "--on", "far", "--depth", "7")
    worker = project.join("--root", "/root/resumed")
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 1, said
    (Path(f"/proc/{worker.pid}/root/root/resumed") / "fixed").touch()
    said = project.run("resume", "Train/1", seconds=120)
    shown = json.loads(project.run("show", "Train/1/end/6", "--json"))
    assert [one["place"] for one in shown["attempts"]] == ["far"], said
    worker.terminate()
    assert worker.wait(30) == 0


UNEQUAL = """
import os
import time
from headrace import flow, step

@step(place="far", cpu=2)
def half(n: int) -> int:
    time.sleep(2.0)
    return os.getppid()

@step(place="far", cpu=4)
def whole() -> int:
    return os.getppid()

@flow
def main() -> list[int]:
    large = whole.submit()
    halves = [one.result() for one in half.map([1, 2])]
    open("halves-done", "w").close()
    return [*halves, large.result()]
"""


def test_task_waits_for_a_machine_that_has_room_for_all_of_it(project: Project) -> None:
    """Two worker hosts with two cores each are not one with four."""
    project.write("main.py", UNEQUAL)
    driver = project.start("run", "main.py")
    hosts = [project.join("--once", "--root", f"/root/w{n}") for n in range(2)]
    wait_for((project.folder / "halves-done").exists, "the small tasks do not run")
    time.sleep(1.0)
    assert driver.poll() is None, "the large task ran on machines that are too small for it"
    hosts.append(project.join("--once", "--root", "/root/w2", "--workers", "4"))
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    first, second, large = project.result("main/1")
    assert len({first, second, large}) == 3, "each on a machine of its own"
    assert said.count("step 'whole' asks for 4 cpus, and no machine that joined place 'far' has that") == 1, said
    for host in hosts:
        assert host.wait(60) == 0


TALKATIVE = """
from headrace import flow, step

@step(place={place!r})
def talk() -> int:
    for n in range(1_200_000):
        print("line", n)
    return 1

@flow
def main() -> int:
    return talk()
"""


def test_long_log_is_cut_at_the_same_place_as_here(project: Project) -> None:
    project.write("main.py", TALKATIVE.format(place="local"))
    project.run("run", "main.py")
    project.write("main.py", TALKATIVE.format(place="far"))
    driver = project.start("run", "main.py")
    worker = project.join("--once")
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    worker.wait(60)
    here, there = (project.run("logs", f"main/{n}/talk/1") for n in (1, 2))
    assert "past 10 MiB was dropped" in here[-200:]
    assert here == there


LONG = """
import os, time
from headrace import flow, step

@step
def begin() -> int:
    return 20

@step(place="far")
def fit(n: int) -> int:
    with open("/root/executions", "a") as file:
        file.write("one\\n")
    print("begun", flush=True)
    deadline = time.monotonic() + 120
    while not os.path.exists("/root/go-on") and time.monotonic() < deadline:
        time.sleep(0.05)
    print("ended", flush=True)
    open("/root/ended", "w").close()
    return n + 1

@flow
def slow() -> int:
    return fit(begin())
"""


def wait_for(what: Callable[[], bool], said: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, said
        time.sleep(0.05)


def attempt_is_recorded(project: Project) -> bool:
    process = project.start("show", "slow/1/fit/1", "--json")
    said, _ = process.communicate(timeout=90)
    if process.returncode and (
        "has no step" in said or "has begun yet" in said
    ):  # its row is written a moment after it begins
        return False
    assert process.returncode == 0, said
    return any(one["state"] == "running" for one in json.loads(said)["attempts"])


def test_resumed_run_takes_the_attempt_over_that_goes_on_elsewhere(project: Project) -> None:
    project.write("slow.py", LONG)
    driver = project.start("run", "slow.py")
    worker = project.join()
    there = Path(f"/proc/{worker.pid}/root/root")
    wait_for(lambda: (there / "executions").exists(), "the attempt does not begin")
    wait_for(lambda: attempt_is_recorded(project), "the attempt is not recorded")
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    resumed = project.start("resume", "slow/1")
    wait_for(lambda: "running" in project.run("runs"), "the run does not go on")
    time.sleep(1.0)
    (there / "go-on").touch()
    said, _ = resumed.communicate(timeout=90)
    assert resumed.returncode == 0, said
    assert (there / "executions").read_text() == "one\n"
    worker.terminate()
    assert worker.wait(30) == 0
    assert project.result("slow/1") == 21
    shown = json.loads(project.run("show", "slow/1/fit/1", "--json"))
    assert [one["state"] for one in shown["attempts"]] == ["succeeded"]
    logs = project.run("logs", "slow/1/fit/1")
    assert (logs.count("begun"), logs.count("ended")) == (1, 1), logs


def test_worker_finds_the_run_that_goes_on_at_another_address(project: Project) -> None:
    """The new address is in PostgreSQL, which the worker reaches over the network."""
    with restartable_postgres() as server, Proxy(server.socket, project.machine.here) as relay:
        project.environ["HEADRACE_DATABASE"] = "postgresql://postgres@{}:{}/postgres".format(*relay.address)
        project.write("slow.py", LONG)
        toml = project.folder / "pyproject.toml"
        toml.write_text(toml.read_text() + 'adopt = "2m"\n')
        driver = project.start("run", "slow.py")
        worker = project.join()
        there = Path(f"/proc/{worker.pid}/root/root")
        wait_for(lambda: (there / "executions").exists(), "the attempt does not begin")
        wait_for(lambda: attempt_is_recorded(project), "the attempt is not recorded")
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
        toml.write_text(toml.read_text().replace(f":{project.port}", f":{project.port + 100}"))
        resumed = project.start("resume", "slow/1")
        (there / "go-on").touch()
        said, _ = resumed.communicate(timeout=150)
        assert resumed.returncode == 0, said
        assert (there / "executions").read_text() == "one\n"
        worker.terminate()
        assert worker.wait(30) == 0
        shown = json.loads(project.run("show", "slow/1/fit/1", "--json"))
        assert [one["state"] for one in shown["attempts"]] == ["succeeded"]
        assert project.result("slow/1") == 21


def test_attempt_goes_on_when_the_network_is_cut_for_a_while(project: Project) -> None:
    project.write("slow.py", LONG)
    toml = project.folder / "pyproject.toml"
    toml.write_text(toml.read_text() + 'adopt = "2m"\n')
    driver = project.start("run", "slow.py")
    worker = project.join("--once")
    there = Path(f"/proc/{worker.pid}/root/root")
    wait_for(lambda: (there / "executions").exists(), "the attempt does not begin")
    project.machine.cut()
    try:
        time.sleep(SILENCE_SECONDS + 3.0)  # both sides give their connections up
        (there / "go-on").touch()
        wait_for(lambda: (there / "ended").exists(), "the attempt does not end")
        assert (there / "executions").read_text() == "one\n"
    finally:
        project.machine.cut(down=False)
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    assert worker.wait(60) == 0
    shown = json.loads(project.run("show", "slow/1/fit/1", "--json"))
    assert [one["state"] for one in shown["attempts"]] == ["succeeded"]
    logs = project.run("logs", "slow/1/fit/1")
    assert (logs.count("begun"), logs.count("ended")) == (1, 1), logs


def test_attempt_goes_on_when_the_driver_was_suspended_for_a_while(project: Project) -> None:
    project.write("slow.py", LONG)
    toml = project.folder / "pyproject.toml"
    toml.write_text(toml.read_text() + 'adopt = "2m"\n')
    driver = project.start("run", "slow.py")
    worker = project.join("--root", "/root/suspended")
    there = Path(f"/proc/{worker.pid}/root/root")
    wait_for(lambda: (there / "executions").exists(), "the attempt does not begin")
    driver.send_signal(signal.SIGSTOP)
    time.sleep(SILENCE_SECONDS + 3.0)  # the worker gives the connection up
    driver.send_signal(signal.SIGCONT)
    (there / "go-on").touch()
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    assert (there / "executions").read_text() == "one\n"
    worker.terminate()
    assert worker.wait(30) == 0
    assert project.result("slow/1") == 21


CANCELLED = """
import os
import time
from headrace import TaskCancelledError, TaskTimeoutError, flow, step

@step(place="far")
def forever() -> None:
    open("begun", "w").close()
    time.sleep(600)

@step(place="far")
def has_begun(n: int) -> bool:
    time.sleep(0.1)
    return os.path.exists("begun")

@step(place="far", timeout="1s")
def late() -> None:
    time.sleep(600)

@step(place="far")
def quick(n: int) -> int:
    return n + 1

@flow
def train() -> list[int]:
    lost = forever.submit()
    n = 0
    while not has_begun(n):
        n += 1
    lost.cancel()
    try:
        lost.result()
    except TaskCancelledError:
        pass
    try:
        late()
    except TaskTimeoutError:
        pass
    began = time.monotonic()
    made = [quick(n) for n in range(10, 14)]
    print("SECONDS", time.monotonic() - began)
    return made
"""


def test_worker_whose_task_was_cancelled_or_timed_out_takes_the_next_one(project: Project) -> None:
    project.write("train.py", CANCELLED)
    driver = project.start("run", "train.py")
    worker = project.join("--once", "--root", "/root/cancelled")
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    assert worker.wait(60) == 0
    assert project.result("train/1") == [11, 12, 13, 14]
    shown = json.loads(project.run("show", "train/1/forever/1", "--json"))
    assert [one["state"] for one in shown["attempts"]] == ["cancelled"]
    assert float(said.partition("SECONDS")[2].split()[0]) < 20


def test_resumed_run_does_the_work_again_when_the_worker_does_not_come_back(project: Project) -> None:
    project.write("slow.py", LONG)
    toml = project.folder / "pyproject.toml"
    toml.write_text(toml.read_text() + 'adopt = "2s"\n')
    driver = project.start("run", "slow.py")
    worker = project.join()
    there = Path(f"/proc/{worker.pid}/root/root")
    wait_for(lambda: (there / "executions").exists(), "the attempt does not begin")
    wait_for(lambda: attempt_is_recorded(project), "the attempt is not recorded")
    driver.send_signal(signal.SIGKILL)
    worker.send_signal(signal.SIGKILL)
    driver.communicate()
    worker.wait()
    resumed = project.start("resume", "slow/1")
    again = project.join()
    there = Path(f"/proc/{again.pid}/root/root")
    wait_for(lambda: (there / "executions").exists(), "the attempt does not begin again")
    (there / "go-on").touch()
    said, _ = resumed.communicate(timeout=90)
    assert resumed.returncode == 0, said
    again.terminate()
    again.wait(20)
    shown = json.loads(project.run("show", "slow/1/fit/1", "--json"))
    assert [one["state"] for one in shown["attempts"]] == ["lost", "succeeded"]
    assert project.result("slow/1") == 21
