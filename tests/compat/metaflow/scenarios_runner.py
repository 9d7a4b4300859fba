"""Programs around flows: ``Runner``, ``spin``."""

from __future__ import annotations

from typing import Any

_FILES = {
    "words.txt": "some words",
    "limits.json": '{"word": "from a file"}',
    "not_python.py": "this is not Python\n",
}
_RUN = ("run", "--must", "5")
_SPINS = tuple(
    ("spin", *line.split())
    for line in (
        *(
            "start",
            "work",
            "join --persist",
            "end --skip-decorators",
            "nowhere",
            "a/b/c/d/e",
            "Other/1/work/2",
            "12345/work",
        ),
        *(
            "12345/work/2",
            "work/1",
            "",
            "work --nonsense",
            "work --must 4",
            "gang",
            "work --max-log-size 1 --no-persist",
        ),
    )
)
_SETTINGS = {
    "METAFLOW_ASKED": "5",
    "METAFLOW_WRONG": "text",
    "METAFLOW_SPIN_PERSIST": "True",
    "METAFLOW_DATASTORE_SYSROOT_S3": "s3://bucket/place",
    "METAFLOW_KUBERNETES_NAMESPACE": "mine",
}
#: What the real one says of gangs depends on the moment.
_GANG = ("stdout", "prints", "parents", "children")


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [
        # Runs of ``single`` are compared; what a run reached that is ended after a second is a matter of moments.
        Scenario("spin", "spun", (_RUN, ("=use_spin.py",)), ignore=_GANG),
        Scenario("spin-commands", "spun", (_RUN, *_SPINS), ignore=_GANG),
        Scenario("import-more-paths", "linear", (("=ask_more_parts.py",),), env=_SETTINGS),
        Scenario("spin-nothing", "spun", (("spin", "start"),)),
        Scenario("runner-checks", "single", (("=use_runner_checks.py",),), files=_FILES),
    ]
