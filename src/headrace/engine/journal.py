"""What a driver has decided and not yet written: batches of rows, committed under the run's lease.

One thread at a time commits. ``begin`` and what comes after ``write`` are called under the loop's lock; ``write`` is
called without it, while other threads add to the next batch. While the store does not answer, everything is kept and
tried again, for as long as nobody else takes the lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from headrace._base.logs import Log
from headrace._base.sizes import format_duration
from headrace.model.errors import StoreAwayError
from headrace.model.records import LEASE_SECONDS, Lease
from headrace.stores.metadata.protocol import MetadataStore, Write

_log = Log("store")

#: The lease is extended with a commit at most so often, in seconds.
_EXTEND_EVERY = 1.0
#: Seconds after a commit in which nothing was written that the lease is extended by an empty one.
_RENEW_AFTER = LEASE_SECONDS / 4
#: Seconds for which writes that nobody waits for are kept, for others to be written with them.
_GATHER = 0.1
#: Seconds before a store that did not answer is asked again: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class Journal:
    """Writes in the order in which they came to be. ``away_since`` is set while the store does not answer."""

    def __init__(self, metadata: MetadataStore, lease: Lease) -> None:
        self.urgent = False  # whether somebody waits for the next commit
        self.away_since: float | None = None
        #: What the driver says of itself, written when the lease is extended.
        self.note: Callable[[], bytes] = bytes
        self._metadata = metadata
        self._lease = lease
        self._writes: list[Write] = []
        #: What is being committed, in order. The first may have been written before: the store did not say.
        self._batches: list[list[Write]] = []
        # What is measured here is never the time of day, which may be set back.
        self._extended = float("-inf")
        self._seconds = 0.0  # for which the commit extends the lease
        self._pause = 0.0
        #: When the next commit is to be tried (``time.monotonic``), if no urgent write comes before.
        self.due_at = time.monotonic() + _RENEW_AFTER
        #: What the user should be told; see ``take_notices``.
        self.notices: list[str] = []

    def add(self, writes: Iterable[Write], *, urgent: bool = False) -> None:
        """Write these with the next commit."""
        self._writes += writes
        if urgent:
            self.urgent = True
        elif self._writes and self.away_since is None:
            self.due_at = min(self.due_at, time.monotonic() + _GATHER)

    @property
    def has_writes(self) -> bool:
        """Whether there is something to write."""
        return bool(self._writes)

    def flush(self) -> None:
        """Let what there is be committed now."""
        self.urgent = self.urgent or bool(self._writes)

    def renew(self) -> None:
        """Let a commit be tried now, if only to extend the lease."""
        self.urgent = True

    def begin(self) -> bool:
        """Begin a commit of all there is. False: the store did not answer, and it is too early to ask again."""
        clock = time.monotonic()
        if self.away_since is not None:
            if clock < self.due_at:
                return False
            self._extended = float("-inf")
        self._seconds = 0.0
        if clock - self._extended > _EXTEND_EVERY:
            self._extended = clock
            self._seconds = LEASE_SECONDS
            self._lease = msgspec.structs.replace(self._lease, note=self.note())
        if len(self._batches) > 1:  # the last was not tried yet
            self._batches[-1] += self._writes
        else:
            self._batches.append(self._writes)
        self._writes, self.urgent = [], False
        return True

    def write(self) -> StoreAwayError | None:
        """Commit what ``begin`` took. Returns why not, where the store does not answer: nothing may go on then.

        Raises:
            LeaseLostError: another process drives the run now.
            StoreError: the store cannot do its work.
        """
        try:
            while self._batches:
                self._metadata.commit(self._batches[0], self._lease, self._seconds)
                del self._batches[0]
        except StoreAwayError as error:
            return error
        return None

    def note_written(self) -> None:
        """The commit was made."""
        self.due_at = time.monotonic() + (_GATHER if self._writes else _RENEW_AFTER)
        if self.away_since is not None:
            self._note_back()

    def note_away(self, error: StoreAwayError) -> None:
        """The store did not answer: ask again after a pause, longer each time."""
        self.urgent = True  # nothing goes on before a commit succeeds
        if self.away_since is None:
            _log.warning("store.away", str(error), lease=self._lease.name)
            self.away_since = time.time()
            self._pause = _FIRST_PAUSE
            when = time.strftime("%H:%M:%S", time.localtime(self.away_since))
            self.notices.append(
                f"the metadata store does not answer since {when}; running tasks go on, and nothing new starts until "
                f"it does: {error}"
            )
        else:
            _log.debug("store.retry", str(error), lease=self._lease.name, seconds=time.time() - self.away_since)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self.due_at = time.monotonic() + self._pause

    def _note_back(self) -> None:
        assert self.away_since is not None
        _log.info("store.back", "it answers again", lease=self._lease.name, seconds=time.time() - self.away_since)
        passed = format_duration(max(0.0, time.time() - self.away_since))
        self.away_since = None
        self.notices.append(f"the metadata store answers again, after {passed}; the run goes on")

    def take_notices(self) -> list[str]:
        """What the user should be told, each once."""
        notices, self.notices = self.notices, []
        return notices
