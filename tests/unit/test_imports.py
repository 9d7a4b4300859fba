"""What `import headrace` costs: which modules it loads, and which only come when they are used."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

#: Loaded where used, never by the package or by defining flows.
HEAVY = (
    "asyncio",
    "click",
    "fastapi",
    "lightkube",
    "matplotlib",
    "numpy",
    "obstore",
    "optuna",
    "pandas",
    "polars",
    "psycopg",
    "pyarrow",
    "rich",
    "sklearn",
    "sqlalchemy",
    "sqlite3",
    "starlette",
    "torch",
    "uvicorn",
)

DEFINE_A_FLOW = """
from headrace import flow, step

@step(cpu=1, retries=2)
def double(x: int) -> int:
    return 2 * x

@flow
def main(n: int = 3) -> int:
    return double(n)

assert double(2) == 4
"""


#: What a run on this machine does without, and so its driver and its workers: most cost a millisecond or more.
UNUSED_BY_A_RUN = (
    "argparse",
    "concurrent.futures",
    "cryptography",
    "email",
    "hashlib",
    "headrace.cli",
    "headrace.engine.recall",
    "headrace.executors.hosting",
    "headrace.executors.kubernetes",
    "headrace.executors.remote",
    "headrace.frontends.metaflow",
    "headrace.frontends.native.text_forms",
    "headrace.runtime.code_folder",
    "headrace.services.code.patterns",
    "headrace.services.describe",
    "headrace.services.gitdiff",
    "headrace.services.handing_over",
    "headrace.services.names",
    "headrace.stores.artifacts.objects",
    "headrace.stores.metadata._migrate",
    "headrace.stores.metadata._postgres",
    "headrace.wiring.driver_pods",
    "headrace.worker.join_token",
    "headrace.worker.template",
    "http",
    "json",
    "keyring",
    "logging",
    "multiprocessing",
    "queue",
    "random",
    "shutil",
    "ssl",
    "subprocess",
    "tempfile",
    "tomllib",
    "traceback",
)

RUN_A_FLOW = """
import sys
from headrace import flow, step

@step
def hello() -> list[str]:
    return list(sys.modules)

@flow
def main() -> list[str]:
    return hello()

if __name__ == "__main__":
    print(*main())
"""


def loaded_by(code: str, file: Path | None = None) -> set[str]:
    """Names of the modules that a fresh interpreter holds after running ``code``, and names that this prints.

    With ``file`` the code is run as that file, in its folder.
    """
    code += "\nimport sys; print(*sys.modules)"
    if file is not None:
        file.write_text(code)
    done = subprocess.run(
        [sys.executable, *(["-c", code] if file is None else [str(file)])],
        capture_output=True,
        text=True,
        check=False,
        cwd=None if file is None else file.parent,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("code", ["import headrace", "from headrace import flow, step", DEFINE_A_FLOW])
def test_import_loads_no_heavy_library(code: str) -> None:
    assert loaded_by(code).intersection(HEAVY) == set()


def test_run_loads_only_what_it_needs_in_driver_and_workers(tmp_path: Path) -> None:
    loaded = loaded_by(RUN_A_FLOW, tmp_path / "hello.py")
    assert {"sqlite3", "headrace.worker.serve"} <= loaded  # it ran, and all modules were printed
    assert loaded.intersection(set(HEAVY) - {"sqlite3"}) == set()
    assert loaded.intersection(UNUSED_BY_A_RUN) == set()


def test_version_needs_nothing_else() -> None:
    ours = {name for name in loaded_by("import headrace; headrace.__version__") if name.startswith("headrace")}
    assert ours == {"headrace", "headrace._version"}


EVERY_NAME = """
import headrace
for name in headrace.__all__:
    getattr(headrace, name)
assert set(headrace.__all__) <= set(dir(headrace))
"""

UNKNOWN_NAME = """
import headrace
try:
    headrace.nonsense
except AttributeError as error:
    assert "nonsense" in str(error), error
else:
    raise SystemExit("no error")
"""


@pytest.mark.parametrize("code", [EVERY_NAME, UNKNOWN_NAME])
def test_names_of_the_package(code: str) -> None:
    loaded_by(code)


def test_errors_that_bear_the_name_of_the_package_can_be_had_from_it() -> None:
    import headrace
    from headrace.model import errors

    kinds = [one for one in vars(errors).values() if isinstance(one, type) and one.__module__ == "headrace"]
    assert headrace.TaskCrashedError in kinds
    for kind in kinds:
        assert getattr(headrace, kind.__name__) is kind
        assert kind.__name__ in headrace.__all__
        assert pickle.loads(pickle.dumps(kind("text"))).args == ("text",)


def test_errors_that_can_be_had_from_the_package_bear_its_name() -> None:
    import headrace
    from headrace.model import errors

    public = [getattr(errors, name) for name in headrace.__all__ if hasattr(errors, name)]
    assert headrace.MissingSecretError in public
    assert [kind.__name__ for kind in public if kind.__module__ != "headrace"] == []
