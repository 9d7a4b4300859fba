"""Placement: which ready tasks start next, given what running attempts hold. Pure, and owned by ``decide``.

Ready tasks wait in lanes of equal needs, first come first served. Each place has a room (``engine.rooms``) with running
totals of what attempts hold there; they change as attempts start and end, so that the cost of an event does not grow
with the number of running attempts. A task that does not fit lets tasks of other lanes pass for ``PATIENCE`` seconds;
then those that need the same room wait behind it. Short tasks may be *sent ahead*: a busy worker holds them in hand
until it is free. The tasks of a gang are in a lane as one, and start together or not at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

import msgspec

from headrace.engine.rooms import Room
from headrace.engine.tasks import Gang, Task
from headrace.model.calls import StepInfo
from headrace.model.outcomes import Problem
from headrace.model.policy import Resources
from headrace.model.states import TaskState
from headrace.model.workers import LOCAL, Capacity

#: An attempt expected to take less than this many seconds in all may be sent ahead of its turn.
AHEAD_SECONDS = 0.002
AHEAD_DEPTH = 8
#: A ready task that does not fit lets smaller ones pass it for this many seconds, then they wait behind it.
PATIENCE = 2.0
#: Steps whose shapes are kept; ``options`` in a loop makes many.
_KNOWN_SHAPES = 1_000


class Slot(msgspec.Struct):
    """A live lease of an attempt on resources. ``reason``, once set, says why the attempt is being killed."""

    task: Task
    resources: Resources
    gpus: tuple[int, ...]
    ahead: bool
    started: float
    reason: type[Problem] | None = None
    recorded: bool = False  # as running
    where: tuple[str, int] = ("", 0)  # host and process, once it is recorded
    place: str = LOCAL
    machine: str = ""  # of the place, where it has several


class LaneShape(msgspec.Struct, frozen=True, cache_hash=True):
    """What the tasks of a lane need where, and their step and its limit if it has one."""

    place: str
    need: Resources
    count: int
    step: str
    limit: int


class Lane(msgspec.Struct):
    """Ready tasks of equal shape: when the head does not fit, none does. Never empty."""

    tasks: deque[Task] = msgspec.field(default_factory=deque)


#: What a waiting task may lack room in: the limit of the run, of a step, or a place.
Scope = tuple[str, str]
_RUN: Scope = ("run", "")


class Placement:
    """Ready lanes and live slots (by token) of one run, and a room per place.

    ``default`` is the place of tasks that name none.
    """

    def __init__(self, capacities: Mapping[str, Capacity], default: str = LOCAL, max_parallel: int = 0) -> None:
        self.rooms = {place: Room(capacity) for place, capacity in capacities.items()}
        self.default = default
        self.max_parallel = max_parallel
        self.lanes: dict[LaneShape, Lane] = {}
        self.slots: dict[int, Slot] = {}
        #: Slots of attempts that have begun and are not recorded as running, by token.
        self.unrecorded: dict[int, Slot] = {}
        self.running = 0
        self.closed = False  # nothing starts any more
        self._told: set[LaneShape] = set()  # needs that are told to be too large
        #: Of steps, by ``StepInfo.id``, for tasks of no gang that ask for what their policy says.
        self._shapes: dict[int, LaneShape] = {}

    def room_of(self, task: Task) -> Room:
        """The room where ``task`` is to run."""
        return self.rooms[task.step.policy.place or self.default]

    def resize(self, place: str, capacity: Capacity) -> None:
        """Give a place another capacity, or add one. What runs there stays, also where it is more than fits now."""
        room = self.rooms.get(place)
        if room is None:
            self.rooms[place] = Room(capacity)
        else:
            held = [one for one in self.slots.values() if one.place == place and not one.ahead]
            room.resize(capacity, [(one.machine, one.resources, one.gpus) for one in held])

    # --- ready tasks ------------------------------------------------------------------------------------------

    def enqueue(self, task: Task, now: float, *, front: bool = False) -> None:
        """Let ``task``, which is ready since ``now``, wait for its turn; ``front``: before all others of its lane."""
        task.ready_at = now
        step = task.step
        usual = task.gang is None and task.resources is step.policy.resources
        shape = self._shapes.get(step.id) if usual else None
        if shape is None:
            shape = self._shape_of(task)
            if usual:
                if len(self._shapes) >= _KNOWN_SHAPES:
                    self._shapes.clear()
                self._shapes[step.id] = shape
        lane = self.lanes.get(shape)
        if lane is None:
            lane = self.lanes[shape] = Lane()
        if front:
            lane.tasks.appendleft(task)
        else:
            lane.tasks.append(task)

    def _shape_of(self, task: Task) -> LaneShape:
        policy = task.step.policy
        limit = policy.max_parallel
        need, count = (task.resources, 1) if task.gang is None else _needs(task.gang)
        return LaneShape(policy.place or self.default, need, count, task.step.name if limit else "", limit)

    def never_fits(self, gang: Gang) -> str:
        """Why a gang can never start as a whole; empty: it can."""
        need, count = _needs(gang)
        task = gang.tasks[0]
        place = task.step.policy.place or self.default
        capacity, limit = self.rooms[place].capacity, task.step.policy.max_parallel
        for most, what in ((self.max_parallel, "the run"), (limit, "its step")):
            if 0 < most < count:
                return f"its gang of {count} is to run at once, but {what} allows {most} tasks at once"
        have = capacity.largest
        if have is not None and (need.cpu > have.cpu + 1e-9 or need.memory > have.memory or need.gpu > have.gpu):
            return (
                f"its gang of {count} asks for {need.cpu:g} cpus, {need.memory / 2**30:g} GiB of memory and {need.gpu} "
                f"gpus together, but place {place!r} has {have.cpu:g}, {have.memory / 2**30:g} and {have.gpu}"
            )
        return ""

    def too_large(self) -> list[str]:
        """What to say of ready tasks for which no machine of their place is large enough; each need is told once."""
        found = []
        for shape, lane in self.lanes.items():
            room = self.rooms[shape.place]
            if not room.machines or shape in self._told:
                continue
            task = lane.tasks[0]
            if not room.can_ever_start([task]):
                self._told.add(shape)
                largest = max(one.capacity.resources.cpu for one in room.machines.values())
                found.append(
                    f"step {task.step.name!r} asks for {described(task.resources)}, and no machine that joined place "
                    f"{shape.place!r} has that (the largest has {largest:g} cpus); its tasks wait for one"
                )
            elif task.gang is not None and not room.can_ever_start(task.gang.tasks):
                self._told.add(shape)
                found.append(
                    f"the gang of {shape.count} of step {task.step.name!r} asks for {described(task.resources)} each, "
                    f"and the machines that joined place {shape.place!r} have no room for all of it; it waits for more"
                )
        return found

    def startable(self, now: float) -> Iterator[tuple[Task, bool]]:
        """The tasks to start now, each with whether it is sent ahead; lease each before asking for the next one."""
        if self.closed:
            return
        blocked: set[Scope] = set()
        lanes = list(self.lanes.items())
        if len(lanes) > 1:
            lanes.sort(key=lambda item: item[1].tasks[0].ready_at)
        for shape, lane in lanes:
            if blocked and not blocked.isdisjoint((_RUN, ("place", shape.place), ("step", shape.step))):
                continue
            room = self.rooms[shape.place]
            lacking: Scope | None = None
            step: StepInfo | None = None
            most = 0  # attempts that may be sent ahead of their turn, as far as that is up to ``step``
            while lane.tasks:
                task = lane.tasks[0]
                if task.state is not TaskState.READY:  # cancelled while it waited
                    lane.tasks.popleft()
                    continue
                lacking = lacking or self._lacking(shape, task)  # starting more makes no room
                if lacking is not None:
                    if task.step is not step:
                        step, most = task.step, self._most_ahead(shape, task)
                    if room.ahead >= most:
                        # What its step's limit holds back is held back alone: the room is for others, but for a gang,
                        # for which single tasks of its step would never leave enough.
                        if now - task.ready_at > PATIENCE and (lacking[0] != "step" or shape.count > 1):
                            blocked.add(lacking)
                        break
                lane.tasks.popleft()
                yield task, lacking is not None
            if not lane.tasks:
                del self.lanes[shape]

    def _lacking(self, shape: LaneShape, task: Task) -> Scope | None:
        """Where the tasks of a lane lack room; None if its head may start."""
        if self.max_parallel and self.running + shape.count > self.max_parallel:
            return _RUN
        if shape.limit and task.step.load.running + shape.count > shape.limit:
            return "step", shape.step
        room = self.rooms[shape.place]
        if not room.fits(shape.need, shape.count):
            return "place", shape.place
        if room.machines and not room.find_machines([task] if task.gang is None else task.gang.tasks):
            return "place", shape.place
        return None

    def _most_ahead(self, shape: LaneShape, task: Task) -> int:
        """How many attempts busy workers may hold in hand in all, if one of ``task`` is to be among them."""
        load, policy = task.step.load, task.step.policy
        if load.seconds is None or task.step.kind is None or policy.timeout or shape.limit or task.gang is not None:
            return 0
        if policy.resources.gpu or policy.resources.memory:
            return 0
        room = self.rooms[shape.place]
        if policy.resources.cpu > min(room.cores, default=room.capacity.resources.cpu):  # it gets what that one leaves
            return 0
        return room.hosts.get(task.step.kind, 0) * min(AHEAD_DEPTH, int(AHEAD_SECONDS / max(load.seconds, 1e-6)))

    # --- running attempts -------------------------------------------------------------------------------------

    def lease(self, token: int, task: Task, now: float, *, ahead: bool, begun: bool = False) -> Slot:
        """Give attempt ``token`` of ``task`` what it needs. ``begun``: it runs already, ``promote`` will say where."""
        need, place = task.resources, task.step.policy.place or self.default
        room = self.rooms[place]
        machine = room.find_machines([task])[0] if room.machines and not (ahead or begun) else ""
        gpus = room.take_gpus(need.gpu, machine) if need.gpu and not begun else ()
        slot = self.slots[token] = Slot(task, need, gpus, ahead, now, place=place, machine=machine)
        task.step.load.running += 1
        room.cores[need.cpu] = room.cores.get(need.cpu, 0) + 1
        if ahead:
            room.ahead += 1
        else:
            self._occupy(slot, room)
            self.unrecorded[token] = slot
        return slot

    def promote(self, token: int, now: float, machine: str = "") -> Slot | None:
        """An attempt that was sent ahead begins to run, or one that has begun is found; None if its lease has ended."""
        slot = self.slots.get(token)
        if slot is not None and not slot.ahead and machine:
            slot.machine = machine
            self.rooms[slot.place].occupy(slot.resources, machine)
        elif slot is not None and slot.ahead:
            slot.ahead, slot.machine = False, machine
            slot.started = now
            room = self.rooms[slot.place]
            room.ahead -= 1
            self._occupy(slot, room)
            self.unrecorded[token] = slot
        return slot

    def condemn(self, token: int, reason: type[Problem]) -> Slot | None:
        """Note why an attempt is to be killed; None if its lease has ended or it is being killed already."""
        slot = self.slots.get(token)
        if slot is None or slot.reason is not None:
            return None
        if not slot.ahead:
            self.rooms[slot.place].count_host(slot.task.step.kind, -1)
        slot.reason = reason
        return slot

    def release(self, token: int) -> Slot | None:
        """End a lease. None if it has ended before: then what is said about the attempt no longer counts."""
        slot = self.slots.pop(token, None)
        if slot is None:
            return None
        self.unrecorded.pop(token, None)
        need, room = slot.resources, self.rooms[slot.place]
        slot.task.step.load.running -= 1
        alike = room.cores[need.cpu]
        if alike > 1:
            room.cores[need.cpu] = alike - 1
        else:
            del room.cores[need.cpu]
        if slot.gpus:
            room.return_gpus(slot.gpus, slot.machine)
        if slot.ahead:
            room.ahead -= 1
        else:
            self.running -= 1
            room.running -= 1
            if not slot.reason:
                room.count_host(slot.task.step.kind, -1)
            room.memory -= need.memory
            room.gpu -= need.gpu
            room.cpu = room.cpu - need.cpu if room.running else 0.0  # rounding errors end here
            if slot.machine:
                room.vacate(need, slot.machine)
        return slot

    def _occupy(self, slot: Slot, room: Room) -> None:
        need = slot.resources
        self.running += 1
        room.running += 1
        if not slot.reason:
            room.count_host(slot.task.step.kind, 1)
        room.cpu += need.cpu
        room.memory += need.memory
        room.gpu += need.gpu
        if slot.machine:
            room.occupy(need, slot.machine)


def described(need: Resources) -> str:
    """What a task asks for, for people."""
    parts = [f"{need.cpu:g} cpus"]
    parts += [f"{need.memory / 2**30:g} GiB of memory"] if need.memory else []
    parts += [f"{need.gpu} gpus"] if need.gpu else []
    return " and ".join(parts)


def _needs(gang: Gang) -> tuple[Resources, int]:
    """What has to be free for a gang to start, and how many attempts start then."""
    each = [one.resources for one in gang.tasks]
    together = Resources(
        sum(one.cpu for one in each), sum(one.memory for one in each), sum(one.gpu for one in each), each[0].enforced
    )
    return together, len(each)
