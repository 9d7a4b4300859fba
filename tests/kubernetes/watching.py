"""What tests of ``ClusterApi`` share: small pods, and waiting for what happens to them."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from headrace.executors.kubernetes.api import ClusterApi
from headrace.executors.kubernetes.happenings import Happening, PodGone, PodSeen

LABELS = {"headrace-test": "api"}


def bare_pod(name: str, image: str = "localhost/pause:1", **spec: Any) -> dict[str, Any]:
    """A pod; without an image that exists and a scheduler's name it stays Pending and costs nothing."""
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": LABELS},
        "spec": {"restartPolicy": "Never", "schedulerName": "nobody", "containers": [container], **spec},
    }


class Heard:
    """All that a ``ClusterApi`` told so far."""

    def __init__(self, api: ClusterApi) -> None:
        self._api = api
        self.all: list[Happening] = []

    def until(self, enough: Callable[[list[Happening]], bool], seconds: float = 60) -> list[Happening]:
        """Listen until ``enough`` holds for all that was told."""
        end = time.monotonic() + seconds
        while not enough(self.all):
            assert time.monotonic() < end, self.all
            select.select([self._api.fileno()], [], [], 0.2)
            self.all += self._api.events()
        return self.all

    def alive(self) -> set[str]:
        """The names of the pods that exist, by what was told."""
        names: set[str] = set()
        for one in self.all:
            if isinstance(one, PodSeen):
                names.add(one.pod["metadata"]["name"])
            elif isinstance(one, PodGone):
                names.discard(one.name)
        return names


def redirected(kubeconfig: Path, address: tuple[str, int], target: Path) -> tuple[str, int]:
    """Write a kubeconfig of the same cluster behind another address; returns the address of the API server."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    server = urlsplit(cluster["server"])
    assert server.hostname is not None
    cluster["server"] = f"https://{address[0]}:{address[1]}"
    cluster["tls-server-name"] = server.hostname if not server.hostname[0].isdigit() else "kubernetes"
    target.write_text(json.dumps(config))
    return server.hostname, server.port or 443
