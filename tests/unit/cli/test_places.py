"""``--project``, ``--home``, ``--database``, ``--artifacts`` and ``--server`` say where a command works."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import pytest
from click.shell_completion import ShellComplete
from tests.unit.cli.conftest import program

from headrace.cli.main import COMMANDS, headrace_command
from headrace.cli.places import PLACES, WITHOUT

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Called


def every_command() -> list[tuple[str, click.Command]]:
    context = click.Context(headrace_command)
    found = []
    for name in COMMANDS:
        command = headrace_command.get_command(context, name)
        assert command is not None
        inner = command.commands.items() if isinstance(command, click.Group) else ()
        found += [(f"{name} {one}", sub) for one, sub in inner] or [(name, command)]
    return found


@pytest.mark.parametrize(
    ("name", "command"), every_command(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_on_runs_takes_the_places(name: str, command: click.Command) -> None:
    expected = set() if name in WITHOUT else set(PLACES)
    assert {option.name for option in command.params} & set(PLACES) == expected
    shown = command.get_help(click.Context(command, info_name=name))
    assert all((f"--{place} " in shown) is bool(expected) for place in PLACES)


@pytest.mark.parametrize("other", ["database", "artifacts"])
def test_server_is_in_place_of_database_and_artifacts(call: Callable[..., Called], other: str) -> None:
    done = call("runs", "--server", "http://127.0.0.1:1", f"--{other}", "x")
    assert done.code == 2
    assert "leave out --database and --artifacts" in done.err


def test_server_that_is_not_there_is_named(call: Callable[..., Called]) -> None:
    done = call("runs", "--server", "http://127.0.0.1:1")
    assert done.code != 0
    assert "http://127.0.0.1:1" in done.err


@pytest.fixture
def call_elsewhere(folder: Path, call: Callable[..., Called], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Called]:
    """Call a command in an empty folder, with the runs of ``folder`` elsewhere."""
    (folder.parent / "empty").mkdir()
    monkeypatch.chdir(folder.parent / "empty")
    return call


def test_runs_are_read_where_the_options_say(folder: Path, call_elsewhere: Callable[..., Called]) -> None:
    home = str(folder / ".headrace")
    assert "no runs yet" in call_elsewhere("show", "numbers/1").err
    assert call_elsewhere("show", "numbers/1", "--home", home).code == 0
    assert call_elsewhere("get", "--home", "../work/.headrace", "numbers/1/load/1").out.strip() == "[0, 1, 2]"
    assert call_elsewhere("runs", "--database", f"{home}/metadata.db").out.count("numbers/") == 3
    database, artifacts = ("--database", f"{home}/metadata.db"), ("--artifacts", f"{home}/artifacts")
    assert call_elsewhere("get", *database, *artifacts, "numbers/1/load/1").out.strip() == "[0, 1, 2]"
    assert call_elsewhere("show", "--home", home, "--project", "other", "numbers/1").code == 2
    assert not list(Path.cwd().iterdir())


def test_home_that_is_named_is_a_place_of_its_own(
    folder: Path, call_elsewhere: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE", str(folder / "nowhere.db"))
    monkeypatch.setenv("HEADRACE_ARTIFACTS", str(folder / "nowhere"))
    assert call_elsewhere("get", "--home", str(folder / ".headrace"), "numbers/1/load/1").out.strip() == "[0, 1, 2]"


def test_run_and_resume_work_where_the_options_say(folder: Path, call: Callable[..., Called]) -> None:
    elsewhere = ("--home", "elsewhere", "--project", "two")

    def told(*argv: str) -> Any:
        return msgspec.json.decode(program(folder, *argv).stdout)

    first = told("run", *elsewhere, "squares.py", "--bad", "1", "--json")
    assert (first["run"], first["state"]) == ("numbers/1", "failed")  # in the default place it would be numbers/4
    assert told("run", "squares.py", "--n", "2", "--json", *elsewhere)["run"] == "numbers/2"
    again = told("resume", *elsewhere, "numbers/1", "--bad", "-1", "--json")
    assert (again["run"], again["state"]) == ("numbers/1", "succeeded")
    assert call("runs", *elsewhere).out.count("numbers/") == 2
    assert call("runs").out.count("numbers/") == 3
    assert call("rm", *elsewhere, "numbers/2", "--yes").code == 0
    assert call("show", "numbers/2").code == 0


def test_steps_find_the_runs_of_the_command(folder: Path, call: Callable[..., Called]) -> None:
    (folder / "asks.py").write_text(
        "import headrace\n"
        "from headrace import flow, step\n"
        "@step\n"
        "def names(): return [run.name for run in headrace.runs()]\n"
        "@flow\n"
        "def asks(): return names() + [run.name for run in headrace.runs()]\n"
    )
    done: Any = call("run", "--project", "two", "asks.py", "--json").json
    assert done["result"]["text"] == "['asks/1', 'asks/1']"


def test_flow_parameter_of_that_name_is_the_flow_s(folder: Path, call: Callable[..., Called]) -> None:
    (folder / "named.py").write_text(
        "from headrace import flow\n@flow\ndef named(project: str = 'x', home: str = 'y'): return [project, home]\n"
    )
    done: Any = call("run", "--project", "two", "named.py", "--project", "a", "--home", "b", "--json").json
    assert done["result"]["text"] == "['a', 'b']"
    assert call("show", "--project", "two", "named/1").code == 0


@pytest.mark.parametrize("place", PLACES)
def test_empty_place_is_refused(folder: Path, call: Callable[..., Called], place: str) -> None:
    done = call("runs", f"--{place}", "")
    assert (done.code, f"--{place} is empty" in done.err) == (2, True)


def test_call_leaves_the_environment_as_it_was(folder: Path, call: Callable[..., Called]) -> None:
    before = dict(os.environ)
    call("runs", "--home", "x", "--project", "y")
    assert dict(os.environ) == before


def test_projects_and_runs_are_completed_where_the_options_say(
    folder: Path, call_elsewhere: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEADRACE_HOME", "HEADRACE_DATABASE", "HEADRACE_ARTIFACTS", "HEADRACE_PROJECT"):
        monkeypatch.setenv(name, "")  # which the completion sets

    def complete(*words: str) -> list[str]:
        shell = ShellComplete(headrace_command, {}, "headrace", "_HEADRACE_COMPLETE")
        return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]

    home = str(folder / ".headrace")
    assert complete("show", "--home", home, "num") == ["numbers/3", "numbers/2", "numbers/1"]
    assert complete("runs", "--home", home, "--project", "") == ["default"]
    assert complete("show", "--pro") == ["--project"]
