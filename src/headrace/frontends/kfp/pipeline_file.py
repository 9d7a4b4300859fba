"""Read a compiled pipeline: YAML or JSON, one or two documents, as they are or in a ``.zip`` or ``.tar.gz``.

Numbers that are whole become ``int`` here: the compiler writes ``4.0`` for 4.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from headrace.frontends.kfp.errors import PipelineError
from headrace.frontends.kfp.ir import Component, Executor, Pipeline, PipelineSpec, PlatformSpec, Task
from headrace.frontends.kfp.values import whole

#: Larger files than this are refused; the largest pipelines that are known have some MB.
SIZE_LIMIT = 64 << 20
_KNOWN_SCHEMAS = re.compile(r"2\.[01](\.\d+)?$")
_COMMENT = re.compile(rb"\A(\s*#[^\n]*\n|\s*\n)*")
T = TypeVar("T")


def read_pipeline(path: str | Path) -> Pipeline:
    """The pipeline in a file.

    Raises:
        PipelineError: it cannot be read, or is not a compiled pipeline of KFP v2; the message says what to do.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror or error}") from None
    return parse_pipeline(data, str(path))


def parse_pipeline(data: bytes, name: str) -> Pipeline:
    """The pipeline in ``data``; ``name`` is how messages call the file. Raises as ``read_pipeline``."""
    data = _unpacked(data, name)
    if len(data) > SIZE_LIMIT:
        raise PipelineError(f"{name} has {len(data) >> 20} MiB; a pipeline can have up to {SIZE_LIMIT >> 20} MiB")
    documents = [one for one in _documents(data, name) if one is not None]
    return pipeline_of(documents, name)


def pipeline_of(documents: list[Any], name: str) -> Pipeline:
    """The pipeline in decoded documents; ``name`` is how messages call them. Raises as ``read_pipeline``."""
    if not documents or not all(isinstance(one, dict) for one in documents):
        raise PipelineError(f"{name} is not a compiled pipeline: it does not hold a mapping with pipelineInfo and root")
    first = _spec(documents[0], name)
    platform: Any = {}
    if "pipeline_spec" in first:  # as the client sends both
        first, platform = first["pipeline_spec"], first.get("platform_spec") or {}
    if len(documents) > 2 or (len(documents) == 2 and "platforms" not in documents[1]):
        raise PipelineError(f"{name}: after the pipeline only one document may follow, which has the key 'platforms'")
    if len(documents) == 2:
        platform = documents[1]
    _check_kind(first, name)
    spec = _converted(whole(first), PipelineSpec, name)
    pipeline = Pipeline(spec=spec, platform=_converted(whole(platform), PlatformSpec, f"{name}, second document"))
    if not re.fullmatch(r"[^/\s]+", pipeline.name):
        raise PipelineError(f"{name}: pipelineInfo.name is {pipeline.name!r}; it must be a name without '/' or blanks")
    return pipeline


def _unpacked(data: bytes, name: str) -> bytes:
    """The first YAML or JSON file of an archive; other data as it is."""
    if data[:2] == b"\x1f\x8b":
        import tarfile

        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
                for member in archive:
                    if member.isfile() and _is_pipeline(member.name) and member.size <= SIZE_LIMIT:
                        file = archive.extractfile(member)
                        assert file is not None
                        return file.read(SIZE_LIMIT + 1)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise PipelineError(f"{name} is not a .tar.gz archive that can be read: {error}") from None
        raise PipelineError(f"{name}: no .yaml, .yml or .json file in the archive")
    if data[:4] == b"PK\x03\x04":
        import zipfile

        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for info in archive.infolist():
                    if _is_pipeline(info.filename) and info.file_size <= SIZE_LIMIT:
                        return archive.read(info)
        except (zipfile.BadZipFile, OSError, RuntimeError) as error:
            raise PipelineError(f"{name} is not a .zip archive that can be read: {error}") from None
        raise PipelineError(f"{name}: no .yaml, .yml or .json file in the archive")
    return data


def _is_pipeline(name: str) -> bool:
    return name.endswith((".yaml", ".yml", ".json"))


