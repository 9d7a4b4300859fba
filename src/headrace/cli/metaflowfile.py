"""``run`` and ``resume`` of Metaflow files: their own command line in a process, with Headrace's options translated."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.cli.flowargs import Options
from headrace.cli.output import print_json
from headrace.model.errors import UsageError

if TYPE_CHECKING:
    from headrace.model.records import RunRecord
    from headrace.wiring import Scope

_VERBOSE = re.compile(r"""\(\s*(name\s*=\s*)?["']verbose["']""")


def run_file(path: str, command: Sequence[str], options: Options, rest: Sequence[str]) -> int:
    """``python path COMMAND REST`` in place of this process or, with ``--json``, beside it: then, the exit code.

    Raises:
        UsageError: an option is none of Metaflow files.
    """
    from headrace.frontends.metaflow.commands.word_order import ANY_ORDER

    if "keep-going" in options.flags:
        raise UsageError(
            "--keep-going is not for Metaflow files: when a task fails, those that run have five seconds to end"
        )
    words = [ANY_ORDER, *(["--quiet"] if "quiet" in options.flags else [])]
    words += command
    words += [f"--tag={name}:{value}" if value else f"--tag={name}" for name, value in options.tags]
    if options.max_parallel:
        words.append(f"--max-workers={options.max_parallel}")
    if options.environment:
        words.append(f"--environment={options.environment}")
    if options.seed is not None:
        words.append(f"--run-seed={options.seed}")
    if options.on:
        words.append(f"--run-on={options.on}")
    words += [f"--{name}" for name in ("debug", "no-cache", "warm") if name in options.flags]
    if _drives_elsewhere(options):
        return _hand_over(path, [*words, *rest], options)
    if not options.json:
        from headrace.frontends.metaflow.programs.script import become

        become(path, [*words, *rest])
    return _with_json(path, [*words, *rest])


def _drives_elsewhere(options: Options) -> bool:
    """Whether the run is to be driven in the place that it is for."""
    if not options.on or options.driver == "here" or "debug" in options.flags:
        return False
    from headrace.services.places import drives_there
    from headrace.settings import read_settings

    return any(drives_there(one, options.driver) for one in read_settings().places if one.name == options.on)


def _hand_over(path: str, words: list[str], options: Options) -> int:
    """Let a process commit the run and hand it over; then start its driver, and show the run as it goes."""
    import os

    from headrace._base.variables import HAND_OVER
    from headrace.cli.following import follow_handed_over
    from headrace.cli.options import open_here
    from headrace.cli.summary import conclude
    from headrace.frontends.metaflow.programs.script import environment
    from headrace.services.handing_over import HandedOver
    from headrace.services.names import find_run

    with tempfile.TemporaryDirectory() as folder:
        facts = Path(folder, "handed-over.json")
        variables = environment({**os.environ, HAND_OVER: str(facts)})
        code = subprocess.call([sys.executable, path, *words], stdout=2 if options.json else None, env=variables)
        if not facts.exists():
            return code
        told = json.loads(facts.read_text())
    scope = open_here()
    run = find_run(scope.metadata, scope.project, told["run"])
    handed = HandedOver(run, told["place"], tuple(told["words"]))
    return follow_handed_over(handed, options, lambda followed: conclude(followed, None, options))


def parameters_of_ours(path: str) -> tuple[str, ...]:
    """Options of Headrace that are parameters of a flow in the file, so far as its text says: ``--verbose``."""
    try:
        text = Path(path).read_text(errors="replace")
    except OSError:
        return ()
    return ("verbose",) if _VERBOSE.search(text) else ()


def _with_json(path: str, words: list[str]) -> int:
    """Run it with all that it prints on stderr; then one JSON document on stdout, as for native flows."""
    code, facts = run_beside(path, words, stdout=2)
    if facts is not None:
        print_json(_summary(facts))
    return code


def recorded_file(scope: Scope, run: RunRecord) -> str:
    """The file of a run's flow in the code that the run kept, from which processes of this one import from now on.

    Raises:
        FlowLoadError, BlobError: the run kept no code, or it is gone.
    """
    import os

    from headrace.services.code.recorded_code import install_recorded

    before = list(sys.path)
    file = install_recorded(run, scope.artifacts, scope.workspace.code_cache).file
    added = [folder for folder in sys.path if folder not in before]
    known = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([*added, *([known] if known else [])])
    return file


def run_beside(path: str, words: Sequence[str], stdout: int | None = None) -> tuple[int, dict[str, Any] | None]:
    """Run ``python path words`` beside this process, with the descriptor ``stdout`` as its standard output.

    Returns its exit code, and what it says of its run (``flow_name``, ``run_id``); None if none was begun.
    """
    import os

    from headrace.frontends.metaflow.programs.script import environment

    with tempfile.TemporaryDirectory() as folder:
        facts = Path(folder, "run.json")
        command = [sys.executable, path, *words, f"--runner-attribute-file={facts}"]
        process = subprocess.Popen(command, stdout=stdout, env=environment(dict(os.environ)))
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:  # it got the same signal, and ends the run
                continue
        return code, json.loads(facts.read_text()) if facts.exists() else None


def _summary(facts: dict[str, Any]) -> Any:
    from headrace.frontends.metaflow.client.providers import chosen_scope
    from headrace.services.describe import steps_of
    from headrace.services.names import find_run
    from headrace.services.summary import summarize

    scope = chosen_scope()
    run = find_run(scope.metadata, scope.project, f"{facts['flow_name']}/{facts['run_id']}")
    steps = steps_of(scope.metadata, run, time.time())
    counts = {one.step: one.counts for one in steps}
    return summarize(scope.metadata, run, counts, sum(one.reused or 0 for one in steps))
