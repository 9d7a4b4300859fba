"""``headrace doctor RUN``: how the driver of a live run is doing, on both kinds of databases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from headrace.stores.metadata.protocol import RunFilter
from headrace.testing.postgres import postgres_server

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
@step
def quick(n):
    return n

@step
def held():
    while not os.path.exists("go"):
        time.sleep(0.01)

@flow
def train():
    [one.result() for one in quick.map(range(5))]
    held()

if __name__ == "__main__":
    train()
"""


def looks(project: Project, env: dict[str, str]) -> None:
    process = project.start(str(project.write(FLOW)), **env)

    def report() -> dict[str, object] | None:
        done = project.finish(project.start("-m", "headrace", "doctor", "train/1", "--json", **env))
        found = json.loads(done.out) if done.code == 0 else None
        made = found and found["report"]
        return found if made and made["running"] == 1 else None

    found: list[dict[str, object]] = []
    project.eventually(lambda: found.append(one) or True if (one := report()) else False, 60)
    assert found[0]["state"] == "alive"
    counted = found[0]["report"]
    assert isinstance(counted, dict)
    assert counted["submits"] == 6
    assert counted["starts"] >= 6  # some are handed back unstarted
    assert counted["commits"] > 0
    assert counted["rounds"] > 0
    assert counted["workers"] >= 1
    assert counted["longest_commit"] > 0
    shown = project.finish(project.start("-m", "headrace", "doctor", "train/1", **env))
    assert "1 running" in shown.out
    assert "at most" in shown.out
    (project.path / "go").touch()
    assert project.finish(process).code == 0
    over = project.finish(project.start("-m", "headrace", "doctor", "train/1", **env))
    assert over.code == 1
    assert "train/1 is not being driven: it is succeeded" in over.err


def test_driver_reports_on_sqlite(project: Project) -> None:
    looks(project, {})


@pytest.mark.slow
def test_driver_reports_on_postgresql(project: Project) -> None:
    with postgres_server() as url:
        looks(project, {"HEADRACE_DATABASE": url})


def test_run_that_crashed_tells_what_ran_and_what_to_do_next(project: Project) -> None:
    process = project.start(str(project.write(FLOW)))

    def recorded() -> bool:
        made = (project.home / "metadata.db").exists() and project.metadata.runs(RunFilter())
        return bool(made) and any(task.state == "running" for task in project.tasks("held"))

    project.eventually(recorded, 60)
    process.kill()
    project.finish(process)
    shown = project.finish(project.start("-m", "headrace", "doctor", "train/1"))
    assert shown.code == 1
    assert "is gone: the run crashed" in shown.out
    assert "1 task was running when it ended" in shown.out
    assert "headrace resume train/1" in shown.out
    found = json.loads(project.finish(project.start("-m", "headrace", "doctor", "train/1", "--json")).out)
    assert (found["state"], found["lost"], found["next"]) == ("gone", 1, "headrace resume train/1")
