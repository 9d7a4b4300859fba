"""The cluster that the benches of this folder use, and the place that they describe."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Setting(NamedTuple):
    """A namespace of a cluster, an image with Headrace, and the address of this machine for pods."""

    kubeconfig: str
    namespace: str
    image: str
    address: str


def arguments(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], Setting]:
    """Add the options for it; gives what reads them."""
    parser.add_argument("--kubeconfig", default="")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--address", required=True, help="of this machine, for pods")
    return lambda told: Setting(told.kubeconfig, told.namespace, told.image, told.address)


def places_file(setting: Setting, variables: Mapping[str, str], pods: int = 4) -> str:
    """A ``pyproject.toml`` with the place ``pods``."""
    inline = ", ".join(f"{name} = {json.dumps(value)}" for name, value in variables.items())
    return f"""
[tool.headrace.places.pods]
kind = "kubernetes"
driver = "here"
kubeconfig = {json.dumps(setting.kubeconfig)}
namespace = {json.dumps(setting.namespace)}
image = {json.dumps(setting.image)}
address = {json.dumps(setting.address)}
limits = {{pods = {pods}}}
variables = {{{inline}}}
"""
