"""The page of a run and of a task."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from headrace.model.records import lease_name
from headrace.model.states import RunState
from headrace.services.leases import DriverWait, leave_to_heir, note_driver_wait
from headrace.settings import Settings
from headrace.stores.metadata.protocol import NewRun, RunChange
from headrace.wiring import Workspace


def test_failed_run_says_first_what_went_wrong_and_where(page: Page) -> None:
    page.goto("/p/default/runs/train/3")
    header = page.locator("header.run-head")
    expect(header).to_contain_text("failed")
    expect(header).to_contain_text("ValueError: no good: 1.00")
    expect(header).to_contain_text(re.compile(r"flows\.py:\d+\s+raise ValueError"))
    box = header.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 260
    header.get_by_role("link", name="train/3/judge/1").click()
    expect(page).to_have_url(re.compile("/runs/train/3/tasks/judge/1$"))
    expect(page.get_by_role("row").filter(has_text="failed")).to_have_count(2)  # two attempts: it was retried once


def test_overview_shows_steps_metrics_and_result(page: Page) -> None:
    page.goto("/p/default/runs/train/1")
    expect(page.get_by_role("row").filter(has_text="fit")).to_contain_text("3/3")
    expect(page.get_by_role("row").filter(has_text="loss")).to_contain_text("900")
    expect(page.get_by_role("figure").filter(has_text="scores")).to_contain_text("depth")


def test_run_says_why_its_steps_were_reused(page: Page) -> None:
    page.goto("/p/default/runs/train/2")
    page.get_by_role("button", name="show", exact=True).click()
    expect(page).to_have_url(re.compile("why=1"))
    reasons = page.locator("section").filter(has_text="Why steps ran")
    expect(reasons.get_by_text("cached").first).to_be_visible()
    expect(reasons.get_by_role("link", name="fit/1", exact=True)).to_be_visible()


def test_long_table_shows_any_row_it_is_scrolled_to(page: Page) -> None:
    page.goto("/p/default/runs/steps/1/tasks")
    expect(page.get_by_role("link", name="s0_0/1", exact=True)).to_be_visible()
    table = page.get_by_role("region", name="Tasks of steps/1")
    for _ in range(4):
        for place in (4000, 9000, 2000, 1e9):
            table.evaluate("(one, place) => { one.scrollTop = place }", place)
    expect(page.get_by_role("link", name="s9_9/1", exact=True)).to_be_visible()
    assert page.get_by_role("row").count() < 80
    page.get_by_role("link", name="s9_9/1", exact=True).click()
    expect(page).to_have_url(re.compile("/tasks/s9_9/1"))


def test_tasks_are_listed_filtered_and_linked(page: Page) -> None:
    page.goto("/p/default/runs/train/1/tasks")
    expect(page.get_by_role("link", name="fit/3", exact=True)).to_be_visible()
    page.get_by_role("button", name="Filter by step").click()
    page.get_by_role("menuitem", name=re.compile("load")).click()
    expect(page).to_have_url(re.compile(r"\?step=load$"))
    expect(page.get_by_role("link", name="fit/3", exact=True)).to_have_count(0)
    page.get_by_role("link", name="load/1", exact=True).click()
    expect(page.get_by_role("rowheader", name="rows")).to_be_visible()


def test_reused_task_says_from_where(page: Page) -> None:
    page.goto("/p/default/runs/train/2/tasks/fit/1")
    expect(page.locator("header.run-head")).to_contain_text("cached")
    expect(page.locator("header.run-head")).to_contain_text("train/1/fit/1")


def test_run_that_is_not_there_is_a_plain_answer(page: Page) -> None:
    page.goto("/p/default/runs/train/999")
    expect(page.get_by_role("alert")).to_contain_text("Not found")


def test_task_shows_the_pods_of_its_attempts(page: Page) -> None:
    page.goto("/p/default/runs/pods/1/tasks/fit/1")
    first = page.locator("section").filter(has=page.get_by_role("heading", name="Pod pods-1-a", exact=True))
    expect(first).to_contain_text("node-3")
    expect(first).to_contain_text("its node was <b>drained</b> 3 times")
    expect(first).to_contain_text("attempt 1")
    headings = page.get_by_role("heading", name="Pod pods-1-")
    expect(headings).to_have_text(["Pod pods-1-b", "Pod pods-1-a"])


def test_timeline_tells_the_pod_under_the_pointer(page: Page) -> None:
    page.goto("/p/default/runs/pods/1/timeline")
    chart = page.get_by_role("img", name="attempts on 2 workers")
    expect(chart).to_be_visible()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 22 + 24 + 12)
    expect(page.locator(".tip")).to_contain_text("its worker joined the run")
    expect(page.locator(".tip")).to_contain_text("on node-7")


def test_run_says_what_tasks_wait_for_whose_pods_do_not_work_yet(page: Page) -> None:
    page.goto("/p/default/runs/pending/1")
    header = page.locator("header.run-head")
    expect(header).to_contain_text("fit waits: no node has room: 3 nodes lack nvidia.com/gpu")
    expect(header).to_contain_text("0 of 4 tasks")
    expect(header).not_to_contain_text("4 running")


@pytest.fixture
def awaited(workspace: Path) -> Iterator[str]:
    """The name of a run that was given to a driver in a cluster, whose pod finds no node."""
    with Workspace(Settings(home=str(workspace / ".headrace"))) as opened:
        store = opened.metadata
        new = NewRun(project="default", flow="awaited", dialect="native", entry="a.py:a", created=time.time())
        run, lease = store.open_run(new, "elsewhere:1:1", 60.0)
        store.commit([RunChange(run_id=run.id, state=RunState.RUNNING, started=run.created)], lease)
        leave_to_heir(store, run, lease.owner, "gpu")
        why = "pod awaited-1-driver-1-0 waits for a node: <b>too little</b> cpu free on 3 of 3 nodes (4 asked for)"
        assert note_driver_wait(store, run, DriverWait(why, time.time()))
        yield run.name
        held = store.lease(lease_name(run.id))
        assert held is not None
        store.release(held)
        store.delete_run(run.id)


def test_pages_say_why_the_driver_of_a_run_has_not_begun_in_its_cluster(page: Page, awaited: str) -> None:
    page.goto(f"/p/default/runs/{awaited}")
    header = page.locator("header.run-head")
    expect(header.locator(".run-state")).to_contain_text("pending since")
    why = "waits for a node: <b>too little</b> cpu free on 3 of 3 nodes (4 asked for)"
    expect(header).to_contain_text(f"Its driver has not begun in the cluster: pod awaited-1-driver-1-0 {why} · seen")
    page.goto("/p/default/runs?flow=awaited")
    row = page.get_by_role("row").filter(has_text=awaited)
    expect(row).to_contain_text("pending")
    expect(row).to_contain_text(why)
