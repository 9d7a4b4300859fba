"""Secrets that a step names: variables in its tasks, and nowhere else."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import flow, step
from headrace.model.errors import DefinitionError, MissingSecretError, UsageError
from headrace.runtime import secrets
from headrace.services.secret_sources import SecretSources

if TYPE_CHECKING:
    from tests.integration.conftest import Project

VALUE = "-".join(("correct", "horse", "battery", "staple"))  # the source of this file is kept with a run
OTHER = "another-value-of-the-same"


@step(secrets=["API_KEY"], cache=True)
def uses(n: int) -> int:
    key = os.environ["API_KEY"]
    print(f"the key is {key}!")
    print(key[:7], end="", flush=True)
    print(key[7:])
    os.system("echo child has $API_KEY")
    return len(key) + n


@step
def does_not(n: int) -> list[str]:
    return [*sorted(name for name in os.environ if "API_KEY" in name), str(n)]


@step(secrets="API_KEY", isolated=True)
def fails() -> None:
    raise ValueError(f"refused {os.environ['API_KEY']}")


@flow
def both() -> list[Any]:
    print("in the flow:", "API_KEY" in os.environ and os.environ["API_KEY"])
    return [uses(1), does_not(1), uses(2), does_not(2)]


@pytest.fixture(autouse=True)
def _no_secrets_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("API_KEY", "HEADRACE_SECRET_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield


def everything_kept(project: Project) -> bytes:
    """All bytes of the database and of the objects."""
    with sqlite3.connect(project.home / "metadata.db") as connection:
        rows = "\n".join(connection.iterdump()).encode(errors="replace")
        rows += b"".join(bytes(one) for (one,) in connection.execute("SELECT data FROM logs"))
    files = [path.read_bytes() for path in project.home.rglob("*") if path.is_file()]
    return b"".join([rows, *files])


@pytest.mark.parametrize("variable", ["HEADRACE_SECRET_API_KEY", "API_KEY"])
def test_step_gets_its_secret_and_no_other_step_does(
    here: Project, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, VALUE)
    assert both() == [len(VALUE) + 1, ["1"], len(VALUE) + 2, ["2"]]
    run = headrace.Run("both/1")
    text = str(run["uses"][1].logs)
    assert text.splitlines() == ["the key is ***!", "***", "child has ***"]
    assert VALUE not in str(run.logs)
    assert VALUE.encode() not in everything_kept(here)


@step(secrets=["API_KEY"])
def received_with() -> list[str]:
    return sorted(secrets._received)


@step(isolated=True)
def received_without() -> list[str]:
    return sorted(secrets._received)


@step(secrets=["OTHER_KEY"], isolated=True)
def received_with_another() -> list[str]:
    return sorted(secrets._received)


def test_worker_is_sent_the_secrets_of_its_own_steps_only(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    @flow
    def all_kinds() -> list[list[str]]:
        return [received_with(), received_without(), received_with_another()]

    monkeypatch.setenv("API_KEY", VALUE)
    monkeypatch.setenv("OTHER_KEY", OTHER)
    assert all_kinds() == [["$API_KEY"], [], ["$OTHER_KEY"]]


def test_value_is_no_part_of_the_key(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", VALUE)
    both()
    monkeypatch.setenv("API_KEY", OTHER)
    both()
    assert headrace.Run("both/2")["uses"][1].reused_from == "both/1/uses/1"


def test_error_of_a_step_does_not_show_its_secret(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", VALUE)

    @flow
    def failing() -> None:
        fails()

    run = failing.run()
    assert run.state == "failed"
    assert run.error.endswith("ValueError: refused ***")
    assert VALUE not in str(run.traceback)
    assert VALUE.encode() not in everything_kept(here)


def test_fresh_workers_get_secrets(project: Project) -> None:
    """As above, with workers that are fresh interpreters: the flow's process has a thread when the run begins."""
    project.write(
        f"""
        import threading

        @step(secrets=["API_KEY"])
        def uses(): return os.environ["API_KEY"]

        @step
        def does_not(): return [name for name in os.environ if "API_KEY" in name]

        @flow
        def train(): return len(uses()), does_not(), len(uses())

        if __name__ == "__main__":
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            assert train() == ({len(VALUE)}, [], {len(VALUE)})
        """
    )
    done = project.finish(project.start("train.py", HEADRACE_SECRET_API_KEY=VALUE), 120)
    assert (done.code, done.err) == (0, "")


def test_missing_secret_is_told_before_anything_starts(here: Project) -> None:
    with pytest.raises(MissingSecretError) as told:
        both()
    for part in ("'uses'", "API_KEY", "HEADRACE_SECRET_API_KEY", "secrets.toml", "keyring"):
        assert part in str(told.value)
    assert not (here.home / "metadata.db").exists()


