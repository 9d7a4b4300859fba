"""``headrace user`` and ``headrace token`` on a database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from headrace.cli.main import headrace_command
from headrace.services.accounts.secret_texts import is_token


def call(folder: Path, *argv: str, typed: str = "", code: int = 0) -> str:
    """Run a command; what it printed to standard output."""
    done = CliRunner().invoke(headrace_command, [*argv, "--home", str(folder / "home")], input=typed)
    problem = done.exception if isinstance(done.exception, Exception) else None
    assert (2 if problem else done.exit_code) == code, done.output
    return str(problem) if problem else done.stdout


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_users_are_added_given_roles_and_disabled(tmp_path: Path) -> None:
    call(tmp_path, "user", "add", "ada", "--admin", "--password-stdin", typed="correct horse 9\n")
    call(tmp_path, "user", "add", "bob", "--sso", "--display", "Bob")
    call(tmp_path, "user", "role", "bob", "editor", "--project", "shop")
    call(tmp_path, "user", "role", "bob", "viewer", "--all-projects")
    call(tmp_path, "user", "role", "bob", "none", "--project", "shop")
    call(tmp_path, "user", "disable", "bob")
    call(tmp_path, "user", "passwd", "ada", "--password-stdin", typed="another horse 9\n")
    users = json.loads(call(tmp_path, "user", "list", "--json"))
    assert [(one["name"], one["login"], one["disabled"], one["roles"]) for one in users] == [
        ("ada", "password", False, {"*": "admin"}),
        ("bob", "sso", True, {"*": "viewer"}),
    ]
    assert "viewer of all projects" in call(tmp_path, "user", "list")
    call(tmp_path, "user", "enable", "bob")
    assert "disabled" not in call(tmp_path, "user", "list")


def test_token_is_printed_once(tmp_path: Path) -> None:
    call(tmp_path, "user", "add", "ada", "--sso")
    text = call(tmp_path, "token", "add", "ci", "--user", "ada", "--role", "viewer", "--project", "shop").strip()
    assert is_token(text)
    made = json.loads(
        call(tmp_path, "token", "add", "x", "--user", "ada", "--all-projects", "--expires", "never", "--json")
    )
    assert is_token(made["token"])
    call(tmp_path, "token", "revoke", "1")
    listed = call(tmp_path, "token", "list", "--json")
    assert text not in listed
    assert [(one["id"], one["role"], one["project"], one["state"]) for one in json.loads(listed)] == [
        (1, "viewer", "shop", "revoked"),
        (2, "editor", "*", "valid"),
    ]
    assert "never" in call(tmp_path, "token", "list", "--user", "ada")


def test_audit_shows_changes_and_exports_them_as_json_lines(tmp_path: Path) -> None:
    assert "no such entries" in call(tmp_path, "audit")
    call(tmp_path, "user", "add", "ada", "--sso")
    call(tmp_path, "user", "role", "ada", "editor", "--project", "shop")
    call(tmp_path, "user", "disable", "ada")
    lines = [json.loads(line) for line in call(tmp_path, "audit", "--json-lines").splitlines()]
    assert [(one["action"], one["object"], one["project"], one["address"]) for one in lines] == [
        ("user.disable", "ada", "", "command line"),
        ("role.set", "ada", "shop", "command line"),
        ("user.add", "ada", "", "command line"),
    ]
    assert [json.loads(line) for line in call(tmp_path, "audit", "--json-lines", "--project", "shop").splitlines()] == [
        lines[1]
    ]
    shown = call(tmp_path, "audit", "--limit", "2", "--outcome", "done")
    assert "user.disable" in shown
    assert "user.add" not in shown


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (("user", "add", "a/b", "--sso"), "cannot be the name of a user"),
        (("user", "add", "ada", "--sso"), "already"),
        (("user", "add", "eve"), "--password-stdin"),
        (("user", "add", "eve", "--password-stdin"), "10 to 256"),
        (("user", "role", "eve", "viewer"), "no user 'eve'"),
        (("user", "disable", "eve"), "no user 'eve'"),
        (("user", "passwd", "eve"), "no user 'eve'"),
        (("token", "add", "x", "--user", "eve"), "no user 'eve'"),
        (("token", "add", "x", "--user", "ada", "--expires", "soon"), "--expires soon"),
        (("token", "revoke", "7"), "no token with the id 7"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, argv: tuple[str, ...], problem: str) -> None:
    call(tmp_path, "user", "add", "ada", "--sso")
    assert problem in call(tmp_path, *argv, typed="short\n", code=2)
