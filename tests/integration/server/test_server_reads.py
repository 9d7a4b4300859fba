"""Everything of a run over the API: artifacts, logs, metrics, lineage, explanations, code, comparisons."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
from tests.integration.server.conftest import headrace

PROJECT = "/api/v1/projects/default"
RUN = f"{PROJECT}/runs/train/2"
KINDS = f"{PROJECT}/runs/kinds/1"


def member(data: bytes, name: str) -> bytes:
    """A file of a tar file."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.extractfile(name).read()


def items(client: httpx.Client, path: str, **query: object) -> list:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_artifacts_are_those_that_the_command_line_lists(client: httpx.Client, runs_folder: Path) -> None:
    listed = json.loads(headrace(runs_folder, "artifacts", "train/2", "--json").stdout)
    assert items(client, f"{RUN}/artifacts") == listed
    assert [one["name"] for one in items(client, f"{RUN}/artifacts", step="-")] == ["result"]
    found, query = [], {"limit": 2}
    while True:
        page = client.get(f"{RUN}/artifacts", params=query).json()
        found += page["items"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert found == listed


def test_artifact_says_who_made_it_and_who_took_it(client: httpx.Client) -> None:
    found = client.get(f"{RUN}/artifacts/load/1/result").json()
    assert found["producer"] == "train/2/load/1"
    assert found["consumers"] == ["train/2/fit/1", "train/2/fit/2", "train/2/fit/3"]
    assert found["formats"] == ["json"]
    assert client.get(f"{RUN}/artifacts/fit/1/data").json()["producer"] == "train/2/load/1"


@pytest.mark.parametrize(
    ("name", "form", "media", "check"),
    [
        ("array", "", "application/octet-stream", lambda data: np.load(io.BytesIO(data)).tolist() == [[0, 1], [2, 3]]),
        ("turned", "", "application/octet-stream", lambda data: np.load(io.BytesIO(data)).tolist() == [[0, 2], [1, 3]]),
        ("table", "csv", "text/csv", lambda data: data == b'"n","s"\n1,"a"\n2,"<b>"\n'),
        ("table", "arrow", "application/vnd.apache.arrow.stream", lambda d: pa.ipc.open_stream(d).read_all()["n"][1]),
        ("text", "", "text/plain", lambda data: data == "<script>alert('ä')</script>".encode()),
        ("blob", "", "application/octet-stream", lambda data: data == bytes(range(256)) * 400),
        ("plain", "json", "application/json", lambda data: json.loads(data) == {"a": [1, None]}),
        ("file", "", "application/octet-stream", lambda data: data == b"in a file"),
        (
            "folder",
            "",
            "application/x-tar",
            lambda data: member(data, "d/x.txt") == b"x",
        ),
    ],
)
def test_download_is_a_file_of_the_format(client: httpx.Client, name: str, form: str, media: str, check) -> None:
    answer = client.get(f"{KINDS}/artifacts/make/1/{name}/download", params={"format": form} if form else {})
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, media), answer.text
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert check(answer.content)


def test_pickle_is_not_read_for_a_download(client: httpx.Client) -> None:
    answer = client.get(f"{KINDS}/artifacts/make/1/object/download")
    assert (answer.status_code, answer.json()["type"]) == (406, "urn:headrace:problem:format")
    raw = client.get(f"{KINDS}/artifacts/make/1/object/raw")
    assert raw.headers["x-headrace-codec"] == "pickle-canonical"
    assert b"kinds" in raw.content


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=102390-", 206, slice(102390, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=10-999999", 206, slice(10, None)),
        ("bytes=5-2", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
        ("bytes=102400-", 416, None),
        ("bytes=-0", 416, None),
    ],
)
def test_range_of_a_download(client: httpx.Client, asked: str, status: int, span: slice | None) -> None:
    whole = bytes(range(256)) * 400
    answer = client.get(f"{KINDS}/artifacts/make/1/blob/raw", headers={"Range": asked})
    assert answer.status_code == status
    if span is not None:
        assert answer.content == whole[span]


def test_picture_of_a_figure(client: httpx.Client) -> None:
    found = client.get(f"{KINDS}/artifacts/-/0/curve").json()
    assert found["picture"]
    picture = client.get(f"{KINDS}/artifacts/-/0/curve/download", params={"format": "png"})
    assert picture.content.startswith(b"\x89PNG")


