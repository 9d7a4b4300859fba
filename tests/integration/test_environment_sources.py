"""Where the packages of an environment may be written down, and what is wrong with them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from headrace.model.environments import Environment, EnvironmentLock
from headrace.model.errors import DefinitionError, EnvironmentSetupError, UsageError
from headrace.services.environments.named import read_environments
from headrace.services.environments.service import Environments
from headrace.services.environments.uv import find_uv

PROJECT = """
[project]
name = "example"
version = "1"
requires-python = ">=3.10"
dependencies = ["six==1.16.0"]

[dependency-groups]
tables = ["tabulate==0.9.0"]
all = [{ include-group = "tables" }, "click==8.1.7"]
"""


def lock(folder: Path, environment: Environment) -> EnvironmentLock:
    environments = Environments(str(folder / "cache"), lambda _: None)
    return environments.lock(environment, "step 'fit'", str(folder))


def refused(folder: Path, environment: Environment) -> str:
    with pytest.raises(EnvironmentSetupError) as caught:
        lock(folder, environment)
    assert str(caught.value).startswith("step 'fit': ")
    return str(caught.value)


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return name


def uv(folder: Path, *argv: str) -> str:
    return subprocess.run([find_uv(), *argv], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_requirements_without_hashes_are_resolved_and_hashed(tmp_path: Path) -> None:
    name = write(tmp_path, "requirements.txt", "click>=8,<8.1.8  # a comment\n-r more.txt\n")
    write(tmp_path, "more.txt", "six==1.16.0\n")
    found = lock(tmp_path, Environment(file=name))
    assert dict(found.packages) == {"click": "8.1.7", "six": "1.16.0"}
    assert found.requirements.count("--hash=sha256:") >= 2


def test_requirements_with_hashes_are_the_lock(tmp_path: Path) -> None:
    whole = lock(tmp_path, Environment(packages=["six==1.16.0"])).requirements
    one = re.findall(r"--hash=\S+", whole)[-1]
    found = lock(tmp_path, Environment(file=write(tmp_path, "requirements.txt", f"six==1.16.0 {one}\n")))
    assert found.requirements.split() == ["six==1.16.0", one], "no other file may be installed"


def test_hash_that_no_file_has_is_refused_when_it_is_built(tmp_path: Path) -> None:
    name = write(tmp_path, "requirements.txt", f"six==1.16.0 --hash=sha256:{'0' * 64}\n")
    environments = Environments(str(tmp_path / "cache"), lambda _: None)
    found = environments.lock(Environment(file=name), "step 'fit'", str(tmp_path))
    with pytest.raises(EnvironmentSetupError, match=r"step 'fit'(?s:.*)[Hh]ash"):
        environments.build(found, "step 'fit'")


def test_project_gives_its_dependencies_or_a_group(tmp_path: Path) -> None:
    name = write(tmp_path, "pyproject.toml", PROJECT)
    assert dict(lock(tmp_path, Environment(file=name)).packages) == {"six": "1.16.0"}
    assert dict(lock(tmp_path, Environment(file=name, group="all")).packages) == {"tabulate": "0.9.0", "click": "8.1.7"}
    assert "no dependency group 'nothing'" in refused(tmp_path, Environment(file=name, group="nothing"))


def test_uv_lock_gives_what_it_locks(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", PROJECT.replace("six==1.16.0", "six<1.17"))
    uv(tmp_path, "lock")
    write(tmp_path, "pyproject.toml", PROJECT.replace("six==1.16.0", "six<=1.17"))
    assert dict(lock(tmp_path, Environment(file="uv.lock")).packages) == {"six": "1.16.0"}
    assert dict(lock(tmp_path, Environment(file="uv.lock", group="tables")).packages) == {"tabulate": "0.9.0"}
    assert dict(lock(tmp_path, Environment(file="pyproject.toml", group="tables")).packages) == {"tabulate": "0.9.0"}


def test_pylock_gives_what_it_locks(tmp_path: Path) -> None:
    write(tmp_path, "in.txt", "six==1.16.0\n")
    uv(tmp_path, "pip", "compile", "in.txt", "--format", "pylock.toml", "--output-file", "pylock.toml")
    found = lock(tmp_path, Environment(file="pylock.toml"))
    assert dict(found.packages) == {"six": "1.16.0"} and "--hash=sha256:" in found.requirements


def test_header_of_a_script_gives_its_packages(tmp_path: Path) -> None:
    header = '# /// script\n# requires-python = ">=3.10"\n# dependencies = [\n#   "six==1.16.0",\n# ]\n# ///\n'
    name = write(tmp_path, "train.py", f"{header}\nprint(1)\n")
    assert dict(lock(tmp_path, Environment(file=name)).packages) == {"six": "1.16.0"}
    write(tmp_path, "train.py", f"{header}\nprint(2)\n")
    first = lock(tmp_path, Environment(file=name))
    assert first.request == lock(tmp_path, Environment(file=name)).request, "the rest of the file does not count"
    assert "has no header" in refused(tmp_path, Environment(file=write(tmp_path, "other.py", "print(1)\n")))


def test_lock_is_kept_until_what_is_asked_for_changes(tmp_path: Path) -> None:
    name = write(tmp_path, "requirements.txt", "six==1.16.0\n")
    first = lock(tmp_path, Environment(file=name))
    assert lock(tmp_path, Environment(file=name)) == first
    write(tmp_path, "requirements.txt", "six==1.17.0\n")
    assert dict(lock(tmp_path, Environment(file=name)).packages) == {"six": "1.17.0"}


def test_package_that_does_not_exist_is_told_as_uv_says_it(tmp_path: Path) -> None:
    text = refused(tmp_path, Environment(packages=["headrace-has-no-such-package==1"]))
    assert "uv says" in text and "headrace-has-no-such-package" in text and "not found" in text


def test_python_that_is_not_there_is_told_with_those_that_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    text = refused(tmp_path, Environment(python="3.99"))
    assert "there is no Python 3.99 on this machine" in text and "3.1" in text
    assert "too old" in refused(tmp_path, Environment(python="3.8"))
    assert "no Python that can be run" in refused(tmp_path, Environment(python="/nowhere/python"))


def test_lock_for_another_platform_is_refused(tmp_path: Path) -> None:
    text = """lock-version = "1.0"
