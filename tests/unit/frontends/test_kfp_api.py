"""Whatever is sent to the API of Kubeflow Pipelines is answered, or refused with one message."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.server.kfp import api
from headrace.server.kfp.api import HANDLERS, KfpError, Request, answer
from headrace.server.kfp.documents import Documents, new_id, project_of
from headrace.server.kfp.filters import FilterError, matches
from headrace.server.kfp.mount import _pattern, _uploaded
from headrace.settings import Settings
from headrace.wiring import Scope, scope_at

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "display_name",
    "pipeline_spec",
    "pipeline_version_reference",
    "runtime_config",
    "experiment_id",
    "trigger",
    "mode",
]
QUERIES = ["filter", "page_token", "page_size", "sort_by", "experiment_id", "name", "pipelineid", "cascade"]


@pytest.fixture(scope="module")
def scope(tmp_path_factory: pytest.TempPathFactory) -> Scope:
    return scope_at(Settings(home=str(tmp_path_factory.mktemp("api"))))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(HANDLERS)),
    st.dictionaries(st.sampled_from(KEYS), VALUES),
    st.dictionaries(st.sampled_from(QUERIES), st.text(max_size=12)),
    st.lists(st.text(max_size=12), min_size=2, max_size=2),
    st.binary(max_size=40),
)
def test_any_request_is_answered_or_refused(
    scope: Scope, route: tuple[str, str], body: dict[str, Any], query: dict[str, str], ids: list[str], file: bytes
) -> None:
    try:
        found = answer(Request(scope, tuple(ids), query, body, file), *route)
    except KfpError as error:
        assert error.status in api.CODES
        return
    msgspec.json.encode(found)


def test_ids_lead_nowhere_else(scope: Scope, tmp_path: Path) -> None:
    for name in ("../../metadata", "..%2f", "a" * 36, ""):
        with pytest.raises(KfpError) as refused:
            answer(Request(scope, (name,), {}, {}), "GET", "runs/*")
        assert refused.value.status == 404


@pytest.mark.parametrize(
    ("predicate", "holds"),
    [
        ({"operation": "EQUALS", "key": "name", "string_value": "b"}, True),
        ({"operation": 2, "key": "name", "stringValue": "b"}, False),
        ({"operation": "IN", "key": "state", "string_values": {"values": ["x", "done"]}}, True),
        ({"operation": 8, "key": "state", "stringValues": {"values": []}}, False),
        ({"operation": "IS_SUBSTRING", "key": "state", "string_value": "on"}, True),
        ({"operation": "GREATER_THAN", "key": "at", "timestamp_value": "2026-01-01T01:30:00+02:00"}, True),
        ({"operation": "LESS_THAN_EQUALS", "key": "at", "timestamp_value": "2026-01-01T00:00:00Z"}, True),
        ({"operation": 3, "key": "count", "int_value": 9}, True),  # of numbers, not of texts
        ({"operation": 7, "key": "absent", "int_value": 9}, False),
    ],
)
def test_predicates_of_filters_hold_by_their_operation(predicate: dict[str, Any], holds: bool) -> None:
    document = {"display_name": "b", "state": "done", "at": "2026-01-01T00:00:00Z", "count": "10"}
    assert matches(document, msgspec.json.encode({"predicates": [predicate]}).decode()) is holds


@given(st.dictionaries(st.sampled_from(["operation", "key", "values", "string_value"]), VALUES))
def test_any_predicate_holds_or_is_refused(predicate: dict[str, Any]) -> None:
    with contextlib.suppress(FilterError):
        matches({"display_name": "b"}, msgspec.json.encode({"predicates": [predicate]}).decode())


def test_an_object_is_found_in_its_project_by_its_id(tmp_path: Path) -> None:
    name = new_id()
    Documents(str(tmp_path), "team").put("runs", name, {})
    assert project_of(str(tmp_path), ["../../*", "", new_id(), name]) == "team"
    assert project_of(str(tmp_path), ["*", new_id()]) == ""


def test_a_version_of_another_project_runs_only_for_who_sees_it(scope: Scope) -> None:
    version = new_id()
    Documents(scope.workspace.settings.home, "hidden").put("versions", version, {"pipeline_spec": {}})
    body = {"pipeline_version_reference": {"pipeline_version_id": version}}
    for sees, status in ((True, 400), (False, 404)):
        with pytest.raises(KfpError) as refused:
            answer(Request(scope, (), {}, body, sees=lambda project, sees=sees: sees), "POST", "runs")
        assert refused.value.status == status


def test_paths_are_taken_apart() -> None:
    one, two = new_id(), new_id()
    assert _pattern(f"pipelines/{one}/versions/{two}") == ("pipelines/*/versions/*", (one, two))
    assert _pattern(f"runs/{one}:terminate") == ("runs/*:terminate", (one,))
    assert _pattern("pipelines/upload_version") == ("pipelines/upload_version", ())


def test_an_upload_is_found_in_its_form_byte_for_byte() -> None:
    content = bytes(range(256)) + b"\r\n--almost\r\n"
    head = b'Content-Disposition: form-data; name="uploadfile"; filename="p.yaml"\r\nContent-Type: x/y\r\n\r\n'
    form = b"--b0\r\n" + head + content + b"\r\n--b0--\r\n"
    assert _uploaded(form, "multipart/form-data; boundary=b0") == content
    with pytest.raises(KfpError):
        _uploaded(b"nothing", "multipart/form-data; boundary=b0")
