"""The server over a real socket: lists, one run, errors, limits, how it starts and stops."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.integration.server.conftest import Served, environment, headrace

from headrace.model.errors import UsageError
from headrace.server.config import ServerConfig


def headrace_code(folder: Path, code: str) -> str:
    """What Python prints that runs ``code`` in ``folder``."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(), text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


RUNS = "/api/v1/projects/default/runs"


def test_lists_name_projects_and_flows_of_the_folder(client: httpx.Client) -> None:
    assert client.get("/api/v1/projects").json()["items"] == [{"name": "default", "role": "admin"}]
    flows = client.get("/api/v1/projects/default/flows").json()["items"]
    assert [(one["name"], one["runs"]) for one in flows] == [("kinds", 1), ("train", 4)]


def test_runs_are_those_that_the_command_line_lists(client: httpx.Client, runs_folder: Path) -> None:
    listed = json.loads(headrace(runs_folder, "runs", "--json").stdout)
    assert client.get(RUNS).json() == {"items": listed, "next": None}


def test_command_line_reads_through_a_server_that_an_option_names(
    client: httpx.Client, served: Served, runs_folder: Path, tmp_path: Path
) -> None:
    done = headrace(tmp_path, "runs", "--server", served.url, "--json")
    assert json.loads(done.stdout) == json.loads(headrace(runs_folder, "runs", "--json").stdout)
    done = headrace(tmp_path, "show", "train/1", "--server", "not a url")
    assert done.returncode == 2
    assert "not a url" in done.stderr


def test_run_is_what_show_prints(client: httpx.Client, runs_folder: Path) -> None:
    shown = json.loads(headrace(runs_folder, "show", "train/3", "--json").stdout)
    assert client.get(f"{RUNS}/train/3").json() == shown
    assert shown["failure"]["error"] == "ValueError: no good: 2"


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"where": "params.depth = 3"}, [2]),
        ({"where": ["metrics.best >= 2", "params.rows < 5"]}, [2, 1]),
        ({"state": "failed"}, [3]),
        ({"state": ["failed", "crashed"]}, [3]),
        ({"tag": "team=vision", "limit": 1}, [4]),
        ({"flow": "other"}, []),
    ],
)
def test_runs_are_filtered_as_on_the_command_line(client: httpx.Client, query: dict, numbers: list[int]) -> None:
    assert [one["number"] for one in client.get(RUNS, params={"flow": "train"} | query).json()["items"]] == numbers


