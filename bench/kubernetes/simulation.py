"""What a driver's work for a pod costs with 500 pods and with 5,000: no step of it may grow faster than linear.

    python bench/kubernetes/simulation.py --pods 500 5000

The API server and its etcd are real, and are started for it (the programs of ``tests/cluster/up``); nodes and workers
are those of ``fake_nodes.py``. Figures are processor time of the driver's process, which is measured alone, and the
longest time for which the driver's loop did one thing. Heartbeats cost something for each pod and second, whatever else
happens, and the API server takes longer for more pods; so they have a row of their own, and rest in the others.
"""

from __future__ import annotations

import argparse
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # for the API server of the tests

from tests.kubernetes.control_plane import ControlPlane, control_plane  # noqa: E402

from headrace.executors.kubernetes.access import Access  # noqa: E402
from headrace.executors.kubernetes.client import ClusterClient, Kind  # noqa: E402
from headrace.executors.kubernetes.executor import KubernetesExecutor, KubernetesOptions  # noqa: E402
from headrace.executors.kubernetes.pods import PodRules  # noqa: E402
from headrace.executors.remote.executor import RemoteOptions  # noqa: E402
from headrace.executors.remote.link import RemoteLink  # noqa: E402
from headrace.model.code import CodePackage  # noqa: E402
from headrace.model.messages import Done, Execute  # noqa: E402
from headrace.model.policy import Resources, StepPolicy  # noqa: E402
from headrace.model.workers import ServedRun  # noqa: E402
from headrace.stores.artifacts.memory import MemoryStore  # noqa: E402
from headrace.worker.join_token import identity_of  # noqa: E402

POD = Kind("v1", "Pod")
SECRET = "a secret of this bench"
ROUNDS = 3
_NEVER = 1e9


class Figure(NamedTuple):
    """Of one step with so many pods: seconds of the processor per pod, the longest turn, and seconds in all."""

    cpu: float
    longest: float
    wall: float


class Driver:
    """An executor with a loop around it, as the engine has one."""

    def __init__(self, kubeconfig: Path, namespace: str, pods: int) -> None:
        options = KubernetesOptions(
            access=Access(str(kubeconfig)),
            namespace=namespace,
            reached="127.0.0.1",
            image="localhost/none:1",
            rules=PodRules(pods=pods, start_timeout=3600.0, idle=3600.0),
        )
        remote = RemoteOptions(heartbeat=_NEVER, silence=_NEVER)
        self.executor = KubernetesExecutor("pods", ("127.0.0.1", 0), identity_of(SECRET), remote, options)
        self.executor.start()
        code = MemoryStore().put([CodePackage(()).encode()])
        self.executor.introduce(ServedRun("flow/1", f"{pods}@bench", 1, code, "memory://"))
        self._epoll = select.epoll()
        self._epoll.register(self.executor.fileno(), select.EPOLLIN)
        self.links: dict[int, RemoteLink] = {}
        self.ended = 0
        self.done = 0
        self._policy = StepPolicy(resources=Resources(cpu=0.02))

    def ask(self, count: int) -> None:
        """Ask for so many workers, as the engine does: one at a time."""
        for _ in range(count):
            link = self.executor.provide(self.executor.spec(self._policy))
            self.links[link.fileno()] = link
            self._epoll.register(link.fileno(), select.EPOLLIN)

    def send(self, number: int) -> None:
        """Give each worker an attempt."""
        for link in self.links.values():
            link.send(Execute(number, 1, "flow/1/step/1", 1, ()))

    def turn(self) -> float:
        """Hear what there is to hear; for how long that took."""
        ready = self._epoll.poll(1.0, 512)
        began = time.perf_counter()
        for fd, _ in ready:
            if fd in self.links:
                for message in self.links[fd].receive() or ():
                    self.done += isinstance(message, Done)
            else:
                for exit_ in self.executor.exits():
                    self._let_go(exit_.link)
        return time.perf_counter() - began

    def _let_go(self, link: object) -> None:
        assert isinstance(link, RemoteLink)
        self.ended += 1
        fd = link.fileno()
        self._epoll.unregister(fd)
        del self.links[fd]
        link.close()

    def beat(self) -> None:
        """Begin with heartbeats, as often as drivers do."""
        self.executor._options = RemoteOptions(silence=_NEVER)
        for peer in self.executor._beats:
            peer.due = 0.0

    def rest(self) -> None:
        """End with them."""
        self.executor._options = RemoteOptions(heartbeat=_NEVER, silence=_NEVER)
        for peer in self.executor._beats:
            peer.due = _NEVER

    def joined(self) -> int:
        """How many links have their worker."""
        return len(self.executor._links)


