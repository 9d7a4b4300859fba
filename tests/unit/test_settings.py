"""Settings: where they come from, what they may be."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from headrace import wiring
from headrace.model.errors import NotFoundError, UsageError
from headrace.model.policy import Resources
from headrace.runtime import context
from headrace.services.places import read_places
from headrace.settings import (
    Settings,
    chosen_server_token,
    database_file,
    place_variables,
    read_settings,
    secret_sources,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(f"HEADRACE_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, *lines: str) -> None:
    (folder / "pyproject.toml").write_text("\n".join(["[tool.headrace]", *lines]))


@pytest.mark.parametrize("given", ["data/runs.db", "sqlite:///data/runs.db"])
def test_relative_places_start_where_the_file_is(folder: Path, given: str) -> None:
    write(folder, f'database = "{given}"', 'artifacts = "blobs"', 'home = "kept"')
    (folder / "deep/er").mkdir(parents=True)
    found = read_settings({}, folder / "deep/er")
    assert database_file(found) == folder / "data/runs.db"
    assert (found.artifacts, found.home) == (str(folder / "blobs"), str(folder / "kept"))


def test_places_that_are_absolute_or_elsewhere_stay(folder: Path) -> None:
    write(folder, 'database = "sqlite:////srv/runs.db"', 'artifacts = "s3://bucket/prefix"', 'home = "~/kept"')
    found = read_settings({})
    assert database_file(found) == Path("/srv/runs.db")
    assert (found.artifacts, found.home) == ("s3://bucket/prefix", str(Path.home() / "kept"))
    write(folder, 'database = "postgresql://me@host/runs"')
    found = read_settings({})
    assert (found.database, database_file(found)) == ("postgresql://me@host/runs", None)


def test_relative_places_of_the_environment_start_in_the_folder(folder: Path) -> None:
    given = {"HEADRACE_HOME": "kept", "HEADRACE_DATABASE": "sqlite:///runs.db", "HEADRACE_ARTIFACTS": "../blobs"}
    found = read_settings(given, folder)
    assert database_file(found) == folder / "runs.db"
    assert (found.home, found.artifacts) == (str(folder / "kept"), str(folder / "../blobs"))


def test_places_are_tables_of_the_project(folder: Path) -> None:
    write(folder, "[tool.headrace.places.side]", 'kind = "local"', "cpu = 0.5", 'memory = "1GiB"', 'idle = "2m"')
    (side,) = read_settings({}).places
    assert (side.name, side.cpu, side.memory, side.idle, side.warm) == ("side", 0.5, 1 << 30, 120.0, None)
    assert side.share_of(Resources(cpu=4, memory=8 << 30, gpu=1)) == Resources(cpu=0.5, memory=1 << 30, gpu=1)
    assert hash(read_settings({})) == hash(read_settings({}))
    scope = wiring.scope_here()
    assert scope.workspace.places().open("side").capacity.largest == side.share_of(wiring.machine())
    assert scope.workspace.places().open("local").capacity.resources == wiring.machine()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["[tool.headrace.places]", "side = 1"], r"\[tool.headrace.places.side\] must be a table, not 1"),
        (["[tool.headrace.places.side]"], "kind is missing; it must be one of: local"),
        (["[tool.headrace.places.side]", 'kind = "moon"'], "kind is 'moon'; it must be one of: local"),
        (["[tool.headrace.places.side]", 'kind = "local"', "cpus = 1"], "unknown field `cpus`"),
        (["[tool.headrace.places.side]", 'kind = "local"', 'cpu = "many"'], "Expected `float | null`"),
        (["[tool.headrace.places.side]", 'kind = "local"', "cpu = -1"], "cpu is -1.0, it cannot be negative"),
        (["[tool.headrace.places.side]", 'kind = "local"', 'memory = "lots"'], "lots"),
        (["[tool.headrace.places.side]", 'kind = "local"', 'idle = "soon"'], "soon"),
    ],
)
def test_impossible_places_are_refused(folder: Path, lines: list[str], message: str) -> None:
    write(folder, *lines)
    with pytest.raises(UsageError, match=message) as caught:
        read_settings({})
    assert "[tool.headrace.places.side]" in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['places = "side"'], "places must be tables .*, not 'side'"),
        (["places = []"], r"places must be tables .*, not \[\]"),
        (["[tool.headrace.places.local]", 'kind = "workers"', 'listen = "h:1"'], "'local' is this machine"),
        *(
            (
                [f"[tool.headrace.places.{json.dumps(name)}]", 'kind = "workers"', 'listen = "h:1"'],
                "name of a place has",
            )
            for name in ("../side", "/side", "a/b", ".side", "", "a b", "a\n")
        ),
    ],
)
def test_tables_and_names_of_places_are_checked(folder: Path, lines: list[str], message: str) -> None:
    write(folder, *lines)
    with pytest.raises(UsageError, match=message):
        read_settings({})


def test_settings_that_are_not_a_table_are_refused(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool]\nheadrace = 3  # not [tool.headrace]\n")
    with pytest.raises(UsageError, match=r"pyproject.toml: \[tool.headrace\] must be a table, not 3"):
        read_settings({})


def test_in_a_worker_the_folder_is_that_of_its_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "folder", str(folder / "run"))
    assert read_settings({}).home == str(folder / "run/.headrace")


def test_a_folder_that_was_removed(folder: Path) -> None:
    (folder / "gone").mkdir()
    os.chdir(folder / "gone")
    (folder / "gone").rmdir()
    with pytest.raises(UsageError, match="the current folder was removed"):
        read_settings({})


def test_workspace_stays_open_while_a_process_moves_between_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "other").mkdir()
    (folder / "other/.headrace").mkdir()
    first = wiring.scope_here().workspace
    monkeypatch.chdir(folder / "other")
    assert wiring.scope_here().workspace is not first
    monkeypatch.chdir(folder)
    assert wiring.scope_here().workspace is first
    for number in range(20):
        wiring.workspace_at(Settings(home=str(folder / str(number))))
    assert wiring.scope_here().workspace is not first  # the oldest is let go


def test_workspace_holds_all_projects_of_a_place(folder: Path) -> None:
    one, other = (wiring.scope_at(Settings(home=str(folder), project=name)) for name in ("one", "other"))
    assert one.workspace is other.workspace
    assert (one.project, other.project, one.settings.project) == ("one", "other", "one")


def test_closed_workspace_opens_again_when_it_is_used(folder: Path) -> None:
    with wiring.Workspace(Settings(home=str(folder / "home"))) as workspace:
        scope = wiring.Scope(workspace, "p", wiring.user_here())
        assert scope.metadata.flows() == []
    assert scope.metadata.flows() == []
    workspace.close()


def test_the_environment_wins(folder: Path) -> None:
    write(folder, 'project = "vision"', "max_parallel = 3")
    assert read_settings({"HEADRACE_PROJECT": "speech", "HEADRACE_MAX_PARALLEL": ""}) == Settings(
        home=str(folder / ".headrace"), project="speech", max_parallel=3
    )


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("durability", "maybe", "must be 'process' or 'fsync'"),
        ("max_parallel", "many", "Expected `int`"),
        ("max_parallel", "-1", "cannot be negative"),
        ("artifacts", "ftp://host/x", "must be a folder, or s3://"),
        ("artifacts", "s3://", "without a bucket"),
    ],
)
def test_impossible_settings(folder: Path, name: str, value: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_settings({f"HEADRACE_{name.upper()}": value})


def test_git_leaves_the_home_alone(folder: Path) -> None:
    wiring.scope_here().metadata.close()
    assert (folder / ".headrace/.gitignore").read_text() == "*\n"
    wiring.Workspace(Settings(home=str(folder / "mine"))).metadata.close()
    assert not (folder / "mine/.gitignore").exists()


def test_reading_makes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match=r"no \.headrace folder"):
        wiring.existing_scope()
    monkeypatch.setenv("HEADRACE_DATABASE", "no/such/runs.db")
    with pytest.raises(NotFoundError, match=r"no/such/runs\.db does not exist"):
        wiring.existing_scope()
    assert not list(folder.iterdir())


def test_secrets_that_are_not_a_table_are_refused_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.headrace]\nsecrets = "env:TOKEN"\n')
    for read in (read_settings, secret_sources):
        with pytest.raises(UsageError, match=r"pyproject\.toml: \[tool\.headrace\.secrets\] must be a table") as told:
            read({}, tmp_path)
        assert str(tmp_path) in str(told.value)


SERVER, FAR = "https://runs.example", "postgresql://me@host/runs"


@pytest.mark.parametrize(
    ("lines", "variables", "server", "database"),
    [
        ([], {"HEADRACE_SERVER": f"{SERVER}:443/"}, SERVER, ""),
        (['server = "https://runs.example/"'], {}, SERVER, ""),
        ([f'database = "{FAR}"', 'artifacts = "s3://b"'], {"HEADRACE_SERVER": SERVER}, SERVER, ""),
        ([f'server = "{SERVER}"'], {"HEADRACE_DATABASE": FAR}, "", FAR),
        ([f'server = "{SERVER}"'], {"HEADRACE_DATABASE": FAR, "HEADRACE_SERVER": ""}, "", FAR),
    ],
)
def test_server_stands_for_database_and_artifacts(
    folder: Path, lines: list[str], variables: dict[str, str], server: str, database: str
) -> None:
    write(folder, *lines)
    found = read_settings(variables)
    assert (found.server, found.database) == (server, database)
    if server:
        assert (found.artifacts, database_file(found)) == ("", None)
        wiring.check_exists(found)  # what is behind a server is not looked for here
    assert read_settings(variables, given={"home": str(folder / "other")}).server == ""
    again = read_settings(place_variables(msgspec.structs.asdict(found)))
    assert (again.server, again.database) == (server, database)


def test_server_and_database_named_together_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="a server keeps both"):
        read_settings({"HEADRACE_SERVER": SERVER, "HEADRACE_DATABASE": FAR})
    for url in ("http://runs.example", "runs example", "ftp://runs.example"):
        with pytest.raises(UsageError, match=r"use https:|is not the address of a server"):
            read_settings({"HEADRACE_SERVER": url})


def test_token_goes_to_the_server_that_the_environment_names(folder: Path) -> None:
    """A project file, which somebody else may have written, does not choose where the token is sent."""
    variables = {"HEADRACE_TOKEN": "t", "HOME": str(folder)}
    assert chosen_server_token(SERVER, variables) == ""
    assert chosen_server_token(SERVER, {**variables, "HEADRACE_SERVER": "https://other.example"}) == ""
    assert chosen_server_token(SERVER, {**variables, "HEADRACE_SERVER": f"{SERVER}/"}) == "t"


def test_unknown_setting_of_a_place_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"unknown field `idel`; a place of kind 'local' has: cpu, memory"):
        read_places({"box": {"kind": "local", "idel": 3}})
