"""The list of runs, in Chromium over a real server."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect
from tests.e2e.pages.conftest import Watched


def test_address_of_the_server_leads_to_the_runs_of_its_project(page: Page) -> None:
    page.goto("/")
    expect(page).to_have_url(re.compile("/p/default/runs$"))
    expect(page.get_by_role("link", name="train/1", exact=True)).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="train/3")).to_contain_text("failed")


def test_filter_is_completed_applied_and_kept_in_the_address(page: Page) -> None:
    page.goto("/p/default/runs")
    expect(page.get_by_role("link", name="train/1", exact=True)).to_be_visible()
    page.keyboard.press("/")
    field = page.get_by_role("combobox", name="Filter")
    expect(field).to_be_focused()
    field.press_sequentially("metrics.be")
    expect(page.get_by_role("option", name=re.compile(r"metrics\.best"))).to_be_visible()
    field.press("ArrowDown")
    field.press("Enter")
    field.press_sequentially("> 1.1")
    field.press("Enter")
    expect(page.get_by_role("link", name="train/2", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="train/1", exact=True)).to_have_count(0)
    page.reload()
    expect(page.get_by_role("combobox", name="Filter")).to_have_value("metrics.best > 1.1")
    expect(page.get_by_role("link", name="train/1", exact=True)).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("link", name="train/1", exact=True)).to_be_visible()


def test_wrong_filter_is_explained_at_its_place(page: Page) -> None:
    page.goto("/p/default/runs?where=metrics.best+%3E+high")
    expect(page.get_by_role("alert")).to_contain_text("is a number, so it cannot be compared with 'high'")


def test_parameter_becomes_a_column_that_sorts(page: Page) -> None:
    page.goto("/p/default/runs?cols=params.goal~metrics.best&sort=-params.goal")
    rows = page.get_by_role("row").filter(has=page.get_by_role("checkbox"))
    expect(rows.first).to_contain_text("train/2")
    expect(page.get_by_role("columnheader", name="goal")).to_have_attribute("aria-sort", "descending")


def test_keyboard_walks_selects_and_compares(page: Page) -> None:
    page.goto("/p/default/runs?flow=train")
    expect(page.get_by_role("link", name="train/3", exact=True)).to_be_visible()
    for key in ("j", "x", "j", "x", "c"):
        page.keyboard.press(key)
    expect(page).to_have_url(re.compile(r"/compare\?run=train%2F3&run=train%2F2"))


def test_help_lists_the_keys(page: Page) -> None:
    page.goto("/p/default/runs")
    expect(page.get_by_role("link", name="train/1", exact=True)).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_contain_text("Compare the selected runs")


def test_project_without_runs_says_what_to_type(page: Page) -> None:
    page.goto("/p/empty/runs")
    expect(page.get_by_text("No runs in project empty yet")).to_be_visible()
    expect(page.get_by_text("headrace run train.py")).to_be_visible()


def test_policy_forbids_scripts_of_others_and_frames(watched: Watched) -> None:
    answer = watched.context.request.get("/p/default/runs")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert watched.context.request.get("/api/v1/nothing").status == 404
    assert watched.context.request.get("/assets/../app.py").status == 404
    assert watched.context.request.get("/.built-from").status == 404


def test_view_is_saved_under_a_name_and_opened_again(page: Page) -> None:
    page.goto("/p/default/runs?flow=train&sort=-metrics.best&cols=metrics.best")
    views = page.get_by_role("button", name="Saved views")
    views.click()
    page.get_by_role("menuitem", name="Save this view").click()
    page.get_by_label("Name of the filter").fill("best first")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto("/p/default/runs")
    views.click()
    page.get_by_role("menuitem", name="best first").click()
    expect(page).to_have_url(re.compile("flow=train&sort=-metrics.best&cols=metrics.best"))
    rows = page.get_by_role("row").filter(has_text="train/")
    expect(rows.first).to_contain_text("train/2")  # 1.2, above 1.0; the one that failed has none


def test_sorting_reaches_beyond_the_rows_in_sight(page: Page) -> None:
    page.goto("/p/default/runs")
    page.get_by_role("button", name="Took").click()
    expect(page).to_have_url(re.compile("sort=duration"))
    wanted = page.request.get("/api/v1/projects/default/runs?sort=duration&limit=1").json()["items"][0]["name"]
    expect(page.get_by_role("row").nth(1)).to_contain_text(wanted)