def measured(driver: Driver, pods: int, begin: Callable[[], None], over: Callable[[], bool]) -> Figure:
    """What a step costs, from ``begin`` until it is ``over``."""
    cpu, wall = time.process_time(), time.perf_counter()
    begin()
    longest = 0.0
    looked = time.perf_counter()
    while True:
        longest = max(longest, driver.turn())
        if time.perf_counter() - looked > 0.1:
            looked = time.perf_counter()
            if over():
                break
        if time.perf_counter() - wall > 900:
            raise SystemExit(f"not over after 900 s: {driver.joined()} joined, {driver.done} done")
    return Figure((time.process_time() - cpu) / pods, longest, time.perf_counter() - wall)


def simulate(plane: ControlPlane, pods: int) -> dict[str, Figure]:
    """All steps with so many pods."""
    namespace = f"pods-{pods}"
    with ClusterClient(Access(str(plane.kubeconfig)), namespace) as client:
        client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        token = identity_of(SECRET).token.write()
        nodes = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("fake_nodes.py"), plane.kubeconfig, namespace, token]
        )
        driver = Driver(plane.kubeconfig, namespace, pods)
        try:
            return _steps(driver, client, pods)
        finally:
            driver.executor.close()
            nodes.kill()
            nodes.wait()


def _steps(driver: Driver, client: ClusterClient, pods: int) -> dict[str, Figure]:
    found = {
        "asked for, made, joined": measured(driver, pods, lambda: driver.ask(pods), lambda: driver.joined() == pods)
    }
    found["an attempt"] = min(_round(driver, pods, number) for number in range(1, ROUNDS + 1))
    until = time.perf_counter() + 5
    idle = measured(driver, pods, driver.beat, lambda: time.perf_counter() > until)
    driver.rest()
    found["a second of heartbeats"] = Figure(idle.cpu / idle.wall, idle.longest, idle.wall)
    left = pods // 2
    names = list(driver.executor._keeper.names())[:left]

    def delete() -> None:
        for name in names:
            driver.executor._api.delete_pod(name, 0.0)  # type: ignore[union-attr]  # as somebody else would

    found["deleted under it (a half)"] = measured(driver, left, delete, lambda: driver.ended >= left)
    began, cpu = time.perf_counter(), time.process_time()
    driver.executor.close()
    wall = time.perf_counter() - began
    there = client.request("GET", POD.path(client.namespace))["items"]  # in one page: versions are soon forgotten there
    stay = sum(not one["metadata"].get("deletionTimestamp") for one in there)
    found["closed"] = Figure((time.process_time() - cpu) / (pods - left), wall, wall)
    if stay:
        print(f"{stay} pods of {pods - left} stay after the run", file=sys.stderr)
    return found


def _round(driver: Driver, pods: int, number: int) -> Figure:
    return measured(driver, pods, lambda: driver.send(number), lambda: driver.done == number * pods)


def report(found: dict[int, dict[str, Figure]]) -> None:
    """Print a table."""
    few, many = min(found), max(found)
    print(f"| step | {few} pods: per pod | {many} pods: per pod | ratio | longest turn | in all |")
    print("|---|---|---|---|---|---|")
    for step in found[few]:
        one, other = found[few][step], found[many][step]
        ratio = other.cpu / one.cpu if one.cpu else 0.0
        print(
            f"| {step} | {1e3 * one.cpu:.3f} ms | {1e3 * other.cpu:.3f} ms | {ratio:.2f} "
            f"| {1e3 * other.longest:.0f} ms | {other.wall:.1f} s |"
        )
    print(f"driver at its peak: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, nargs="+", default=[500, 5000])
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as plane:
        report({pods: simulate(plane, pods) for pods in sorted(arguments.pods)})


if __name__ == "__main__":
    main()
