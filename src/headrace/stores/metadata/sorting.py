"""Orders of lists of runs: what they may be sorted by, and where a run stands in one (see ``sort_keys``)."""

from __future__ import annotations

from headrace.model.errors import UsageError

#: Texts are ordered by so many characters, so that a key stays short.
LONGEST_TEXT = 100
#: Values of the run itself that lists may be sorted by: (expression in SQL, whether it is a number).
COLUMNS = {
    "state": ("r.state", False),
    "flow": ("r.flow", False),
    "user": ("r.user_name", False),
    "host": ("r.host", False),
    "number": ("r.number", True),
    "created": ("r.created", True),
    "started": ("r.started", True),
    "finished": ("r.finished", True),
    "duration": ("(r.finished - r.started)", True),
}
GROUPS = ("metrics", "params", "tags")
#: Ranks of runs: those with a number come first, in either direction, then those with a text, then the rest.
NUMBER, TEXT, NOTHING = range(3)


def parse_sort(sort: str) -> tuple[str, bool]:
    """What ``sort`` names, and whether the greatest comes first (``-`` in front).

    Raises:
        UsageError: lists cannot be sorted by it.
    """
    subject = sort.removeprefix("-")
    group, _, name = subject.partition(".")
    if subject not in COLUMNS and not (group in GROUPS and name):
        raise UsageError(
            f"runs cannot be sorted by {subject!r}; they can be by metrics.NAME, params.NAME, tags.NAME, "
            f"{', '.join(COLUMNS)}, with - in front for the greatest first"
        )
    return subject, sort != subject
