from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

import headrace._base.usercode as usercode
from headrace._base.usercode import canonical_name, find_user_module, is_user_file, is_user_module, module_file


def test_installed_and_standard_modules_are_not_the_users() -> None:
    for module in (json, sys, msgspec, usercode):
        assert not is_user_module(module.__name__)
    for name in ("json", "sys", "msgspec", "headrace._base.usercode", "no_such_module", "wave", "sndhdr"):
        assert find_user_module(name) == ""
    assert not is_user_file(usercode.__file__)
    assert not is_user_file("<string>")


def test_what_is_made_by_hand_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "by_hand", ModuleType("by_hand"))
    assert is_user_module("by_hand")
    assert is_user_module("__main__")
    assert is_user_module("gone")


def test_a_module_is_found_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "spaced").mkdir()
    (tmp_path / "spaced" / "deep.py").write_text("1 / 0")
    assert find_user_module("spaced.deep") == str(tmp_path / "spaced" / "deep.py")
    assert find_user_module("spaced") == ""
    assert find_user_module("spaced.no") == ""
    assert "spaced" not in sys.modules


def test_the_main_module_is_named_after_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert module_file(main) == ""
    assert canonical_name("__main__") == "__main__"
    for file, name in (("/x/train.py", "train"), ("/x/my-flow.py", "__main__"), ("/x/queue.py", "__main__")):
        main.__file__ = file
        assert canonical_name("__main__") == name
    assert canonical_name("other") == "other"
