"""What an attempt printed, on its way to the run's log: cut at the limit, without secrets, in numbered pieces."""

from __future__ import annotations

from collections.abc import Collection

from headrace._base.output_redaction import OutputRedactor
from headrace.model.attempts import LogRules
from headrace.model.records import LogChunk, TaskId

_STREAMS = ("out", "err")


class AttemptLog:
    """The output of one attempt. Streams are 0 (standard output) and 1 (standard error)."""

    __slots__ = ("_attempt", "_kept", "_lost", "_redactors", "_run_id", "_seq", "_task", "broken_off")

    def __init__(self, run_id: int, task: TaskId, attempt: int) -> None:
        self._run_id = run_id
        self._task = task
        self._attempt = attempt
        self._seq = 0
        self._kept = [0, 0]
        self._lost = [False, False]
        self._redactors: tuple[OutputRedactor, OutputRedactor] | None = None  # where the run knows secrets
        self.broken_off = False  # its stderr does not end with a whole line

    def go_on(self, seq: int, kept: tuple[int, int]) -> None:
        """Go on with the log of an attempt of which so many bytes were kept, in pieces numbered below ``seq``."""
        self._seq = seq
        self._kept = list(kept)

    def room(self, stream: int, rules: LogRules) -> int:
        """How many bytes of ``stream`` may be kept yet."""
        return max(0, rules.limit - self._kept[stream])

    def cut(self, stream: int, size: int, rules: LogRules) -> bytes:
        """Count ``size`` bytes that were printed; returns what to say where the first of them are not kept."""
        over = size > self.room(stream, rules) and not self._lost[stream]
        self._lost[stream] |= over
        self._kept[stream] += size
        return rules.cut_line if over else b""

    def redacted(self, stream: int, data: bytes, secrets: Collection[str]) -> bytes:
        """``data`` without the values of ``secrets``; what may become one waits for the next call."""
        if not secrets:
            return data
        if self._redactors is None:
            self._redactors = (OutputRedactor(), OutputRedactor())
        return self._redactors[stream].feed(data, secrets)

    def rest(self, secrets: Collection[str]) -> list[tuple[int, bytes]]:
        """What ``redacted`` held back, by stream, once the attempt is over."""
        ended = [(at, one.feed(b"", secrets, last=True)) for at, one in enumerate(self._redactors or ())]
        return [(stream, data) for stream, data in ended if data]

    def chunk(self, stream: int, data: bytes, now: float) -> LogChunk:
        """The row for ``data``, the next piece of ``stream``."""
        step, number = self._task
        made = LogChunk(
            run_id=self._run_id,
            step=step,
            number=number,
            attempt=self._attempt,
            seq=self._seq,
            stream=_STREAMS[stream],
            time=now,
            data=data,
        )
        self._seq += 1
        if stream == 1:
            self.broken_off = not data.endswith(b"\n")
        return made
