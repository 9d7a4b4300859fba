"""Exception groups that end a flow or a step: their members are shown, once each, at the end and by ``show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.integration.conftest import assert_no_frames_of_ours

import headrace
from headrace import flow, step

if TYPE_CHECKING:
    from tests.integration.conftest import Project


@step
def one() -> int:
    return 1


@step
async def fetch(page: int) -> int:
    if page % 2:
        raise ValueError(f"page {page} is missing")
    return page


@step
def raises_group(number: int) -> None:
    raise ExceptionGroup("in a step", [ValueError("bad"), *[KeyError("same")] * number])


class Failures(ExceptionGroup[Exception]):
    """A group with a class of its own."""

    def derive(self, excs: object) -> Failures:
        return Failures(self.message, excs)


def _ended(name: str) -> tuple[str, str]:
    run = headrace.Run(name)
    assert run.state == "failed"
    assert_no_frames_of_ours(run.traceback)
    return run.error, run.traceback


def test_members_of_a_group_are_shown(here: Project) -> None:
    @flow
    def train() -> None:
        one()
        raise ExceptionGroup("several", [ValueError("number one"), KeyError("number two")])

    with pytest.raises(ExceptionGroup):
        train()
    error, traceback = _ended("train/1")
    assert error == "ExceptionGroup: several (2 sub-exceptions): ValueError: number one; KeyError: 'number two'"
    assert "    | ValueError: number one\n" in traceback and "    | KeyError: 'number two'\n" in traceback


def test_groups_in_groups_and_causes_are_shown(here: Project) -> None:
    @flow
    def train() -> None:
        inner = ExceptionGroup("inner", [OSError("disk"), Failures("own", [LookupError("deep")])])
        try:
            raise Failures("outer", [inner, ValueError("flat")])
        except Failures as group:
            raise RuntimeError("gave up") from group

    with pytest.raises(RuntimeError):
        train()
    error, traceback = _ended("train/1")
    assert error == "RuntimeError: gave up"
    for text in ("OSError: disk", "LookupError: deep", "ValueError: flat", "inner (2 sub-exceptions)"):
        assert text in traceback


def test_equal_members_are_counted_and_many_are_bounded(here: Project) -> None:
    @flow
    def train() -> None:
        many = [ValueError(f"number {n}") for n in range(1000)]
        raise ExceptionGroup("several", [*[KeyError("same")] * 99, *many])

    with pytest.raises(ExceptionGroup):
        train()
    error, traceback = _ended("train/1")
    assert error.endswith("KeyError: 'same' (99 times); ValueError: number 0; ValueError: number 1; 998 more")
    assert traceback.count("KeyError: 'same'") == 1 and "(98 more like it)" in traceback
    assert "991 more exceptions" in traceback and len(traceback.splitlines()) < 60


def test_a_task_group_names_the_steps_that_failed(here: Project) -> None:
    @flow
    async def crawl() -> None:
        import asyncio

        async def get(page: int) -> int:
            return await fetch(page)

        async with asyncio.TaskGroup() as group:
            group.create_task(get(1))

    with pytest.raises(ExceptionGroup):
        crawl()
    error, traceback = _ended("crawl/1")
    assert "ValueError: page 1 is missing" in error
    assert "in fetch" in traceback and "in get" in traceback


def test_a_group_of_base_exceptions_and_very_deep_groups(here: Project) -> None:
    @flow
    def train() -> None:
        group: BaseExceptionGroup[BaseException] = BaseExceptionGroup("innermost", [GeneratorExit("out")])
        for depth in range(50):
            group = BaseExceptionGroup(f"depth {depth}", [group])
        raise group

    with pytest.raises(BaseExceptionGroup):
        train()
    error, traceback = _ended("train/1")
    assert "GeneratorExit: out" in error
    assert "groups below the 5th are not shown" in traceback


def test_a_group_that_a_step_raises_is_summed_up_as_well(here: Project) -> None:
    @flow
    def train() -> None:
        raises_group(40)

    with pytest.raises(ExceptionGroup):
        train()
    error, traceback = _ended("train/1")
    assert error == "ExceptionGroup: in a step (41 sub-exceptions): ValueError: bad; KeyError: 'same' (40 times)"
    assert traceback.count("KeyError: 'same'") == 1 and "(39 more like it)" in traceback


def test_the_terminal_and_json_name_the_members(here: Project) -> None:
    here.write(
        """
        @step
        def one():
            return 1

        @flow
        def train():
            one()
            raise ExceptionGroup("several", [ValueError("number one"), KeyError("number two")])
        """
    )
    done = here.finish(here.start("-m", "headrace", "run", "train.py"))
    assert "    | ValueError: number one" in done.out and done.code == 1
    for command in ("show", "run"):
        json = here.finish(
            here.start("-m", "headrace", command, "--json", "train/1" if command == "show" else "train.py")
        )
        assert "several (2 sub-exceptions): ValueError: number one; KeyError: 'number two'" in json.out
    assert "    | KeyError: 'number two'" in here.finish(here.start("-m", "headrace", "show", "train/1")).out
