"""Orders to start drivers, as files in the folder ``drivers`` of a home: what the server and its supervisor share.

Of an order ID there are, as far as it has come:

- ``ID.order``: what is to be started; written once, by the server.
- ``ID.begun``: made by the driver's own process before anything else, and only once: no order is carried out twice.
- ``ID.lock``: locked by the driver as long as it lives, whoever started it.
- ``ID.log``: what the driver prints.
- ``ID.end``: how it ended.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

FOLDER = "drivers"
#: The tag of a run that was started by an order: its value is the order's id.
ORDER_TAG = "headrace.order"
#: Bytes of the end of what a driver printed that are shown.
_TAIL = 4_000
#: Seconds after which files of an order that is over are removed.
_KEPT = 7 * 86_400.0
_ID = re.compile(r"[0-9a-f]{24}")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A driver to be started.

    Args:
        id: names it.
        action: ``resume``, ``retry`` or ``start``.
        project: of the run.
        run: the run that is gone on with, or whose code a new run has.
        user: who asked; the run is theirs.
        created: when, in seconds since the epoch.
        words: arguments of ``headrace``, without the parameters.
        parameters: values by name.
        as_options: whether the flow takes its parameters as ``--name=value`` alone (Metaflow).
        folder: where the driver is to work; empty: in the home's folder.
    """

    id: str
    action: str
    project: str
    run: str
    user: str
    created: float
    words: tuple[str, ...]
    parameters: dict[str, Any] = {}
    as_options: bool = False
    folder: str = ""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a driver ended: ``exit_code`` is None where nobody saw it, negative where a signal killed it."""

    exit_code: int | None
    time: float


class Orders:
    """The orders of the home ``home``."""

    def __init__(self, home: str) -> None:
        self.folder = Path(home, FOLDER)

    def path(self, order: str, kind: str) -> Path:
        """A file of an order."""
        return self.folder / f"{order}.{kind}"

    def place(self, order: Order) -> None:
        """Write an order down, for the supervisor to carry out; it is on the disk when this returns."""
        self.folder.mkdir(0o700, parents=True, exist_ok=True)
        self._write(self.path(order.id, "params"), msgspec.json.encode(order.parameters))
        self._write(self.path(order.id, "order"), msgspec.json.encode(order))

    def end(self, order: str, exit_code: int | None) -> None:
        """Say that the driver of an order has ended."""
        self._write(self.path(order, "end"), msgspec.json.encode(End(exit_code=exit_code, time=time.time())))
        self.path(order, "params").unlink(missing_ok=True)

    def _write(self, path: Path, data: bytes) -> None:
        draft = path.with_name(f"{path.name}.{os.urandom(6).hex()}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:  # noqa: PTH123
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(path)

    def find(self, order: str) -> Order | None:
        """An order by its id; None if there is none."""
        if not _ID.fullmatch(order):
            return None
        try:
            return msgspec.json.decode(self.path(order, "order").read_bytes(), type=Order)
        except (OSError, msgspec.MsgspecError):
            return None

    def all(self) -> Iterator[Order]:
        """All orders that are kept, the oldest first."""
        found = [self.find(path.stem) for path in self.folder.glob("*.order")]
        yield from sorted((one for one in found if one is not None), key=lambda one: one.created)

    def open(self) -> Iterator[Order]:
        """Orders whose end is not known."""
        return (one for one in self.all() if not self.path(one.id, "end").exists())

    def ended(self, order: str) -> End | None:
        """How the driver of an order ended; None if it has not, as far as is known."""
        try:
            return msgspec.json.decode(self.path(order, "end").read_bytes(), type=End)
        except (OSError, msgspec.MsgspecError):
            return None

    def lock(self, order: str) -> int | None:
        """A descriptor with the lock of an order; None while its driver, or who starts it, has it."""
        return try_lock(self.path(order, "lock"))

    def state(self, order: str) -> str:
        """``queued``, ``running`` or ``ended``."""
        if self.ended(order) is not None:
            return "ended"
        return "running" if self.path(order, "begun").exists() else "queued"

    def output(self, order: str) -> str:
        """The end of what the driver printed."""
        try:
            with self.path(order, "log").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def tidy(self, now: float) -> None:
        """Remove what is left of orders that were over long ago."""
        for one in self.all():
            end = self.ended(one.id)
            if end is not None and now - end.time > _KEPT:
                for kind in ("params", "begun", "lock", "log", "order", "end"):
                    self.path(one.id, kind).unlink(missing_ok=True)


def try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock of a file until it, and all copies of it, are closed; None if another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
