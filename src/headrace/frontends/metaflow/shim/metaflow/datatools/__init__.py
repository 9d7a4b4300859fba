"""``S3``."""

from headrace.frontends.metaflow.s3 import S3 as S3
from headrace.frontends.metaflow.s3objects import *  # noqa: F403
