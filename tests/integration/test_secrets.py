"""Secrets reach the steps that need them, and nothing that is kept holds one."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import headrace
from headrace import Secret

VALUE = "hunter2-is-the-value"
FLOW = """
import dataclasses, threading
from headrace import Secret, flow, log_params, step

@dataclasses.dataclass
class Login:
    user: str
    token: Secret

@step
def plain(token: Secret):
    print("printed", token, f"{token!r}", [token])
    return len(token.reveal())

@step(isolated=True)
def inside(login: Login):
    return len(login.token.reveal())

@step(cache=True)
def cached(token: Secret):
    return 1

@step
def passed_on(token: Secret):
    return {"token": token}

@step
def failing(token: Secret):
    raise ValueError(f"refused: {token.reveal()}")

@flow
def f(token: Secret, thread: bool = False, fail: str = ""):
    if thread:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    log_params({"logged": token})
    sizes = [one.result() for one in plain.map([token] * 3)] + [inside(Login("ana", token)), cached(token)]
    sizes.append(plain(passed_on(token)["token"]))
    if fail == "step":
        failing(token)
    if fail == "flow":
        raise RuntimeError(f"refused: {token.reveal()}")
    return sizes
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".headrace").mkdir()
    (tmp_path / "f.py").write_text(FLOW)
    return tmp_path


def call(folder: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace", *argv],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **env},
    )


def kept(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (folder / ".headrace").rglob("*") if path.is_file())


@pytest.mark.parametrize("thread", ["--no-thread", "--thread"])
@pytest.mark.parametrize(
    ("given", "env"),
    [
        (VALUE, {}),
        ("env:MY_TOKEN", {"MY_TOKEN": VALUE}),
        ("file:token.txt", {}),
        ("@token.txt", {}),
    ],
)
def test_a_secret_reaches_steps_and_is_kept_nowhere(folder: Path, given: str, env: dict[str, str], thread: str) -> None:
    (folder / "token.txt").write_text(VALUE + ("\n" if given[0] == "f" else ""))
    done = call(folder, "run", "f.py", "--token", given, thread, **env)
    size = len(VALUE)
    assert f"[{size}, {size}, {size}, {size}, 1, {size}]" in done.stdout, done.stdout + done.stderr
    logs = call(folder, "logs", "f/1").stdout
    assert "printed Secret(" in logs
    shown = [call(folder, *argv).stdout for argv in (("show",), ("show", "--json"), ("runs",), ("show", "f/1/plain/1"))]
    assert VALUE not in done.stdout + done.stderr + logs + "".join(shown)
    assert VALUE.encode() not in kept(folder)


@pytest.mark.parametrize("given", [VALUE, "env:MY_TOKEN", "file:token.txt"])
@pytest.mark.parametrize("where", ["step", "flow"])
def test_what_failed_does_not_quote_the_secret(folder: Path, where: str, given: str) -> None:
    (folder / "token.txt").write_text(VALUE)
    done = call(folder, "run", "f.py", "--token", given, "--fail", where, MY_TOKEN=VALUE)
    assert done.returncode == 1 and "refused: ***" in done.stdout
    assert VALUE not in call(folder, "show", "f/1").stdout + call(folder, "show", "--json").stdout
    assert VALUE.encode() not in kept(folder)


def test_another_value_of_a_secret_is_the_same_call(folder: Path) -> None:
    call(folder, "run", "f.py", "--token", VALUE)
    done = json.loads(call(folder, "run", "f.py", "--json", "--token", "a new one").stdout)
    assert done["reused"] == 1  # the cached step


