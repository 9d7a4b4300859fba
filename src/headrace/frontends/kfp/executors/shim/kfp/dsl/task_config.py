"""What a component that starts work elsewhere hears of its own Kubernetes settings; empty on one machine."""

import dataclasses
from typing import Any, Optional


@dataclasses.dataclass
class TaskConfig:
    """Parts of a Kubernetes pod's specification, each None where nothing was set."""

    affinity: Optional[dict[str, Any]] = None  # noqa: UP045
    tolerations: Optional[list[dict[str, Any]]] = None  # noqa: UP045
    node_selector: Optional[dict[str, str]] = None  # noqa: UP045
    env: Optional[list[dict[str, Any]]] = None  # noqa: UP045
    volumes: Optional[list[dict[str, Any]]] = None  # noqa: UP045
    volume_mounts: Optional[list[dict[str, Any]]] = None  # noqa: UP045
    resources: Optional[dict[str, Any]] = None  # noqa: UP045
