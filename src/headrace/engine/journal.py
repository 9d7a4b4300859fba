"""What a driver has decided and not yet written: batches of rows, committed under the run's lease.

While the store does not answer, everything is kept and tried again, for as long as nobody else takes the lease. Used by
``loop`` only, under its lock.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from headrace._base.sizes import format_duration
from headrace.model.errors import StoreAwayError
from headrace.model.records import LEASE_SECONDS, Lease
from headrace.stores.metadata.protocol import MetadataStore, Write

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
        self._metadata = metadata
        self._lease = lease
        self._writes: list[Write] = []
        self._tried: list[Write] = []  # perhaps written: the store did not say
        # What is measured here is never the time of day, which may be set back.
        self._extended = float("-inf")
        self._pause = 0.0
        #: When the next commit is to be tried (``time.monotonic``), if no urgent write comes before.
        self.due_at = time.monotonic() + _RENEW_AFTER
        self._notices: list[str] = []

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

    def commit(self) -> bool:
        """Write all there is. False: the store does not answer, and nothing that waits for the commit may go on.

        Raises:
            LeaseLostError: another process drives the run now.
            StoreError: the store cannot do its work.
        """
        clock = time.monotonic()
        if self.away_since is not None:
            if clock < self.due_at:
                return False
            self._extended = float("-inf")
        seconds = 0.0
        if clock - self._extended > _EXTEND_EVERY:
            self._extended = clock
            seconds = LEASE_SECONDS
        try:
            if self._tried:
                self._metadata.commit(self._tried, self._lease, seconds)
            self._tried, self._writes, self.urgent = self._writes, [], False
            self._metadata.commit(self._tried, self._lease, seconds)
        except StoreAwayError as error:
            self.note_away(error)
            return False
        self._tried = []
        self.due_at = clock + _RENEW_AFTER
        if self.away_since is not None:
            self._note_back()
        return True

    def note_away(self, error: StoreAwayError) -> None:
        """The store did not answer: ask again after a pause, longer each time."""
        self.urgent = True  # nothing goes on before a commit succeeds
        if self.away_since is None:
            self.away_since = time.time()
            self._pause = _FIRST_PAUSE
            when = time.strftime("%H:%M:%S", time.localtime(self.away_since))
            self._notices.append(
                f"the metadata store does not answer since {when}; running tasks go on, and nothing new starts until "
                f"it does: {error}"
            )
        else:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self.due_at = time.monotonic() + self._pause

    def _note_back(self) -> None:
        assert self.away_since is not None
        passed = format_duration(max(0.0, time.time() - self.away_since))
        self.away_since = None
        self._notices.append(f"the metadata store answers again, after {passed}; the run goes on")

    @property
    def has_notices(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._notices)

    def take_notices(self) -> list[str]:
        """What the user should be told, each once."""
        notices, self._notices = self._notices, []
        return notices
