"""``@secrets`` and ``get_secret`` with sources in the flow file."""

from __future__ import annotations

from typing import Any

_KINDS = ("text", "several", "twice", "metaflow", "name", "value", "options", "type", "no-dot", "existing")


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    default = {"METAFLOW_DEFAULT_SECRETS_BACKEND_TYPE": "inline"}
    return [
        *[run(f"secret-{kind}", "secret", env={"KIND": kind}) for kind in _KINDS],
        run("secret-default-type", "secret", env={"KIND": "no-dot", **default}),
    ]
