"""Run by scripts for ``kfp.local`` whose path has the folder of ``headrace dialect kfp``: one pipeline, there and back.

    python -m headrace.cli.kfplocal REQUEST ANSWER

REQUEST is a JSON file with the pipeline, its arguments and how it is to run; ANSWER gets its state and outputs. What
tasks print goes to standard output, as kfp.local has it.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec

from headrace.cli.flowargs import Options
from headrace.cli.kfpfile import Loaded, launch_of
from headrace.cli.options import open_here
from headrace.frontends.kfp import arguments, validation
from headrace.frontends.kfp.artifacts import from_stored
from headrace.frontends.kfp.launch import PipelineFailedError, run_pipeline
from headrace.frontends.kfp.pipeline_file import pipeline_of
from headrace.model.attempts import AttemptEvent, AttemptPrinted, LogRules
from headrace.model.errors import HeadraceError
from headrace.services.session import Session
from headrace.stores.codecs import File, Folder


class Request(msgspec.Struct, frozen=True):
    """What a script asks for. ``root`` is where files of output artifacts go."""

    pipeline: dict[str, Any]
    arguments: dict[str, Any]
    root: str
    script: str = ""
    use_cache: bool = False


class Answer(msgspec.Struct, frozen=True):
    """How the run ended; ``problem`` says why a run did not begin.

    Of a run that failed, ``failed`` says what was wrong, ``path`` is the step of the task that failed.
    """

    run: str = ""
    state: str = "failed"
    outputs: dict[str, Any] = {}
    failed: str = ""
    path: str = ""
    problem: str = ""


def answer(request: Request) -> Answer:
    """Run the pipeline of a request to its end."""
    try:
        pipeline = pipeline_of([request.pipeline], "the pipeline")
        validation.check(pipeline, pipeline.name)
        values = arguments.bind(pipeline, request.arguments)
        options = Options()
        if not request.use_cache:
            options.flags.add("no-cache")
        how = launch_of(Loaded(pipeline, f"{request.script}:{pipeline.name}"), open_here(), options)
        ended = run_pipeline(pipeline, values, how, _print_lines)
    except HeadraceError as error:
        return Answer(problem=str(error))
    if ended.error is not None:
        failure = ended.error
        if not isinstance(failure, PipelineFailedError):
            return Answer(run=ended.run.name, state=str(ended.run.state), failed=str(failure))
        sys.stdout.write(failure.traceback)  # as kfp.local shows it, between what tasks print
        return Answer(run=ended.run.name, state=str(ended.run.state), failed=str(failure), path=failure.path)
    folder = Path(request.root, ended.run.name.replace("/", "-"))
    outputs = {name: _plain(value, folder / name) for name, value in (ended.value or {}).items()}
    return Answer(run=ended.run.name, state=str(ended.run.state), outputs=outputs)


def _print_lines(session: Session) -> None:
    def told(event: AttemptEvent) -> None:
        if isinstance(event, AttemptPrinted):
            sys.stdout.buffer.write(bytes(event.data))
            sys.stdout.buffer.flush()

    session.observe(told, LogRules())


def _plain(value: Any, place: Path) -> Any:
    """An output as JSON; an artifact with its file, which keeps its name, in the folder ``place``."""
    if isinstance(value, list):
        return [_plain(one, place / str(number)) for number, one in enumerate(value)]
    if not (isinstance(value, (File, Folder)) or (isinstance(value, dict) and set(value) == {"kfp"})):
        return value
    made = from_stored(value)
    uri = made.uri or str(place / made.name)
    if made.content is not None:
        place.mkdir(parents=True, exist_ok=True)
        target = place / made.content.path.name
        copy: Any = shutil.copytree if isinstance(made.content, Folder) else shutil.copyfile
        copy(made.content.path, target)
        uri = str(target / made.stem)
    kind = {"schemaTitle": made.schema_title, "schemaVersion": made.schema_version}
    return {"artifact": {"name": made.name, "type": kind, "uri": uri, "metadata": made.metadata}}


def main(request: str, into: str) -> None:
    """See the module."""
    found = answer(msgspec.json.decode(Path(request).read_bytes(), type=Request))
    # Not msgspec, which makes null of NaN and of infinities.
    Path(into).write_text(json.dumps(msgspec.structs.asdict(found)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
