"""What a driver and a worker say to each other: framed msgpack, the same over a local socket or a network.

A frame is a 4-byte little-endian length and that many bytes of one tagged message. The driver speaks ``ToWorker``,
the worker ``ToDriver``. ``token`` names one attempt within a run's session; a worker repeats it, and the driver
ignores tokens it no longer holds a lease for.
"""

# Annotations are objects here, not texts, which msgspec would evaluate one by one when it makes a decoder.

import functools
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from headrace.model.environments import EnvironmentLock
from headrace.model.records import ArtifactRecord, TaskId
from headrace.model.values import Packed, Preview

_HEADER = 4
#: A longer frame than this is a broken or hostile peer, not a message.
MAX_FRAME = 1 << 30
#: The exit code of a worker whose step closed the worker's own files, its socket among them.
OWN_FILES_CLOSED = 233


# --- driver to worker -------------------------------------------------------------------------------------------


class Binding(msgspec.Struct, frozen=True, array_like=True):
    """A name that a step's code reaches: ``name`` in what ``module``, ``path`` and ``depth`` lead to.

    ``kind`` as in ``identity.fingerprint.Binding``. ``index`` is the place of its value in the values that travel with
    the definition, or ``AS_IMPORTED``, ``UNBOUND``, ``STAYS`` (it cannot travel; ``type`` says what it is). A value is
    set where the worker's own has another ``digest``, and without one in any case.
    """

    module: str
    path: str
    depth: int
    kind: str
    name: str
    index: int
    digest: bytes = b""
    type: str = ""


AS_IMPORTED, UNBOUND, STAYS = -1, -2, -3
#: Definitions that a driver expects a worker to remember; a worker remembers more, for those that are on their way.
KNOWN_STEPS = 1_000


class Surroundings(msgspec.Struct, frozen=True, array_like=True):
    """What is other in the flow's process than when its workers were made."""

    variables: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()
    directory: str = ""
    argv: tuple[str, ...] | None = None


