"""A run whose store does not answer when it starts waits for it, and says so; it is given up after ``store_wait``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.store_faults import lock_held, refuse

from headrace.model.states import RunState
from headrace.stores.metadata.open import open_metadata
from headrace.stores.metadata.protocol import RunFilter
from headrace.testing.postgres import restartable_postgres

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

    from headrace.testing.proxy import HttpProxy

FLOW = """
@step
def double(n):
    return 2 * n

@flow
def train():
    return double(21)

if __name__ == "__main__":
    print("value", train())
"""
METAFLOW = """
from metaflow import FlowSpec, step

class Train(FlowSpec):
    @step
    def start(self):
        self.x = 1
        self.next(self.end)

    @step
    def end(self):
        print("value", self.x)

if __name__ == "__main__":
    Train()
"""
WAITS = "the run starts as soon as its store answers"
ANSWERS = "the store answers, after"


def assert_waited(done: Finished, out: str) -> None:
    assert done.code == 0, done.err
    assert out in done.out
    assert done.err.count(WAITS) == 1, done.err
    assert done.err.count(ANSWERS) == 1, done.err


def assert_given_up(done: Finished) -> None:
    assert done.code == 1, done.err
    assert done.err.count(WAITS) == 1, done.err
    assert done.err.count("its store did not answer for 1.00 s (setting store_wait)") == 1, done.err
    assert "Traceback" not in done.err, done.err


def with_locked_database(project: Project, *argv: str, held: float, **env: str) -> Finished:
    """Start a process while another one holds the write lock of the database."""
    with lock_held(project.home / "metadata.db", held):
        return project.finish(project.start(*argv, **env), 120)


def test_start_waits_for_a_locked_sqlite_database(project: Project) -> None:
    file = str(project.write(FLOW))
    assert project.finish(project.start(file)).code == 0  # makes the database
    done = with_locked_database(project, "-m", "headrace", "run", file, held=8)
    assert_waited(done, "42")
    assert project.last().number == 2
    assert project.last().state is RunState.SUCCEEDED


def test_start_is_given_up_when_the_lock_outlasts_the_setting(project: Project) -> None:
    file = str(project.write(FLOW))
    assert project.finish(project.start(file)).code == 0
    done = with_locked_database(project, "-m", "headrace", "run", file, held=60, HEADRACE_STORE_WAIT="1s")
    assert_given_up(done)
    assert project.last().number == 1  # no run is left behind
    project.assert_nothing_left(20)


def test_resume_waits_for_a_locked_sqlite_database(project: Project) -> None:
    file = str(
        project.write(
            FLOW.replace("return double(21)", "double(20)\n    return double(21 / int(os.path.exists('ok')))")
        )
    )
    assert project.finish(project.start(file)).code == 1
    (project.path / "ok").touch()
    done = with_locked_database(project, "-m", "headrace", "resume", "train", held=8)
    assert_waited(done, "42")
    assert project.last().session == 2
    assert project.last().state is RunState.SUCCEEDED


def test_start_of_a_metaflow_run_waits_for_a_locked_sqlite_database(project: Project) -> None:
    file = str(project.write(METAFLOW, "flow.py"))
    assert project.finish(project.start("-m", "headrace", "run", file)).code == 0
    done = with_locked_database(project, "-m", "headrace", "run", file, held=8)
    assert_waited(done, "value 1")


def test_start_waits_for_postgresql_to_come_up(project: Project) -> None:
    with restartable_postgres() as server:
        server.stop()
        process = project.start(str(project.write(FLOW)), HEADRACE_DATABASE=server.url)
        line = process.stderr.readline() if process.stderr else ""
        assert WAITS in line
        server.start()
        done = project.finish(process, 120)
        assert_waited(done._replace(err=line + done.err), "value 42")
        store = open_metadata(server.url)
        assert [run.number for run in store.runs(RunFilter())] == [1]
        store.close()


def test_resume_is_given_up_when_postgresql_stays_away(project: Project) -> None:
    with restartable_postgres() as server:
        place = {"HEADRACE_DATABASE": server.url}
        assert project.finish(project.start(str(project.write(FLOW)), **place)).code == 0
        server.stop()
        done = project.finish(project.start("-m", "headrace", "resume", "train", **place, HEADRACE_STORE_WAIT="1s"))
        assert_given_up(done)


def test_start_waits_for_a_bucket_that_refuses(project: Project, s3: tuple[HttpProxy, dict[str, str]]) -> None:
    proxy, places = s3
    proxy.fault = refuse
    process = project.start(str(project.write(FLOW)), **places)
    line = process.stderr.readline() if process.stderr else ""
    assert WAITS in line
    assert proxy.failed > 0
    proxy.fault = lambda method, path: None
    done = project.finish(process, 120)
    assert_waited(done._replace(err=line + done.err), "value 42")
    assert project.last().number == 1


def test_start_is_given_up_when_the_bucket_goes_on_refusing(
    project: Project,
    s3: tuple[HttpProxy, dict[str, str]],
) -> None:
    proxy, places = s3
    proxy.fault = refuse
    done = project.finish(
        project.start("-m", "headrace", "run", str(project.write(FLOW)), **places, HEADRACE_STORE_WAIT="1s")
    )
    assert_given_up(done)
    assert not project.metadata.runs(RunFilter())  # no run is left behind
    project.assert_nothing_left(20)
