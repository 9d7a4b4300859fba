"""What a driver knows of one of its workers, and of an attempt in a worker's hands."""

from __future__ import annotations

from collections import deque

from headrace.engine.attempt_log import AttemptLog
from headrace.engine.ports import Executor, WorkerLink
from headrace.engine.tasks import Task


class HeldAttempt:
    """An attempt in a worker's hands."""

    __slots__ = ("announced", "memory", "number", "printed", "run_id", "task", "token", "tries")

    def __init__(self, run_id: int, task: Task, token: int) -> None:
        self.run_id = run_id
        self.task = task
        self.token = token
        self.number = task.attempt
        self.tries = task.attempt - task.attempts_before  # in this session
        self.printed: AttemptLog | None = None
        self.memory = 0  # when it was last found to use more than it may
        self.announced = False

    @property
    def log(self) -> AttemptLog:
        """What it printed; made when it prints something."""
        if self.printed is None:
            self.printed = AttemptLog(self.run_id, self.task.id, self.number)
        return self.printed


class HeldWorker:
    """A worker of the run, from the request for it to its end."""

    __slots__ = (
        "blocked",
        "dying",
        "executor",
        "fd",
        "idle",
        "idle_since",
        "killed_for",
        "kind",
        "known",
        "link",
        "machine",
        "offsets",
        "once",
        "protocol_error",
        "queue",
        "secrets",
        "secrets_known",
    )

    def __init__(self, link: WorkerLink, executor: Executor, idle: list[HeldWorker], once: bool) -> None:
        self.link = link
        self.executor = executor
        self.fd = link.fileno()
        self.idle = idle  # the idle workers of its spec
        self.machine = ""  # of its place, where there are several
        self.idle_since = 0.0  # when it was first seen to be idle; 0: it was not
        self.queue: deque[HeldAttempt] = deque()
        self.known: dict[int, None] = {}
        self.blocked = False  # whether its link keeps messages that could not be sent yet
        self.offsets = [0, 0]
        self.once = once  # takes a single attempt, and leaves after it
        self.kind: object = None  # that of the steps for which it was asked for
        self.dying = False
        self.killed_for = 0  # the attempt because of which it is being stopped
        self.protocol_error = False
        self.secrets: set[str] = set()  # names of those that it was sent
        self.secrets_known = 0  # how many there were when it last heard of any


def name_of(worker: HeldWorker) -> str:
    """Host and process of a worker, for the log."""
    host, pid = worker.link.where
    return f"{host}:{pid}"
