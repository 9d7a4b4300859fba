"""Pages over drivers that run meanwhile: progress, output, answers, stopping, undoing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.pages.conftest import Watched, headrace

Start = Callable[..., None]


@pytest.fixture
def start(workspace: Path) -> Iterator[Start]:
    """Start runs that go on beside the test; they are killed after it."""
    started = []

    def begin(*argv: str) -> None:
        started.append(headrace(workspace, "run", *argv))

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)


def test_live_run_is_followed_and_cancelled(page: Page, start: Start) -> None:
    page.goto("/p/default/runs?flow=crawl")
    expect(page.get_by_text("No run fits this filter")).to_be_visible()
    start("flows.py:crawl", "--tasks", "2000", "--seconds", "0.3")
    page.get_by_role("link", name="crawl/1", exact=True).click(timeout=30_000)
    header = page.locator("header.run-head")
    expect(header).to_contain_text("running")
    expect(header).to_contain_text(re.compile(r"[1-9]\d* of 2,000 tasks"), timeout=30_000)
    expect(header).to_contain_text("left", timeout=30_000)
    page.get_by_role("link", name="Logs", exact=True).click()
    expect(page.get_by_role("log")).to_contain_text(re.compile(r"slow \d"), timeout=30_000)
    lines = page.get_by_text(re.compile(r"^[\d,]+ lines"))
    before = lines.inner_text()
    expect(lines).not_to_have_text(before, timeout=30_000)
    page.get_by_role("button", name="Cancel").click()
    expect(header).to_contain_text("cancelled", timeout=60_000)


def test_question_is_answered_on_its_page(page: Page, start: Start) -> None:
    start("flows.py:ask")
    page.goto("/p/default/waits")
    expect(page.get_by_text("Does <b>it</b> look right?")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("ask/1 was told true")).to_be_visible()
    page.goto("/p/default/runs/ask/1")
    expect(page.locator("header.run-head")).to_contain_text("succeeded", timeout=60_000)
    expect(page.get_by_role("figure").filter(has_text="result")).to_contain_text("True")


def test_page_of_a_run_that_ends_shows_what_it_left(page: Page, start: Start) -> None:
    start("flows.py:ask")
    page.goto("/p/default/waits")
    page.get_by_role("main").get_by_role("link", name="ask/").click(timeout=60_000)
    header = page.locator("header.run-head")
    expect(header).to_contain_text("Does <b>it</b> look right?")
    header.get_by_role("button", name="Approve").click()
    expect(header).to_contain_text("succeeded", timeout=60_000)
    # Events of the last moment are gathered for a while: the end must not throw them away.
    expect(page.get_by_role("figure").filter(has_text="result")).to_contain_text("True")


def test_run_is_tagged_deleted_and_restored(page: Page) -> None:
    page.goto("/p/default/runs/talk/1")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Tag…").click()
    page.get_by_label("Name, or name=value").fill("stage=<b>beta</b>")
    page.get_by_role("button", name="Tag", exact=True).click()
    expect(page.get_by_role("link", name="stage=<b>beta</b>")).to_be_visible()
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.get_by_text("talk/1 is deleted")).to_be_visible()
    expect(page.get_by_role("link", name="train/1", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="talk/1", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="talk/1", exact=True)).to_be_visible()


def test_new_run_is_started_with_another_parameter(page: Page) -> None:
    page.goto("/p/default/runs/grade/1")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name=re.compile("New run")).click()
    page.get_by_label("fail", exact=True).fill("false")
    page.get_by_label("score", exact=True).fill("0.75")
    page.get_by_role("button", name="Start").click()
    expect(page).to_have_url(re.compile(r"/runs/grade/2"), timeout=60_000)
    header = page.locator("header.run-head")
    expect(header).to_contain_text("succeeded", timeout=60_000)
    expect(header).to_contain_text("0.75")


def test_failed_run_is_resumed(page: Page) -> None:
    page.goto("/p/default/runs/grade/1")
    page.get_by_role("button", name="Resume", exact=True).click()
    expect(page.get_by_text("a driver is started")).to_be_visible(timeout=30_000)
    facts = page.get_by_role("complementary", name="Facts about the run")
    expect(facts).to_contain_text("resumed 1 time", timeout=60_000)


def test_steps_of_a_run_are_run_again(page: Page, start: Start) -> None:
    start("flows.py:grade", "--score", "0.625")
    page.goto("/p/default/runs?where=params.score%20%3D%3D%200.625&state=succeeded")
    page.get_by_role("link", name=re.compile("^grade.[0-9]+$")).click(timeout=60_000)
    facts = page.get_by_role("complementary", name="Facts about the run")
    expect(facts).to_be_visible()
    run = page.url
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name=re.compile("Run steps again")).click()
    page.get_by_role("checkbox", name=re.compile("judge")).check()
    page.get_by_role("button", name="Run again").click()
    expect(facts).to_contain_text("resumed 1 time", timeout=60_000)
    expect(page.locator("header.run-head")).to_contain_text("succeeded", timeout=60_000)
    page.goto(f"{run}/tasks/judge/1")
    expect(page.get_by_role("complementary")).to_contain_text("ran again", timeout=30_000)


def test_pages_show_what_is_changed_elsewhere(watched: Watched, browser: Browser, server: str) -> None:
    """No page is loaded again: an ended run that is tagged and deleted, in its own page and in lists of runs."""
    run = "/api/v1/projects/default/runs/talk/1"
    one = watched.open("/p/default/runs/talk/1/logs")
    expect(one.get_by_role("log")).to_contain_text("line 5")
    lists = []
    for path in ("/p/default/runs", "/p/default/runs?state=succeeded", "/p/default/runs?sort=-duration"):
        lists.append(Watched(browser, server))
        page = lists[-1].open(path)
        expect(page.get_by_role("link", name="talk/1", exact=True)).to_be_visible()
    assert one.request.put(f"{run}/tags/checked", data={"value": "by hand"}).ok
    expect(one.locator("header.run-head")).to_contain_text("checked=by hand")
    for window in lists:
        expect(window.page.get_by_role("link", name="checked=by hand")).to_be_visible()
    assert one.request.post(f"{run}/delete").ok
    expect(one.get_by_role("alert")).to_contain_text("talk/1 is deleted")
    for window in lists:
        expect(window.page.get_by_role("link", name="talk/1", exact=True)).to_have_count(0)
    assert one.request.post(f"{run}/restore").ok
    expect(one.get_by_role("alert")).to_have_count(0)
    for window in lists:
        expect(window.page.get_by_role("link", name="talk/1", exact=True)).to_be_visible()
        window.close()


def test_page_of_an_ended_task_shows_that_it_ran_again(page: Page, start: Start) -> None:
    start("flows.py:grade", "--score", "0.375")
    page.goto("/p/default/runs?where=params.score%20%3D%3D%200.375&state=succeeded")
    page.get_by_role("link", name=re.compile("^grade.[0-9]+$")).click(timeout=60_000)
    expect(page.locator("header.run-head")).to_contain_text("succeeded")
    run = page.url.partition("/runs/")[2]
    page.goto(f"{page.url}/tasks/judge/1")
    explained = page.get_by_role("complementary")
    expect(explained).to_contain_text("Why it ran")
    expect(explained).not_to_contain_text("ran again")
    assert page.request.post(f"/api/v1/projects/default/runs/{run}/retry", data={"steps": ["judge"]}).ok
    expect(explained).to_contain_text("ran again", timeout=60_000)
