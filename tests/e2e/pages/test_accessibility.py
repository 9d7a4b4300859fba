"""Every page by axe (WCAG 2.2 A and AA), in both themes, narrow and wide."""

from __future__ import annotations

import json
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from tests.e2e.pages.conftest import Watched

RUN = "/p/default/runs/train/1"
PAGES = {
    "/p/default/runs?cols=metrics.best": "train/1",
    "/p/empty/runs": "No runs",
    "/p/default/runs/train/3": "no good",
    f"{RUN}": "Steps",
    f"{RUN}/graph?step=improve": "improve/2",
    f"{RUN}/timeline": "workers",
    f"{RUN}/resources": "By worker",
    "/p/default/runs/steps/1/graph": "Fit",
    f"{RUN}/tasks": "fit/3",
    f"{RUN}/logs": "loading",
    f"{RUN}/metrics": "loss",
    f"{RUN}/artifacts?a=/scores": "headrace get",
    f"{RUN}/code": "def judge",
    f"{RUN}/environment": "msgspec",
    "/p/default/runs/train/2/lineage?task=fit/1": "from train/1",
    "/p/default/runs/train/3/tasks/judge/1": "Why it ran",
    "/p/default/runs/Hostile/1/cards": "made",
    "/p/default/compare?run=train/1&run=train/2": "Scatter",
    "/p/default/artifacts?name=scores&a=train/1//scores": "headrace get",
    "/p/default/waits": "waits for an answer",
    "/admin/storage": "There are none",
}
OPTIONS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


def found(violations: list[dict[str, Any]]) -> list[str]:
    """Each violation on one line."""
    return [f"{one['id']}: {[node['target'] for node in one['nodes']][:3]}" for one in violations]


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (380, "dark")])
def test_pages_have_no_violations(browser: Browser, server: str, width: int, theme: str, part: int) -> None:
    watched = Watched(browser, server, width=width, theme=theme)
    axe, wrong = Axe(), {}
    for path, shown in list(PAGES.items())[part::3]:
        page = watched.open(path)
        expect(page.locator("main")).to_contain_text(shown)
        result = axe.run(page, options=OPTIONS)
        if violations := found(result.response["violations"]):
            wrong[path] = violations
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} is {wide} px wide in a window of {width}"
    watched.close()
    assert wrong == {}, json.dumps(wrong, indent=1)
