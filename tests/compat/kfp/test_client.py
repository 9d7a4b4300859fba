"""The real ``kfp.Client`` and the real ``kfp`` command line against a server of Headrace."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

EXPECTED = {
    "healthz": False,
    "create_experiment again": True,
    "get_experiment": "first",
    "get_experiment by name": "one",
    "get_experiment of none": "ValueError",
    "list_experiments": 1,
    "archive_experiment": "ARCHIVED",
    "unarchive_experiment": "AVAILABLE",
    "upload_pipeline": "counting",
    "upload_pipeline again": 409,
    "get_pipeline_id": True,
    "get_pipeline": "uploaded",
    "upload_pipeline_version": "second",
    "list_pipeline_versions": ["counting", "second", "third"],
    "get_pipeline_version": "counting",
    "list_pipelines": ["counting", "other"],
    "list_pipelines page": [1, 2, True],
    "run_pipeline": "PENDING",
    "wait_for_run_completion": ["SUCCEEDED", ["work", "work-2"]],
    "create_run_from_pipeline_package": "SUCCEEDED",
    "failed run": ["FAILED", True],
    "list_runs": 2,
    "list_runs filter": ["package"],
    "run of a namespace": ["team", ["PENDING", "RUNNING", "SUCCEEDED"]],
    "list_runs of a namespace": [1, 1, 0],
    "get_run of a namespace": 404,
    "run is running": "RUNNING",
    "terminate_run": "CANCELED",
    "retry_run": "SUCCEEDED",
    "archive_run": "ARCHIVED",
    "unarchive_run": "AVAILABLE",
    "get_run of none": 404,
    "unknown parameter": 400,
    "wrong type": 400,
    "recurring with a trigger": 501,
    "list_recurring_runs": 0,
    "delete_pipeline with versions": 400,
    "get_pipeline of none": 404,
    "example": ["SUCCEEDED", "SUCCEEDED", "SUCCEEDED"],
    "get_experiment of none by id": 404,
}


#: Commands of the program ``kfp``: the words, the exit code, what it shows.
COMMANDS = [
    ["experiment create", 0, "cli"],
    ["experiment list", 0, ["Default", "cli"]],
    ["experiment get", 0, "cli"],
    ["pipeline create", 0, "counted"],
    ["pipeline create-version", 0, "two"],
    ["pipeline list", 0, ["counted", "other"]],
    ["pipeline get", 0, "counted"],
    ["pipeline list-versions", 0, ["counted", "two"]],
    ["pipeline get-version", 0, "two"],
    ["run create", 0, "by file"],
    ["run create", 0, "by version"],
    ["run create", 1, None],  # an unknown parameter
    ["run list", 0, ["by file", "by version"]],
    ["run get", 0, ["by file", "SUCCEEDED"]],
    ["run archive", 0, None],
    ["run unarchive", 0, None],
    ["run delete", 0, None],
    ["run get", 1, None],
    ["recurring-run list", 0, []],
    ["recurring-run create", 1, None],  # there are no schedules yet
    ["pipeline delete-version", 0, None],
    ["experiment archive", 0, None],
    ["experiment unarchive", 0, None],
    ["experiment delete", 0, None],
]


def test_the_real_client_and_command_line_work_against_the_server(real_kfp: str, tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "PYTHON"))}
    command = [sys.executable, "-m", "headrace", "server", "--port", "0", "--home", str(tmp_path / "home")]
    server = subprocess.Popen(
        command, cwd=tmp_path, env=clean, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert server.stderr is not None
        line = server.stderr.readline()
        found = re.search(r" at (https?://\S+)", line)
        assert found is not None, line
        url = found[1]
        examples = str(Path(__file__).parents[3] / "examples/kfp")
        script = [real_kfp, "-B", str(Path(__file__).with_name("client_calls.py")), url, str(tmp_path), examples]
        done = subprocess.run(script, env=clean, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        told = dict(json.loads(one) for one in done.stdout.splitlines() if one.startswith("["))
        assert told == EXPECTED

        kfp = [str(Path(real_kfp).with_name("kfp")), "--endpoint", url, "--output", "json"]
        listed = subprocess.run(
            [*kfp, "run", "list"], env=clean, capture_output=True, text=True, timeout=60, check=True
        )
        assert '"package"' in listed.stdout
        commands = [real_kfp, str(Path(__file__).with_name("client_commands.py")), url, str(tmp_path / "counting.yaml")]
        done = subprocess.run(commands, env=clean, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        assert [json.loads(one) for one in done.stdout.splitlines() if one.startswith("[")] == COMMANDS
    finally:
        server.terminate()
        server.communicate(timeout=30)


WITH_TOKENS = """
import sys, warnings
warnings.simplefilter("ignore")
import kfp
from kfp_server_api.exceptions import ApiException
url, viewer, editor = sys.argv[1:]
for token in ("", viewer, editor):
    client = kfp.Client(host=url, existing_token=token)
    for call in (client.list_experiments, lambda: client.create_experiment("tuning")):
        try:
            call()
            print("allowed")
        except ApiException as error:
            print(error.status)
"""


def test_the_real_client_shows_a_token_where_there_are_accounts(real_kfp: str, tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "PYTHON"))}
    headrace = [sys.executable, "-m", "headrace"]
    tokens = []
    for name in ("viewer", "editor"):
        for words in (f"user add {name} --sso", f"user role {name} {name}", f"token add t --user {name} --json"):
            made = subprocess.run(
                [*headrace, *words.split()], cwd=tmp_path, env=clean, capture_output=True, text=True, check=True
            )
        tokens.append(json.loads(made.stdout)["token"])
    server = subprocess.Popen(
        [*headrace, "server", "--port", "0", "--auth", "users"],
        cwd=tmp_path,
        env=clean,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert server.stderr is not None
        found = re.search(r" at (https?://\S+)", server.stderr.readline())
        assert found is not None
        script = [real_kfp, "-B", "-c", WITH_TOKENS, found[1], *tokens]
        done = subprocess.run(script, env=clean, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        told = [line for line in done.stdout.splitlines() if line in ("allowed", "401", "403")]
        assert told == ["401", "401", "allowed", "403", "allowed", "allowed"]
    finally:
        server.terminate()
        server.communicate(timeout=30)
