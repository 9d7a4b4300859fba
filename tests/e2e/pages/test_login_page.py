"""The pages for logging in, in Chromium: their policy lets them work, and the command line gets its answer."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage
from tests.e2e.pages.conftest import load_again_when_the_network_changed
from tests.integration.server.conftest import Served
from tests.integration.server.test_login import PASSWORD, prepare

from headrace.cli.browser_login import Answer, BrowserLogin


@pytest.fixture
def server(tmp_path: Path, built: None) -> Iterator[Served]:
    prepare(tmp_path)
    made = Served(tmp_path, "--auth", "users")
    yield made
    made.stop(signal.SIGKILL)


def test_user_logs_in_lets_the_command_line_in_and_logs_out(server: Served, browser: Browser) -> None:
    login = BrowserLogin(server.url)
    answers: list[Answer] = []
    waiting = threading.Thread(target=lambda: answers.append(login.wait(60.0)))
    waiting.start()
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            said.append(message.text)

    with browser.new_context(viewport={"width": 380, "height": 640}) as context:
        page = context.new_page()
        load_again_when_the_network_changed(page)
        page.on("console", hear)
        page.goto(login.address)
        page.fill("#name", "ada")
        page.fill("#password", "wrong password")
        page.click("button")
        assert page.inner_text("[role=alert]") == "Name and password do not fit together."
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
        page.fill("#name", "ada")
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("text=asks to act")
        page.click("button")
        page.wait_for_selector("text=You may close this window")
        assert page.evaluate("document.cookie") == "", "no cookie is within reach of scripts"
        page.goto(f"{server.url}/p/shop/runs")
        page.click("text=ada")
        page.click("text=Log out")
        page.wait_for_url("**/login")
        page.goto(f"{server.url}/p/shop/runs")
        page.click("text=Log in >> nth=0")
        page.wait_for_url("**/login?next=%2Fp%2Fshop%2Fruns")
    waiting.join()
    assert len(answers) == 1
    assert said == []
