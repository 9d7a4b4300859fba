"""Comparing runs, searching artifacts, administration."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect


def test_runs_are_compared_by_what_differs(page: Page) -> None:
    page.goto("/p/default/compare?run=train/1&run=train/2&run=train/3")
    table = page.get_by_role("table").first
    expect(table.get_by_role("row").filter(has_text="goal")).to_contain_text("1.2")
    expect(table).not_to_contain_text("depths")  # all have the same
    expect(page.locator(".chart canvas")).to_be_visible()
    dots = page.get_by_role("group", name=re.compile(" by goal")).get_by_role("link")
    expect(dots).to_have_count(2)
    page.get_by_role("button", name="Leave train/3 out").click()
    expect(page).not_to_have_url(re.compile("train%2F3"))


def test_brush_keeps_runs_in_its_range(page: Page) -> None:
    page.goto("/p/default/compare?run=train/1&run=train/2&brush=goal~0.500~1.000")
    expect(page.get_by_text("1 of 2 runs are in the ranges")).to_be_visible()


def test_comparing_needs_two_runs(page: Page) -> None:
    page.goto("/p/default/compare?run=train/1")
    expect(page.get_by_text("Choose at least two runs")).to_be_visible()


def test_artifacts_are_found_by_name_and_producer(page: Page) -> None:
    page.goto("/p/default/artifacts")
    page.get_by_label("Name", exact=True).fill("scores")
    page.get_by_label("Producer").fill("train/2")
    expect(page).to_have_url(re.compile("name=scores&producer=train%2F2"))
    rows = page.get_by_role("row").filter(has=page.get_by_role("button", name="scores"))
    expect(rows).to_have_count(1)
    rows.get_by_role("button", name="scores").click()
    detail = page.get_by_role("complementary")
    expect(detail.get_by_text("headrace get train/2/scores")).to_be_visible()


def test_administration_without_accounts_says_how_to_have_them(page: Page) -> None:
    page.goto("/admin")
    expect(page.get_by_text("headrace server --auth users")).to_be_visible()
    page.get_by_role("link", name="Storage").click()
    expect(page.get_by_text(re.compile(r"\d+ blobs?")).first).to_be_visible()
    expect(page.get_by_text("There are none.")).to_be_visible()
