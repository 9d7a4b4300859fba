"""``ClusterApi`` when the API server is killed and etcd is compacted: pods are told as they are, once."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.clusters import Cluster
from tests.kubernetes.control_plane import control_plane
from tests.kubernetes.watching import LABELS, Heard, bare_pod, redirected

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.api import ClusterApi
from headrace.executors.kubernetes.client import ClusterClient, Kind
from headrace.executors.kubernetes.happenings import Away, Back, PodSeen
from headrace.testing.proxy import Proxy

POD = Kind("v1", "Pod")


def test_restarted_server_and_compacted_etcd_lose_no_change(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "headrace.kubernetes")
    with control_plane(tmp_path) as plane, Proxy(("127.0.0.1", plane.port)) as proxy:
        behind = tmp_path / "behind"
        redirected(plane.kubeconfig, proxy.address, behind)
        with (
            ClusterClient(Access(str(plane.kubeconfig)), "default") as admin,
            closing(ClusterApi(Access(str(behind)), "default", LABELS)) as api,
        ):
            admin.create(bare_pod("stays"))
            admin.create(bare_pod("goes"))
            api.start()
            heard = Heard(api)
            heard.until(lambda _: heard.alive() == {"stays", "goes"})

            # Out of reach until etcd has forgotten the versions that were seen and the server, killed and started
            # again, does not remember them either.
            proxy.refusing = True
            proxy.cut()
            heard.until(lambda all_: any(isinstance(one, Away) for one in all_))
            api.create_pod(bare_pod("asked-for"))
            admin.delete(POD, "goes", grace=0)
            for number in range(20):
                admin.create(bare_pod(f"passing-{number}"))
                admin.delete(POD, f"passing-{number}", grace=0)
            admin.create(bare_pod("comes"))
            time.sleep(3)  # compactions are a second apart, and keep the versions of the last one
            plane.kill_api()
            proxy.refusing = False
            time.sleep(1)  # connections are accepted, and cut since nothing is behind them
            plane.start_api()
            heard.until(lambda _: heard.alive() == {"stays", "asked-for", "comes"})
            heard.until(lambda all_: any(isinstance(one, Back) for one in all_))

    assert sum(isinstance(one, Away) for one in heard.all) == 1
    assert [record for record in caplog.records if "is listed again" in record.getMessage()]
    assert sum(isinstance(one, PodSeen) and one.pod["metadata"]["name"] == "stays" for one in heard.all) == 1
