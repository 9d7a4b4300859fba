"""The OpenAPI document is true: schemathesis calls the server as it says, and answers are as it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft202012Validator
from tests.integration.server.conftest import Served, environment

from headrace.server.drivers.orders import try_lock

CONFIG = Path(__file__).with_name("schemathesis.toml")
#: The stream of a project never ends (its answer is checked below); what is rejected for its meaning (a cursor, a
#: condition) cannot be told by a schema.
OPTIONS = (
    *("--phases", "coverage,fuzzing,stateful", "--max-examples", "2", "--generation-deterministic"),
    *("--exclude-path-regex", "{project}/events$", "--exclude-checks", "positive_data_acceptance"),
    *("--warnings", "off", "--no-color", "--max-time", "30"),
)


def test_server_answers_as_its_document_says(runs_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(runs_folder, folder)  # what is changed stays here
    drivers = folder / ".headrace/drivers"
    drivers.mkdir()
    held = try_lock(drivers / "supervisor.lock")  # so orders for drivers are taken, and none is carried out
    assert held is not None
    server = Served(folder)
    called = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
            *("run", f"{server.url}/api/v1/openapi.json", *OPTIONS),
        ],
        cwd=tmp_path,
        env=environment(),
        text=True,
        capture_output=True,
        timeout=110,
    )
    server.stop()
    os.close(held)
    assert called.returncode == 0, called.stdout[-8_000:] + called.stderr[-2_000:]
    assert "(1 skipped)" not in called.stdout


RUN = "/api/v1/projects/{project}/runs/{flow}/{number}"
TASK = RUN + "/tasks/{step}/{task}"
NAMES = {
    "project": "default",
    "flow": "train",
    "number": "2",
    "step": "fit",
    "task": "1",
    "name": "loss",
    "path": "train.py",
}
#: Queries without which a path cannot be asked.
QUERIES = {
    f"{RUN}/diff": {"with": "train/1"},
    f"{RUN}/diff/source": {"with": "train/1"},
    "/api/v1/projects/{project}/compare": {"run": ["train/1", "train/2"]},
}


def test_every_answer_for_reading_is_as_documented(client: httpx.Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    found = 0
    for template, methods in document["paths"].items():
        operation = methods.get("get")
        names = NAMES | ({"name": "notes"} if "artifacts" in template else {})
        asked = set(re.findall(r"{(\w+)}", template))
        if operation is None or template.endswith("/events") or asked - set(names):
            continue  # what no list of this workspace leads to
        answer = client.get(template.format(**names), params=QUERIES.get(template, {}))
        if answer.status_code == 401:
            continue  # a session is asked for, and there is none
        assert answer.status_code == 200, (template, answer.text)
        kind = answer.headers["content-type"].partition(";")[0]
        content = operation["responses"]["200"]["content"]
        assert kind in content, template
        if "schema" in content[kind]:
            schema = content[kind]["schema"] | {"components": document["components"]}
            problems = [one.message for one in Draft202012Validator(schema).iter_errors(answer.json())]
            assert not problems, (template, problems[:3])
            found += 1
    assert found > 30


@pytest.mark.parametrize("text", ["null", "true", "1.5", "0", "-1", "9" * 30, " 1", ""])
def test_query_that_is_no_number_is_refused(client: httpx.Client, text: str) -> None:
    answer = client.get("/api/v1/projects/default/runs/train/1/logs", params={"attempt": text})
    assert answer.status_code == 400
