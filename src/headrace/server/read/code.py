"""The code of a run, and what it ran in."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from headrace.server.call import Call
from headrace.server.problems import not_found
from headrace.server.ranges import BytesResponse
from headrace.server.read.paths import RUN, RunPath, run_of
from headrace.server.routes import Media, get
from headrace.services.code.recorded_code import code_of
from headrace.services.describe import SurroundingsView, details_of, surroundings_of
from headrace.services.environment_changes import Contents, contents_of_lock, differences
from headrace.services.environments.records import locks_of_run
from headrace.services.names import find_run


class CodeFileView(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the code package; ``digest`` is hexadecimal, ``size`` bytes."""

    path: str
    size: int
    digest: str


class CodeListing(msgspec.Struct, frozen=True, kw_only=True):
    """The code package of a run, as ``headrace code --json`` prints it."""

    run: str
    digest: str
    entry: str
    files: list[CodeFileView]


class CodePath(RunPath, frozen=True, kw_only=True):
    """A file of the code of a run."""

    path: str


class StepEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """An environment that a step has of its own."""

    step: str
    label: str
    digest: str
    python: str
    platform: str
    image: str
    packages: dict[str, str]
    variables: list[str]


class EnvironmentQuery(RunPath, frozen=True, kw_only=True):
    """A run, and another to compare its environment with."""

    other: Annotated[str, msgspec.Meta(description="A run of the project, such as `train/41`")] = msgspec.field(
        default="", name="with"
    )


class EnvironmentView(msgspec.Struct, frozen=True, kw_only=True):
    """What a run ran in. ``changes`` are lines that say what differs from the run that was asked for beside it."""

    surroundings: SurroundingsView
    packages: dict[str, str]
    steps: list[StepEnvironment]
    changes: list[str]


def _code(call: Call[RunPath, None]) -> CodeListing:
    scope, run = run_of(call)
    code = code_of(run, scope.artifacts)
    files = [CodeFileView(path=path, size=blob.size, digest=blob.hex) for path, blob in code.files.items()]
    return CodeListing(run=run.name, digest=code.digest, entry=code.entry, files=files)


def _file(call: Call[CodePath, None]) -> Response:
    scope, run = run_of(call)
    blob = code_of(run, scope.artifacts).files.get(call.params.path)
    if blob is None:
        raise not_found(f"{run.name} has no file {call.params.path!r} in its code")
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    return BytesResponse(call.request, [scope.artifacts.get(blob)], blob.hex, headers)


def _environment(call: Call[EnvironmentQuery, None]) -> EnvironmentView:
    scope, run = run_of(call)
    details = details_of(run)
    steps = [one for one in dict.fromkeys(count.step for count in scope.metadata.step_counts(run.id)) if one]
    found = []
    for step, locks in locks_of_run(scope.metadata, scope.artifacts, run.id, steps).items():
        for lock in locks.values():
            contents = contents_of_lock(lock)
            found.append(
                StepEnvironment(
                    step=step,
                    label=contents.label,
                    digest=lock.digest.hex(),
                    python=lock.python,
                    platform=lock.platform,
                    image=lock.image,
                    packages=contents.packages,
                    variables=sorted(contents.variables),
                )
            )
    changes = []
    if call.params.other:
        before = details_of(find_run(scope.metadata, scope.project, call.params.other))
        sides = [Contents("", one.python, one.packages, {}) for one in (before, details)]
        changes = differences(*sides)
    return EnvironmentView(surroundings=surroundings_of(run), packages=details.packages, steps=found, changes=changes)


_TEXT = Media(types=("text/plain",), ranges=True, about="The file as it was run")
ROUTES = (
    get(
        RUN + "/code",
        _code,
        "Files of the code package",
        params=RunPath,
        result=CodeListing,
        problems=(410,),
        tag="code",
    ),
    get(
        RUN + "/code/{path:path}",
        _file,
        "A file of the code",
        params=CodePath,
        result=_TEXT,
        problems=(410, 416),
        tag="code",
    ),
    get(
        RUN + "/environment",
        _environment,
        "Interpreter, packages, environments of steps",
        params=EnvironmentQuery,
        result=EnvironmentView,
        problems=(410,),
        tag="code",
    ),
)
