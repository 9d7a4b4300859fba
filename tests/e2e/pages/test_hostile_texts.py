"""Texts of users that try to be more than texts: no page runs a script of theirs, or asks another origin."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.e2e.pages.conftest import Watched
from tests.e2e.pages.flows import PAYLOADS

RUN = "/p/default/runs/payloads/1"
PAGES = {
    "/p/default/runs?flow=payloads": "payloads/1",
    "/p/default/runs?flow=payloads&cols=tags.tag0~tags.tag1~params.text": "payloads/1",
    "/p/default/runs?where=%3Cscript%3Ewindow.pwned%3D1%3C%2Fscript%3E": "expected",
    RUN: "Steps",
    f"{RUN}/tasks": "speak/1",
    f"{RUN}/logs": PAYLOADS[0],
    f"{RUN}/logs?q=%3Cscript%3E&only=1": PAYLOADS[0],
    f"{RUN}/metrics": "onerror",
    f"{RUN}/artifacts?a=speak/1/artifact%200": PAYLOADS[0],
    f"{RUN}/artifacts?a=/%3Cb%20onload=x%3Ereport": PAYLOADS[0],
    f"{RUN}/lineage?task=speak/1": "speak/1",
    "/p/default/compare?run=payloads/1&run=train/1": "payloads/1",
    "/p/default/artifacts?name=%3Ci%20onclick%3Dx%3Etable&a=payloads%2F1%2F%2F%3Ci%20onclick%3Dx%3Etable": PAYLOADS[0],
    f"{RUN}/code": "PAYLOADS",
    f"{RUN}/graph": "speak",
    f"{RUN}/tasks/speak/1": PAYLOADS[0],
    "/p/default/runs/%3Cscript%3Ewindow.pwned=1%3C%2Fscript%3E/1": "Not found",
    f"{RUN}/%3Cimg%20src=x%20onerror=window.pwned=1%3E": "has no part",
}


def test_corpus_is_large() -> None:
    assert len(set(PAYLOADS)) > 200


@pytest.mark.parametrize("path", PAGES)
def test_no_page_runs_what_a_text_says(watched: Watched, path: str) -> None:
    page = watched.open(path)
    expect(page.locator("main")).to_contain_text(PAGES[path])
    page.wait_for_load_state("networkidle") if "logs" not in path else None
    assert page.evaluate("window.pwned") is None
    assert page.locator("main :is(script, iframe, object, embed, base, meta, video, marquee)").count() == 0
    assert page.locator("main [onerror], main [onload], main a[href^='javascript:']").count() == 0


def test_log_shows_every_payload_as_it_was_printed(watched: Watched) -> None:
    text = watched.context.request.get("/api/v1/projects/default/runs/payloads/1/logs/text").text()
    for payload in PAYLOADS:
        assert payload in text
    page = watched.open(f"{RUN}/logs")
    for payload in PAYLOADS[:12]:
        expect(page.get_by_role("log").get_by_text(payload, exact=True)).to_be_visible()


def test_cards_are_shown_without_running_what_they_say(watched: Watched) -> None:
    page = watched.open("/p/default/runs/Hostile/1/cards")
    cards = page.get_by_role("navigation", name="Cards").get_by_role("button")
    expect(cards).to_have_count(2)
    frame = page.frame_locator("iframe")
    for index in range(2):
        cards.nth(index).click()
        expect(frame.locator("body")).to_contain_text("pwned")
        assert [one.evaluate("window.pwned") for one in page.frames] == [None] * len(page.frames)
    assert page.locator("iframe").get_attribute("sandbox") == ""
