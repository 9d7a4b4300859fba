"""Clients of AWS."""

from headrace.frontends.metaflow.s3.access import get_aws_client

__all__ = ["get_aws_client"]
