"""How the executor of a place makes its pods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.group_manifests import Form
from headrace.executors.kubernetes.pods import PodRules
from headrace.model.pods import PodSettings


class KubernetesOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How pods are made. ``reached`` is the host at which pods find this driver (empty: where it listens). With
    ``forward`` they need not find it: the driver comes to them, through the API server. ``port_file`` remembers the
    port at which the last driver listened.

    ``image`` is that of steps which name none, and ``beside`` that of workers beside the image of a step (empty: they
    run in that image); ``pod``, ``secret`` and ``variables`` are those of the place. ``baked``
    are images of environments by the first digits of their digests. ``repeats`` is how often the attempts of a task may
    lose their pods by no fault of theirs. ``gangs`` is what the pods of a gang are together, and ``queued`` says that
    pods wait in a queue of Kueue. ``notify`` tells the person at the terminal something.
    """

    access: Access
    namespace: str = ""
    reached: str = ""
    forward: bool = False
    image: str = ""
    beside: str = ""
    pod: PodSettings = PodSettings()
    secret: str = ""
    variables: Mapping[str, str] = {}
    baked: Mapping[str, str] = {}
    rules: PodRules
    repeats: int = 20
    gangs: Form = "pods"
    queued: bool = False
    owner: Mapping[str, Any] | None = None
    port_file: str = ""
    notify: Callable[[str], None] = lambda text: None
