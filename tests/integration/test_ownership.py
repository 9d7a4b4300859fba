"""A store that another user planted is refused, and new ones are private."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace.model.errors import UsageError
from headrace.settings import read_settings

if TYPE_CHECKING:
    from tests.integration.conftest import Project

STRANGER = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")

HELLO = """
@step
def make() -> bytes:
    return bytes(100_000)

@flow
def hello() -> int:
    return len(make())

if __name__ == "__main__":
    print("value", hello())
"""


def give(path: Path, uid: int = STRANGER) -> None:
    os.chown(path, uid, uid, follow_symlinks=False)


def plant_home(folder: Path) -> None:
    (folder / ".headrace").mkdir()
    give(folder / ".headrace")


def plant_home_that_all_may_write(folder: Path) -> None:
    plant_home(folder)
    (folder / ".headrace").chmod(0o777)
    folder.chmod(0o777)


def plant_link(folder: Path) -> None:
    """The link leads to what is ours, but a stranger chose where."""
    (folder / "mine").mkdir()
    (folder / ".headrace").symlink_to("mine")
    give(folder / ".headrace")


def plant_target(folder: Path) -> None:
    """The link is ours and leads to what is a stranger's."""
    (folder / "theirs").mkdir()
    give(folder / "theirs")
    (folder / ".headrace").symlink_to("theirs")


def plant_database(folder: Path) -> None:
    (folder / ".headrace").mkdir(mode=0o777)
    (folder / ".headrace" / "metadata.db").touch()
    give(folder / ".headrace" / "metadata.db")


def plant_log(folder: Path) -> None:
    (folder / ".headrace").mkdir()
    (folder / ".headrace" / "metadata.db-wal").touch()
    give(folder / ".headrace" / "metadata.db-wal")


def plant_artifacts(folder: Path) -> None:
    (folder / ".headrace" / "artifacts").mkdir(parents=True)
    give(folder / ".headrace" / "artifacts")


def plant_settings(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.headrace]\nhome = "mine"\n')
    give(folder / "pyproject.toml")


def plant_named_home(folder: Path) -> None:
    """Settings of a repository are often the words of another user."""
    (folder / "store").mkdir()
    give(folder / "store")
    (folder / "pyproject.toml").write_text('[tool.headrace]\nhome = "store"\n')


def plant_named_database(folder: Path) -> None:
    (folder / "runs.db").touch()
    give(folder / "runs.db")
    (folder / "pyproject.toml").write_text('[tool.headrace]\ndatabase = "runs.db"\n')


PLANTS = [one for name, one in list(globals().items()) if name.startswith("plant_")]


@needs_root
@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("below", ["", "sub/deep"])
def test_what_a_stranger_made_is_refused(tmp_path: Path, plant: Callable[[Path], None], below: str) -> None:
    place = tmp_path / "place"
    (place / below).mkdir(parents=True)
    plant(place)
    with pytest.raises(UsageError, match=rf"belongs to .*{STRANGER}.*HEADRACE_SAFE_HOMES=") as refused:
        read_settings({}, place / below)
    assert str(place) in str(refused.value)
    for allowed in (str(place), str(tmp_path), "*", f"/nowhere:{place}{os.sep}"):
        read_settings({"HEADRACE_SAFE_HOMES": allowed}, place / below)
    for other in ("/nowhere", f"{place}x", ""):
        with pytest.raises(UsageError, match="belongs to"):
            read_settings({"HEADRACE_SAFE_HOMES": other}, place / below)


@needs_root
def test_places_that_the_environment_names_are_the_user_s_choice(tmp_path: Path) -> None:
    plant_home(tmp_path)
    home = str(tmp_path / ".headrace")
    assert read_settings({"HEADRACE_HOME": home}, tmp_path).home == home
    (tmp_path / ".headrace").rename(tmp_path / "theirs")
    (tmp_path / ".headrace").mkdir()
    read_settings({"HEADRACE_DATABASE": str(tmp_path / "theirs" / "x.db")}, tmp_path)


@needs_root
def test_settings_without_a_word_for_us_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    give(tmp_path / "pyproject.toml")
    read_settings({}, tmp_path)