class Define(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Make step ``step`` known to the worker, before its first ``Execute``.

    The function is found by ``slot`` in the registry called ``home`` (when the worker was forked from the process that
    has it), else unpickled from ``body``, else by ``module`` and ``qualname``. ``fields`` names the outputs of a step
    that returns several; ``env`` are variables to set while it runs; ``threads`` how many a numeric library may use.
    A ``raw`` function gets its arguments packed and names its outputs itself, see ``runtime.raw``. ``bindings`` are
    names that the code reaches, with their ``values`` where these may differ from the worker's, see
    ``worker.bindings``; ``surroundings`` those of the flow. ``stores`` are the names of globals and attributes that the
    code binds; ``secrets`` those of variables whose values came in a ``Secrets``, as ``runtime.secrets.of_step`` says.
    With ``command`` the step is not a function but that command line: a ``CommandSpec`` as msgpack.
    """

    step: int
    name: str
    home: int = 0
    slot: int = -1
    module: str = ""
    qualname: str = ""
    body: bytes = b""
    fields: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    threads: int = 1
    raw: bool = False
    bindings: tuple[Binding, ...] = ()
    values: Packed | None = None
    surroundings: Surroundings | None = None
    stores: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    command: bytes = b""


class Argument(msgspec.Struct, frozen=True, array_like=True):
    """A packed argument; ``fills`` are the values for the holes of a template. ``name`` empty: positional."""

    name: str
    value: Packed
    fills: tuple[Packed, ...] = ()
    template: bool = False


class GangNode(msgspec.Struct, frozen=True, array_like=True):
    """The place of an attempt in its gang: ``rank`` of ``size``; ``address`` is where node 0 can be reached, empty if
    its executor does not know.
    """

    rank: int
    size: int
    address: str


class Execute(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Run one attempt. ``task`` is its name for people (``train/42/fit/3``); ``gpus`` the devices it may see.

    Of its attempts, ``before`` were made by earlier sessions of the run. ``seed`` is that of the task: 16 bytes, or
    none. ``memory`` is what the attempt may use, in bytes, where a retry asks for more than the step (else 0).
    """

    token: int
    step: int
    task: str
    attempt: int
    arguments: tuple[Argument, ...]
    gpus: tuple[int, ...] = ()
    before: int = 0
    seed: bytes = b""
    gang: GangNode | None = None
    memory: int = 0


class Stop(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Leave after what is at hand."""


class Secrets(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Names and values of secrets that later attempts refer to. Never recorded.

    ``withheld``: secrets of steps whose variables no other step may see, also where this process was started with them.
    """

    values: tuple[tuple[str, str], ...]
    withheld: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Secrets({', '.join(name for name, _ in self.values)})"


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """The sender is alive. Of a worker: ``memory`` (bytes) and ``token`` are those of its process and its attempt.

    ``received`` is how many messages of the other side arrived, heartbeats not counted. Only between hosts: a local
    peer that dies closes its socket.
    """

    memory: int = 0
    token: int = 0
    received: int = 0


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """To a worker elsewhere: end the attempt in hand, with the process that runs it.

    The process gets SIGTERM, and SIGKILL after ``grace`` seconds. ``Exited`` is the answer; the worker stays.
    """

    grace: float


class Bye(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """To a worker elsewhere: nothing comes after this; end the process."""


class Begin(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """To a worker elsewhere: what follows is for the process that it has now, or for one in the environment ``lock``.

    What came before this and after the end of the process before was for that one.
    """

    lock: EnvironmentLock | None = None


ToWorker = Define | Execute | Stop | Secrets | Heartbeat | Cancel | Bye | Begin


# --- worker to driver -------------------------------------------------------------------------------------------


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """The worker is up."""

    pid: int
    host: str


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """What an attempt cost, and where its output ends in the two log files."""

    started: float
    finished: float
    cpu_seconds: float
    peak_memory: int
    log_ends: tuple[int, int]


class Output(msgspec.Struct, frozen=True, array_like=True):
    """A named output as stored."""

    name: str
    value: Packed
    preview: Preview

    def recorded(self, run_id: int, task: TaskId, created: float, kind: str = "output") -> ArtifactRecord:
        """The row that says it is of ``task``."""
        return ArtifactRecord(
            run_id=run_id,
            step=task.step,
            number=task.number,
            name=self.name,
            value=self.value,
            preview=self.preview,
            created=created,
            kind=kind,
        )


class Done(msgspec.Struct, frozen=True, array_like=True, tag=17):
    """The attempt succeeded and its outputs are in the store. ``last``: the worker takes no other attempt.

    What is not ``reusable`` is this run's result, and nothing to answer other calls with from the cache.
    """

    token: int
    outputs: tuple[Output, ...]
    usage: Usage
    reusable: bool = True
    last: bool = False


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=18):
    """The attempt failed. ``failure`` is a ``model.states.Failure``; ``classes`` the qualified names of the
    exception's class and its bases; ``bad_blob`` the blob that could not be read, for failure ``input``; ``last``
    as for ``Done``.
    """

    token: int
    failure: str
    error: str
    traceback: str
    exception: Packed | None
    classes: tuple[str, ...]
    usage: Usage
    bad_blob: bytes = b""
    last: bool = False


class Handback(msgspec.Struct, frozen=True, array_like=True, tag=19):
    """Attempts sent ahead that the worker gives back unstarted, because its current one takes long."""

    tokens: tuple[int, ...]


class Metrics(msgspec.Struct, frozen=True, array_like=True):
    """Points of one metric, column by column."""

    name: str
    values: tuple[float, ...]
    steps: tuple[int, ...]
    times: tuple[float, ...]


class Track(msgspec.Struct, frozen=True, array_like=True, tag=20):
    """What the attempt logged since the last such message."""

    token: int
    metrics: tuple[Metrics, ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    artifacts: tuple[Output, ...] = ()


class Imported(msgspec.Struct, frozen=True, array_like=True, tag=21):
    """What an attempt of ``step`` imports, in order: installed modules, and some of the user's ``own``."""

    step: str
    installed: tuple[str, ...]
    own: tuple[str, ...]


class Log(msgspec.Struct, frozen=True, array_like=True, tag=22):
    """What a worker elsewhere printed on ``stream`` (0: stdout, 1: stderr) from byte ``offset`` on.

    Bytes between two messages are missing where an attempt prints more than is kept of it. ``data`` is empty where such
    bytes are not followed by others yet.
    """

    stream: int
    offset: int
    data: bytes


class Exited(msgspec.Struct, frozen=True, array_like=True, tag=23):
    """The process of a worker elsewhere ended; the fields are as in ``engine.ports.WorkerExit``.

    The worker has another process from now on, to which the messages after this belong.
    """

    code: int
    out_of_memory: bool = False
    refused: str = ""


ToDriver = Ready | Done | Failed | Handback | Track | Imported | Log | Exited | Heartbeat

_encoder = msgspec.msgpack.Encoder()
M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)


@functools.cache  # a decoder takes a millisecond to make, and no process needs both
def _to_worker() -> msgspec.msgpack.Decoder[ToWorker]:
    return msgspec.msgpack.Decoder(ToWorker)


@functools.cache
def _to_driver() -> msgspec.msgpack.Decoder[ToDriver]:
    return msgspec.msgpack.Decoder(ToDriver)


def frame(message: ToWorker | ToDriver) -> bytes:
    """``message`` as bytes for the socket. Halves of characters, which texts of users may hold, are written out."""
    try:
        body = _encoder.encode(message)
    except UnicodeEncodeError:
        body = _encoder.encode(_writable(message))
    return len(body).to_bytes(_HEADER, "little") + body


def framed(body: bytes) -> bytes:
    """The frame around ``body``."""
    return len(body).to_bytes(_HEADER, "little") + body


def from_worker(body: bytes) -> ToDriver:
    """What the body of a frame from a worker means. Raises msgspec.DecodeError if it is not a message."""
    return _to_driver().decode(body)


def from_driver(body: bytes) -> ToWorker:
    """What the body of a frame from a driver means. Raises msgspec.DecodeError if it is not a message."""
    return _to_worker().decode(body)


def tag_of(body: bytes) -> int:
    """The number of the message's class, for hosts, which pass most messages on unread; -1 if it is not a message."""
    return body[1] if len(body) > 1 and 0x90 <= body[0] <= 0x9F and body[1] < 0x80 else -1


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, tuple):
        return tuple(_writable(one) for one in value)
    if isinstance(value, msgspec.Struct):
        return type(value)(*[_writable(one) for one in msgspec.structs.astuple(value)])
    return value


class Decoder(Protocol[M_co]):
    """Turns the body of a frame into what it means."""

    def decode(self, body: Any, /) -> M_co:
        """The message. Raises msgspec.DecodeError when it is none."""


class Frames(Generic[M]):
    """Cuts a byte stream into frames of at most ``limit`` bytes. Feed it what arrives; take whole messages out."""

    __slots__ = ("_decoder", "_rest", "limit")

    def __init__(self, decoder: Decoder[M], limit: int = MAX_FRAME) -> None:
        self._rest = bytearray()
        self._decoder: Decoder[M] = decoder
        self.limit = limit

    def feed(self, data: bytes) -> list[M]:
        """The messages that ``data`` completes.

        Raises:
            ValueError: a frame is longer than the limit; msgspec.DecodeError: it is not a message.
        """
        whole: bytes | bytearray = data
        if not self._rest and len(data) == _HEADER + int.from_bytes(data[:_HEADER], "little") <= self.limit:
            return [self._decoder.decode(memoryview(data)[_HEADER:])]  # as a rule
        if self._rest:
            self._rest += data
            whole = self._rest
        messages: list[M] = []
        at, end = 0, len(whole)
        view = memoryview(whole)
        while end - at >= _HEADER:
            size = int.from_bytes(view[at : at + _HEADER], "little")
            if size > self.limit:
                raise ValueError(f"a frame of {size} bytes")
            if end - at - _HEADER < size:
                break
            at += _HEADER + size
            messages.append(self._decoder.decode(view[at - size : at]))
        view.release()
        if whole is data:
            if at < end:
                self._rest += data[at:]
        else:
            del self._rest[:at]
        return messages


class _Bodies:
    def decode(self, body: Any, /) -> bytes:
        return bytes(body)


def raw_frames(limit: int = MAX_FRAME) -> Frames[bytes]:
    """Bodies as they are, for who passes most of them on unread."""
    return Frames(_Bodies(), limit)


def frames_from_driver() -> Frames[ToWorker]:
    """For a worker's end of the socket."""
    return Frames(_to_worker())


def frames_from_worker() -> Frames[ToDriver]:
    """For a driver's end of the socket."""
    return Frames(_to_driver())
