"""A throw-away PostgreSQL server for tests, from the wheel ``pgserver`` or an installed PostgreSQL.

Only the programs in the wheel are used. Its Python part is not: run by root it adds a system user and opens up
folders, and tests should leave a machine as it was.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

#: Speed over safety: the data does not outlive the test.
_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=50", "listen_addresses=")

#: Ends the server when the pipe closes, that is also when the test process is killed.
_GUARD = '"$@" & server=$!; read _; kill -INT $server; wait $server'

_START_SECONDS = 60.0


def find_programs() -> Path | None:
    """The folder with ``initdb`` and ``postgres``: of the wheel, of the ``PATH``, or of Debian; None without any."""
    places: list[Path] = []
    spec = importlib.util.find_spec("pgserver")
    if spec is not None and spec.origin is not None:
        places.append(Path(spec.origin).parent / "pginstall" / "bin")
    initdb = shutil.which("initdb")
    if initdb is not None:
        places.append(Path(initdb).resolve().parent)
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    return None


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server of its own and give the URL of its database ``postgres``; at the end it is gone with its data.

    Works as root too: PostgreSQL refuses to run as root, so it runs as ``nobody`` then.

    Raises:
        RuntimeError: no PostgreSQL is installed, or it does not start; with what it printed.
    """
    with restartable_postgres() as server:
        yield server.url


@contextlib.contextmanager
def restartable_postgres() -> Iterator[PostgresServer]:
    """The same, as a server that the test may stop and start again."""
    programs = find_programs()
    if programs is None:
        raise RuntimeError("no PostgreSQL found: pip install pgserver")
    folder = Path(tempfile.mkdtemp(prefix="headrace-pg-", dir="/tmp"))  # short: socket paths are limited to 107 bytes
    try:
        folder.chmod(0o755)
        user = _other_user() if os.geteuid() == 0 else None
        if user is not None:
            os.chown(folder, *user)
            programs = _reachable(programs, user, folder)
        server = PostgresServer(programs, folder, user)
        server.prepare()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _other_user() -> tuple[int, int]:
    import pwd

    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _as(user: tuple[int, int] | None) -> dict[str, object]:
    return {} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}


def _reachable(programs: Path, user: tuple[int, int], folder: Path) -> Path:
    """``programs``, or a copy of the installation when ``user`` may not enter its folder (below ``/root``, say)."""
    probe = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" --version', str(programs / "postgres")],
        capture_output=True,
        check=False,
        cwd="/",
        **_as(user),  # type: ignore[call-overload]
    )
    if probe.returncode == 0:
        return programs
    # The wheel's programs look for some libraries in site-packages/pgserver.libs, by a relative path.
    copy = folder / "copy"
    shutil.copytree(programs.parent, copy / "pgserver" / "pginstall", symlinks=True)
    for libraries in programs.parent.parent.parent.glob("pgserver.libs"):
        shutil.copytree(libraries, copy / libraries.name)
    for path in [copy, *copy.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & 0o100 else 0o044))
    return copy / "pgserver" / "pginstall" / "bin"


class PostgresServer:
    """A server in a folder of its own, which may be stopped and started again; its URL stays."""

    def __init__(self, programs: Path, folder: Path, user: tuple[int, int] | None) -> None:
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        #: The socket it listens on, for a ``Proxy``.
        self.socket = str(folder / ".s.PGSQL.5432")
        self._programs, self._folder, self._user = programs, folder, user
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Make its empty database; raises RuntimeError with what ``initdb`` printed."""
        made = subprocess.run(
            [
                *(str(self._programs / "initdb"), "-D", str(self._folder / "data"), "-U", "postgres"),
                *("--auth=trust", "--encoding=utf8", "--no-locale", "--no-sync"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            cwd="/",
            **_as(self._user),  # type: ignore[call-overload]
        )
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{made.stdout.decode(errors='replace')}")

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        data, log = self._folder / "data", self._folder / "log"
        command = [str(self._programs / "postgres"), "-D", str(data), "-k", str(self._folder)]
        for setting in _SETTINGS:
            command += ["-c", setting]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the tests; they stop it
                **_as(self._user),  # type: ignore[call-overload]
            )
        try:
            _wait_until_ready(self._process, data, log)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Cut all connections and end it; nothing happens when it has ended."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=_START_SECONDS)


def _wait_until_ready(server: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    status = data / "postmaster.pid"
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if status.read_text().splitlines()[-1:] == ["ready   "]:
                return
        if server.poll() is not None or (not status.exists() and "FATAL" in log.read_text(errors="replace")):
            break
        time.sleep(0.02)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")
