"""Drivers that a server starts: they outlive requests, the server and the supervisor, and start once."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.server.conftest import Served, headrace
from tests.integration.server.test_actions import RUN, Acted, eventually

from headrace.server.drivers import supervisor
from headrace.server.drivers.orders import Order, Orders

FLOW = """
import os
import time
from headrace import flow, step

@step
def count(n: int) -> int:
    return n + 1

@step
def meet(n: int, gate: str) -> int:
    with open(gate + ".here", "a") as out:
        out.write("x")
    while gate and not os.path.exists(gate):
        time.sleep(0.05)
    return n

@flow
def train(n: int = 1, gate: str = "", fail: bool = False) -> int:
    found = count(n)
    if gate:
        meet(found, gate)
    if fail:
        raise ValueError("not this time")
    return found
"""
METAFLOW = """
from metaflow import FlowSpec, Parameter, step

class Par(FlowSpec):
    n = Parameter("n", default=3)

    @step
    def start(self):
        self.m = self.n * 2
        self.next(self.end)

    @step
    def end(self):
        print("it is", self.m)

if __name__ == "__main__":
    Par()
"""
_INTEGERS = {name: {"parameterType": "NUMBER_INTEGER"} for name in ("a", "b")}
_OUTPUT = {"parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}}}
#: As kfp compiles ``add(a=a, b=b)``, without what installs it.
PIPELINE = {
    "pipelineInfo": {"name": "adding"},
    "components": {
        "comp-add": {
            "executorLabel": "exec-add",
            "inputDefinitions": {"parameters": _INTEGERS},
            "outputDefinitions": _OUTPUT,
        }
    },
    "deploymentSpec": {
        "executors": {
            "exec-add": {
                "container": {
                    "image": "python:3.11",
                    "args": ["--executor_input", "{{$}}", "--function_to_execute", "add"],
                    "command": [
                        "sh",
                        "-ec",
                        'program_path=$(mktemp -d)\nprintf "%s" "$0" > "$program_path/ephemeral_component.py"\n'
                        "_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main --component_module_path "
                        '"$program_path/ephemeral_component.py" "$@"\n',
                        "\nimport kfp\nfrom kfp import dsl\nfrom kfp.dsl import *\nfrom typing import *\n\n"
                        "def add(a: int, b: int) -> int:\n    return a + b\n\n",
                    ],
                }
            }
        }
    },
    "root": {
        "dag": {
            "outputs": {
                "parameters": {
                    "Output": {
                        "valueFromParameter": {"outputParameterKey": "Output", "producerSubtask": "add"},
                    }
                }
            },
            "tasks": {
                "add": {
                    "componentRef": {"name": "comp-add"},
                    "inputs": {"parameters": {one: {"componentInputParameter": one} for one in ("a", "b")}},
                    "taskInfo": {"name": "add"},
                }
            },
        },
        "inputDefinitions": {
            "parameters": {
                name: {"defaultValue": 1.0, "isOptional": True, "parameterType": "NUMBER_INTEGER"}
                for name in ("a", "b")
            }
        },
        "outputDefinitions": _OUTPUT,
    },
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.3",
}
DRIVERS = "/api/v1/projects/default/drivers"
START = "/api/v1/projects/default/flows/train/start"


class Drivers(Acted):
    """A workspace with a run that succeeded (train/1), and one that failed (train/2)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "train.py").write_text(FLOW)
        assert headrace(folder, "run", "train.py", "--n", "4").returncode == 0
        assert headrace(folder, "run", "train.py", "--fail", "true").returncode == 1
        (folder / "train.py").write_text("raise SystemExit('this is not what was recorded')")
        self.server = Served(folder)

    def ended(self, order: Any) -> Any:
        """The order once its driver has ended."""
        path = f"{DRIVERS}/{order['id']}"
        eventually(lambda: self.client.get(path).json()["state"] == "ended", 100)
        return self.client.get(path).json()

    def supervisor(self) -> int:
        """Its process; 0 while there is none."""
        home = str(self.folder / ".headrace")
        for found in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = found.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"headrace.server.drivers.supervisor" in words and home.encode() in words:
                return int(found.parent.name)
        return 0


@pytest.fixture(scope="module")
def acted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drivers]:
    made = Drivers(tmp_path_factory.mktemp("drivers"))
    yield made
    made.server.stop(signal.SIGKILL)
    if process := made.supervisor():
        os.kill(process, signal.SIGKILL)


def test_recorded_flow_is_started_with_other_parameters_resumed_and_retried(acted: Drivers) -> None:
    order = acted.post(START, {"run": 1, "parameters": {"n": 41}, "tags": {"from": "a page"}}, status=202)
    assert order["state"] in ("queued", "running") and order["action"] == "start"
    resumed = acted.post(f"{RUN}/2/resume", {"parameters": {"fail": False}}, status=202)
    order, resumed = acted.ended(order), acted.ended(resumed)
    assert (order["exit_code"], resumed["exit_code"]) == (0, 0), (order["output"], resumed["output"])
    assert order["run"] == "train/3" and resumed["run"] == "train/2"
    started = acted.run(3)
    assert started["params"] == {"n": 41, "gate": "", "fail": False} and started["tags"]["from"] == "a page"
    assert json.loads(headrace(acted.folder, "get", "train/3/result", "--json").stdout)["text"] == "42"
    assert acted.run(2)["state"] == "succeeded" and acted.run(2)["session"] == 2
    retried = acted.ended(acted.post(f"{RUN}/3/retry", {"steps": ["count"]}, status=202))
    assert retried["exit_code"] == 0 and acted.run(3)["session"] == 2
    assert acted.client.get(f"{RUN}/3/tasks/count/1/attempts").json()["items"][-1]["attempt"] == 2
    assert {one["id"] for one in acted.client.get(DRIVERS).json()["items"]} >= {
        order["id"],
        resumed["id"],
        retried["id"],
    }