def _documents(data: bytes, name: str) -> list[Any]:
    at = _COMMENT.match(data)
    rest = data[at.end() if at else 0 :]
    if rest[:1] == b"{" and b"\n---" not in rest:  # several documents are YAML
        try:
            return [msgspec.json.decode(rest)]
        except msgspec.DecodeError as error:
            raise PipelineError(f"{name} is not JSON that can be read: {error}") from None
    try:
        import yaml  # type: ignore[import-untyped]

        from headrace.frontends.kfp.yaml_reader import load_all
    except ImportError:
        raise PipelineError(
            "reading pipelines in YAML needs the package pyyaml, which is not installed: pip install 'headrace[kfp]'"
        ) from None
    try:
        return load_all(data)
    except (yaml.YAMLError, ValueError) as error:
        text = " ".join(str(error).split())
        raise PipelineError(f"{name} is not YAML that can be read: {text}") from None
    except RecursionError:
        raise PipelineError(f"{name} is not YAML that can be read: it is nested too deeply") from None


def _spec(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The pipeline in a document: itself, or what a job of schema 2.0 holds."""
    if "pipelineSpec" in document:
        inner = document["pipelineSpec"]
        if not isinstance(inner, dict):
            raise PipelineError(f"{name}: pipelineSpec must be a mapping")
        document = {**inner, "schemaVersion": inner.get("schemaVersion", "2.0.0")}
    if not str(document.get("schemaVersion", "")).startswith("2.0"):
        return document
    made: dict[str, Any] = _modernised(document)
    return made


def _modernised(value: Any) -> Any:
    """Fields of schema 2.0 as they are called in 2.1: types and constants of parameters."""
    if isinstance(value, list):
        return [_modernised(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {name: _modernised(one) for name, one in value.items()}
    if set(made) <= {"type", "description"} and made.get("type") in _OLD_TYPES:
        made["parameterType"] = _OLD_TYPES[made.pop("type")]
    if isinstance(made.get("constantValue"), dict):
        [made["constant"]] = made.pop("constantValue").values() or [None]
    return made


_OLD_TYPES = {"INT": "NUMBER_INTEGER", "DOUBLE": "NUMBER_DOUBLE", "STRING": "STRING"}


def _check_kind(spec: dict[str, Any], name: str) -> None:
    """Refuse what is YAML of Kubeflow and is not a pipeline of v2, saying what to do."""
    if str(spec.get("apiVersion", "")).startswith(("argoproj.io", "tekton.dev")):
        raise PipelineError(
            f"{name} is a pipeline of KFP v1 (a {spec.get('kind', 'Workflow')} of {spec['apiVersion']}), which "
            "cannot be run; compile it with kfp 2: kfp dsl compile --py FILE.py --output pipeline.yaml"
        )
    if "implementation" in spec:
        raise PipelineError(
            f"{name} is a component of KFP v1, not a pipeline; load it with kfp.components.load_component_from_file, "
            "and compile it or the pipeline that uses it: compiler.Compiler().compile(component, 'pipeline.yaml')"
        )
    if "pipelineInfo" not in spec or "root" not in spec:
        missing = " and ".join(one for one in ("pipelineInfo", "root") if one not in spec)
        raise PipelineError(f"{name} is not a compiled pipeline of KFP v2: it has no {missing}")
    version = str(spec.get("schemaVersion", ""))
    if not _KNOWN_SCHEMAS.match(version):
        told = f"has schemaVersion {version!r}" if version else "has no schemaVersion"
        raise PipelineError(f"{name} {told}; this version of Headrace reads 2.0 and 2.1, which kfp 2 writes")


def _converted(value: Any, kind: type[T], name: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise PipelineError(f"{name}: {_blame(value) or error}") from None
    except RecursionError:
        raise PipelineError(f"{name}: it is nested too deeply") from None


def _blame(value: Any) -> str:
    """The part of a pipeline that does not fit, by its name; ``msgspec`` does not tell keys of mappings."""
    for place, part, kind in _named_parts(value):
        try:
            msgspec.convert(part, kind)
        except msgspec.ValidationError as error:
            return f"{place}: {error}"
    return ""


def _named_parts(value: Any) -> Iterable[tuple[str, Any, Any]]:
    components = value.get("components")
    every = {"root": value.get("root"), **(components if isinstance(components, dict) else {})}
    for name, component in every.items():
        dag = component.get("dag") if isinstance(component, dict) else None
        tasks = dag.get("tasks") if isinstance(dag, dict) else None
        for key, task in tasks.items() if isinstance(tasks, dict) else ():
            yield f"task {key!r} of {name}", task, Task
        yield name if name == "root" else f"component {name!r}", component, Component
    deployment = value.get("deploymentSpec")
    executors = deployment.get("executors") if isinstance(deployment, dict) else None
    for name, executor in executors.items() if isinstance(executors, dict) else ():
        yield f"executor {name!r}", executor, Executor
