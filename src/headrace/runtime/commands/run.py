"""One attempt of a command: inputs into files and texts, the process, outputs into values."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace.model.commands import SCALARS, CommandSpec, Port
from headrace.model.errors import CommandError, CommandRefusedError, HeadraceError
from headrace.model.messages import Output
from headrace.model.values import Packed, Preview
from headrace.runtime import context
from headrace.runtime.commands import container, process, templates, values
from headrace.runtime.commands.folders import OWNER, TRACK, new_folder, remove, work_folder
from headrace.runtime.commands.track_file import TrackFile
from headrace.runtime.raw import RawCall
from headrace.stores import codecs
from headrace.stores.codecs.files import File, Folder

#: Files that an error names when an output is missing.
_NAMED = 8


def run_command(spec: CommandSpec, call: RawCall) -> Mapping[str, Output]:
    """Run a command as an attempt of a task; its outputs are in the store, by name and together as ``result``.

    Raises:
        CommandError: the command failed, or does not do what its step says; BlobError: an input is gone.
    """
    given = {name: call.value(name) for name in call.arguments}
    if spec.container is not None and spec.container.memory and call.memory:
        spec = msgspec.structs.replace(spec, container=msgspec.structs.replace(spec.container, memory=call.memory))
    with work_folder() as folder:
        for one in spec.files:
            _put(folder / one.path, call.store.get(one.blob), executable=one.executable)
        found = _run(spec, given, folder, call)
        outputs = {name: call.pack(name, value) for name, value in found.items()}
        return {"result": _result(found, outputs, call), **(outputs if len(outputs) > 1 else {})}


def run_plainly(spec: CommandSpec, files: Mapping[str, Path], given: Mapping[str, Any]) -> Any:
    """Run a command outside of a run. ``files`` are those of the working folder; returns what the step returns.

    Files among the outputs lie in a temporary folder that is removed when the last of them is forgotten.

    Raises:
        CommandError: as ``run_command``.
    """
    import weakref

    folder = new_folder()
    kept = False
    try:
        for path, source in files.items():
            _put(folder / path, source.read_bytes(), executable=os.access(source, os.X_OK))
        found = _run(spec, given, folder)
        on_disk = [value for value in found.values() if isinstance(value, (File, Folder))]
        kept = bool(on_disk)
        left = [len(on_disk)]

        def forget() -> None:
            left[0] -= 1
            if not left[0]:
                remove(folder)

        for value in on_disk:
            weakref.finalize(value, forget)
    finally:
        if not kept:
            remove(folder)
    return found if len(found) > 1 else next(iter(found.values()), None)


def _track_file(folder: Path, call: RawCall | None) -> TrackFile:
    target = context.current() if call is not None else None
    if call is None or target is None:
        return TrackFile(folder / TRACK, folder, context.Unrecorded(0, lambda _: None), _drop)
    return TrackFile(folder / TRACK, folder, target, call.pack)


def _drop(name: str, value: object) -> Output:
    """In place of storing an artifact that is logged outside of a run."""
    return Output(name, Packed("", b"", 0), Preview(""))


def _result(found: Mapping[str, Any], outputs: Mapping[str, Output], call: RawCall) -> Output:
    if len(outputs) == 1:
        only = next(iter(outputs.values()))
        return Output("result", only.value, only.preview)
    if not outputs:
        return call.pack("result", None)
    whole = codecs.pack_whole(dict(found), {name: one.value for name, one in outputs.items()}, call.store)
    return Output("result", whole, codecs.preview(dict(found), whole))


def _run(spec: CommandSpec, given: Mapping[str, Any], folder: Path, call: RawCall | None = None) -> dict[str, Any]:
    """The outputs of the command, by name; ``call`` is the attempt, None outside of a run."""
    texts, sources = _inputs(spec, given, folder)
    places = {port.name: _place(port, folder) for port in spec.outputs}
    for place in places.values():
        place.parent.mkdir(parents=True, exist_ok=True)
    texts |= {name: str(place) for name, place in places.items()}
    arguments = [templates.fill(one, texts) for one in spec.arguments]
    if spec.script:
        arguments = ["sh", "-ec", templates.shell_script(spec.script)]
    env = _variables(spec, texts, folder)
    files = (sources.get(spec.stdin), places.get(spec.stdout))
    track = _track_file(folder, call)
    if spec.container is None:
        ended = process.run(process.Launch(spec.name, arguments, _around() | env, folder, *files), track.read)
    else:
        ended = container.run(
            spec, container.Inside(arguments, env, folder, tuple(sources.values())), files, track.read
        )
    if call is not None:
        call.cpu_seconds, call.peak_memory = ended.cpu_seconds, ended.peak_memory
    track.read(last=True)
    _judge(spec, ended)
    return {port.name: _output(spec, port, places[port.name], folder) for port in spec.outputs}


def _around() -> dict[str, str]:
    """The environment variables of this process, as a command on the machine gets them."""
    env = dict(os.environ)
    if sys.prefix != sys.base_prefix:  # as if this Python's environment were activated: "python" is this one
        env["PATH"] = f"{sys.prefix}/bin{os.pathsep}{env.get('PATH', os.defpath)}"
    return env


def _variables(spec: CommandSpec, texts: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment variables that are the command's own."""
    env = {name: templates.fill(template, texts) for name, template in spec.env}
    if spec.script:
        env |= templates.shell_variables(spec.script, texts)
    env |= {"HEADRACE_TRACK": str(folder / TRACK), "PWD": str(folder)}
    current = context.current()
    if current is not None:
        env |= {"HEADRACE_TASK": current.task, "HEADRACE_ATTEMPT": str(current.attempt)}
    return env