def test_artifacts_are_searched_over_runs(client: httpx.Client) -> None:
    found = items(client, f"{PROJECT}/artifacts", name="NOTES", limit=3)
    assert [one["task"] for one in found] == ["train/4/fit/1", "train/4/fit/2", "train/3/fit/1"]
    typed = items(client, f"{PROJECT}/artifacts", type="ndarray")
    assert {one["name"] for one in typed} == {"array", "turned"}
    walked, query = [], {"producer": "train/2/fit", "limit": 2}
    while True:
        page = client.get(f"{PROJECT}/artifacts", params=query).json()
        walked += [(one["task"], one["name"]) for one in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert len(walked) == 6 == len(set(walked))


def test_logs_are_paged_searched_and_had_as_text(client: httpx.Client, runs_folder: Path) -> None:
    whole = [one["text"] for one in items(client, f"{RUN}/logs")]
    assert "".join(whole).count("fitted") == 3
    found, query = [], {"limit": 1}
    while True:
        page = client.get(f"{RUN}/logs", params=query).json()
        found += [one["text"] for one in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert found == whole
    assert [one["text"] for one in items(client, f"{RUN}/logs", tail=True, limit=2)] == whole[-2:]
    lines = items(client, f"{RUN}/logs", search="FITTED", step="fit", task=2)
    assert [one["text"] for one in lines] == ["fitted \x1b[1m1\x1b[0m <script>alert(1)</script>"]
    assert {one["stream"] for one in items(client, f"{RUN}/tasks/fit/1/logs", stream="err")} == {"err"}
    text = client.get(f"{RUN}/logs/text", params={"step": "fit", "task": 1})
    assert text.text == headrace(runs_folder, "logs", "train/2/fit/1").stdout
    part = client.get(f"{RUN}/logs/text", params={"step": "fit", "task": 1}, headers={"Range": "bytes=0-5"})
    assert (part.status_code, part.text) == (206, text.text[:6])


def test_metrics_come_with_as_many_points_as_asked_for(client: httpx.Client) -> None:
    assert {one["name"]: one["count"] for one in items(client, f"{RUN}/metrics")} == {"loss": 600, "best": 1}
    found = client.get(f"{RUN}/metrics/loss", params={"points": 20}).json()
    assert [one["task"] for one in found["series"]] == ["train/2/fit/1", "train/2/fit/2", "train/2/fit/3"]
    first = found["series"][0]
    assert (first["count"], len(first["values"]), first["steps"][0], first["steps"][-1]) == (200, 20, 0, 199)
    assert (first["values"][0], first["values"][-1]) == (1.0, 1 / 200)
    banded = client.get(f"{RUN}/metrics/loss", params={"points": 10, "band": True, "step": "fit", "task": 1}).json()
    (only,) = banded["series"]
    assert (only["high"][0], only["low"][-1], len(only["values"])) == (1.0, 1 / 200, 10)
    slashed = client.get(f"{KINDS}/metrics/val%2Floss").json()["series"][0]
    assert (slashed["values"], slashed["gaps"]) == ([1.0, 3.0], 2)
    assert client.get(f"{RUN}/metrics/nothing").status_code == 404


def test_values_that_json_lacks_are_null(client: httpx.Client) -> None:
    (found,) = items(client, f"{KINDS}/metrics")
    assert (found["last"], found["min"]) == (3.0, 1.0)
    assert client.get(f"{PROJECT}/runs", params={"flow": "kinds"}).json()["items"][0]["metrics"]["val/loss"] == 3.0


def test_timeline_lists_attempts(client: httpx.Client) -> None:
    found = items(client, f"{RUN}/attempts")
    assert [one["task"] for one in found] == [f"train/2/{one}" for one in ("fit/1", "fit/2", "fit/3", "load/1")]
    assert all(one["duration"] >= 0 and one["worker"] for one in found)


def test_usage_sums_attempts_by_step_and_worker(client: httpx.Client) -> None:
    found = client.get(f"{RUN}/usage").json()
    assert {one["name"]: one["attempts"] for one in found["steps"]} == {"load": 1, "fit": 3}
    assert (sum(one["attempts"] for one in found["workers"]), found["merged"]) == (4, False)
    spans = found["spans"]
    names = [f"{found['steps'][step]['name']}/{task}" for step, task in zip(spans["step"], spans["task"], strict=True)]
    assert sorted(names) == ["fit/1", "fit/2", "fit/3", "load/1"]
    again = client.get(f"{RUN}/usage", params={"begin": -2, "until": -1}).json()
    assert (again["attempts"], again["spans"]["start"]) == (4, [])


def test_task_says_how_it_failed(client: httpx.Client) -> None:
    found = client.get(f"{PROJECT}/runs/train/3/tasks/break_/1/traceback").json()
    assert found["error"] == "ValueError: no good: 2"
    assert 'raise ValueError(f"no good: {depth}")' in found["traceback"]


def test_small_parts_of_a_run(client: httpx.Client) -> None:
    assert {one["name"]: one["value"] for one in items(client, f"{RUN}/params")} == {
        "rows": 3,
        "depth": 3,
        "fail": False,
    }
    assert items(client, f"{RUN}/tags") == [{"name": "team", "value": "vision"}]
    assert items(client, f"{RUN}/waits") == []
    assert items(client, f"{RUN}/cards") == []
    assert [one["name"] for one in items(client, f"{RUN}/tasks/fit/1/inputs")] == ["depth", "data"]
    assert {one["name"] for one in items(client, f"{RUN}/tasks/fit/1/outputs")} == {"result", "notes"}
    assert [one["state"] for one in items(client, f"{RUN}/tasks/fit/1/attempts")] == ["succeeded"]


def test_graph_and_lineage(client: httpx.Client) -> None:
    graph = client.get(f"{RUN}/graph").json()
    assert graph["edges"] == [{"parent": "load", "child": "fit", "count": 3, "exact": True}]
    lineage = client.get(f"{RUN}/tasks/load/1/lineage").json()
    assert {one["task"]: one["distance"] for one in lineage["nodes"]} == {
        "train/2/load/1": 0,
        "train/2/fit/1": 1,
        "train/2/fit/2": 1,
        "train/2/fit/3": 1,
    }
    short = client.get(f"{RUN}/tasks/load/1/lineage", params={"limit": 1}).json()
    assert (len(short["nodes"]), short["more"]) == (2, True)
    assert client.get(f"{RUN}/lineage").json() == {"sources": [], "users": [], "reproduces": ""}


def test_value_is_found_in_all_runs_that_made_or_took_it(client: httpx.Client) -> None:
    [made] = [
        one
        for one in client.get(f"{RUN}/artifacts", params={"step": "load"}).json()["items"]
        if one["name"] == "result"
    ]
    path = f"/api/v1/projects/default/values/{made['digest']}"
    found = client.get(path).json()["items"]
    told = {(one["task"], one["name"], one["role"], one["origin"]) for one in found if one["run"] == "train/2"}
    assert told == {
        ("train/2/load/1", "result", "made", ""),
        *((f"train/2/fit/{n}", "data", "argument", "train/2/load/1/result") for n in (1, 2, 3)),
    }
    # runs 1 to 3 load the same rows, run 4 others
    assert {one["run"] for one in found if one["role"] == "made"} == {"train/1", "train/2", "train/3"}
    pages, query = [], {"limit": "1"}
    while True:
        page = client.get(path, params=query).json()
        pages += page["items"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert pages == found
    rows = client.get(f"{RUN}/tasks/load/1").json()["inputs"][0]["digest"]
    given = client.get(f"/api/v1/projects/default/values/{rows}").json()["items"]
    assert ("flow argument", "rows") in {(one["role"], one["name"]) for one in given}
    assert client.get("/api/v1/projects/default/values/" + "0" * 64).json() == {"items": [], "next": None}
    assert client.get("/api/v1/projects/default/values/x").status_code == 404


def test_explanation_and_differences_are_those_of_the_command_line(client: httpx.Client, runs_folder: Path) -> None:
    told = json.loads(headrace(runs_folder, "explain", "train/2/fit/1", "--json").stdout)
    assert client.get(f"{RUN}/tasks/fit/1/explain").json() == told
    whole = json.loads(headrace(runs_folder, "explain", "train/2", "--json").stdout)
    assert client.get(f"{RUN}/explain").json() == whole
    assert whole["verdicts"] == {"ran": 4}
    [load, fit] = whole["steps"]
    assert (load["step"], load["total"], fit["step"], fit["total"]) == ("load", 1, "fit", 3)
    assert [(one["verdict"], one["tasks"], one["example"]) for one in fit["reasons"]] == [("ran", 3, "train/2/fit/1")]
    beside = client.get(f"{RUN}/tasks/fit/1/explain", params={"with": "train/1/fit/2"}).json()
    assert beside["compared"]["task"] == "train/1/fit/2"
    diff = json.loads(headrace(runs_folder, "diff", "train/1", "train/2", "--json").stdout)
    assert client.get(f"{RUN}/diff", params={"with": "train/1"}).json() == diff
    assert "def make" in client.get(f"{KINDS}/diff/source", params={"with": "train/1"}).text


def test_code_and_environment(client: httpx.Client, runs_folder: Path) -> None:
    listed = json.loads(headrace(runs_folder, "code", "train/2", "--json").stdout)
    assert client.get(f"{RUN}/code").json() == listed
    assert client.get(f"{RUN}/code/train.py").text == (runs_folder / "train.py").read_text()
    assert client.get(f"{RUN}/code/..%2F..%2Fetc%2Fpasswd").status_code == 404
    environment = client.get(f"{RUN}/environment", params={"with": "train/1"}).json()
    assert "msgspec" in environment["packages"]
    assert environment["changes"] == []


def test_runs_are_compared_side_by_side(client: httpx.Client) -> None:
    found = client.get(f"{PROJECT}/compare", params={"run": ["train/1", "train/2", "train/4"]}).json()
    assert [one["name"] for one in found["runs"]] == ["train/1", "train/2", "train/4"]
    assert {one["name"]: one["values"] for one in found["params"]} == {"depth": [2, 3, 2], "rows": [3, 3, 5]}
    assert {one["name"]: one["values"] for one in found["metrics"]}["best"] == [2.0, 3.0, 2.0]
    (result,) = found["artifacts"]
    assert (result["name"], result["same"]) == ("result", False)
    assert client.get(f"{PROJECT}/compare", params={"run": ["train/1"]}).status_code == 400
