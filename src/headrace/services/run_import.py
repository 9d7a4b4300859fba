"""Bringing runs of another system in, a run after the other, in pieces that need not fit in memory.

A run is recorded as ``running`` while it comes in, under an entry that begins with ``MARK``; a process that dies in
between leaves it so, and the next import begins it anew. One process at a time may import into a project.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

import msgspec

from headrace._base.process import owner_alive, process_owner
from headrace.model.errors import RunBusyError, StoreError
from headrace.model.records import Lease, RunRecord
from headrace.model.states import RunState
from headrace.services.stores import Stores
from headrace.stores.metadata.protocol import NewRun, RunChange, Write

#: What the entry of a run begins with while it comes in.
MARK = "import:"
#: Longer than that of a run: it is extended with each piece that is written, and some take long to be read.
_LEASE_SECONDS = 60.0


def is_partial(run: RunRecord) -> bool:
    """Whether a run has not come in whole."""
    return run.state is RunState.RUNNING and run.entry.startswith(MARK)


class Adoption:
    """The right to bring runs into a project, for the duration of a ``with``.

    Raises:
        RunBusyError: on entering, when another process has it.
    """

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self._lease: Lease | None = None

    def __enter__(self) -> Adoption:
        metadata, name = self.stores.metadata, f"import:{self.stores.project}"
        held = metadata.lease(name)
        dead = held.owner if held is not None and owner_alive(held.owner) is False else ""
        self._lease = metadata.acquire(name, process_owner(), _LEASE_SECONDS, dead=dead)
        if self._lease is None:
            host, _, rest = (held.owner if held is not None else "another process:?").partition(":")
            raise RunBusyError(
                f"process {rest.partition(':')[0]} on {host} is importing into project {self.stores.project!r}; "
                "wait for it to end"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lease is not None:
            self.stores.metadata.release(self._lease)
            self._lease = None

    def bring(
        self, new: NewRun, parts: Callable[[int], Iterable[Sequence[Write]]], replaced: RunRecord | None = None
    ) -> RunRecord:
        """Bring a run in. ``parts`` gets the run's id and yields all that belongs to it, in pieces that are committed
        one by one; the last holds a ``RunChange`` with its state and entry. ``replaced`` goes before.

        Raises:
            LeaseLostError: another process took the right over; what came in of the run is left as partial.
        """
        metadata = self.stores.metadata
        if replaced is not None:
            metadata.delete_run(replaced.id)
        run = metadata.create_run(msgspec.structs.replace(new, entry=MARK + new.entry))
        try:
            for writes in parts(run.id):
                self._commit(writes)
        except Exception:
            with contextlib.suppress(StoreError):
                metadata.delete_run(run.id)
            raise
        return metadata.run_by_id(run.id) or run

    def _commit(self, writes: Sequence[Write]) -> None:
        assert self._lease is not None
        self.stores.metadata.commit(list(writes), self._lease, _LEASE_SECONDS)


__all__ = ["MARK", "Adoption", "RunChange", "is_partial"]
