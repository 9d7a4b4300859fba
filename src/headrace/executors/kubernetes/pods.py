"""``PodKeeper``: which pods a place should have. A pure state machine: what happens goes in, creations and deletions
come out; it has no clock, no chance and no I/O.

A link that waits for a worker wants a pod of some *kind*. A pod is starting until its worker joins; then it is warm, or
taken by a link. No more pods are asked for than links wait, nor than the place allows. What the cluster refuses for
want of quota lowers that ceiling for a while. What an event or a tick costs does not grow with the number of pods
that are there, but with that of pods which change.

What is called a pod here may be a group of ``size`` pods, which is created, taken and deleted as a whole: a gang waits
for one.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from headrace.executors.kubernetes.turns import Room
from headrace.model.policy import Resources

#: Seconds between two tries of what was refused, or of pods that ended before they worked: at first, and at most.
_SOON, _LATE = 1.0, 30.0
#: Pods of a kind that may end in a row before one works; then those that wait for it fail.
_TRIES = 3
#: Slow pods that are told of at once, and entries of pods that are not idle any more which are no burden.
_SLOW_ONES, _STALE = 50, 100


class PodRules(msgspec.Struct, frozen=True, kw_only=True):
    """How many pods there are: at most ``pods``, with ``resources`` in all (None: no limit); per kind ``floor`` stay.

    Pods that nobody needs leave after ``idle`` seconds. One that does not work after ``start_timeout`` is given up.
    """

    pods: int
    resources: Resources | None = None
    floor: int = 0
    idle: float = 60.0
    start_timeout: float = 300.0


class Create(NamedTuple):
    """Create a pod of this kind with this name."""

    name: str
    kind: str


class Delete(NamedTuple):
    """Delete a pod, because ``why``."""

    name: str
    why: str


class GiveBack(NamedTuple):
    """Let so many links of those that wait longest for this kind end: what they carry gets another turn."""

    kind: str
    links: int


class Fail(NamedTuple):
    """Let all links that wait for this kind fail, because ``why``."""

    kind: str
    why: str


Action = Create | Delete | GiveBack | Fail


class _Pod:
    __slots__ = ("asked", "kind", "name", "said", "since")

    def __init__(self, name: str, kind: _Kind, now: float) -> None:
        self.name = name
        self.kind = kind
        self.asked = now  # when it was asked for
        self.since = now  # since when it is in its state
        self.said = ""  # why it does not run yet


class _Kind:
    """The pods of a kind, by their states, and the links that wait for one."""

    __slots__ = (
        "blocked",
        "broken",
        "busy",
        "failures",
        "hindered",
        "hold",
        "idle",
        "leaving",
        "name",
        "need",
        "partly",
        "placed",
        "ready",
        "refusal",
        "roomless",
        "size",
        "starting",
        "timed",
        "waiting",
    )

    def __init__(self, name: str, need: Resources, size: int) -> None:
        self.name = name
        self.need = need  # of each of its pods, or of a group as a whole
        self.size = size  # pods in each
        self.waiting = 0
        self.starting: dict[str, _Pod] = {}
        self.ready: dict[str, _Pod] = {}
        self.busy: dict[str, _Pod] = {}
        self.leaving: dict[str, _Pod] = {}
        # Of those that start: whose time to start runs, by when that began; of which is said why; that lack room; that
        # have their nodes; of which (groups) a part has.
        self.timed: dict[str, _Pod] = {}
        self.hindered: dict[str, _Pod] = {}
        self.roomless: dict[str, _Pod] = {}
        self.placed: dict[str, _Pod] = {}
        self.partly: dict[str, _Pod] = {}
        self.idle: list[tuple[float, str]] = []  # a heap: since when those that are ready are, and some that were
        self.failures = 0  # pods in a row that ended before they worked
        self.hold = 0.0  # until when none is created
        self.blocked: tuple[float, str] | None = None  # since when, and why, the cluster gives none
        self.refusal = ""  # why the last one was not created for want of quota
        self.broken: tuple[float, str] | None = None  # until when, and why, links that wait for it fail

    @property
    def works(self) -> bool:
        """Whether there is a pod that works, or has just."""
        return bool(self.ready or self.busy)

    def leaves_start(self, name: str) -> None:
        """A pod does not start any more."""
        for those in (self.timed, self.hindered, self.roomless, self.placed, self.partly):
            those.pop(name, None)

    def is_idle(self, pod: _Pod) -> None:
        """A pod, which is ready, has nothing to do."""
        heapq.heappush(self.idle, (pod.since, pod.name))
        if len(self.idle) > _STALE + 2 * len(self.ready):
            self.idle = [(one.since, one.name) for one in self.ready.values()]
            heapq.heapify(self.idle)

    def idle_before(self, since: float) -> _Pod | None:
        """The pod that has had nothing to do for longest, if it has had nothing since then."""
        while self.idle and self.idle[0][0] <= since:
            began, name = self.idle[0]
            pod = self.ready.get(name)
            if pod is not None and pod.since == began:
                return pod
            heapq.heappop(self.idle)
        return None


class PodKeeper:
    """See the module. Times are seconds of any one clock. ``name_of`` gives the name of a pod by its number.

    ``active`` is how many links have attempts in hand; whoever holds the links keeps it right.
    """

    def __init__(self, rules: PodRules, name_of: Callable[[int], str]) -> None:
        self.rules = rules
        self.active = 0
        self._name_of = name_of
        self._kinds: dict[str, _Kind] = {}
        self._pods: dict[str, tuple[_Pod, dict[str, _Pod]]] = {}  # with the state that each is in
        self._started: deque[_Pod] = deque()  # those that start, and some that did
        self._number = 0
        self._count = 0  # pods, those in groups each for itself
        self._held = (0.0, 0, 0)  # cores, bytes and GPUs of all pods
        self._ceiling = rules.pods
        self._raise = 0.0  # when the ceiling is raised again
        self._patience = _SOON
        self._out: list[Action] = []

    # --- what it knows ----------------------------------------------------------------------------------------

    @property
    def ceiling(self) -> int:
        """How many pods there can be, as far as is known."""
        return self._ceiling

    def knows(self, name: str) -> bool:
        """Whether a pod is one of these."""
        return name in self._pods

    def is_starting(self, name: str) -> bool:
        """Whether the worker of a pod has not joined yet."""
        return name in self._pods and self._pods[name][1] is self._pods[name][0].kind.starting

    def expects(self, name: str) -> bool:
        """Whether the worker of a pod may join: it is one of these, and not leaving."""
        return name in self._pods and self._pods[name][1] is not self._pods[name][0].kind.leaving

    def kind_of(self, name: str) -> str:
        """The kind of a pod; empty: it is unknown."""
        return self._pods[name][0].kind.name if name in self._pods else ""

    def working(self, kind: str) -> int:
        """How many pods of a kind are warm or taken."""
        known = self._kinds.get(kind)
        return len(known.ready) + len(known.busy) if known is not None else 0

    def waiting(self, kind: str) -> int:
        """How many links wait for a kind."""
        known = self._kinds.get(kind)
        return known.waiting if known is not None else 0

    def slow(self, asked: float) -> list[str]:
        """Some pods that were asked for before then, and whose workers have not joined: others with each call."""
        found = []
        for _ in range(min(_SLOW_ONES, len(self._started))):
            pod = self._started.popleft()
            if pod.kind.starting.get(pod.name) is pod:
                self._started.append(pod)
                if pod.asked < asked:
                    found.append(pod.name)
        return found

    def is_slow(self, name: str, asked: float) -> bool:
        """Whether a pod was asked for before then, and its worker has not joined."""
        return self.is_starting(name) and self._pods[name][0].asked < asked

    def hindrance(self, kind: str) -> str:
        """Why no pod of a kind works yet, as far as is known."""
        known = self._kinds.get(kind)
        if known is None:
            return ""
        said = next((pod.said for pod in known.hindered.values()), "")
        return said or (known.blocked[1] if known.blocked is not None else "")

    def shortage(self, kind: str) -> str:
        """What pods of a kind lack, as was said last."""
        known = self._kinds.get(kind)
        return self.hindrance(kind) or (known.refusal if known is not None else "")

    def is_full(self) -> bool:
        """Whether links wait that there is no room for pods for: as the rules say, or on the nodes."""
        return any(
            (one.waiting > len(one.starting) and not self._fits(one)) or (one.waiting and one.roomless)
            for one in self._kinds.values()
        )

    def room(self, kind: str) -> Room:
        """What the cluster has for those that wait for a kind."""
        known = self._kinds.get(kind)
        if known is None:
            return Room(whole=False, held=False, lacking=False)
        return Room(
            whole=known.waiting <= len(known.placed),
            held=bool(known.ready or known.placed or known.partly),
            lacking=bool(known.blocked or known.roomless) or known.waiting > len(known.starting),
        )

    def names(self) -> Iterator[str]:
        """All pods."""
        return iter(self._pods)

    # --- what happens -----------------------------------------------------------------------------------------

    def wait(self, kind: str, need: Resources, now: float, size: int = 1) -> None:
        """A link waits for a pod of this kind, or a gang for a group of ``size``; each of these holds ``need``."""
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = _Kind(kind, need, size)
        if not known.waiting:
            known.blocked = None  # what was is not what this one waited for
        known.waiting += 1

    def unwait(self, kind: str) -> None:
        """A link waits no more."""
        self._kinds[kind].waiting -= 1

    def found(self, name: str, kind: str, need: Resources, now: float) -> None:
        """There is a pod that an earlier session made; its worker may join."""
        if kind not in self._kinds:
            self._kinds[kind] = _Kind(kind, need, 1)
        if name not in self._pods:
            self._add(name, self._kinds[kind], now)

    def said(self, name: str, why: str, *, lacks_room: bool = False) -> None:
        """Why a pod does not run yet; ``lacks_room``: there is none for it, which idle pods of this run may hold."""
        if self.is_starting(name):
            pod = self._pods[name][0]
            pod.said = why
            for those, applies in ((pod.kind.hindered, bool(why)), (pod.kind.roomless, lacks_room)):
                if applies:
                    those[name] = pod
                else:
                    those.pop(name, None)

    def placed(self, name: str, *, partly: bool, wholly: bool) -> None:
        """Whether a pod, or a part or all of a group, has its node."""
        if self.is_starting(name):
            pod = self._pods[name][0]
            for those, applies in ((pod.kind.placed, wholly), (pod.kind.partly, partly and not wholly)):
                if applies:
                    those[name] = pod
                else:
                    those.pop(name, None)

    def queued(self, name: str, now: float, *, held: bool) -> None:
        """Whether a queue of the cluster holds a pod: the time in which it has to start counts from its release."""
        if not self.is_starting(name):
            return
        pod = self._pods[name][0]
        timed = pod.kind.timed
        if held:
            timed.pop(name, None)
        elif name not in timed:
            pod.asked = now
            timed[name] = pod

    def joined(self, name: str, now: float) -> None:
        """The worker of a pod has joined, and is free."""
        pod = self._move(name, "ready", now)
        if pod is not None:
            pod.kind.failures, pod.kind.blocked, pod.kind.broken = 0, None, None
            self._patience = _SOON

    def taken(self, name: str, now: float) -> None:
        """A link has the worker of a pod."""
        self._move(name, "busy", now)

    def freed(self, name: str, since: float) -> None:
        """The worker of a pod has had nothing to do since then, and no link has it."""
        self._move(name, "ready", since)

    def left(self, name: str, now: float, why: str) -> None:
        """The worker of a pod is gone, or is to go: it is deleted."""
        if name in self._pods and self._pods[name][1] is not self._pods[name][0].kind.leaving:
            self._move(name, "leaving", now)
            self._out.append(Delete(name, why))

    def release(self, kind: str, now: float, why: str) -> None:
        """Let all pods of a kind go that no link has, but those that links wait for."""
        known = self._kinds.get(kind)
        if known is not None:
            spare = list(known.starting.values())[known.waiting :]
            for pod in [*known.ready.values(), *spare]:
                self.left(pod.name, now, why)

    def ended(self, name: str, now: float, why: str, *, by_itself: bool = True) -> None:
        """A pod has ended, or is gone: ``by_itself``, or the cluster took it. ``why`` is told if too many do early."""
        known = self._pods.get(name)
        if known is None:
            return
        pod, state = known
        kind = pod.kind
        started = state is not kind.starting
        self._drop(name)
        if started:
            return
        kind.failures += 1
        kind.hold = now + min(_LATE, _SOON * 2 ** min(10, kind.failures - 1))
        if not by_itself:
            kind.blocked = (kind.blocked[0] if kind.blocked else now, why)
        elif kind.failures >= _TRIES and not kind.works:
            self._break(kind, now, why)

    def hopeless(self, name: str, now: float) -> None:
        """A pod will never work, as was ``said``: those that wait for its kind fail."""
        if self.is_starting(name):
            pod = self._pods[name][0]
            self._break(pod.kind, now, pod.said)
            self.left(name, now, pod.said)

    def refused(self, name: str, now: float, why: str, *, quota: bool, wait: float = 0.0) -> None:
        """A pod was not created. ``quota``: for want of quota, of which the pods that are there leave no more."""
        if name not in self._pods:
            return
        kind = self._pods[name][0].kind
        self._drop(name)
        if not quota:
            self._break(kind, now, why)
            return
        kind.blocked = (kind.blocked[0] if kind.blocked else now, why)
        kind.refusal = why
        self._lower(max(kind.size, self._count), now, wait)
        kind.hold = max(kind.hold, self._raise)

    # --- what follows -----------------------------------------------------------------------------------------

    def react(self, now: float) -> list[Action]:
        """What is to be done after all that happened."""
        for kind in self._kinds.values():
            if kind.waiting and kind.broken is not None:
                if kind.broken[0] > now:
                    self._out.append(Fail(kind.name, kind.broken[1]))
                else:
                    kind.broken, kind.failures = None, 0
        for kind in self._kinds.values():
            if kind.waiting > len(kind.starting) and kind.hold <= now and kind.broken is None:
                self._ask(kind, now)
        self._give_back()
        if not any(one.waiting > len(one.starting) for one in self._kinds.values()):
            for kind in self._kinds.values():
                self._keep_floor(kind, now)
        out, self._out = self._out, []
        return out

    def tick(self, now: float) -> list[Action]:
        """The same, and what time brings; to be called about twice in a second."""
        if self._ceiling < self.rules.pods and now >= self._raise:
            self._ceiling = min(self.rules.pods, self._ceiling + max(1, self._ceiling // 2))
        for kind in self._kinds.values():
            self._give_up_late(kind, now)
            self._let_idle_go(kind, now)
            if kind.waiting and kind.roomless and not any(one.leaving for one in self._kinds.values()):
                self._make_room(kind, 1, now)
            blocked = kind.blocked
            if blocked is not None and kind.works:
                kind.blocked = None
            elif blocked is not None and kind.waiting and now - blocked[0] > self.rules.start_timeout:
                self._break(kind, now, self._too_late(blocked[1]))
        return self.react(now)

    def _give_back(self) -> None:
        """Take links from those that wait where more attempts are under way than pods can be had."""
        over = self.active + sum(one.waiting * one.size for one in self._kinds.values()) - self._ceiling
        for kind in self._kinds.values():
            count = min(-(-over // kind.size), kind.waiting - len(kind.starting))
            if kind.works and count > 0:
                over -= count * kind.size
                self._out.append(GiveBack(kind.name, count))

    def _lower(self, ceiling: int, now: float, wait: float) -> None:
        """There can be no more pods than that for a while, which is longer each time that this is found out anew."""
        self._ceiling = min(self._ceiling, ceiling)
        if self._raise <= now:
            self._raise = now + max(self._patience, wait)
            self._patience = min(_LATE, 2 * self._patience)

    def _ask(self, kind: _Kind, now: float) -> None:
        missing = kind.waiting - len(kind.starting)
        while missing > 0 and self._fits(kind):
            self._create(kind, now)
            missing -= 1
        if missing > 0 and not any(one.leaving for one in self._kinds.values()):
            self._make_room(kind, missing, now)

    def _create(self, kind: _Kind, now: float) -> None:
        self._number += 1
        name = self._name_of(self._number)
        self._add(name, kind, now)
        self._out.append(Create(name, kind.name))

    def _add(self, name: str, kind: _Kind, now: float) -> None:
        pod = kind.starting[name] = kind.timed[name] = _Pod(name, kind, now)
        self._pods[name] = pod, kind.starting
        self._started.append(pod)
        self._occupy(kind, 1)

    def _make_room(self, kind: _Kind, missing: int, now: float) -> None:
        """Let warm pods of other kinds go, those first that have had nothing to do for longest."""
        others = [one.ready.values() for one in self._kinds.values() if one is not kind and not one.waiting]
        idle = heapq.merge(*others, key=lambda pod: pod.since)  # each is nearly in that order
        for pod in list(itertools.islice(idle, missing * kind.size)):
            self.left(pod.name, now, "pods of another kind need its room")

    def _keep_floor(self, kind: _Kind, now: float) -> None:
        there = len(kind.starting) + len(kind.ready) + len(kind.busy)
        wanted = self.rules.floor - there if kind.size == 1 and kind.hold <= now and not kind.broken else 0
        for _ in range(wanted):
            if not self._fits(kind):
                break
            self._create(kind, now)

    def _fits(self, kind: _Kind) -> bool:
        most, need = self.rules.resources, kind.need
        if self._count + kind.size > self._ceiling:
            return False
        cpu, memory, gpu = self._held
        return most is None or (
            cpu + need.cpu <= most.cpu + 1e-9 and memory + need.memory <= most.memory and gpu + need.gpu <= most.gpu
        )

    def _give_up_late(self, kind: _Kind, now: float) -> None:
        timeout = self.rules.start_timeout
        late = list(itertools.takewhile(lambda pod: now - pod.asked >= timeout, kind.timed.values()))
        if not late:
            return
        why = next((pod.said for pod in late if pod.said), "it has not begun to work, and the cluster does not say why")
        for pod in late:
            self.left(pod.name, now, "it did not start in time")
        if not kind.waiting:
            return
        if not kind.works:
            self._break(kind, now, self._too_late(why))
            return
        there = self._count - sum(len(one.leaving) * one.size for one in self._kinds.values())
        self._lower(max(kind.size, there), now, self.rules.start_timeout)

    def _too_late(self, why: str) -> str:
        return f"no pod began to work within {self.rules.start_timeout:g} s: {why}"

    def _let_idle_go(self, kind: _Kind, now: float) -> None:
        floor = self.rules.floor if kind.size == 1 else 0
        spare = len(kind.ready) + len(kind.busy) + len(kind.starting) - floor
        late = now - self.rules.idle
        why = f"it had nothing to do for {self.rules.idle:g} s"
        while spare > 0 and (pod := kind.idle_before(late)) is not None:
            spare -= 1
            self.left(pod.name, now, why)
        excess = min(spare, len(kind.starting) - kind.waiting)
        if excess > 0:
            old = list(itertools.takewhile(lambda pod: pod.since <= late, kind.starting.values()))
            for pod in old[-excess:]:
                self.left(pod.name, now, why)

    def _break(self, kind: _Kind, now: float, why: str) -> None:
        kind.broken = (now + self.rules.start_timeout, why)
        kind.blocked = None

    # --- states -----------------------------------------------------------------------------------------------

    def _move(self, name: str, state: str, now: float) -> _Pod | None:
        known = self._pods.get(name)
        if known is None:
            return None
        pod, before = known
        after: dict[str, _Pod] = getattr(pod.kind, state)
        if before is pod.kind.leaving:
            return None
        del before[name]
        pod.kind.leaves_start(name)
        after[name] = pod
        self._pods[name] = pod, after
        pod.since = now
        if after is pod.kind.ready:
            pod.kind.is_idle(pod)
        return pod

    def _drop(self, name: str) -> None:
        pod, state = self._pods.pop(name)
        del state[name]
        pod.kind.leaves_start(name)
        self._occupy(pod.kind, -1)

    def _occupy(self, kind: _Kind, sign: int) -> None:
        need = kind.need
        self._count += sign * kind.size
        cpu, memory, gpu = self._held
        cpu = cpu + sign * need.cpu if self._pods else 0.0  # rounding errors end here
        self._held = cpu, memory + sign * need.memory, gpu + sign * need.gpu
