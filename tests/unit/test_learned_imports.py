"""What is kept of the imports of a flow's steps, and what a damaged or stale file does: nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.worker.learned import Learned


def test_what_was_learned_is_known_in_the_next_run(tmp_path: Path) -> None:
    file = tmp_path / "imports" / "flow.json"
    first = Learned(file, {"fit": (["numpy"], ["mine"])})
    first.heard("fit", ("sklearn", "sklearn.base", "sklearn.ensemble"), ("slow",))
    assert first.all() == ["numpy", "sklearn", "sklearn.base", "sklearn.ensemble", "slow"]
    assert {"mine", "slow"} <= set(first.needs("fit"))
    first.imported(["numpy", "sklearn", "sklearn.ensemble"], first.all())
    first.save()
    again = Learned(file)
    assert again.all() == [
        "numpy",
        "sklearn",
        "sklearn.ensemble",
    ]  # what came along is not kept, nor what is the user's
    assert list(again.needs("fit")) == again.all()
    assert list(again.needs("other")) == []


def test_what_cannot_be_shared_is_not_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    first = Learned(file)
    first.heard("fit", ("numpy", "threads"), ())
    first.refused.add("threads")
    first.save()
    again = Learned(file, {"fit": (["threads"], [])})
    assert again.all() == ["numpy"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"steps": 1, "refused": []}',
        b'{"steps": {"a": [1]}, "refused": []}',
        b'{"steps": {"a": 1}, "refused": []}',
        b'{"steps": {"a": ["os; evil"]}, "refused": []}',
        b'{"steps": {"a": ["a..b"]}, "refused": []}',
        b'{"refused": []}',
    ],
)
def test_a_damaged_file_is_as_none(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    file.write_bytes(content)
    learned = Learned(file)
    assert learned.all() == []
    learned.heard("fit", ("numpy",), ())
    learned.save()
    assert Learned(file).all() == ["numpy"]


def test_the_list_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    learned = Learned(file)
    learned.heard("fit", tuple(f"m{n}" for n in range(5000)), ())
    learned.save()
    assert len(Learned(file).all()) == 1000


def test_nothing_learned_writes_nothing_and_an_unwritable_place_is_no_error(tmp_path: Path) -> None:
    Learned(tmp_path / "none" / "flow.json").save()
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("")
    learned = Learned(tmp_path / "file" / "flow.json")
    learned.heard("fit", ("numpy",), ())
    learned.save()


def test_what_is_kept_has_names_only(tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    learned = Learned(file)
    learned.heard("fit", ("numpy", "with space", "dotted.name", "", "1st"), ())
    learned.save()
    assert json.loads(file.read_text()) == {"steps": {"fit": ["numpy", "dotted.name"]}, "refused": []}
