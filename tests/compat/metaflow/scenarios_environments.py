"""``@pypi``, ``@conda`` and their ``_base`` forms, as far as nothing is run: which steps have which, and mistakes.

The real metaflow builds environments with micromamba, from channels of conda. Flows that run are in
``integration/test_metaflow_packages.py``.
"""

from __future__ import annotations

from typing import Any

_KINDS = ("pypi", "conda", "pypi-base", "conda-base", "both-bases", "mixed", "mixed-with-base", "none")
_COMMANDS = (
    *("--environment=pypi show", "--environment=conda show", "--environment=pypi output-raw"),
    *("--environment=conda output-raw", "--environment=pypi check", "show", "check", "run", "--environment=local run"),
    *("--environment=uv run", "--environment=uv show", "--environment=nothing run"),
)
#: Those that end before anything is built.
_MIXED = ("--environment=pypi run", "--environment=conda run")


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    call = "=call_packaged.py"
    nothing = {"ignore": ("runs",)}
    without_runs = [one for one in _COMMANDS if not one.endswith("run")]
    return [
        *[
            Scenario(
                f"environments-{kind}",
                "packaged",
                ((call, *(without_runs if kind == "none" else _COMMANDS)),),
                env={"KIND": kind},
                **nothing,
            )
            for kind in _KINDS
        ],
        *[
            Scenario(f"environments-run-{kind}", "packaged", ((call, *_MIXED),), env={"KIND": kind}, **nothing)
            for kind in ("mixed", "mixed-with-base")
        ],
        run("environments-with-pypi", "linear", "--with", 'pypi:packages={"six": "1"}'),
        run("environments-with-conda", "linear", "--with", "conda:python=3.10"),
        run("environments-by-variable", "linear", "--with", "pypi", env={"METAFLOW_ENVIRONMENT": "local"}),
    ]
