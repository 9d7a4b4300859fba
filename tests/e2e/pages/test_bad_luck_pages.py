"""Pages whose server, database or disk fails, or whose run is removed: they say so, and come back."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.pages.conftest import Watched, headrace
from tests.e2e.pages.flows import FLOWS
from tests.integration.server.conftest import Served
from tests.integration.server.test_bad_luck_server import Restarted, no_room

from headrace.testing.postgres import restartable_postgres

#: Milliseconds that a page has for what must happen, on a machine that does much else.
PATIENCE = 90_000
AWAY = "does not answer"
RUN = "/p/default/runs/crawl/1"


@pytest.fixture
def folder(tmp_path: Path, built: None) -> Path:
    """An empty folder with flows."""
    (tmp_path / "flows.py").write_text(FLOWS)
    return tmp_path


@contextlib.contextmanager
def page_of(browser: Browser, url: str) -> Iterator[Page]:
    """A page that may see the errors of a server that is away."""
    watched = Watched(browser, url)
    try:
        yield watched.page
    finally:
        watched.context.close()


@contextlib.contextmanager
def driver(folder: Path, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A run that goes on beside the test."""
    started = headrace(folder, "run", *argv)
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.communicate(timeout=30)


def done(folder: Path, *argv: str) -> int:
    """The exit code of a command."""
    process = headrace(folder, *argv)
    process.communicate(timeout=60)
    return process.returncode


def say_so_and_come_back(page: Page, stop: contextlib.AbstractContextManager[None]) -> None:
    """The page of a live run says that what it shows may be old, and goes on by itself."""
    header = page.locator("header.run-head")
    away = page.locator(".away")
    expect(header).to_contain_text(re.compile(r"[1-9]\d* of 400 tasks"), timeout=PATIENCE)
    with stop:
        expect(away).to_contain_text(AWAY, timeout=PATIENCE)
        before = header.locator(".run-far").inner_text()  # what was read stays readable
        assert "of 400 tasks" in before
    expect(away).to_be_empty(timeout=PATIENCE)
    expect(header.locator(".run-far")).not_to_have_text(before, timeout=PATIENCE)


def test_page_says_that_the_database_is_away_and_comes_back(browser: Browser, folder: Path) -> None:
    with restartable_postgres() as postgres:

        @contextlib.contextmanager
        def stopped() -> Iterator[None]:
            postgres.stop()
            yield
            postgres.start()

        server = Served(folder, "--database", postgres.url)
        flow = ("--database", postgres.url, "flows.py:crawl", "--tasks", "400", "--seconds", "0.5")
        try:
            with driver(folder, *flow), page_of(browser, server.url) as page:
                page.goto("/p/default/runs")
                page.get_by_role("link", name="crawl/1", exact=True).click(timeout=PATIENCE)
                say_so_and_come_back(page, stopped())
        finally:
            server.stop(signal.SIGKILL)


def test_page_says_that_the_server_is_away_and_comes_back(browser: Browser, folder: Path) -> None:
    server = Restarted(folder)

    @contextlib.contextmanager
    def killed() -> Iterator[None]:
        server.kill()
        yield
        server.again()

    try:
        flow = ("flows.py:crawl", "--tasks", "400", "--seconds", "0.5")
        with driver(folder, *flow), page_of(browser, server.now.url) as page:
            page.goto("/p/default/runs")
            page.get_by_role("link", name="crawl/1", exact=True).click(timeout=PATIENCE)
            say_so_and_come_back(page, killed())
    finally:
        server.kill()


def test_page_says_that_its_run_was_removed_and_what_the_disk_refused(browser: Browser, folder: Path) -> None:
    for _ in range(2):
        assert done(folder, "run", "flows.py:grade") == 0
    # without bytecode: what it imports while there is no room would be cut off, and stay so
    server = Served(folder, PYTHONDONTWRITEBYTECODE="1")
    try:
        with page_of(browser, server.url) as page:
            page.goto("/p/default/runs/grade/1")
            header = page.locator("header.run-head")
            expect(header).to_contain_text("succeeded", timeout=PATIENCE)
            page.get_by_role("button", name="More").click()
            page.get_by_role("menuitem", name="Name…").click()
            page.get_by_label("What people call it").fill("x" * 90)
            with no_room(server.process, 4 << 10):
                page.get_by_role("button", name="Name", exact=True).click()
                expect(page.locator(".toast.bad")).to_contain_text("no space left", timeout=PATIENCE)
            page.get_by_role("button", name="Name", exact=True).click()
            expect(page.locator(".run-called")).to_have_text("x" * 90, timeout=PATIENCE)
            assert done(folder, "rm", "-y", "grade/1") == 0
            expect(page.get_by_role("alert")).to_contain_text("grade/1 was deleted", timeout=PATIENCE)
            page.get_by_role("link", name="Go to the runs").click()
            expect(page.get_by_role("link", name="grade/2", exact=True)).to_be_visible(timeout=PATIENCE)
            expect(page.get_by_role("link", name="grade/1", exact=True)).to_have_count(0, timeout=PATIENCE)
    finally:
        server.stop(signal.SIGKILL)
