"""A driver of an older patch version is understood: what travels to a server may gain fields at its end, with defaults.

``wire_0_1.json`` has the fields of everything that travels, as the first version of this minor version has them. It is
written anew with each minor version: ``python tests/unit/stores/test_wire_versions.py``.
"""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace._version import __version__
from headrace.stores.metadata import wire
from headrace.stores.metadata.protocol import Write

FILE = Path(__file__).with_name("wire_0_1.json")


def travelling() -> dict[str, type[msgspec.Struct]]:
    """Every struct that a client sends: arguments, and what is in them, by name."""
    found: dict[str, type[msgspec.Struct]] = {}
    waiting: list[Any] = [wire.remote(name).arguments for name in wire.names()]
    waiting += [*typing.get_args(Write), wire.CommitArguments, wire.AwaitArguments]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__name__ not in found:
            found[kind.__name__] = kind
            waiting += [one.type for one in msgspec.structs.fields(kind)]
        waiting += typing.get_args(kind)
    return found


FIRST: dict[str, list[str]] = json.loads(FILE.read_text()) if FILE.exists() else {}


@pytest.mark.parametrize("name", sorted(FIRST))
def test_what_travels_gains_fields_at_the_end_alone(name: str) -> None:
    kind = travelling()[name]
    fields = msgspec.structs.fields(kind)
    before = FIRST[name]
    names = [one.encode_name for one in fields]
    added = fields[len(before) :] if kind.__struct_config__.array_like else fields
    if kind.__struct_config__.array_like:
        assert names[: len(before)] == before
    else:
        assert set(before) <= set(names)
    for one in added:
        assert one.encode_name in before or not one.required, one.encode_name


def test_every_minor_version_has_its_list() -> None:
    assert __version__.startswith("0.1."), "write the list of the new minor version"
    assert len(FIRST) > 30


if __name__ == "__main__":
    told = {name: [one.encode_name for one in msgspec.structs.fields(kind)] for name, kind in travelling().items()}
    lines = [f" {json.dumps(name)}: {json.dumps(fields)}" for name, fields in sorted(told.items())]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
