"""Whatever is sent to the API of Kubeflow Pipelines is answered, or refused with one message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.server.kfp import api
from headrace.server.kfp.api import HANDLERS, KfpError, Request, answer
from headrace.server.kfp.documents import new_id
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
