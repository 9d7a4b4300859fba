"""Tools for data."""

from headrace.frontends.metaflow.s3.access import S3 as S3
from headrace.frontends.metaflow.s3.objects import MetaflowS3Exception as MetaflowS3Exception
