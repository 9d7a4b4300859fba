"""Which dialect a file is written in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from headrace.model.errors import UsageError

# Not compiled yet: most files are told by the first.
_OURS = rb"(?m)^\s*(from\s+headrace\b|import\s+headrace\b)"
_KFP = rb"(?m)^(pipelineInfo|pipelineSpec|deploymentSpec|schemaVersion|components|implementation)\s*:"
_JOB = rb'"(pipelineInfo|pipelineSpec)"\s*:'
_KFP_CODE = rb"(?m)^\s*(from\s+kfp\b|import\s+kfp\b)"
_ARGO = rb"(?m)^kind:\s*Workflow"
_READ = 1 << 20
#: Endings of files that are compiled pipelines, where they are flows at all.
_DATA = (".yaml", ".yml", ".json")
_ENDING = '  if __name__ == "__main__":\n      {}()'


class Target(NamedTuple):
    """What is to be run: the file of a Metaflow flow, or a native flow or Kubeflow pipeline as it was named."""

    dialect: str
    name: str
    #: A native flow in a file that has a Metaflow flow too, and so imports that package.
    mixed: bool = False


def target_of(target: str) -> Target:
    """What ``target``, a file or module with or without ``:flow``, means.

    Raises:
        UsageError: it is no flow at all, or not one flow.
    """
    path, name = Path(target), ""
    if not path.is_file():
        head, _, name = target.rpartition(":")
        path = Path(head)
    if not path.is_file() and (missing := next((one for one in (Path(target), path) if one.suffix in _DATA), None)):
        raise UsageError(f"no such file: {missing}")  # else a module of that name is looked for
    if not path.is_file() or path.suffix not in (".py", *_DATA):
        return Target("native", target)
    try:
        with path.open("rb") as file:
            text = file.read(_READ)
    except OSError:
        return Target("native", target)
    if path.suffix == ".py":
        if re.search(_OURS, text) and b"metaflow" not in text:  # as nearly all are: read no further
            return Target("native", target)
        if re.search(_KFP_CODE, text) and (b"pipeline" in text or b"component" in text):
            return Target("kfp", target)
        return _of_python(path, name, text)
    if re.search(_KFP, text) or re.search(_ARGO, text) or re.search(_JOB, text):
        return Target("kfp", str(path))
    raise UsageError(
        f"{path} is not a flow: headrace runs Python files (FILE.py or FILE.py:FLOW) and compiled Kubeflow pipelines, "
        "which have pipelineInfo and root at their top"
    )


def _of_python(path: Path, name: str, text: bytes) -> Target:
    from headrace.cli.flowfiles import flows_of

    given = f"{path}:{name}" if name else str(path)
    found = flows_of(path, text)
    if found is None or not (found.metaflow or found.called):
        return Target("native", given)
    metaflow = tuple(dict.fromkeys((*found.metaflow, *found.called)))
    if found.native and not found.called and not name:
        return Target("native", given, mixed=True)
    if found.native and not name:
        choices = "\n".join(f"  {path}:{one}" for one in (*found.native, *metaflow))
        raise UsageError(f"{path} holds native flows and Metaflow flows; say which one:\n{choices}")
    if name and name not in metaflow:
        if not found.native:
            raise UsageError(f"no flow {name!r} in {path}; flows in it: {', '.join(metaflow)}")
        return Target("native", given, mixed=True)
    wanted = name or metaflow[0]
    if not found.called and b"__name__" not in text:
        raise UsageError(f"{path} defines {wanted} and does not run it: end it with\n{_ENDING.format(wanted)}")
    if name and found.called and name not in found.called:
        raise UsageError(
            f"{path} runs {', '.join(found.called)}, as a script, and not {name}; a file that does ends with\n"
            f"{_ENDING.format(name)}"
        )
    return Target("metaflow", str(path))


def make_loadable(target: str) -> None:
    """Put ours in place of the metaflow package where a native flow's file needs one."""
    if target_of(target).mixed:
        from headrace.frontends.metaflow.programs.script import stand_in

        stand_in()