@needs_root
def test_caller_of_sudo_is_believed(tmp_path: Path) -> None:
    plant_home(tmp_path)
    read_settings({"SUDO_UID": str(STRANGER)}, tmp_path)
    with pytest.raises(UsageError, match="belongs to"):
        read_settings({"SUDO_UID": "1"}, tmp_path)


@needs_root
@pytest.mark.parametrize(("owner", "refused"), [(0, False), (1234, False), (4321, True)])
def test_user_without_rights(tmp_path: Path, owner: int, refused: bool) -> None:
    """Root's and the user's own are believed, also where SUDO_UID is set by hand."""
    place = Path(shutil.copytree(_empty(tmp_path), tmp_path / "place"))
    for folder in (*tmp_path.parents, tmp_path):
        if not folder.stat().st_mode & 0o005 and str(folder).startswith("/tmp/pytest-of-"):
            folder.chmod(0o755)
    (place / ".headrace").mkdir()
    give(place / ".headrace", owner)
    code = (
        "import os; os.setgid(1234); os.setuid(1234)\n"
        "from headrace import wiring\n"
        "from headrace.settings import read_settings\n"
        "from headrace.model.errors import UsageError\n"
        "from pathlib import Path\n"
        "try:\n"
        f"    read_settings({{'SUDO_UID': '4321'}}, Path({str(place)!r}))\n"
        "    print('believed')\n"
        "except UsageError as error:\n"
        "    print('refused', error)\n"
    )
    # What the setting of the id needs is imported before, for the interpreter may be where this user may not go.
    code = "import headrace.wiring, headrace.model.errors, headrace._base.ownership, pwd, pathlib\n" + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("refused" if refused else "believed"), done.stderr


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


@needs_root
def test_commands_and_runs_say_so(project: Project) -> None:
    project.succeed(HELLO)
    give(project.home)
    for arguments in (("-m", "headrace", "runs"), ("-m", "headrace", "show"), ("-m", "headrace", "gc"), ("train.py",)):
        done = project.finish(project.start(*arguments))
        assert done.code != 0
        assert "HEADRACE_SAFE_HOMES" in done.err
    done = project.finish(project.start("-m", "headrace", "runs", HEADRACE_SAFE_HOMES=str(project.path)))
    assert done.code == 0, done.err
    give(project.home, 0)


# --- modes --------------------------------------------------------------------------------------------------------


def modes(home: Path) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {"folders": set(), "files": set()}
    for path in (home, home / "artifacts", *(home / "artifacts").rglob("*"), *home.glob("metadata.db*")):
        kind = "folders" if path.is_dir() else "files"
        found[kind].add(path.stat().st_mode & 0o7777)
    return found


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_new_store_is_private(project: Project, umask: int) -> None:
    project.limit = lambda: os.umask(umask) and None
    project.succeed(HELLO)
    found = modes(project.home)
    assert found["folders"] == {0o700}
    assert found["files"] <= {0o600, 0o400}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_shared_store_is_the_group_s(project: Project, umask: int) -> None:
    project.limit = lambda: os.umask(umask) and None
    done = project.run(HELLO, HEADRACE_SHARED="1")
    assert done.code == 0, done.err
    found = modes(project.home)
    assert found["folders"] == {0o2770}
    assert found["files"] <= {0o660, 0o440}


def test_what_is_put_into_an_older_store_is_for_whom_it_was(project: Project) -> None:
    project.succeed(HELLO)
    for path in (project.home, *project.home.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    project.succeed(HELLO.replace("100_000", "200_000"))
    [blob] = [one for one in (project.home / "artifacts").rglob("*") if one.is_file() and one.stat().st_size > 150_000]
    assert blob.stat().st_mode & 0o777 == 0o444


def test_folders_named_by_settings_are_private(project: Project) -> None:
    done = project.run(HELLO, HEADRACE_HOME="kept", HEADRACE_ARTIFACTS="blobs", HEADRACE_DATABASE="db/runs.db")
    assert done.code == 0, done.err
    for name in ("kept", "blobs", "db"):
        if (project.path / name).exists():
            assert (project.path / name).stat().st_mode & 0o777 == 0o700, name
    assert (project.path / "db" / "runs.db").stat().st_mode & 0o777 == 0o600
