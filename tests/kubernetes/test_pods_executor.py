"""The suite of executors, on pods."""

from __future__ import annotations

import itertools
import time

import pytest
from tests.cluster import common
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.network import cut

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.executor import KubernetesExecutor
from headrace.executors.kubernetes.options import KubernetesOptions
from headrace.executors.kubernetes.pods import PodRules
from headrace.executors.remote.executor import RemoteOptions
from headrace.model.code import CodePackage
from headrace.model.policy import Resources, StepPolicy
from headrace.model.workers import ServedRun, WorkerSpec
from headrace.stores.artifacts.objects import ObjectStore
from headrace.testing.executors import ExecutorSuite, Talk, ends, hire
from headrace.testing.suite_steps import double, leave, nap, say, say_and_die
from headrace.worker.join_token import identity_of

_numbers = itertools.count(1)


class InPods(KubernetesExecutor):
    """One whose run is introduced as soon as it listens, and whose workers ask for little."""

    def __init__(
        self,
        space: Space,
        cluster: Cluster,
        image: str,
        bucket: dict[str, str],
        remote: RemoteOptions = RemoteOptions(),
    ) -> None:
        options = KubernetesOptions(
            access=Access(space.variables["KUBECONFIG"]),
            namespace=space.name,
            reached=cluster.host,
            image=image,
            variables={name: value for name, value in bucket.items() if name.startswith("AWS_")},
            rules=PodRules(pods=8, start_timeout=60.0),
        )
        super().__init__("pods", ("0.0.0.0", 0), identity_of("a secret of the tests"), remote, options)
        config = {name.lower(): value for name, value in bucket.items() if name.startswith("AWS_")}
        store = ObjectStore(bucket["HEADRACE_ARTIFACTS"], config=config)
        code = store.put([CodePackage(()).encode()])
        number = next(_numbers)
        self._run = ServedRun(f"flow/{number}", f"{number}@{time.time()}", 1, code, store.url)

    def start(self) -> None:
        super().start()
        self.introduce(self._run)

    def spec(self, policy: StepPolicy) -> WorkerSpec:
        return super().spec(_small(policy))


_policies: dict[StepPolicy, StepPolicy] = {}


def _small(policy: StepPolicy) -> StepPolicy:
    import msgspec

    small = msgspec.structs.replace(policy, resources=Resources(cpu=0.02))
    return _policies.setdefault(small, small)


class TestWorkersInPods(ExecutorSuite):
    @pytest.fixture
    def executor(self, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> InPods:
        return InPods(space, cluster, image, bucket)

    def test_exit_codes_signals_and_output_of_steps_are_told(self, started: InPods, talk: Talk) -> None:
        talk.call(say, "one", "two!")
        assert [talk.link.log_end(stream) for stream in (0, 1)] == [3, 4]
        talk.begin(leave, 7)
        assert talk.answer() is None
        assert ends(started)[0].code == 7
        other = Talk(started, hire(started))
        other.begin(say_and_die, "last words")
        (ended,) = ends(started)
        assert ended.code == -11
        assert ended.link.read_log(0, 0, ended.link.log_end(0)).startswith(b"last words")
        assert Talk(started, hire(started)).call(double, 4) == 8, "the pod goes on"
        assert len(list(started._keeper.names())) == 1

    def test_pod_that_is_out_of_reach_for_good_is_no_fault_of_its_attempt(
        self, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]
    ) -> None:
        if cluster.kubeconfig != common.KUBECONFIG:
            pytest.skip("needs the cluster of tests/cluster")
        executor = InPods(space, cluster, image, bucket, RemoteOptions(adopt=1.0))
        executor.start()
        try:
            talk = Talk(executor, hire(executor))
            assert talk.call(double, 4) == 8
            (name,) = executor._keeper.names()
            talk.begin(nap, 600.0)
            with cut(executor.address[1]):
                (ended,) = ends(executor)
            assert not ended.begun
            assert "has not been heard of" in ended.lost
            assert Talk(executor, hire(executor)).call(double, 5) == 10, "by another pod"
            assert not executor._keeper.expects(name)
        finally:
            executor.close()
