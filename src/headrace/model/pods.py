"""What a place or a step asks of its pods beside image and resources, in the words of Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.model.errors import DefinitionError

#: By what the items of a list are told apart when two lists are merged, the first one that all of them have.
_KEYS = ("mountPath", "devicePath", "name", "containerPort")


class PodSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Settings of pods: ``@step(pod=Pod(...))``, or ``[tool.headrace.places.NAME.pod]`` for all of a place.

    Tolerations, ``affinity``, ``volumes`` and ``volume_mounts`` are written as in a pod's manifest. ``secrets`` are
    names of secrets of the cluster whose keys become environment variables, and ``config_maps`` likewise. ``gpu`` is
    the name of the resource that the ``gpu`` of a step counts, and ``devices`` are others by their names. ``patch`` is
    laid over the manifest at last: maps are merged, lists whose items have names are merged by these, all else takes
    the place of what is there, and None deletes it. The container of the worker is called ``worker``.

    Raises:
        DefinitionError: a value is of the wrong type.
    """

    node_selector: Mapping[str, str] = {}
    tolerations: Sequence[Mapping[str, Any]] = ()
    affinity: Mapping[str, Any] = {}
    service_account: str = ""
    volumes: Sequence[Mapping[str, Any]] = ()
    volume_mounts: Sequence[Mapping[str, Any]] = ()
    secrets: Sequence[str] = ()
    config_maps: Sequence[str] = ()
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    priority_class: str = ""
    image_pull_policy: str = ""
    image_pull_secrets: Sequence[str] = ()
    runtime_class: str = ""
    gpu: str = ""
    devices: Mapping[str, int] = {}
    patch: Mapping[str, Any] = {}

    def __post_init__(self) -> None:
        for name in ("node_selector", "labels", "annotations"):
            for key, value in _map(name, getattr(self, name)).items():
                if not isinstance(key, str) or not isinstance(value, str):
                    raise DefinitionError(f"Pod: {name} has texts by names, not {key!r}: {value!r}")
        for name in ("affinity", "patch"):
            _map(name, getattr(self, name))
        for name in ("tolerations", "volumes", "volume_mounts"):
            for one in _list(name, getattr(self, name)):
                _map(f"each of {name}", one)
        for name in ("secrets", "config_maps", "image_pull_secrets"):
            for one in _list(name, getattr(self, name)):
                if not isinstance(one, str) or not one:
                    raise DefinitionError(f"Pod: {name} is a list of names, not {one!r}")
        for name in ("service_account", "priority_class", "image_pull_policy", "runtime_class", "gpu"):
            if not isinstance(getattr(self, name), str):
                raise DefinitionError(f"Pod: {name} is a text, not {getattr(self, name)!r}")
        for key, value in _map("devices", self.devices).items():
            if not isinstance(key, str) or isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise DefinitionError(f"Pod: devices has whole numbers by names of resources, not {key!r}: {value!r}")
        # A copy, since what was given may change later; and lists compare as tuples do.
        for name, value in msgspec.structs.asdict(self).items():
            msgspec.structs.force_setattr(self, name, _frozen(value))

    def __hash__(self) -> int:
        return hash(self.encoded())

    def encoded(self) -> bytes:
        """The settings as bytes: equal ones give equal bytes."""
        return msgspec.json.encode(self, order="deterministic")


#: As flows call it.
Pod = PodSettings


def _map(name: str, value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise DefinitionError(f"Pod: {name} is a dictionary, not {value!r}")
    return value


def _list(name: str, value: Any) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise DefinitionError(f"Pod: {name} is a list, not {value!r}")
    return value


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _frozen(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple([_frozen(one) for one in value])
    return value


def merge(place: PodSettings, step: PodSettings | None) -> PodSettings:
    """Settings of a place with those of a step over them: lists are joined, by names where their items have these."""
    if step is None:
        return place
    merged = {
        name: overlay(getattr(place, name), value, join=True) if value else getattr(place, name)
        for name, value in msgspec.structs.asdict(step).items()
    }
    return PodSettings(**merged)


def overlay(base: Any, patch: Any, *, join: bool = False) -> Any:
    """``base`` with ``patch`` laid over it, as Kubernetes does with templates (a strategic merge).

    Maps are merged, and None deletes a key. Lists whose items all have a name (or a path or port to mount or open) are
    merged by these; other lists are replaced, or with ``join`` appended to.
    """
    if isinstance(base, Mapping) and isinstance(patch, Mapping):
        merged = dict(base)
        for key, value in patch.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = overlay(merged.get(key), value, join=join)
        return merged
    if isinstance(base, (list, tuple)) and isinstance(patch, (list, tuple)):
        key = _key_of([*base, *patch])
        if key:
            items = {one[key]: one for one in base}
            for one in patch:
                items[one[key]] = overlay(items.get(one[key]), one, join=join)
            return list(items.values())
        if join:
            return [*base, *[one for one in patch if one not in base]]
    if isinstance(patch, Mapping):
        return overlay({}, patch, join=join)  # without what it deletes
    return list(patch) if isinstance(patch, (list, tuple)) else patch


def _key_of(items: Sequence[Any]) -> str:
    """The field that tells the items of a list apart; empty: none does."""
    maps = bool(items) and all(isinstance(one, Mapping) for one in items)
    return next((key for key in _KEYS if maps and all(isinstance(one.get(key), (str, int)) for one in items)), "")
