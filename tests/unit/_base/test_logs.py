"""Records of Headrace's own: hidden unless asked for, without secrets, with stable actions."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headrace._base import logs
from headrace._base.logs import DEBUG, Log

say = Log("test")


def test_record_has_its_action_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(DEBUG, "headrace"):
        say.info("store.away", "it does not answer", run="train/1", seconds=1.5)
    [record] = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("headrace.test", logs.INFO, "it does not answer")
    assert record.action == "store.away"  # type: ignore[attr-defined]
    assert record.fields == {"run": "train/1", "seconds": 1.5}  # type: ignore[attr-defined]
    assert Path(record.pathname).name == "test_logs.py"


def test_secrets_are_not_shown(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "secret_values", lambda: ["hunter22"])
    with caplog.at_level(DEBUG, "headrace"):
        say.error("x.y", "postgresql://me:pass1234@host/db said hunter22", url="s3://k:verysecret@b", word="hunter22")
    [record] = caplog.records
    for line in (logs.as_text(record), logs.as_json(record)):
        assert not re.search("pass1234|hunter22|verysecret", line)
        assert "***" in line


def test_lines_hold_whatever_was_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(DEBUG, "headrace"):
        say.warning("x.y", "100% of\ntwo lines {0} %s", path=Path("/a b"), empty="", count=3, none=None)
    [record] = caplog.records
    text = logs.as_text(record)
    assert "\n" not in text
    assert "warning x.y: 100% of" in text
    assert "path='/a b'" in text
    assert "count=3" in text
    found = json.loads(logs.as_json(record))
    assert (found["action"], found["level"], found["path"], found["count"]) == ("x.y", "warning", "/a b", 3)
    assert found["none"] is None


SCRIPT = """
import sys
from headrace._base.logs import Log, configure
log = Log("test")
assert "logging" not in sys.modules
log.error("a.b", "nobody listens")
assert "logging" not in sys.modules
import logging
log.error("a.b", "still nobody")
configure(FORM, LEVEL)
configure(FORM, LEVEL)
log.info("a.info", "seen?")
log.error("a.error", "half a pair: \\udc80", n=1)
import os
if os.fork() == 0:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # as a worker, whose standard error is its task's
    log.error("a.child", "seen too")
    os._exit(0)
os.wait()
"""


def script(form: str, level: str) -> str:
    return SCRIPT.replace("FORM", repr(form)).replace("LEVEL", repr(level))


@pytest.mark.parametrize(
    ("form", "level", "actions"),
    [
        ("", "", []),
        ("text", "", ["a.info", "a.error", "a.child"]),
        ("json", "error", ["a.error", "a.child"]),
    ],
)
def test_nothing_is_shown_unless_asked_for(form: str, level: str, actions: list[str]) -> None:
    command = [sys.executable, "-c", script(form, level)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    if form == "json":
        assert [json.loads(line)["action"] for line in lines] == actions
    else:
        assert [line.split()[2].rstrip(":") for line in lines] == actions


def test_closed_standard_error_stops_nothing() -> None:
    command = ["/bin/sh", "-c", 'exec 2>&-; exec "$0" -c "$1"', sys.executable, script("text", "")]
    assert subprocess.run(command, check=False).returncode == 0


def test_every_action_is_in_the_docs() -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs/howto/logs.md").read_text()
    source = "\n".join(path.read_text() for path in (root / "src/headrace").rglob("*.py"))
    actions = set(re.findall(r'(?:_log\.\w+|\btell)\(\s*"([a-z]+\.[a-z]+)"', source))
    assert len(actions) > 10
    assert actions == set(re.findall(r"`([a-z]+\.[a-z]+)`", page.partition("## Actions")[2]))


def test_logging_is_left_as_it_was() -> None:
    assert logging.getLogger("headrace").propagate
