"""``metaflow.S3`` against a server: what ``flows/use_s3.py`` prints here is what it prints under the real one."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.testing.servers import rclone_s3

harness: Any = sys.modules["compat_metaflow_harness"]
SCRIPT = harness.FLOWS / "use_s3.py"
RECORD = harness.HERE / "recorded_s3.txt"


@pytest.fixture
def server() -> Iterator[dict[str, str]]:
    with rclone_s3() as (url, settings):
        yield {
            "ROOT": f"{url}/some/prefix",
            "METAFLOW_S3_ENDPOINT_URL": settings["aws_endpoint_url"],
            "METAFLOW_S3_RETRY_COUNT": "1",
            "METAFLOW_DATATOOLS_S3ROOT": f"{url}/data",
            "AWS_ACCESS_KEY_ID": settings["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": settings["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": settings["aws_region"],
        }


def call(folder: Path, server: dict[str, str], python: str, *command: str, real: bool = False) -> Any:
    folder.mkdir(exist_ok=True)
    env = {**harness.environment(folder, python, real), **server}
    return subprocess.run([python, *command], cwd=folder, env=env, capture_output=True, text=True, check=False)


def printed(folder: Path, server: dict[str, str], python: str, *, real: bool = False) -> list[str]:
    done = call(folder, server, python, str(SCRIPT), real=real)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.rstrip() for line in done.stdout.splitlines()]


def digest() -> str:
    return hashlib.sha256(SCRIPT.read_bytes()).hexdigest()


def test_as_recorded(tmp_path: Path, server: dict[str, str]) -> None:
    mark, *expected = RECORD.read_text().splitlines()
    assert mark == digest(), "use_s3.py was changed: pytest tests/compat/metaflow/test_s3.py --record"

    assert printed(tmp_path / "ours", server, sys.executable) == expected


def test_the_record_holds(tmp_path: Path, server: dict[str, str], request: pytest.FixtureRequest) -> None:
    if not (request.config.getoption("--live") or request.config.getoption("--record")):
        assert RECORD.read_text().startswith(digest())
        return
    found = printed(tmp_path / "real", server, request.getfixturevalue("real_python"), real=True)
    if request.config.getoption("--record"):
        RECORD.write_text("\n".join([digest(), *found]) + "\n")
    assert RECORD.read_text().splitlines()[1:] == found


FLOW = """
from metaflow import FlowSpec, Flow, S3, step
from metaflow.plugins.datatools.s3 import MetaflowS3NotFound

class Stores(FlowSpec):
    @step
    def start(self):
        with S3(run=self) as s3:
            self.url = s3.put("made", "by start", metadata={"n": 1})
        try:
            with S3(s3root=self.url + "/nothing") as s3:
                s3.get("here")
        except MetaflowS3NotFound as error:
            self.problem = str(error)
        self.next(self.end)

    @step
    def end(self):
        with S3(run=self) as s3:
            self.text = s3.get("made").text

if __name__ == "__main__":
    Stores()
"""
LATER = """
from metaflow import Flow, S3
run = Flow("Stores").latest_run
with S3(run=run) as s3:
    print(run.data.text, run.data.url, [one.text for one in s3.get_all()], "nothing/here" in run.data.problem)
with S3(run=run, prefix="/other/", bucket="somewhere") as s3:
    print(s3._url("x"))
"""


def test_steps_keep_things_by_run_and_programs_find_them(tmp_path: Path, server: dict[str, str]) -> None:
    folder = tmp_path / "flow"
    folder.mkdir()
    (folder / "stores.py").write_text(FLOW)
    (folder / "later.py").write_text(LATER)

    ran = call(folder, server, sys.executable, "stores.py", "run")
    said = call(folder, server, sys.executable, "later.py")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    url = server["METAFLOW_DATATOOLS_S3ROOT"] + "/Stores/1"
    assert said.stdout.splitlines() == [
        f"by start {url}/made ['by start'] True",
        "s3://somewhere/other/Stores/1/x",
    ], said.stderr
    assert not list(folder.glob("metaflow.s3.*"))


def test_without_boto3_it_says_what_to_install(tmp_path: Path, server: dict[str, str]) -> None:
    (tmp_path / "boto3.py").write_text("raise ImportError('none here')")
    program = (
        "from metaflow import S3\ntry:\n    S3()\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )

    said = call(tmp_path, server, sys.executable, "-c", program)

    assert said.stdout.startswith("NotSupportedException")
    assert "headrace[s3]" in said.stdout
    assert "docs/metaflow.md" in said.stdout


def test_a_server_that_is_not_there(tmp_path: Path, server: dict[str, str]) -> None:
    gone = {**server, "METAFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    program = (
        "from metaflow import S3\ntry:\n    S3(s3root='s3://b/c', client_params={'config': None}).get('d')\n"
        "except Exception as error:\n    print(type(error).__name__, str(error)[:12])"
    )

    said = call(tmp_path, gone, sys.executable, "-c", program)

    assert said.stdout.strip() == "MetaflowS3Exception s3://b/c/d:", said.stderr
