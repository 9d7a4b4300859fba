"""``get_aws_client``: a client of boto3 by Metaflow's settings."""

from __future__ import annotations

import pytest

pytest.importorskip("boto3")

from headrace.frontends.metaflow.exceptions import NotSupportedException
from headrace.frontends.metaflow.s3.access import get_aws_client

REGION = {"region_name": "eu-north-1"}


def test_the_endpoint_of_the_settings_is_that_of_s3_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")

    assert get_aws_client("s3", session_vars=REGION).meta.endpoint_url == "http://127.0.0.1:9"
    assert "eu-north-1" in get_aws_client("sts", client_params=REGION).meta.endpoint_url


def test_the_class_of_its_errors_comes_with_it() -> None:
    from botocore.exceptions import ClientError

    client, error = get_aws_client("s3", with_error=True, session_vars=REGION)

    assert client.meta.region_name == "eu-north-1"
    assert error is ClientError


def test_a_role_is_refused() -> None:
    with pytest.raises(NotSupportedException, match="role_arn"):
        get_aws_client("s3", role_arn="arn:aws:iam::1:role/x")
