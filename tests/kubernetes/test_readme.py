"""The flow of the README in a cluster, by the steps that ``tests/cluster/try`` prints."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import clusters
from tests.cluster import common
from tests.clusters import Cluster

ROOT = Path(__file__).parents[2]
#: Pods may wait for those of other tests: the steps ask for a processor each.
SECONDS = 400


class Newcomer:
    """A folder with the README's flow, and what a person types there, with an environment of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "AWS_"))}
        self.environ["PATH"] = f"{Path(sys.executable).parent}:{self.environ['PATH']}"
        flow = re.search(r"<!-- file: wine.py -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        assert flow is not None
        (folder / "wine.py").write_text(flow[1])

    def types(self, *lines: str) -> str:
        """What the shell prints; a command that fails fails the test."""
        script = "\n".join(["set -eo pipefail", *lines])
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def guide(tmp_path: Path, cluster: Cluster) -> Iterator[list[str]]:
    """The indented lines that ``try`` prints, while it serves the stores."""
    if cluster.kubeconfig != common.KUBECONFIG:
        pytest.skip("tests/cluster/try is for the cluster of tests/cluster/up")
    words = ["--image", clusters.worker_image("scikit-learn"), "--namespace", f"hr-readme-{secrets.token_hex(3)}"]
    command = [sys.executable, str(ROOT / "tests/cluster/try"), *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("Database and bucket"):
                    break
            yield [line.strip() for line in said if line.startswith("    ")]
        finally:
            process.terminate()
            assert process.wait(60) == 0, "it deletes the namespace"


@pytest.mark.timeout(SECONDS + 200)
def test_flow_of_the_readme_has_the_same_result_in_the_cluster_and_its_artifacts_are_read_here(
    tmp_path: Path, guide: list[str]
) -> None:
    newcomer = Newcomer(tmp_path)
    start = next(number for number, line in enumerate(guide) if line.startswith("export "))
    (tmp_path / "pyproject.toml").write_text("\n".join([*guide[:start], f'start_timeout = "{SECONDS}s"', ""]))
    *steps, run = guide[start:]
    assert run == "headrace run FILE.py --on cluster"
    said = newcomer.types(*steps, run.replace("FILE", "wine"), "headrace run wine.py --no-cache")
    assert "Place cluster can be used." in said
    assert "wine/1 succeeded" in said
    assert "wine/2 succeeded" in said
    read = "import headrace; print([headrace.Run(f'wine/{n}')['score'][2].result for n in (1, 2)])"
    shown = newcomer.types(*steps[:2], "headrace get wine/1", "headrace get wine/2", f'python -c "{read}"').split(
        "\n", 2
    )
    assert shown[:2] == ["32", "32"]
    there, here = json.loads(shown[2])
    assert there == pytest.approx(here)