created-by = "hand"
[[packages]]
name = "six"
version = "1.16.0"
wheels = [{ name = "six-1.16.0-cp27-cp27m-win32.whl", url = "https://example.invalid/six-1.16.0-cp27-cp27m-win32.whl",
            hashes = { sha256 = "ab" } }]
"""
    environments = Environments(str(tmp_path / "cache"), lambda _: None)
    with pytest.raises(EnvironmentSetupError, match="step 'fit'"):
        found = environments.lock(Environment(file=write(tmp_path, "pylock.toml", text)), "step 'fit'", str(tmp_path))
        environments.build(found, "step 'fit'")


def test_requirement_with_a_url_is_locked_to_it(tmp_path: Path) -> None:
    wheel = next(Path("/opt/wheels").glob("six-*.whl"), None) if Path("/opt/wheels").is_dir() else None
    if wheel is None:
        wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
        _make_wheel(wheel)
    name = wheel.name.partition("-")[0]
    found = lock(tmp_path, Environment(packages=[f"{name} @ {wheel.as_uri()}"]))
    assert dict(found.packages)[name].startswith("file://")
    environments = Environments(str(tmp_path / "cache"), lambda _: None)
    built = environments.build(found, "step 'fit'")
    subprocess.run([built.python, "-c", f"import {name}"], check=True)


def _make_wheel(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w") as out:
        out.writestr("tiny.py", "value = 1\n")
        out.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        out.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\n")


def test_build_that_fails_is_told_as_uv_says_it(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pyproject.toml").write_text('[project]\nname = "broken"\nversion = "1"\n')
    (broken / "setup.py").write_text("raise SystemExit('this package cannot be built')\n")
    environments = Environments(str(tmp_path / "cache"), lambda _: None)
    found = environments.lock(Environment(packages=[f"broken @ {broken.as_uri()}"]), "step 'fit'", str(tmp_path))
    with pytest.raises(EnvironmentSetupError, match=r"step 'fit'(?s:.*)uv says(?s:.*)this package cannot be built"):
        environments.build(found, "step 'fit'")


def test_package_too_old_for_headrace_itself_is_refused(tmp_path: Path) -> None:
    text = refused(tmp_path, Environment(packages=["msgspec<0.19"]))
    assert "msgspec>=0.19" in text


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"packages": "pandas"}, "list of requirements"),
        ({"packages": [""]}, "no requirement"),
        ({"packages": ["--index-url=x"]}, "no requirement"),
        ({"python": "three"}, "write a version"),
        ({"packages": ["six"], "file": "requirements.txt"}, "exclude each other"),
        ({"group": "ml"}, "needs file="),
    ],
)
def test_impossible_environment_is_refused_where_it_is_written(given: dict[str, object], part: str) -> None:
    with pytest.raises(DefinitionError, match=part):
        Environment(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "part"),
    [
        (["x"], "must be tables"),
        ({"a b": {}}, "the name of an environment"),
        ({"a": 1}, "must be a table"),
        ({"a": {"packges": []}}, "no setting 'packges'"),
        ({"a": {"packages": "six"}}, "list of requirements"),
        ({"a": {"python": "x"}}, "write a version"),
    ],
)
def test_impossible_environment_of_the_settings_is_refused(tmp_path: Path, table: object, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        read_environments(table, tmp_path)
