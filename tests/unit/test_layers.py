"""The import contracts hold, and each of them refuses what it is there to refuse."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FOR_TYPES_ONLY = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import headrace.model.values
"""

#: contract id -> modules to plant (path below the package -> source) that it must refuse.
FAULTS: dict[str, tuple[str, dict[str, str]]] = {
    "upwards": ("layers", {"model/planted.py": "import headrace.engine"}),
    "upwards-inside-a-function": ("layers", {"stores/planted.py": "def f():\n    import headrace.services"}),
    "upwards-for-types-only": (
        "layers",
        {"_base/planted.py": FOR_TYPES_ONLY},
    ),
    "engine-knows-worker": ("layers", {"engine/planted.py": "import headrace.worker"}),
    "runtime-knows-worker": ("layers", {"runtime/planted.py": "import headrace.worker.serve"}),
    "identity-knows-runtime": ("layers", {"identity/planted.py": "import headrace.runtime.registry"}),
    "client-knows-frontends": ("layers", {"client/planted.py": "import headrace.frontends.native"}),
    "a-part-without-a-place": ("layers", {"planted/__init__.py": ""}),
    "frontend-knows-engine": ("door", {"frontends/native/planted.py": "import headrace.engine.loop"}),
    "metaflow-knows-worker-inside-a-function": (
        "door",
        {"frontends/metaflow/running/planted.py": "def f():\n    from headrace.worker import serve"},
    ),
    "cli-knows-engine-for-types-only": (
        "door",
        {
            "cli/planted.py": FOR_TYPES_ONLY.replace("headrace.model.values", "headrace.engine.tasks"),
        },
    ),
    "client-knows-engine": ("door", {"client/planted.py": "import headrace.engine.state"}),
    "frontends": (
        "frontends",
        {"frontends/planted.py": "import headrace.frontends.native"},
    ),
    "steps-know-who-runs-them": (
        "metaflow",
        {"frontends/metaflow/authoring/planted.py": "import headrace.frontends.metaflow.running.task"},
    ),
    "stores": ("stores", {"stores/metadata/planted.py": "import headrace.stores.artifacts.protocol"}),
    "executors": (
        "executors",
        {"executors/planted.py": "import headrace.executors.planted2", "executors/planted2.py": ""},
    ),
    "concrete": (
        "concrete",
        {"stores/metadata/planted.py": "", "services/planted.py": "import headrace.stores.metadata.planted"},
    ),
    "engine-reaches-a-database": ("pure", {"engine/planted.py": "import sqlite3"}),
    "services-reach-a-cloud-through-others": (
        "pure",
        {"services/planted.py": "import headrace.stores.planted", "stores/planted.py": "import obstore"},
    ),
    "worker-knows-the-terminal": ("terminal", {"worker/planted.py": "import rich.live"}),
    "model-does-io": ("no_io", {"model/planted.py": "import socket"}),
    "cycle": (
        "acyclic",
        {
            "services/planted.py": "import headrace.services.planted2",
            "services/planted2.py": "import headrace.services.planted",
        },
    ),
}


def lint(source: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the contracts of this repository over the package in ``source``."""
    script = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [script, "--config", ROOT / ".importlinter", "--no-cache", "--no-logo", *more],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_all_contracts_are_kept() -> None:
    done = lint(ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_refused(name: str, tmp_path: Path) -> None:
    contract, modules = FAULTS[name]
    shutil.copytree(ROOT / "src/headrace", tmp_path / "headrace", ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in modules.items():
        target = tmp_path / "headrace" / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text + "\n")

    done = lint(tmp_path, "--contract", contract)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
    assert "planted" in done.stdout


def test_every_contract_has_a_planted_fault() -> None:
    contracts = re.findall(r"^\[importlinter:contract:(\w+)\]", (ROOT / ".importlinter").read_text(), re.MULTILINE)
    assert set(contracts) == {contract for contract, _ in FAULTS.values()}


def test_dialects_commands_and_client_use_no_private_part_of_a_session() -> None:
    package = ROOT / "src/headrace"
    files = [file for part in ("cli", "client", "frontends") for file in (package / part).rglob("*.py")]
    assert len(files) > 100
    reached = [
        f"{file.relative_to(package)}: {found}"
        for file in files
        for found in re.findall(r"\b_?session\._\w+", file.read_text())
    ]
    assert reached == []
