"""``FlowSpec``."""

from headrace.frontends.metaflow.authoring.flowspec import FlowSpecMeta
from headrace.frontends.metaflow.authoring.splits import ParallelUBF
from headrace.frontends.metaflow.exceptions import (
    InvalidNextException,
    MissingInMergeArtifactsException,
    UnhandledInMergeArtifactsException,
)
from headrace.frontends.metaflow.flow import FlowSpec

__all__ = [
    "FlowSpec",
    "FlowSpecMeta",
    "InvalidNextException",
    "MissingInMergeArtifactsException",
    "ParallelUBF",
    "UnhandledInMergeArtifactsException",
]
