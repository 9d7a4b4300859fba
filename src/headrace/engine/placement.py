"""Placement: which ready tasks start next, given what running attempts hold. Pure, and owned by ``decide``.

Ready tasks wait in lanes of equal needs, first come first served. A task that does not fit lets tasks of other lanes
pass for ``PATIENCE`` seconds; then they wait behind it. Short tasks may be *sent ahead*: a busy worker holds them in
hand until it is free. All totals are kept as attempts start and end, so that the cost of an event does not grow with
the number of running attempts.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

import msgspec

from headrace.engine.tasks import Task
from headrace.model.policy import Resources
from headrace.model.states import TaskState

#: An attempt expected to take less than this many seconds in all may be sent ahead of its turn.
AHEAD_SECONDS = 0.002
AHEAD_DEPTH = 8
#: A ready task that does not fit lets smaller ones pass it for this many seconds, then they wait behind it.
PATIENCE = 2.0


class Slot(msgspec.Struct):
    """A live lease of an attempt on resources. ``reason``, once set, says why the attempt is being killed."""

    task: Task
    resources: Resources
    gpus: tuple[int, ...]
    ahead: bool
    started: float
    reason: str = ""
    recorded: bool = False  # as running
    where: tuple[str, int] = ("", 0)  # host and process, once it is recorded


#: What the tasks of a lane need, and their step and its limit where it has one.
LaneShape = tuple[Resources, str, int]


class Lane(msgspec.Struct):
    """Ready tasks of equal shape: when the head does not fit, none does. Never empty."""

    tasks: deque[Task] = msgspec.field(default_factory=deque)


class Placement:
    """Ready lanes and live slots (by token) of one run, and running totals of what the slots hold."""

    def __init__(self, capacity: Resources, max_parallel: int = 0) -> None:
        self.capacity = capacity
        self.max_parallel = max_parallel
        self.lanes: dict[LaneShape, Lane] = {}
        self.slots: dict[int, Slot] = {}
        #: Cores, bytes and devices that attempts hold; those sent ahead wait their turn and hold nothing.
        self.cpu, self.memory, self.gpu = 0.0, 0, 0
        #: Slots of attempts that have begun and are not recorded as running, by token.
        self.unrecorded: dict[int, Slot] = {}
        self._free_gpus = list(range(capacity.gpu))  # a heap
        self._running = self._ahead = 0
        #: Attempts that others may wait behind: running, not being killed, not isolated.
        self._hosts = 0
        self._cores: dict[float, int] = {}  # how many slots ask for so many cores

    # --- ready tasks ------------------------------------------------------------------------------------------

    def enqueue(self, task: Task, now: float, *, front: bool = False) -> None:
        """Let ``task``, which is ready since ``now``, wait for its turn; ``front``: before all others of its lane."""
        task.ready_at = now
        limit = task.step.policy.max_parallel
        shape = (task.resources, task.step.name if limit else "", limit)
        lane = self.lanes.get(shape)
        if lane is None:
            lane = self.lanes[shape] = Lane()
        if front:
            lane.tasks.appendleft(task)
        else:
            lane.tasks.append(task)

    def startable(self, now: float) -> Iterator[tuple[Task, bool]]:
        """The tasks to start now, each with whether it is sent ahead; lease each before asking for the next one."""
        for shape, lane in sorted(self.lanes.items(), key=lambda item: item[1].tasks[0].ready_at):
            blocked = False
            while lane.tasks:
                task = lane.tasks[0]
                if task.state is not TaskState.READY:  # cancelled while it waited
                    lane.tasks.popleft()
                    continue
                ahead = False
                if not self._fits(task):
                    if not self._may_go_ahead(task):
                        blocked = now - task.ready_at > PATIENCE and not _held_by_policy(task)
                        break
                    ahead = True
                lane.tasks.popleft()
                yield task, ahead
            if not lane.tasks:
                del self.lanes[shape]
            if blocked:
                return

    def _fits(self, task: Task) -> bool:
        if self.max_parallel and self._running >= self.max_parallel:
            return False
        if task.step.policy.max_parallel and _held_by_policy(task):
            return False
        need, capacity = task.resources, self.capacity
        return (
            self.cpu + need.cpu <= capacity.cpu + 1e-9
            and self.memory + need.memory <= capacity.memory
            and self.gpu + need.gpu <= capacity.gpu
        )

    def _may_go_ahead(self, task: Task) -> bool:
        """Whether ``task`` is so short that a busy worker may hold it in hand."""
        load, policy = task.step.load, task.step.policy
        if load.seconds is None or policy.isolated or policy.timeout or policy.max_parallel:
            return False
        if policy.resources.gpu or policy.resources.memory:
            return False
        if policy.resources.cpu > min(self._cores, default=self.capacity.cpu):  # it will have what that one leaves
            return False
        depth = min(AHEAD_DEPTH, int(AHEAD_SECONDS / max(load.seconds, 1e-6)))
        return self._ahead < depth * self._hosts

    # --- running attempts -------------------------------------------------------------------------------------

    def lease(self, token: int, task: Task, now: float, *, ahead: bool) -> Slot:
        """Give attempt ``token`` of ``task`` what it needs."""
        need = task.resources
        gpus = tuple([heapq.heappop(self._free_gpus) for _ in range(need.gpu)]) if need.gpu else ()
        slot = self.slots[token] = Slot(task, need, gpus, ahead, now)
        task.step.load.running += 1
        self._cores[need.cpu] = self._cores.get(need.cpu, 0) + 1
        if ahead:
            self._ahead += 1
        else:
            self._occupy(slot)
            self.unrecorded[token] = slot
        return slot

    def promote(self, token: int, now: float) -> Slot | None:
        """An attempt that was sent ahead begins to run; None if its lease has ended."""
        slot = self.slots.get(token)
        if slot is not None and slot.ahead:
            slot.ahead = False
            slot.started = now
            self._ahead -= 1
            self._occupy(slot)
            self.unrecorded[token] = slot
        return slot

    def condemn(self, token: int, reason: str) -> Slot | None:
        """Note why an attempt is to be killed; None if its lease has ended or it is being killed already."""
        slot = self.slots.get(token)
        if slot is None or slot.reason:
            return None
        self._hosts -= not (slot.ahead or slot.task.step.policy.isolated)
        slot.reason = reason
        return slot

    def release(self, token: int) -> Slot | None:
        """End a lease. None if it ended before: whoever speaks for it has nothing to say any more."""
        slot = self.slots.pop(token, None)
        if slot is None:
            return None
        self.unrecorded.pop(token, None)
        need = slot.resources
        slot.task.step.load.running -= 1
        alike = self._cores[need.cpu]
        if alike > 1:
            self._cores[need.cpu] = alike - 1
        else:
            del self._cores[need.cpu]
        for gpu in slot.gpus:
            heapq.heappush(self._free_gpus, gpu)
        if slot.ahead:
            self._ahead -= 1
        else:
            self._hosts -= not (slot.reason or slot.task.step.policy.isolated)
            self._running -= 1
            self.memory -= need.memory
            self.gpu -= need.gpu
            self.cpu = self.cpu - need.cpu if self._running else 0.0  # rounding errors end here
        return slot

    def _occupy(self, slot: Slot) -> None:
        need = slot.resources
        self._running += 1
        self._hosts += not (slot.reason or slot.task.step.policy.isolated)
        self.cpu += need.cpu
        self.memory += need.memory
        self.gpu += need.gpu


def _held_by_policy(task: Task) -> bool:
    """Whether its step runs as many tasks as this call allows; what is free then is for others."""
    limit = task.step.policy.max_parallel
    return bool(limit) and task.step.load.running >= limit
