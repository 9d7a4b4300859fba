"""What attempts hold of a place, and of each of its machines. Pure, and part of placement."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from headrace.engine.tasks import Task
from headrace.model.policy import Resources
from headrace.model.workers import Capacity, MachineCapacity


class Machine:
    """One machine of a place that has several: totals of what attempts hold there."""

    __slots__ = ("capacity", "cpu", "free_gpus", "gpu", "memory", "running")

    def __init__(self, capacity: MachineCapacity) -> None:
        self.capacity = capacity
        self.cpu, self.memory, self.gpu, self.running = 0.0, 0, 0, 0
        self.free_gpus = list(range(capacity.resources.gpu))  # a heap

    def fits(self, need: Resources) -> bool:
        """Whether one more attempt has room that needs so much."""
        have = self.capacity.resources
        return (
            self.cpu + need.cpu <= have.cpu + 1e-9
            and self.memory + need.memory <= have.memory
            and self.gpu + need.gpu <= have.gpu
            and self.running < self.capacity.workers
        )

    def copy(self) -> Machine:
        """Another one that holds the same, for trying what fits."""
        made = Machine(self.capacity)
        made.cpu, made.memory, made.gpu, made.running = self.cpu, self.memory, self.gpu, self.running
        return made

    def occupy(self, need: Resources, sign: int = 1) -> None:
        """Count an attempt that runs here; with ``sign`` -1 no more."""
        self.running += sign
        self.cpu = self.cpu + sign * need.cpu if self.running else 0.0  # rounding errors end here
        self.memory += sign * need.memory
        self.gpu += sign * need.gpu


class Room:
    """The capacity of a place, and totals of what attempts hold there; ``machines`` by name if it has several."""

    __slots__ = ("_free_gpus", "ahead", "capacity", "cores", "cpu", "gpu", "hosts", "machines", "memory", "running")

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        #: Cores, bytes and devices that attempts hold; those sent ahead wait their turn and hold nothing.
        self.cpu, self.memory, self.gpu = 0.0, 0, 0
        self.running = self.ahead = 0
        #: Attempts that others may wait behind, running and not being killed, by the kinds of their workers.
        self.hosts: dict[object, int] = {}
        self.cores: dict[float, int] = {}  # how many slots ask for so many cores
        self._free_gpus = list(range(capacity.resources.gpu))  # a heap
        self.machines = {one.name: Machine(one) for one in capacity.machines}

    def count_host(self, kind: object, change: int) -> None:
        """An attempt begins or ends in a worker of this kind, of which there are more."""
        if kind is not None:
            self.hosts[kind] = self.hosts.get(kind, 0) + change

    def fits(self, need: Resources, count: int) -> bool:
        """Whether ``count`` more attempts have room that need so much together."""
        capacity = self.capacity
        have = capacity.resources
        return (
            self.cpu + need.cpu <= have.cpu + 1e-9
            and self.memory + need.memory <= have.memory
            and self.gpu + need.gpu <= have.gpu
            and not (capacity.workers and self.running + count > capacity.workers)
        )

    def find_machines(self, tasks: Sequence[Task]) -> list[str]:
        """A machine for each of ``tasks``, which are to run at once: the one with most free cores. Empty: no room."""
        machines = list(self.machines.values())
        return _assign(tasks, machines if len(tasks) == 1 else [one.copy() for one in machines])

    def can_ever_start(self, tasks: Sequence[Task]) -> bool:
        """Whether the machines, as these are now, have room for ``tasks`` at once when nothing else runs."""
        return bool(_assign(tasks, [Machine(one.capacity) for one in self.machines.values()]))

    def occupy(self, need: Resources, machine: str) -> None:
        """Count an attempt that runs on one of the machines."""
        if machine in self.machines:
            self.machines[machine].occupy(need)

    def vacate(self, need: Resources, machine: str) -> None:
        """An attempt runs no more on one of the machines, which may be gone."""
        if machine in self.machines:
            self.machines[machine].occupy(need, -1)

    def take_gpus(self, count: int, machine: str) -> tuple[int, ...]:
        """Numbers of devices for an attempt."""
        free = self.machines[machine].free_gpus if machine else self._free_gpus
        return tuple([heapq.heappop(free) for _ in range(count)])

    def return_gpus(self, gpus: tuple[int, ...], machine: str) -> None:
        """Take the devices of an attempt back."""
        if machine and machine not in self.machines:
            return
        free, capacity = self._free_gpus, self.capacity.resources
        if machine:
            free, capacity = self.machines[machine].free_gpus, self.machines[machine].capacity.resources
        for gpu in gpus:
            if gpu < capacity.gpu:
                heapq.heappush(free, gpu)

    def resize(self, capacity: Capacity, held: Iterable[tuple[str, Resources, tuple[int, ...]]]) -> None:
        """Have another capacity from now on, while attempts hold that: their machines, resources and devices."""
        self.capacity = capacity
        self._free_gpus = list(range(capacity.resources.gpu))
        self.machines = {one.name: Machine(one) for one in capacity.machines}
        for name, need, gpus in held:
            machine = self.machines.get(name)
            if machine is not None:
                machine.occupy(need)
            free = self._free_gpus if machine is None else machine.free_gpus
            for gpu in gpus:
                if gpu in free:
                    free.remove(gpu)


def _assign(tasks: Sequence[Task], machines: list[Machine]) -> list[str]:
    """A machine for each of ``tasks``; empty: there is none for one of them. Several tasks change ``machines``."""
    found: list[str] = []
    for task in tasks:
        need = task.resources
        fitting = [one for one in machines if one.fits(need)]
        if not fitting:
            return []
        chosen = max(fitting, key=lambda one: one.capacity.resources.cpu - one.cpu)
        found.append(chosen.capacity.name)
        if len(tasks) > 1:
            chosen.occupy(need)
    return found
