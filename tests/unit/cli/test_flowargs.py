"""Options of Headrace among a flow's parameters."""

from __future__ import annotations

import pytest

from headrace.cli.flowargs import Options, split
from headrace.model.errors import UsageError

OURS = frozenset({"max-parallel", "tag", "json", "quiet", "help", "from"})


def test_ours_are_taken_out() -> None:
    options = Options()
    rest = split(["--n", "3", "--tag", "a=b", "x=1", "--max-parallel=2", "--json"], OURS, ["n", "x"], options)
    assert rest == ["--n", "3", "x=1"]
    assert (options.tags, options.max_parallel, options.json, options.quiet) == ([("a", "b")], 2, True, True)


def test_a_parameter_of_the_name_wins() -> None:
    options = Options()
    rest = split(["--tag", "mine", "--max-parallel", "9", "--json"], OURS, ["tag", "max_parallel"], options)
    assert rest == ["--tag", "mine", "--max-parallel", "9"]
    assert (options.tags, options.max_parallel, options.json) == ([], 0, True)


def test_after_two_dashes_all_is_the_flows() -> None:
    options = Options()
    assert split(["a=1", "--", "--json", "x"], OURS, [], options) == ["a=1", "--json", "x"]
    assert not options.json


def test_short_help() -> None:
    options = Options()
    split(["-h"], OURS, [], options)
    assert "help" in options.flags


@pytest.mark.parametrize("argv", [["--tag"], ["--tag", "--json"], ["--json=yes"], ["--max-parallel", "-1"]])
def test_mistakes(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        split(argv, OURS, [], Options())


def test_steps_may_be_listed() -> None:
    options = Options()
    split(["--from", "a,b", "--from", "c"], OURS, [], options)
    assert options.again == ["a", "b", "c"]
