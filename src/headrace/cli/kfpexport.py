"""``headrace export kfp``: a native flow as a compiled Kubeflow pipeline."""

from __future__ import annotations

import io
import os
import sys
import tarfile
import typing
from pathlib import Path
from typing import Any

import click
import msgspec

from headrace._version import __version__
from headrace.cli.dialects import target_of
from headrace.cli.options import open_here
from headrace.cli.output import print_json
from headrace.frontends.kfp.export import ExportedFlow, ExportedParameter, pipeline_text
from headrace.frontends.native.launch import entry_of
from headrace.frontends.native.load import load_flow
from headrace.frontends.native.parameters import parameter_specs
from headrace.model.errors import UsageError
from headrace.services.code.collect import Collected, collect


def export_flow(target: str, output: Path, image: str, *, force: bool, json: bool) -> None:
    """Write the flow ``target`` to ``output``.

    Raises:
        UsageError: it is not a native flow, or the file exists. PipelineError: KFP cannot pass a parameter.
    """
    if target_of(target).dialect != "native":
        raise UsageError(f"{target} is not a native flow; `headrace export kfp` writes native flows as pipelines")
    if output.exists() and not force:
        raise UsageError(f"{output} exists; --force replaces it, -o writes elsewhere")
    flow = load_flow(target).flow
    file, _, name = entry_of(flow).rpartition(":")
    if not file:
        raise UsageError(f"flow {name} is in no file")
    collected = collect(file, open_here().workspace.code_rules(file))
    hints = typing.get_type_hints(flow.__wrapped__)
    text = pipeline_text(
        ExportedFlow(
            name=flow.name,
            description=(flow.__doc__ or "").strip().partition("\n\n")[0],
            parameters=[
                ExportedParameter(one.name, one.type, msgspec.UNSET if one.required else one.default)
                for one in parameter_specs(flow.__wrapped__)
            ],
            returns=hints.get("return"),
            entry=f"{os.path.relpath(file, collected.root)}:{name}",
            archive=_archive(collected),
            image=image or f"python:{sys.version_info.major}.{sys.version_info.minor}",
            requirement=f"headrace=={__version__}",
        )
    )
    output.write_text(text)
    if json:
        print_json({"flow": flow.name, "file": str(output), "bytes": len(text)})
    else:
        click.echo(f"{flow.name} is in {output}: `headrace run {output}` runs it here, KFP in its cluster.")


def _archive(collected: Collected) -> bytes:
    """The files of a flow, as the same bytes each time."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=9) as archive:
        for place, one in sorted(collected.files.items()):
            content: Any = one.content if one.content is not None else Path(one.path).read_bytes()
            info = tarfile.TarInfo(place)
            info.size, info.mode = len(content), 0o755 if one.executable else 0o644
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()