def _judge(spec: CommandSpec, ended: process.Ended) -> None:
    """Raise what the exit code means, if it does not mean success."""
    if ended.code < 0:
        import signal

        try:
            name = signal.Signals(-ended.code).name
        except ValueError:  # a real-time one
            name = f"signal {-ended.code}"
        said = f": {ended.said}" if ended.said else ""
        raise CommandError(f"command {spec.name!r} was ended by {name}{said}", ended.code)
    mapped = dict(spec.exit_codes)
    outcome = mapped.get(ended.code, "ok" if ended.code == 0 else "")
    if outcome == "ok":
        return
    text = f"command {spec.name!r} ended with exit code {ended.code}" + (f": {ended.said}" if ended.said else "")
    if outcome == "fail" or (not outcome and "retry" in mapped.values()):
        raise CommandRefusedError(text, ended.code)
    raise CommandError(text, ended.code)


# --- inputs -----------------------------------------------------------------------------------------------------


def _inputs(spec: CommandSpec, given: Mapping[str, Any], folder: Path) -> tuple[dict[str, str], dict[str, Path]]:
    """Texts for placeholders, and files for standard input, by the names of inputs."""
    texts: dict[str, str] = {}
    sources: dict[str, Path] = {}
    for port in spec.inputs:
        try:
            if port.type in SCALARS and not port.path:
                texts[port.name] = values.to_text(port.type, given[port.name])
                if port.name == spec.stdin:
                    sources[port.name] = folder / f".headrace-{port.name}"
                    sources[port.name].write_text(texts[port.name], encoding="utf-8")
            else:
                sources[port.name] = _input_file(port, given[port.name], folder)
                texts[port.name] = str(sources[port.name])
        except (ValueError, OSError) as error:
            raise CommandError(f"input {port.name!r} of command {spec.name!r}: {error}") from error
        except ImportError as error:
            raise _lacks(f"input {port.name!r}", spec, port, error) from error
    return texts, sources


def _input_file(port: Port, value: Any, folder: Path) -> Path:
    if port.type in ("file", "folder"):
        kind = File if port.type == "file" else Folder
        if isinstance(value, (str, os.PathLike)) and not isinstance(value, (File, Folder)):
            value = kind(value)
        if not isinstance(value, kind):
            raise ValueError(f"it is declared as {port.type}, but the value is a {type(value).__name__}")
        if not port.path:
            return value.path
        place = folder / port.path
        place.parent.mkdir(parents=True, exist_ok=True)
        value.copy_to(place)
        return place
    place = _place(port, folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    values.write(port.type, value, place)
    return place


def _place(port: Port, folder: Path) -> Path:
    return folder / (port.path or port.name + values.ENDINGS.get(port.type, ""))


def _put(path: Path, content: bytes | memoryview, *, executable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755 if executable else 0o644)


# --- outputs ----------------------------------------------------------------------------------------------------


def _output(spec: CommandSpec, port: Port, place: Path, folder: Path) -> Any:
    if not place.exists():
        raise CommandError(
            f"output {port.name!r} of command {spec.name!r} is missing: the command ended with exit code 0, but did "
            f"not write {place.relative_to(folder)}; its working folder holds {_written(folder)}",
            0,
        )
    try:
        return values.read(port.type, place)
    except (ValueError, OSError) as error:
        raise CommandError(
            f"output {port.name!r} of command {spec.name!r} ({port.type}, {place.relative_to(folder)}): {error}", 0
        ) from error
    except ImportError as error:
        raise _lacks(f"output {port.name!r}", spec, port, error) from error


def _written(folder: Path) -> str:
    """What is in the working folder, for an error."""
    found = [os.path.relpath(Path(parent, name), folder) for parent, _, names in os.walk(folder) for name in names]
    found = sorted(name for name in found if name not in (OWNER, TRACK))
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more if found else "no files"


def _lacks(what: str, spec: CommandSpec, port: Port, error: ImportError) -> HeadraceError:
    return CommandError(
        f"{what} of command {spec.name!r} is declared as {port.type}, which needs {error.name}: "
        f"pip install 'headrace[data]', or declare it as json or file"
    )
