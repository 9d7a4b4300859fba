"""Pickles of the Metaflow dialect's own objects: by a module that stays where it is."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import headrace.metaflow as public

DESCRIPTOR = {"content": "text"}
OBJECTS: dict[str, tuple[Any, ...]] = {
    "ConfigValue": ({"a": {"b": 1}},),
    "MetaflowExceptionWrapper": (ValueError("bad"),),
    "IncludedFile": (DESCRIPTOR,),
    "Parallel": ("127.0.0.1", 2, 1, "7"),
    "MetaflowEvent": ("name", "id", None, "run"),
    "Trigger": (),
    "ForeachFrame": ("start", "items", 3, 0, None),
    "Metadata": ("name", "value", 0, "type", None),
    "S3Object": (None, "s3://bucket/key"),
    "S3Info": (3,),
    "RangeInfo": (3,),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_a_stored_object_is_known_by_its_public_module(name: str) -> None:
    kind = getattr(public, name)
    pickled = pickle.dumps(kind(*OBJECTS[name]))
    assert b"headrace.frontends" not in pickled
    assert type(pickle.loads(pickled)) is kind


@pytest.mark.parametrize("name", ["Metaflow", "Flow", "Run", "Step", "Task", "DataArtifact", "MetaflowData"])
def test_objects_of_the_client_api_are_too(name: str) -> None:
    kind = getattr(public, name)
    assert pickle.loads(pickle.dumps(kind)) is kind
    assert kind.__module__ == "headrace.metaflow"