def test_a_resumed_run_needs_its_secret_again(folder: Path) -> None:
    call(folder, "run", "f.py", "--token", VALUE, "--fail", "flow")
    refused = call(folder, "resume", "f/1", "--fail", "")
    assert refused.returncode == 2
    assert "its value is never stored" in refused.stderr and "HEADRACE_SECRET_TOKEN" in refused.stderr
    again = call(folder, "resume", "f/1", "--fail", "", "--token", VALUE)
    assert again.returncode == 0 and "6 reused" in again.stdout.replace("7 reused", "6 reused"), again.stdout
    call(folder, "run", "f.py", "--token", VALUE, "--fail", "flow")
    assert call(folder, "resume", "f/2", "--fail", "", HEADRACE_SECRET_TOKEN=VALUE).returncode == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("env:NOT_SET", "parameter 'token': the secret env:NOT_SET is not here"),
        ("file:missing.txt", "missing.txt cannot be read: No such file"),
        ("", "a text that is not empty"),
    ],
)
def test_a_secret_that_is_missing_is_told_before_anything_runs(folder: Path, given: str, said: str) -> None:
    done = call(folder, "run", "f.py", "--token", given)
    assert done.returncode == 2 and said in done.stderr
    assert call(folder, "runs").stdout == ""


def test_a_text_that_looks_like_a_secret_is_warned_of(folder: Path) -> None:
    token = "ghp_" + "abcd1234" * 5
    done = call(folder, "run", "f.py", "--token", VALUE, "--fail", token)
    assert "parameter 'fail' looks like a secret" in done.stderr and token not in done.stderr
    assert token not in call(folder, "show", "f/1").stdout


def test_secrets_show_nothing_and_travel_by_name_only() -> None:
    secret = Secret(VALUE, name="token")
    assert VALUE not in f"{secret} {secret!r} {secret:>20} {[secret]} {vars}"
    assert copy.copy(secret) is secret and copy.deepcopy([secret])[0] is secret
    assert secret == Secret(VALUE, name="token") != Secret("other", name="token")
    assert Secret(secret).reveal() == VALUE
    with pytest.raises(headrace.UsageError, match="needs a name"):
        Secret("nameless").__reduce__()
    for wrong in ("", None, 3, b"x"):
        with pytest.raises(headrace.UsageError, match="text that is not empty"):
            Secret(wrong)  # type: ignore[arg-type]


CONTAINERS = """
import dataclasses
import msgspec
from headrace import Secret, flow, step

@dataclasses.dataclass
class Login:
    user: str
    token: Secret

class Account(msgspec.Struct):
    token: Secret

@step
def sizes(secrets: list[Secret]):
    return [len(one.reveal()) for one in secrets]

@flow
def f(
    items: list[Secret] = [],
    pair: tuple[str, Secret] | None = None,
    named: dict[str, Secret] = {},
    nested: dict[str, list[Secret]] = {},
    login: Login | None = None,
    account: Account | None = None,
    maybe: list[Secret | None] = [],
):
    found = [*items, *named.values(), *(one for many in nested.values() for one in many)]
    found += [pair[1]] if pair else []
    found += [one.token for one in (login, account) if one]
    found += [one for one in maybe if one]
    return sizes(found)
"""


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("--items", '["env:MY_TOKEN"]'),
        ("--items", "env:MY_TOKEN"),
        ("--pair", '["ana", "env:MY_TOKEN"]'),
        ("--named", '{"a": "env:MY_TOKEN"}'),
        ("--named", "a=env:MY_TOKEN"),
        ("--nested", '{"a": ["env:MY_TOKEN"]}'),
        ("--login", '{"user": "ana", "token": "env:MY_TOKEN"}'),
        ("--account", '{"token": "env:MY_TOKEN"}'),
        ("--maybe", '[null, "env:MY_TOKEN"]'),
        ("--items", "@items.json"),
        ("--params-file", "params.json"),
    ],
)
def test_a_source_of_a_secret_is_read_in_every_container(folder: Path, option: str, given: str) -> None:
    (folder / "f.py").write_text(CONTAINERS)
    (folder / "items.json").write_text('["env:MY_TOKEN"]')
    (folder / "params.json").write_text('{"items": ["env:MY_TOKEN"]}')
    done = call(folder, "run", "f.py", option, given, MY_TOKEN=VALUE)
    assert f"[{len(VALUE)}]" in done.stdout, done.stdout + done.stderr


def test_a_text_from_python_is_the_secret_itself() -> None:
    from headrace.frontends.native.conversion import convert

    assert convert(["env:HOME"], list[Secret])[0].reveal() == "env:HOME"
