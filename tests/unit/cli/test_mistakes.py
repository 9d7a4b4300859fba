"""Whatever a user does wrong: one message, exit code 2 (or 1), no traceback of Headrace."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

MISTAKES: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no-such-command": (("shwo",), 2, "did you mean `headrace show`"),
    "a-file-as-command": (("squares.py",), 2, "headrace run squares.py"),
    "no-such-option": (("runs", "--nope"), 2, "--nope"),
    "no-such-file": (("run", "nope.py"), 2, "nope.py"),
    "a-folder": (("run", "."), 2, "folder"),
    "no-target": (("run",), 2, "FILE"),
    "no-such-flow": (("run", "squares.py:nope"), 2, "nope"),
    "unknown-parameter": (("run", "squares.py", "--m", "3"), 2, "unknown parameter 'm'"),
    "ill-typed-parameter": (("run", "squares.py", "n=many"), 2, "parameter 'n'"),
    "stray-argument": (("run", "squares.py", "many"), 2, "many"),
    "bad-max-parallel": (("run", "--max-parallel", "0", "squares.py"), 2, "--max-parallel"),
    "bad-max-parallel-behind": (("run", "squares.py", "--max-parallel=x"), 2, "--max-parallel"),
    "tag-without-name": (("run", "squares.py", "--tag", "=x"), 2, "--tag"),
    "tag-without-value": (("run", "squares.py", "--tag"), 2, "--tag"),
    "no-such-run": (("show", "numbers/99"), 2, "there is no run numbers/99; the newest is numbers/3"),
    "no-such-flow-of-runs": (("show", "number"), 2, "did you mean 'numbers'"),
    "a-number-alone": (("show", "3"), 2, "names no run"),
    "a-huge-number": (("show", "numbers/99999999999999999999999"), 2, "there is no run"),
    "no-such-step": (("show", "numbers/1/nope"), 2, "it has load, square"),
    "no-such-task": (("show", "numbers/1/square/9"), 2, "has 3"),
    "too-many-parts": (("show", "numbers/1/square/1/result/x"), 2, "too many parts"),
    "empty-parts": (("show", "numbers//1"), 2, "names no run"),
    "no-number-of-a-task": (("show", "numbers/1/square/one"), 2, "not the number of a task"),
    "several-tasks": (("explain", "numbers/1/square"), 2, "several tasks"),
    "logs-of-nothing": (("logs", "numbers/1/nope/1"), 2, "no step 'nope'"),
    "no-such-artifact": (("get", "numbers/1/load/1/nope"), 2, "it has result"),
    "artifact-of-a-failure": (("get", "numbers/2"), 2, "no artifacts"),
    "array-of-a-list": (("get", "numbers/1/load/1", "-o", "x.npy"), 2, "cannot save a list"),
    "csv-of-a-list": (("get", "numbers/1/load/1", "-o", "x.csv"), 2, ".csv"),
    "into-nowhere": (("get", "numbers/1", "-o", "no/such/x.json"), 2, "cannot write"),
    "onto-a-folder": (("get", "numbers/1", "-o", ".", "--force"), 2, "folder"),
    "sort-nonsense": (("runs", "--sort", "accuracy"), 2, "cannot be sorted by 'accuracy'"),
    "where-nonsense": (("runs", "--where", "accuracy"), 2, "expected one of metrics.NAME"),
    "where-unknown": (("runs", "--where", "accuracy > 1"), 2, "accuracy"),
    "where-number": (("runs", "--where", "metrics.a > high"), 2, "high"),
    "no-such-status": (("runs", "--status", "done"), 2, "is not a state of a run"),
    "bad-limit": (("runs", "--limit", "-1"), 2, "--limit"),
    "cancel-what-is-over": (("cancel", "numbers/1"), 2, "not running"),
    "answer-nothing-asked": (("answer", "numbers/1", "ok", "yes"), 2, "waits for no answer"),
    "answer-without-value": (("answer", "numbers/1", "ok"), 2, "VALUE"),
    "resume-nothing": (("resume", "nope"), 2, "no runs of a flow"),
    "resume-unknown-step": (("resume", "numbers/2", "--from", "nope"), 2, "nope"),
    "resume-bad-parameter": (("resume", "numbers/2", "--n", "x"), 2, "parameter 'n'"),
    "gc-age": (("gc", "--older-than", "soon"), 2, "--older-than"),
    "rm-nothing": (("rm",), 2, "RUN"),
    "import-nothing": (("import", "nope.run"), 2, "no such file"),
    "import-text": (("import", "squares.py"), 2, "is not a Headrace export"),
    "import-folder": (("import", "."), 2, "headrace import metaflow ."),
    "export-onto": (("export", "numbers/1", "squares.py"), 2, "exists"),
    "export-nowhere": (("export", "numbers/1", "no/such/file"), 2, "cannot write"),
    "debug-a-success": (("debug", "numbers/1"), 2, "no task failed"),
    "kubeflow": (("run", "pipeline.yaml"), 2, "is not a compiled pipeline of KFP v2"),
    "other-yaml": (("run", "other.yaml"), 2, "is not a flow"),
    "broken-file": (("run", "broken.py"), 2, "broken.py:1: SyntaxError"),
    "raising-file": (("run", "raising.py"), 2, "ZeroDivisionError"),
    "bad-setting": (("doctor-with-setting",), 1, "max_parallel"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_one_message_and_no_traceback(name: str, folder: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pipeline.yaml").write_text("# PIPELINE\ncomponents:\n  a: 1\npipelineInfo:\n  name: x\n")
    (folder / "other.yaml").write_text("a: 1\n")
    (folder / "broken.py").write_text("def f(:\n")
    (folder / "raising.py").write_text("1 / 0\n")
    argv, code, text = MISTAKES[name]
    if argv[0] == "doctor-with-setting":
        monkeypatch.setenv("HEADRACE_MAX_PARALLEL", "many")
        argv = ("doctor",)

    done = call(*argv)

    assert done.code == code, done.out + done.err
    assert text in done.out + done.err
    assert "headrace/cli" not in done.out + done.err
    assert "headrace/services" not in done.out + done.err


def spoil(path: Path, target: Path, **changes: Any) -> None:
    """Copy an exported run with some entries changed, added (bytes) or left out (None)."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = changes.pop(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in changes.items():
            new.writestr(name, content)


