"""Runs whose tasks are in several places: two shares of this machine here, with workers of their own."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from headrace.model.errors import UsageError
from headrace.model.pods import PodSettings
from headrace.services.places import KubernetesPlace
from headrace.settings import Settings
from headrace.stores.artifacts.local import LocalStore
from headrace.wiring.places import ConfiguredPlaces, WorkerOptions

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

    from headrace.services.environments.service import Environments

SETTINGS = """
[tool.headrace.places.side]
kind = "local"
cpu = 1
memory = "1GiB"
"""

TWO_PLACES = """
    FACTOR = 3

    @step
    def here(value):
        return value, os.getpid(), os.getppid()

    @step(place="side")
    def there(value):
        return FACTOR * value, os.getpid(), os.getppid()

    @flow
    def main():
        first = here.submit(2)
        second = there.submit(first)
        third = here.options(place="side").submit(4)
        (one, _, server), (two, _, other), (three, _, same) = first.result(), second.result(), third.result()
        assert server != other == same, "each place has its own workers"
        return [one, two[0], three]

    if __name__ == "__main__":
        print(main())
"""


def run(project: Project, *argv: str) -> Finished:
    return project.finish(project.start(*(argv or ("train.py",))), 90)


def headrace(project: Project, *argv: str) -> Finished:
    return run(project, "-m", "headrace", *argv)


def test_a_run_uses_two_places(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(SETTINGS)
    project.write(TWO_PLACES)
    done = run(project)
    assert done.code == 0, done.err
    assert done.out.strip() == "[2, 2, 4]"


def test_on_names_the_place_of_tasks_that_name_none(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(SETTINGS)
    project.write(
        """
        @step
        def mine(name):
            return name, os.getppid()

        @flow
        def main():
            places = dict([mine("default"), mine.options(place="local")("local"), mine.options(place="side")("side")])
            return places["default"] == places["side"] != places["local"]
        """
    )
    done = headrace(project, "run", "--on", "side", "--json", "train.py")
    assert done.code == 0, done.err
    assert json.loads(done.out)["result"]["text"] == "True"


def test_resume_goes_on_in_the_place_of_the_run_unless_told_otherwise(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(SETTINGS)
    project.write(
        """
        @step
        def first():
            return os.getppid()

        @step
        def second(n):
            if not os.path.exists("go"):
                raise ValueError("not yet")
            return os.getppid()

        @flow
        def main():
            return second(first())
        """
    )
    assert headrace(project, "run", "--on", "side", "train.py").code == 1
    assert headrace(project, "resume", "main/1").code == 1
    (project.path / "go").touch()
    assert headrace(project, "resume", "main/1", "--on", "local").code == 0
    shown = json.loads(headrace(project, "show", "main/1/second/1", "--json").out)
    assert [one["place"] for one in shown["attempts"]] == ["side", "side", "local"]
    assert json.loads(headrace(project, "show", "main/1", "--json").out)["surroundings"]["place"] == "local"
    explained = headrace(project, "explain", "main/1/first/1")
    assert "ran in place 'side', on " in " ".join(explained.out.split())
    (project.path / "pyproject.toml").write_text("")
    assert headrace(project, "run", "train.py").code == 0


def test_place_of_a_run_that_settings_do_not_know_any_more_is_one_error(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(SETTINGS)
    project.write(
        """
        @step
        def one():
            if not os.path.exists("go"):
                raise ValueError("not yet")

        @flow
        def main():
            one()
        """
    )
    assert headrace(project, "run", "--on", "side", "train.py").code == 1
    shown = headrace(project, "show", "main/1")
    assert ["place", "side"] in [line.split() for line in shown.out.splitlines()]
    (project.path / "pyproject.toml").write_text("")
    done = headrace(project, "resume", "main/1")
    assert done.code == 2
    assert "there is no place 'side'; there are: local. Choose one of them with --on PLACE" in done.err
    (project.path / "go").touch()
    assert headrace(project, "resume", "main/1", "--on", "local").code == 0


@pytest.mark.parametrize("words", [("--on", "nowhere", "train.py"), ("train.py", "--where", "nowhere")])
def test_an_unknown_place_is_one_error_that_names_the_known_ones(project: Project, words: tuple[str, ...]) -> None:
    (project.path / "pyproject.toml").write_text(SETTINGS)
    project.write(
        """
        @step
        def one(): ...

        @flow
        def main(where: str = "local"):
            one.options(place=where)()
        """
    )
    done = headrace(project, "run", *words)
    assert done.code == (2 if words[0] == "--on" else 1)
    assert "there is no place 'nowhere'; there are: local, side." in done.out + done.err
    assert ("Traceback" in done.out) == (words[0] != "--on"), "the line of the flow that asked for it"


def test_a_step_that_asks_for_more_than_its_place_has_is_refused_with_the_name_of_the_place(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(SETTINGS)
    project.write(
        """
        @step(place="side", memory="2GiB")
        def large(): ...

        @flow
        def main():
            large()

        if __name__ == "__main__":
            main()
        """
    )
    done = run(project)
    assert done.code == 1
    assert "step 'large' asks for 2 GiB of memory, but place 'side' has 1;" in done.err


def test_each_place_has_its_own_capacity(project: Project) -> None:
    """Two tasks of a whole place each run at the same time in two places, and one after the other in one."""
    (project.path / "pyproject.toml").write_text(SETTINGS + '[tool.headrace.places.local]\nkind = "local"\ncpu = 1\n')
    project.write(
        """
        @step
        def meet(own, other):
            open(own, "w").close()
            until = time.monotonic() + 30
            while not os.path.exists(other):
                assert time.monotonic() < until, "the other task did not start"
                time.sleep(0.01)

        @step
        def stamp(n):
            began = time.monotonic()
            time.sleep(0.2)
            return began, time.monotonic()

        @flow
        def main():
            both = [meet.submit("a", "b"), meet.options(place="side").submit("b", "a")]
            for one in both:
                one.result()
            spans = sorted(one.result() for one in stamp.options(place="side").map(range(3)))
            assert all(end <= begin for (_, end), (begin, _) in zip(spans, spans[1:]))

        if __name__ == "__main__":
            main()
        """
    )
    done = run(project)
    assert done.code == 0, done.err


def test_workers_begin_when_there_is_work_for_them_and_idle_ones_leave(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(SETTINGS + 'warm = 0\nidle = "0.2s"\n')
    project.write(
        """
        @step(place="side")
        def server():
            return os.getppid()

        def workers(pid):
            found = []
            for name in os.listdir("/proc"):
                if name.isdigit():
                    try:
                        fields = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()
                    except OSError:
                        continue
                    if int(fields[1]) == pid and fields[0] != "Z":
                        found.append(int(name))
            return found

        @flow
        def main():
            pid = server()
            until = time.monotonic() + 30
            while workers(pid):
                assert time.monotonic() < until, f"idle workers stay: {workers(pid)}"
                time.sleep(0.05)
            assert server() == pid

        if __name__ == "__main__":
            main()
        """
    )
    done = run(project)
    assert done.code == 0, done.err


def test_a_place_that_the_run_does_not_use_costs_nothing(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(SETTINGS)
    project.write(
        """
        @step
        def one():
            return os.getppid()

        @flow
        def main():
            server = one()
            children = open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read().split()
            assert children == [str(server)], children

        if __name__ == "__main__":
            main()
        """
    )
    done = run(project)
    assert done.code == 0, done.err


def test_a_flow_with_places_is_resumed(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(SETTINGS)
    project.write(
        """
        @step(place="side")
        def one():
            return os.getpid()

        @step
        def two(pid):
            if not os.path.exists("now"):
                raise ValueError("not yet")
            return pid

        @flow
        def main():
            return two(one())

        if __name__ == "__main__":
            main()
        """
    )
    assert run(project).code == 1
    (project.path / "now").touch()
    began = time.monotonic()
    done = headrace(project, "resume", "--on", "side")
    assert done.code == 0, done.err
    assert time.monotonic() - began < 60
    assert [task.attempts for task in project.tasks("one")] == [1]


def test_a_default_place_that_cannot_open_changes_no_run(project: Project) -> None:
    place = '[tool.headrace.places.lab]\nkind = "workers"\nlisten = "127.0.0.1:0"\nsecret = "env:NOT_SET_ANYWHERE"\n'
    (project.path / "pyproject.toml").write_text(SETTINGS + place)
    project.write(
        """
        @step
        def one():
            raise ValueError("no")

        @flow
        def main():
            one()
        """
    )
    refused = headrace(project, "run", "--on", "lab", "train.py")
    assert refused.code == 2
    assert "env:NOT_SET_ANYWHERE is not here" in refused.err
    assert headrace(project, "run", "train.py").code == 1
    before = headrace(project, "runs", "--json")
    assert [(one["name"], one["state"]) for one in json.loads(before.out)] == [("main/1", "failed")]
    again = headrace(project, "resume", "main/1", "--on", "lab")
    assert again.code == 2
    assert "env:NOT_SET_ANYWHERE is not here" in again.err
    assert headrace(project, "runs", "--json").out == before.out
    assert headrace(project, "resume", "main/1").code == 1, "its lease is free"


UNREACHABLE = """
[tool.headrace.places.cluster]
kind = "kubernetes"
kubeconfig = "/nowhere/config"
image = "x"
secret = "stores"
"""


def test_place_that_cannot_be_had_leaves_no_run(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(UNREACHABLE)
    project.write(TWO_PLACES)
    done = headrace(project, "run", "train.py", "--on", "cluster", "--driver", "here")
    assert done.code == 2
    [line] = done.err.strip().splitlines()
    assert line.startswith("headrace: no kubeconfig: /nowhere/config does not exist")
    assert json.loads(headrace(project, "runs", "--json").out) == []


def _no_environments() -> Environments:
    raise AssertionError("no environment is needed to refuse a place")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"image": ""}, "has no image for the driver of the run: set image of .* or driver_image"),
        ({"secret": ""}, "finds no stores"),
        ({}, "no kubeconfig: /nowhere/config"),
        ({"image": "", "driver_image": "x"}, "no kubeconfig: /nowhere/config"),  # all that a driver needs is there
        ({"secret": "", "pod": PodSettings(config_maps=("stores",))}, "no kubeconfig: /nowhere/config"),
    ],
)
def test_place_that_cannot_have_the_driver_is_refused_before_the_run_is_recorded(
    changes: dict[str, Any], problem: str
) -> None:
    place = KubernetesPlace(name="cluster", kubeconfig="/nowhere/config", image="x", secret="s")
    place = msgspec.structs.replace(place, **changes)
    settings = Settings(home="unused", server="http://127.0.0.1:1", places=(place,))
    with pytest.raises(UsageError, match=problem):
        ConfiguredPlaces(settings, LocalStore("unused"), _no_environments, WorkerOptions(driver="cluster"), "cluster")