def test_runs_of_other_dialects_are_started_anew_too(acted: Drivers) -> None:
    (acted.folder / "par.py").write_text(METAFLOW)
    (acted.folder / "adding.json").write_text(json.dumps(PIPELINE))
    for file in ("par.py", "adding.json"):
        done = headrace(acted.folder, "run", file)
        assert done.returncode == 0, done.stderr
        (acted.folder / file).unlink()
    flows = "/api/v1/projects/default/flows"
    made = [
        acted.post(f"{flows}/Par/start", {"parameters": {"n": 21}, "tags": {"kind": "new"}}, status=202),
        acted.post(f"{flows}/adding/start", {"parameters": {"b": 40}}, status=202),
    ]
    par, adding = map(acted.ended, made)
    assert (par["run"], par["exit_code"]) == ("Par/2", 0) and "it is 42" in par["output"], par
    assert (adding["run"], adding["exit_code"]) == ("adding/2", 0), adding


def test_impossible_orders_are_refused_before_anything_starts(acted: Drivers) -> None:
    assert "has no step 'none'" in acted.post(f"{RUN}/1/retry", {"steps": ["none"]}, status=404)["detail"]
    for body in ({"steps": ["--json"]}, {"steps": []}, {"parameters": {"--x": 1}, "steps": ["count"]}):
        acted.post(f"{RUN}/1/retry", body, status=400)
    acted.post("/api/v1/projects/default/flows/other/start", {}, status=404)
    assert acted.client.get(f"{DRIVERS}/..%2f..%2fmetadata").status_code == 404
    refused = acted.ended(acted.post(START, {"parameters": {"n": "many", "no": 1}}, status=202))
    assert refused["exit_code"] == 2 and refused["run"] == "" and "'no'" in refused["output"]


def test_driver_outlives_a_server_and_a_supervisor_that_are_killed(acted: Drivers) -> None:
    gate = acted.folder / "gate"
    order = acted.post(START, {"run": 1, "parameters": {"gate": str(gate)}}, status=202)
    eventually(Path(f"{gate}.here").exists)
    run = acted.client.get(f"{DRIVERS}/{order['id']}").json()["run"]
    assert acted.post(f"{RUN}/{run.rpartition('/')[2]}/resume", {}, status=409)["error"] == "RunBusyError"
    os.killpg(acted.server.process.pid, signal.SIGKILL)
    acted.server.stop(signal.SIGKILL)
    os.kill(eventually(acted.supervisor), signal.SIGKILL)
    acted.server = Served(acted.folder)
    found = acted.client.get(f"{DRIVERS}/{order['id']}").json()
    assert (found["state"], found["exit_code"]) == ("running", None)
    eventually(acted.supervisor)  # of the new server, which goes on with what is open
    gate.touch()
    found = acted.ended(order)
    assert acted.run(int(run.rpartition("/")[2]))["state"] == "succeeded"
    assert Path(f"{gate}.here").read_text() == "x", "once"


def test_orders_are_carried_out_once_however_often_the_supervisor_is_killed(acted: Drivers) -> None:
    home = str(acted.folder / ".headrace")
    orders, made = Orders(home), []
    before = len(acted.names(flow="train"))
    for number in range(3):
        words = ("run", "--code-of=train/1", f"--tag=n={number}")
        made.append(
            Order(
                id=os.urandom(12).hex(),
                action="start",
                project="default",
                run="train/1",
                user="me",
                created=time.time(),
                words=words,
            )
        )
        orders.place(made[-1])
    end = time.monotonic() + 100
    delay = 0.0
    while any(orders.state(one.id) != "ended" for one in made):
        assert time.monotonic() < end
        supervisor.ensure(home, {"HEADRACE_HOME": home})
        time.sleep(delay)
        if delay < 1 and (process := acted.supervisor()):
            os.kill(process, signal.SIGKILL)
        delay += 0.1
    assert len(acted.names(flow="train")) == before + 3
    for process in supervisor._unwaited:  # those that this test's ensure() has started
        process.kill()
        process.wait()
    assert sorted(one["tags"]["n"] for one in map(acted.run, range(before + 1, before + 4))) == ["0", "1", "2"]
    assert acted.run(before + 1)["user"] == "me"


def test_server_may_be_told_to_start_no_runs(acted: Drivers) -> None:
    other = Served(acted.folder, "--no-drivers")
    try:
        answer = other.client.post(f"{RUN}/1/resume", json={})
        assert answer.status_code == 403 and "starts no runs" in answer.json()["detail"]
    finally:
        other.stop()