@pytest.fixture
def exported(folder: Path, call: Any) -> Path:
    path = folder / "out.run"
    assert call("export", "numbers/3", str(path)).code == 0
    return path


def test_damaged_exports_change_nothing(exported: Path, call: Any) -> None:
    whole = exported.read_bytes()
    head = json.loads(zipfile.ZipFile(exported).read("headrace-run.json"))
    blob = next(iter(head["blobs"]))
    spoiled: dict[str, Any] = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "bit": whole.replace(b"squares", b"sqxares", 1),
    }
    for name, content in spoiled.items():
        (exported.parent / name).write_bytes(content)
    spoil(exported, exported.parent / "traversal", **{"../../evil": b"x"})
    spoil(exported, exported.parent / "absolute", **{"/tmp/evil": b"x"})
    spoil(exported, exported.parent / "less", **{f"blobs/{blob}": None})
    spoil(exported, exported.parent / "other-blob", **{f"blobs/{blob}": b"other"})
    spoil(exported, exported.parent / "other-rows", **{"rows/tasks": b"\x90"})
    spoil(exported, exported.parent / "newer", **{"headrace-run.json": json.dumps(head | {"format": 99}).encode()})
    spoil(exported, exported.parent / "no-head", **{"headrace-run.json": None})
    spoil(exported, exported.parent / "odd-head", **{"headrace-run.json": b"[1]"})
    before = call("runs", "--json").json
    for name in (*spoiled, "traversal", "absolute", "less", "other-blob", "other-rows", "newer", "no-head", "odd-head"):
        done = call("import", str(exported.parent / name))
        assert done.code in (1, 2), (name, done.out)
        assert "Traceback" not in done.err
        assert call("runs", "--json").json == before, name


def test_a_damaged_database_is_said_to_be(folder: Path, call: Any) -> None:
    from headrace import wiring

    wiring.scope_here().workspace.close()
    database = folder / ".headrace" / "metadata.db"
    for path in database.parent.glob("metadata.db-*"):
        path.unlink()
    database.write_bytes(b"this is no database" * 100)
    for argv in (("runs",), ("show", "numbers/1"), ("doctor",)):
        done = call(*argv)
        assert done.code == 1, done.out + done.err
        assert "metadata.db" in done.out + done.err
