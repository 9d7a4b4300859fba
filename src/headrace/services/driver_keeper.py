"""Keeps a driver of a run at work, in a process of its own, until the run is over or this process is asked to end.

For pods, which may be asked to go at any time. A keeper that is asked to end lets its driver write down what runs, and
kills it if that takes too long; it leaves the run's lease to the driver of the next pod, and asks for that pod. What is
running in workers elsewhere goes on meanwhile, and the next driver takes it over.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from headrace._base.logs import Log
from headrace._base.variables import KEPT
from headrace.model.errors import HeadraceError, StoreAwayError
from headrace.model.records import LEASE_SECONDS, RunRecord, lease_name
from headrace.model.states import RunState
from headrace.services.leases import leave_to_heir, make_way, take_lease
from headrace.stores.metadata.protocol import MetadataStore, RunChange

_log = Log("runs")

#: Seconds between two looks at a lease that another driver has.
_LOOK = 0.3
#: Seconds between a driver that ended before its time and the next one: twice as many each time, at most so many.
_PAUSE, _LONGEST = 0.5, 30.0
#: Drivers in a row that end by themselves and have done nothing, after which the run has failed.
_TRIES = 3
_LAST_LINES = 20
#: Seconds that a driver has to write down what runs.
_LEAVING = 3.0


class DriverKeeper:
    """See the module. ``command`` drives ``run`` in ``place``, and ``hand_on`` asks for the next pod there.

    ``leaving`` says whether this process was asked to end before it could hear the signal.
    """

    def __init__(
        self,
        metadata: MetadataStore,
        run: RunRecord,
        command: Sequence[str],
        place: str,
        hand_on: Callable[[], None],
        leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        self._metadata = metadata
        self._run = run
        self._command = command
        self._place = place
        self._hand_on = hand_on
        self._leaving = leaving
        self._asked = threading.Event()
        self._driver: subprocess.Popen[bytes] | None = None
        self._said: deque[bytes] = deque(maxlen=_LAST_LINES)

    def run(self) -> int:
        """Do it; returns the exit code: 0 also where the run failed, which another driver would not mend."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        if self._leaving():
            self._asked.set()
        tries, pause = 0, _PAUSE
        while not self._asked.is_set():
            try:
                if self._is_over():
                    return 0
                if not make_way(self._metadata, self._run):
                    self._asked.wait(_LOOK)
                    continue
            except StoreAwayError as error:
                _log.warning("store.away", str(error), run=self._run.name)
                self._asked.wait(_LONGEST / 10)
                continue
            before = self._session()
            code = self._drive()
            if self._asked.is_set():
                break
            if code == 0:
                pause = _PAUSE
                continue
            tries = 0 if self._session() != before or code < 0 else tries + 1
            if tries == _TRIES:
                self._fail()
                return 0
            _log.warning("driver.ended", f"with code {code}; another one follows in {pause:g} s", run=self._run.name)
            self._asked.wait(pause)
            pause = min(2 * pause, _LONGEST)
        return self._leave()

    def _end(self, *_: object) -> None:
        self._asked.set()
        if self._driver is not None:
            threading.Thread(target=_see_off, args=(self._driver,), daemon=True).start()

    def _drive(self) -> int:
        """Run a driver to its end; returns its exit code."""
        self._said.clear()
        self._driver = subprocess.Popen(
            self._command, stderr=subprocess.PIPE, start_new_session=True, env={**os.environ, KEPT: "1"}
        )
        try:
            if self._asked.is_set():  # just now
                self._end()
            assert self._driver.stderr is not None
            for line in self._driver.stderr:
                self._said.append(line)
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()
            return self._driver.wait()
        finally:
            assert self._driver.stderr is not None
            self._driver.stderr.close()

    def _is_over(self) -> bool:
        current = self._metadata.run_by_id(self._run.id)
        return current is None or current.state is not RunState.RUNNING

    def _session(self) -> int:
        with contextlib.suppress(HeadraceError):
            current = self._metadata.run_by_id(self._run.id)
            return 0 if current is None else current.session
        return -1

    def _fail(self) -> None:
        """Record that no driver can be had for the run, with what the last one said."""
        said = b"".join(self._said).decode(errors="replace").strip()
        error = said.splitlines()[-1].removeprefix("headrace: ") if said else "its driver ended at once"
        if error.startswith("ModuleNotFoundError: "):
            error += f"; the image of place {self._place!r} needs the packages that the flow imports"
        lease = take_lease(self._metadata, self._run)
        change = RunChange(
            run_id=self._run.id,
            state=RunState.FAILED,
            finished=time.time(),
            error=f"its driver cannot work: {error}",
            traceback=said,
        )
        self._metadata.commit([change], lease, LEASE_SECONDS)
        self._metadata.release(lease)

    def _leave(self) -> int:
        """Leave the run to the next pod."""
        if not self._is_over():
            held = self._metadata.lease(lease_name(self._run.id))
            mine = f":{self._driver.pid}:" if self._driver is not None else "-"
            if held is not None and mine in held.owner:
                leave_to_heir(self._metadata, self._run, held.owner, self._place)
            self._hand_on()
        return 0


def _see_off(driver: subprocess.Popen[bytes]) -> None:
    """Ask a driver to leave, and end it and its processes."""
    with contextlib.suppress(ProcessLookupError):
        driver.send_signal(signal.SIGUSR1)
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.wait(_LEAVING)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(driver.pid, signal.SIGKILL)
