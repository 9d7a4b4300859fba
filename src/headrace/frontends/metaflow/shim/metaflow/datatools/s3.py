"""``S3``, under the name of its file."""

from headrace.frontends.metaflow.s3.access import S3 as S3
from headrace.frontends.metaflow.s3.objects import *  # noqa: F403
