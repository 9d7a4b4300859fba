"""``PodKeeper``: how many pods there are for what waits, whatever the cluster does."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.executors.kubernetes.pods import Action, Create, Delete, Fail, GiveBack, PodKeeper, PodRules
from headrace.model.policy import Resources

NEED = Resources(0.5)


class Place:
    """A keeper with the links and the cluster around it, both of which do what they are told at once."""

    def __init__(self, quota: int = 1_000, **rules: object) -> None:
        self.keeper = PodKeeper(PodRules(**{"pods": 10, **rules}), lambda number: f"pod-{number}")  # type: ignore[arg-type]
        self.quota = quota
        self.now = 0.0
        self.waiting = {"a": 0, "b": 0}
        self.failed: list[str] = []
        self.given_back = 0
        self.starting: dict[str, str] = {}  # kinds by the names of pods
        self.ready: dict[str, str] = {}
        self.busy: dict[str, str] = {}
        self.leaving: dict[str, str] = {}
        self.made = 0

    @property
    def pods(self) -> dict[str, str]:
        return {**self.starting, **self.ready, **self.busy, **self.leaving}

    def react(self) -> None:
        self.obey(self.keeper.react(self.now))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, as the executor's clock does."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 0.5)
            self.obey(self.keeper.tick(self.now))

    def obey(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Create(name, kind):
                    assert name not in self.pods, "no name is used twice"
                    self.made += 1
                    if len(self.pods) < self.quota:
                        self.starting[name] = kind
                    else:
                        self.keeper.refused(name, self.now, "quota", quota=True)
                case Delete(name, _):
                    assert name not in self.busy, "nothing that works is deleted"
                    kind = self.starting.pop(name, "") or self.ready.pop(name, "")
                    self.leaving[name] = kind
                case GiveBack(kind, count):
                    assert 0 < count <= self.waiting[kind]
                    for _ in range(count):
                        self.waiting[kind] -= 1
                        self.keeper.unwait(kind)
                    self.given_back += count
                case Fail(kind, why):
                    self.failed += [why] * self.waiting[kind]
                    for _ in range(self.waiting[kind]):
                        self.keeper.unwait(kind)
                    self.waiting[kind] = 0

    def wait(self, kind: str = "a", count: int = 1) -> None:
        """Let links wait, of which those get a warm pod at once that there is one for."""
        for _ in range(count):
            self.keeper.wait(kind, NEED, self.now)
            self.waiting[kind] += 1
        self.match()
        self.react()

    def match(self) -> None:
        for name, kind in list(self.ready.items()):
            if self.waiting[kind]:
                self.waiting[kind] -= 1
                self.keeper.unwait(kind)
                self.busy[name] = self.ready.pop(name)
                self.keeper.taken(name, self.now)
                self.keeper.active += 1

    def join(self, name: str) -> None:
        self.ready[name] = self.starting.pop(name)
        self.keeper.joined(name, self.now)
        self.match()
        self.react()

    def free(self, name: str) -> None:
        self.ready[name] = self.busy.pop(name)
        self.keeper.active -= 1
        self.keeper.freed(name, self.now)
        self.match()
        self.react()

    def end(self, name: str) -> None:
        for state in (self.starting, self.ready, self.busy, self.leaving):
            if state.pop(name, None) and state is self.busy:
                self.keeper.active -= 1
        self.keeper.ended(name, self.now, "it crashed")
        self.react()

    def vanish(self) -> None:
        for name in list(self.leaving):
            self.end(name)


def test_burst_asks_for_no_more_pods_than_the_place_allows() -> None:
    place = Place(pods=10)
    place.wait(count=1_000)
    assert (place.made, len(place.starting)) == (10, 10)


def test_burst_asks_for_no_more_pods_than_tasks_can_use() -> None:
    place = Place(pods=1_000)
    place.wait(count=7)
    place.wait(count=3)
    assert place.made == 10


def test_resources_of_a_place_bound_its_pods() -> None:
    place = Place(pods=100, resources=Resources(cpu=2.0, memory=1 << 30, gpu=0))
    place.wait(count=50)
    assert place.made == 4


def test_warm_pods_leave_when_idle_and_the_floor_stays() -> None:
    place = Place(floor=2, idle=60.0)
    place.wait(count=5)
    for name in list(place.starting):
        place.join(name)
    for name in list(place.busy):
        place.free(name)
    place.pass_time(59)
    assert len(place.ready) == 5
    place.pass_time(2)
    assert (len(place.ready), len(place.leaving)) == (2, 3)
    place.vanish()
    place.pass_time(600)
    assert (len(place.ready), place.made) == (2, 5)
    place.end(next(iter(place.ready)))
    place.pass_time(1)
    assert len(place.starting) == 1, "the floor is kept"


def test_quota_lowers_the_ceiling_and_nothing_fails() -> None:
    place = Place(quota=2, pods=10)
    place.wait(count=10)
    assert place.keeper.ceiling == 2
    for name in list(place.starting):
        place.join(name)
    assert (len(place.busy), sum(place.waiting.values()), place.given_back) == (2, 0, 8)
    assert not place.failed
    asked = place.made
    place.quota = 10
    place.pass_time(60)
    assert place.keeper.ceiling == 10, "more is tried after a while"
    place.wait(count=8)
    assert place.made == asked + 8


def test_cluster_without_any_quota_is_asked_again_with_patience_and_then_fails_what_waits() -> None:
    place = Place(quota=0, pods=10, start_timeout=300.0)
    place.wait(count=3)
    place.pass_time(299)
    assert not place.failed
    assert place.made < 30
    place.pass_time(3)
    assert place.failed == ["no pod began to work within 300 s: quota"] * 3


def test_pods_that_the_cluster_takes_before_they_work_are_made_again_with_patience_and_then_fail_what_waits() -> None:
    place = Place(pods=10, start_timeout=300.0)
    place.wait()
    for _ in range(299):
        for name in list(place.starting):
            place.starting.pop(name)
            place.keeper.ended(name, place.now, "it was evicted", by_itself=False)
        place.pass_time(1)
    assert not place.failed
    assert 5 < place.made < 30
    place.pass_time(4)
    assert place.failed == ["no pod began to work within 300 s: it was evicted"]
    place.pass_time(600)
    place.wait()
    assert len(place.failed) == 1, "what comes later is tried again"
    place.join(next(iter(place.starting)))
    assert place.busy


def test_pods_that_do_not_start_in_time_fail_what_waits_with_what_the_cluster_says() -> None:
    place = Place(start_timeout=5.0)
    place.wait(count=3)
    for name in place.starting:
        place.keeper.said(name, "the image does not exist")
    place.pass_time(4)
    assert not place.failed
    place.pass_time(2)
    assert place.failed == ["no pod began to work within 5 s: the image does not exist"] * 3
    place.wait()
    assert len(place.failed) == 4, "the next ones fail at once"


def test_time_to_start_counts_from_when_a_queue_lets_a_pod_go() -> None:
    place = Place(start_timeout=60.0)
    place.wait()
    (name,) = place.starting
    place.keeper.queued(name, place.now, held=True)
    place.pass_time(3_600)
    assert (list(place.starting), place.failed) == ([name], [])
    place.keeper.queued(name, place.now, held=False)
    place.pass_time(59)
    assert (list(place.starting), place.failed) == ([name], [])
    place.pass_time(2)
    assert len(place.failed) == 1


def test_pods_beyond_what_the_cluster_has_room_for_are_given_up_while_others_work() -> None:
    place = Place(start_timeout=5.0, pods=10)
    place.wait(count=10)
    for name in list(place.starting)[:4]:
        place.join(name)
    place.pass_time(6)
    assert not place.failed
    assert (place.given_back, place.keeper.ceiling, len(place.busy)) == (6, 4, 4)


def test_pods_that_crash_before_they_work_fail_what_waits_after_three() -> None:
    place = Place(pods=1)
    place.wait()
    for _ in range(3):
        assert not place.failed
        place.end(next(iter(place.starting)))
        place.pass_time(5)
    assert place.failed == ["it crashed"]
    assert place.made == 3


def test_idle_pod_of_another_kind_makes_room() -> None:
    place = Place(pods=2)
    place.wait("a", 2)
    for name in list(place.starting):
        place.join(name)
    first = next(iter(place.busy))
    place.free(first)
    place.wait("b")
    assert list(place.leaving) == [first]
    assert place.made == 2, "there are never more than allowed"
    place.vanish()
    assert list(place.starting.values()) == ["b"]


def test_idle_pods_of_other_kinds_make_room_for_a_pod_that_no_node_has_room_for() -> None:
    place = Place(idle=1_000.0)
    place.wait("a", 2)
    for name in list(place.starting):
        place.join(name)
    idle, busy = list(place.busy)
    place.free(idle)
    place.wait("b")
    (waits,) = place.starting
    place.pass_time(2.0)
    assert not place.leaving
    assert not place.keeper.is_full()
    place.keeper.said(waits, "too little cpu", lacks_room=True)
    assert place.keeper.is_full(), "workers that are idle in the hands of the engine are let go, too"
    place.pass_time(2.0)
    assert list(place.leaving) == [idle]
    assert list(place.busy) == [busy]
    place.vanish()
    place.keeper.said(waits, "")
    place.join(waits)
    assert not place.keeper.is_full()


class Keeping(RuleBasedStateMachine):
    """Whatever happens in whatever order, what waits gets a pod as long as the cluster makes some."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Place()

    @initialize(pods=st.integers(1, 6), quota=st.integers(1, 8), floor=st.integers(0, 2))
    def begin(self, pods: int, quota: int, floor: int) -> None:
        self.place = Place(quota, pods=pods, floor=floor, idle=10.0, start_timeout=30.0)

    @rule(kind=st.sampled_from("ab"), count=st.integers(1, 5))
    def wait(self, kind: str, count: int) -> None:
        self.place.wait(kind, count)

    @rule(seconds=st.floats(0.1, 40))
    def pass_time(self, seconds: float) -> None:
        self.place.pass_time(seconds)

    @precondition(lambda self: self.place.starting)
    @rule(data=st.data())
    def join(self, data: st.DataObject) -> None:
        self.place.join(data.draw(st.sampled_from(sorted(self.place.starting))))

    @precondition(lambda self: self.place.busy)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        self.place.free(data.draw(st.sampled_from(sorted(self.place.busy))))

    @precondition(lambda self: self.place.pods)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self.place.end(data.draw(st.sampled_from(sorted(self.place.pods))))

    @rule(quota=st.integers(1, 8))
    def change_quota(self, quota: int) -> None:
        self.place.quota = quota

    @invariant()
    def there_are_no_more_than_allowed(self) -> None:
        place = self.place
        assert len(place.pods) <= place.keeper.rules.pods
        assert set(place.keeper.names()) == set(place.pods)
        for kind in "ab":
            assert place.keeper.waiting(kind) == place.waiting[kind]
            assert place.keeper.working(kind) == sum(
                one == kind for one in [*place.ready.values(), *place.busy.values()]
            )
            starting = sum(one == kind for one in place.starting.values())
            assert not (place.waiting[kind] and kind in place.ready.values())
            assert starting <= place.keeper.rules.pods

    def teardown(self) -> None:
        place = self.place
        for _ in range(40):  # a cluster that works serves all that waits, and all pods leave
            for name in list(place.starting):
                place.join(name)
            for name in list(place.busy):
                place.free(name)
            place.vanish()
            place.pass_time(11)
        assert not any(place.waiting.values())
        assert not place.busy
        assert len(place.pods) <= 2 * place.keeper.rules.floor


TestKeeping = Keeping.TestCase
TestKeeping.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