def test_cursor_leads_through_the_whole_list_once(client: httpx.Client) -> None:
    for path, size, whole in ((RUNS, 3, 5), (f"{RUNS}/train/2/tasks", 3, 4)):
        found, query = [], {"limit": size}
        while True:
            page = client.get(path, params=query).json()
            found += [one["name"] for one in page["items"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert len(found) == whole == len(set(found)), path


@pytest.mark.parametrize("sort", ["-params.depth", "metrics.loss", "-duration", "state", "tags.team"])
def test_sorted_list_is_led_through_once_by_its_cursors(client: httpx.Client, sort: str) -> None:
    whole = client.get("/api/v1/projects/default/runs", params={"sort": sort}).json()["items"]
    found: list[Any] = []
    query = {"sort": sort, "limit": "2"}
    while True:
        page = client.get("/api/v1/projects/default/runs", params=query).json()
        found += page["items"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert [one["name"] for one in found] == [one["name"] for one in whole]
    values = [one["params"].get("depth") for one in whole]
    if sort == "-params.depth":
        assert values == [3, 2, 2, 2, None]
    other = client.get("/api/v1/projects/default/runs", params={**query, "sort": "number"})
    assert other.status_code == 400
    assert client.get("/api/v1/projects/default/runs", params={"sort": "inputs"}).status_code == 400


def test_cursor_of_another_list_is_refused(client: httpx.Client) -> None:
    cursor = client.get(RUNS, params={"limit": 1}).json()["next"]
    for path, query in ((RUNS, {"flow": "train"}), (f"{RUNS}/train/2/tasks", {}), (f"{RUNS}/train/2/logs", {})):
        answer = client.get(path, params={**query, "cursor": cursor})
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:headrace:problem:bad-cursor")


def test_fields_give_items_in_part(client: httpx.Client) -> None:
    items = client.get(RUNS, params={"fields": "number,state", "limit": 2, "flow": "train"}).json()["items"]
    assert items == [{"number": 4, "state": "succeeded"}, {"number": 3, "state": "failed"}]
    assert client.get(RUNS, params={"fields": "nothing"}).status_code == 400


def test_tasks_are_listed_by_step_and_state(client: httpx.Client) -> None:
    steps = client.get(f"{RUNS}/train/3/steps").json()["items"]
    assert {one["step"]: one["counts"] for one in steps}["break_"] == {"failed": 1}
    failed = client.get(f"{RUNS}/train/3/tasks", params={"state": "failed"}).json()["items"]
    assert [one["name"] for one in failed] == ["train/3/break_/1"]
    task = client.get(f"{RUNS}/train/2/tasks/fit/3").json()
    assert (task["name"], task["parents"]) == ("train/2/fit/3", ["train/2/load/1"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", f"{RUNS}/train/99", 404),
        ("GET", f"{RUNS}/train/many", 404),
        ("GET", f"{RUNS}/..%2F..%2Fetc/1", 404),
        ("GET", f"{RUNS}/train/1/tasks/fit/x", 404),
        ("GET", f"{RUNS}?limit=0", 400),
        ("GET", f"{RUNS}?limit=1&limit=2", 400),
        ("GET", f"{RUNS}?colour=red", 400),
        ("GET", f"{RUNS}?where=depth", 400),
        ("GET", f"{RUNS}?cursor=%00", 400),
        ("GET", f"{RUNS}?where={'x' * 9000}", 414),
        ("GET", "/api/v1/projects/%0A/runs", 404),
        ("PATCH", RUNS, 405),
    ],
)
def test_errors_are_problem_documents_with_the_request_id(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path, headers={"X-Request-ID": "abcd-1234"})
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (problem["status"], problem["request_id"]) == (status, "abcd-1234")
    assert problem["detail"]


def test_unchanged_answer_is_not_sent_again(client: httpx.Client) -> None:
    first = client.get(f"{RUNS}/train/1/tasks")
    again = client.get(f"{RUNS}/train/1/tasks", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_other_hosts_and_other_sites_are_turned_away(served: Served) -> None:
    rebound = served.client.get(RUNS, headers={"Host": "evil.example"})
    assert (rebound.status_code, rebound.json()["type"]) == (421, "urn:headrace:problem:host")
    crossed = served.client.post(RUNS, headers={"Origin": "https://evil.example"})
    assert crossed.status_code == 403


def test_openapi_document_lists_every_path(client: httpx.Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) >= {"/healthz", RUNS.replace("default", "{project}")}


def test_server_starts_in_an_empty_folder_and_stops_when_told(tmp_path: Path) -> None:
    began = time.monotonic()
    server = Served(tmp_path, HEADRACE_LOG="json")
    assert server.client.get("/readyz").json() == {"status": "ok"}
    assert time.monotonic() - began < 20
    code, err = server.stop()
    assert code == 0
    line = json.loads(err.splitlines()[-1])
    assert (line["action"], line["status"], line["text"]) == ("request", 200, "GET /readyz")


def test_server_refuses_a_port_in_use_and_a_network_without_tls(served: Served, tmp_path: Path) -> None:
    port = urlsplit(served.url).port
    for options, words in (
        (("--port", str(port)), "choose another with --port"),
        (("--host", "0.0.0.0"), "--tls-cert"),
    ):
        done = headrace(tmp_path, "server", *options)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (ServerConfig(host="0.0.0.0", trusted_proxies=("10.0.0.1",)), "--auth users"),
        (ServerConfig(host="::"), "--tls-cert"),
        (ServerConfig(tls_cert="x"), "--tls-key"),
    ],
)
def test_configuration_that_shows_runs_to_a_network_is_refused(config: ServerConfig, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        config.check()


def test_half_a_request_costs_the_server_nothing_else(served: Served) -> None:
    place = urlsplit(served.url)
    with socket.create_connection((place.hostname, place.port)) as half:
        half.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127")
        assert served.client.get("/healthz").status_code == 200


def test_server_is_found_by_ui_by_runs_and_by_notebooks(served: Served, runs_folder: Path, tmp_path: Path) -> None:
    page = f"{served.url}/p/default/runs/train/2"
    assert json.loads(headrace(runs_folder, "ui", "train/2", "--json").stdout) == {"url": page}
    task = headrace(runs_folder, "ui", "train/2/fit/3", "--print")
    assert task.stdout == f"{page}/tasks/fit/3\n"
    shown = headrace_code(runs_folder, "import headrace; print(headrace.Run('train/2')._repr_html_())")
    assert f"<a href='{page}'" in shown
    (tmp_path / "one.py").write_text("from headrace import flow\n@flow\ndef one() -> int:\n    return 1\n")
    server = Served(tmp_path)
    try:
        told = headrace(tmp_path, "run", "one.py")
        assert f"{server.url}/p/default/runs/one/1" in told.stdout
    finally:
        server.stop()
    refused = headrace(tmp_path, "ui", "one/1")
    assert (refused.returncode, "headrace server --open" in refused.stderr) == (2, True)
