"""The parts of a run's page: graph, timeline, logs, metrics, artifacts, code, environment, lineage."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

RUN = "/p/default/runs/train/1"


def test_graph_shows_steps_with_counts_and_opens_one(page: Page) -> None:
    page.goto(f"{RUN}/graph")
    graph = page.get_by_role("group", name="Graph of the steps")
    expect(graph.get_by_role("button", name=re.compile(r"^fit: 3 succeeded"))).to_be_visible()
    loop = graph.get_by_role("button", name=re.compile(r"^improve: .*a loop of 2 turns"))
    loop.click()
    expect(page).to_have_url(re.compile("step=improve"))
    panel = page.get_by_role("complementary", name="Step improve")
    expect(panel.get_by_role("link", name="improve/2", exact=True)).to_be_visible()


def test_graph_folds_what_follows_a_step(page: Page) -> None:
    page.goto(f"{RUN}/graph?step=load")
    graph = page.get_by_role("group", name="Graph of the steps")
    expect(graph.get_by_role("button", name=re.compile("^fit"))).to_be_visible()
    page.get_by_role("button", name="Fold what follows").click()
    expect(graph.get_by_role("button", name=re.compile("^fit"))).to_have_count(0)
    expect(graph.get_by_role("button", name=re.compile("^load: .* folded behind"))).to_be_visible()
    expect(page).to_have_url(re.compile("fold=load"))


def test_graph_of_many_steps_is_drawn_on_a_canvas_and_searched(page: Page) -> None:
    page.goto("/p/default/runs/steps/1/graph")
    drawing = page.get_by_role("img", name=re.compile("400 boxes and 780 lines"))
    expect(drawing).to_be_visible(timeout=60_000)
    page.get_by_label("Find a step").fill("s20_4")
    page.get_by_label("Find a step").press("Enter")
    panel = page.get_by_role("complementary", name="Step s20_4")
    expect(panel.get_by_role("link", name="s20_4/1")).to_be_visible()
    panel.get_by_role("button", name="Close").click()
    box = drawing.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)  # it stands in the middle now
    expect(panel).to_be_visible()


def test_timeline_draws_attempts_and_opens_the_one_that_is_clicked(page: Page) -> None:
    page.goto(f"{RUN}/timeline")
    chart = page.get_by_role("img", name=re.compile("7 attempts on"))
    expect(chart).to_be_visible()
    drawn = """canvas => {
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const seen = new Set();
        for (let i = 0; i < data.length; i += 4) seen.add(`${data[i]} ${data[i + 1]} ${data[i + 2]}`);
        return seen.size;
    }"""
    assert chart.evaluate(drawn) > 20
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.mouse.wheel(0, -400)
    expect(page).to_have_url(re.compile(r"from=.*to="))


def test_log_is_searched_linked_and_read_to_its_end(page: Page) -> None:
    page.goto("/p/default/runs/talk/1/logs")
    log = page.get_by_role("log")
    expect(log).to_contain_text("line 10")
    assert page.locator(".log-line").count() < 150  # only what is in sight
    page.keyboard.press("/")
    page.keyboard.type("line 2999")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("q=line"))
    page.get_by_role("button", name="Only hits").click()
    expect(log).to_contain_text("line 2999")
    page.goto("/p/default/runs/talk/1/logs")
    page.get_by_text("5", exact=True).click()
    expect(page).to_have_url(re.compile(r"line=chatter%2F1\.1\.out"))
    linked = page.url
    page.goto("about:blank")
    page.goto(linked)
    expect(page.locator(".log-line.chosen")).to_contain_text("line 4")


def test_colours_of_a_terminal_are_shown_and_its_codes_are_not(page: Page) -> None:
    page.goto(f"{RUN}/logs?step=fit&task=2")
    expect(page.locator(".a-green.a-bold")).to_have_text("depth 4")
    expect(page.get_by_role("log")).not_to_contain_text("[1;32m")
    expect(page.locator(".log-line.warning")).to_contain_text("a warning")


def test_metrics_are_drawn_and_controls_are_in_the_address(page: Page) -> None:
    page.goto(f"{RUN}/metrics")
    figure = page.get_by_role("figure").filter(has_text="loss")
    expect(figure.locator("canvas")).to_be_visible()
    expect(figure).to_contain_text("fit/3")
    page.get_by_role("button", name="Log scale").click()
    page.get_by_role("button", name="0.9", exact=True).click()
    expect(page).to_have_url(re.compile(r"log=1&smooth=0\.9"))
    expect(figure.locator("canvas")).to_be_visible()


def test_artifact_is_previewed_and_downloaded(page: Page) -> None:
    page.goto(f"{RUN}/artifacts")
    page.get_by_role("button", name="scores").click()
    detail = page.get_by_role("complementary", name=re.compile("Artifact"))
    expect(detail.get_by_role("columnheader", name="depth")).to_be_visible()
    expect(detail.get_by_text("headrace get train/1/scores")).to_be_visible()
    with page.expect_download() as download:
        detail.get_by_role("link", name="as stored").click()
    assert download.value.path().stat().st_size > 10


def test_artifacts_of_a_dialect_itself_are_shown_on_request(page: Page) -> None:
    page.goto("/p/default/runs/Hostile/1/artifacts")
    expect(page.get_by_role("button", name="start/1/texts")).to_be_visible()
    inner = page.get_by_role("button", name="start/1/_transition")
    expect(inner).to_have_count(0)
    page.get_by_role("button", name="Internal ones").click()
    expect(inner).to_be_visible()


def test_code_is_shown_and_compared(page: Page) -> None:
    page.goto(f"{RUN}/code?line=12")
    expect(page.locator(".source-line.chosen")).to_be_visible()
    expect(page.get_by_role("region", name=re.compile("Source of"))).to_contain_text("def judge")
    page.goto(f"{RUN}/code?with=train/2")
    expect(page.get_by_text("ran the same code")).to_be_visible()


def test_environment_lists_packages(page: Page) -> None:
    page.goto(f"{RUN}/environment?q=msgsp")
    expect(page.get_by_role("listitem").filter(has_text="msgspec")).to_be_visible()
    expect(page.get_by_text("1 of")).to_be_visible()


def test_lineage_leads_to_the_run_that_results_came_from(page: Page) -> None:
    page.goto("/p/default/runs/train/2/lineage?task=judge/1")
    expect(page.get_by_role("link", name="train/1", exact=True)).to_be_visible()
    graph = page.get_by_role("group", name="Lineage of the task")
    expect(graph.get_by_role("link", name=re.compile("^improve.1"))).to_be_visible()
    page.goto("/p/default/runs/train/2/lineage?task=fit/1")
    expect(graph.get_by_role("link")).to_have_count(2)
    graph.get_by_role("button", name=re.compile("^Show where train.1.fit")).click()
    expect(graph.get_by_role("link", name=re.compile("of train.1$"))).to_have_count(2)
    graph.get_by_role("link", name=re.compile("^load.1.*of train.1$")).click()
    expect(page).to_have_url(re.compile("/runs/train/1/tasks/load/1"))


def test_resources_are_summed_by_step_and_worker(page: Page) -> None:
    page.goto("/p/default/runs/train/3/resources")
    steps = page.get_by_role("group", name="Use by step")
    judge = steps.get_by_role("row").filter(has_text="judge")
    expect(judge.get_by_role("cell").nth(1)).to_have_text("2")
    expect(judge.get_by_role("cell").last).to_contain_text("2, ")  # both attempts came to nothing
    expect(page.locator(".chart canvas")).to_have_count(3)


def test_task_explains_why_it_ran(page: Page) -> None:
    page.goto(f"{RUN}/tasks/fit/2")
    aside = page.get_by_role("complementary")
    expect(aside.get_by_role("heading", name="Why it ran")).to_be_visible()
    expect(page.get_by_role("log")).to_contain_text("depth 4")
