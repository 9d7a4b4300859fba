"""The flow of the README in a cluster: unchanged, with the result that it has here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests import clusters
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import allow_drivers, driven_project

README = Path(__file__).parents[2] / "README.md"
#: Pods may wait for those of other tests: the steps ask for a processor each.
SECONDS = 400


@pytest.mark.timeout(SECONDS + 200)
def test_flow_of_the_readme_has_the_same_result_in_the_cluster_and_its_artifacts_are_read_here(
    tmp_path: Path, space: Space, cluster: Cluster, bucket: dict[str, str], database: str
) -> None:
    variables = {**bucket, "HEADRACE_DATABASE": database}
    allow_drivers(space, variables)
    project = driven_project(tmp_path, space, cluster, clusters.worker_image("scikit-learn"), variables)
    flow = re.search(r"<!-- file: wine.py -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert flow is not None
    project.write("", start_timeout=f"{SECONDS}s")
    (tmp_path / "wine.py").write_text(flow[1])
    project.run("run", "wine.py", "--no-cache")
    said = project.run("run", "wine.py", "--on", "pods", seconds=SECONDS)
    assert "wine/2 succeeded" in said
    assert project.result("wine/1") == project.result("wine/2") == 32, said
    read = "import headrace; print([headrace.Run(f'wine/{n}')['score'][2].result for n in (1, 2)])"
    here, there = json.loads(project.run_python(read))
    assert here == pytest.approx(there)