def test_missing_secret_of_a_step_found_at_run_time_fails_the_call(here: Project) -> None:
    hidden = {"step": uses}

    @flow
    def late() -> str:
        with pytest.raises(MissingSecretError, match="API_KEY"):
            hidden["step"](1)
        with pytest.raises(MissingSecretError, match="ANOTHER"):
            does_not.options(secrets=["ANOTHER"])(1)
        return "told"

    assert late() == "told"
    assert len(headrace.Run("late/1").tasks) == 0


def test_options_give_a_step_secrets(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET_API_KEY", VALUE)

    @flow
    def train() -> list[list[str]]:
        return [does_not(1), does_not.options(secrets=["API_KEY"])(2), does_not(3)]

    assert train() == [["1"], ["API_KEY", "2"], ["3"]]


@pytest.mark.parametrize("names", [["a b"], [""], [3], "A=B", ["é"]])
def test_impossible_names_are_refused(names: Any) -> None:
    with pytest.raises(DefinitionError, match="named like an environment variable"):
        step(secrets=names)(lambda: None)


# --- where values come from -----------------------------------------------------------------------------------------


def sources(folder: Path, references: dict[str, object] | None = None, **environ: str) -> SecretSources:
    return SecretSources(environ, references or {}, folder / "pyproject.toml", folder / "secrets.toml")


def own_file(folder: Path, text: str, mode: int = 0o600) -> None:
    (folder / "secrets.toml").write_text(text)
    (folder / "secrets.toml").chmod(mode)


def test_first_place_with_a_value_counts(tmp_path: Path) -> None:
    own_file(tmp_path, 'A = "own"\nB = "own"\nC = "own"\nD = "env:ELSEWHERE"\n')
    references: dict[str, object] = {"A": "env:REFERRED", "B": "env:REFERRED", "C": "file:missing"}
    found = sources(tmp_path, references, HEADRACE_SECRET_A="special", A="plain", REFERRED="referred", ELSEWHERE="e")
    assert found.values({"fit": ["A", "B", "C", "D"]}) == {"A": "special", "B": "referred", "C": "own", "D": "e"}
    assert sources(tmp_path, A="plain").values({"fit": ["A"]}) == {"A": "plain"}


def test_file_is_found_from_the_folder_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("from a file\n")
    assert sources(tmp_path, {"A": "file:key.txt"}).values({"fit": ["A"]}) == {"A": "from a file"}


def test_value_in_the_shared_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"shared with the code.*secrets\.toml") as told:
        sources(tmp_path, {"A": "s3cret-itself"}).values({"fit": ["A"]})
    assert "s3cret-itself" not in str(told.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_own_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    own_file(tmp_path, 'A = "x"\n', mode)
    with pytest.raises(UsageError, match="chmod 600"):
        sources(tmp_path).values({"fit": ["A"]})


def test_own_file_that_is_no_table_of_texts_is_refused(tmp_path: Path) -> None:
    own_file(tmp_path, "A = 3\n")
    with pytest.raises(UsageError, match="A is not a text"):
        sources(tmp_path).values({"fit": ["A"]})
    own_file(tmp_path, "A = \n")
    with pytest.raises(UsageError, match="not valid TOML"):
        sources(tmp_path).values({"fit": ["A"]})


def test_all_missing_secrets_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(MissingSecretError) as told:
        sources(tmp_path).values({"fit": ["A", "B"], "load": ["C"]})
    assert all(f"needs the secret {name}" in str(told.value) for name in "ABC")


def test_missing_secret_of_several_steps_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(MissingSecretError) as told:
        sources(tmp_path).values({"fit": ["A"], "load": ["A"]})
    assert str(told.value).count("the secret A") == 1
    assert "steps 'fit', 'load' need the secret A" in str(told.value)


def test_keyring_of_the_system(tmp_path: Path) -> None:
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend

    class InMemory(KeyringBackend):
        priority = 1  # type: ignore[assignment]
        kept = {("headrace", "A"): "by name", ("vault", "team"): "by reference"}  # noqa: RUF012

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            raise NotImplementedError

    before = keyring.get_keyring()
    keyring.set_keyring(InMemory())
    try:
        found = sources(tmp_path, {"B": "keyring:vault/team"}).values({"fit": ["A", "B"]})
    finally:
        keyring.set_keyring(before)
    assert found == {"A": "by name", "B": "by reference"}


def test_project_file_names_secrets(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(
        '[tool.headrace]\nproject = "p"\n[tool.headrace.secrets]\nA = "env:X"\n'
    )
    project.write(
        """
        @step(secrets=["A"])
        def uses(): return os.environ["A"]
        @flow
        def train(): return len(uses())
        if __name__ == "__main__":
            print(train())
        """
    )
    assert project.finish(project.start("train.py", X="four")).out == "4\n"
