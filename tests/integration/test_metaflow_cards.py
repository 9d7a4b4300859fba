"""Cards of whole runs: what types of users are given, tasks that fail or are still running, resumes, commands.

How many cards there are, and what ``current.card`` does, is compared with the real metaflow in ``tests/compat``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.frontends.metaflow.cards import Card, get_cards, html
from headrace.frontends.metaflow.client.runs import Run, namespace
from headrace.model.values import Preview

SHIM = Path(html.__file__).parents[1] / "shim"

FLOW = """
import json, os, time
from metaflow import FlowSpec, Parameter, card, current, retry, step
from metaflow.cards import Markdown, MetaflowCard, ProgressBar

class Report(MetaflowCard):
    type = "report"
    ALLOW_USER_COMPONENTS = True
    RUNTIME_UPDATABLE = True

    def __init__(self, options=None, components=None, graph=None, flow=None):
        self.options, self.components = options, components

    def render(self, task):
        run = task.parent.parent
        return json.dumps({
            "finished": task.finished, "successful": task.successful, "x": task["x"].data, "y": task.data.y,
            "names": sorted(one.id for one in task), "attempt": task.current_attempt,
            "ended": task.finished_at is not None,
            "parents": [one.pathspec for one in task.parent_tasks], "steps": sorted(one.id for one in run),
            "tags": sorted(run.user_tags), "absent": "absent" in task, "options": self.options,
            "components": self.components,
        })

    def render_runtime(self, task, data):
        return json.dumps({"finished": task.finished, "data": data["user"], "ended": task.finished_at is not None})

class Cards(FlowSpec):
    fail = Parameter("fail", default=False)

    @step
    def start(self):
        self.y = {"big": list(range(5))}
        self.next(self.work)

    @card(type="report", options={"a": 1}, refresh_interval=0)
    @step
    def work(self):
        self.x = 5
        current.card.append(Markdown("# here"))
        current.card.refresh({"n": 1})
        while os.path.exists("wait"):
            time.sleep(0.02)
        self.next(self.shaky)

    @card
    @card(type="report", id="never")
    @retry(times=1, minutes_between_retries=0)
    @step
    def shaky(self):
        self.x = current.retry_count
        current.card["never"].append(Markdown("unseen"))
        if self.fail and not os.path.exists("fine"):
            raise ValueError("why <it> failed")
        self.next(self.end)

    @card
    @step
    def end(self):
        pass

if __name__ == "__main__":
    Cards()
"""


class Place:
    """A folder with the flow file; the client of this process reads what is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "cards.py").write_text(FLOW)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "METAFLOW_"))}
        self.env = {**kept, "PYTHONPATH": str(SHIM), "HEADRACE_HOME": str(folder / "home"), "METAFLOW_USER": "tester"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command."""
        streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(
            [sys.executable, "cards.py", *arguments], cwd=self.folder, env=self.env, text=True, **streams
        )

    def call(self, *arguments: str, code: int = 0) -> str:
        """Run a command to its end; what it wrote."""
        process = self.start(*arguments)
        text, _ = process.communicate(timeout=60)
        assert process.returncode == code, text
        return text

    def pages(self, task: str, **which: Any) -> list[str]:
        """The pages of a task's cards."""
        return [one.get() for one in get_cards(f"Cards/{task}", **which)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("METAFLOW_USER", "tester")
    monkeypatch.chdir(tmp_path)
    namespace(None)
    return made


def test_a_type_of_the_flow_file_sees_the_task_as_it_will_be(place: Place) -> None:
    place.call("run", "--tag", "mine")

    (page,) = place.pages("1/work/2")
    seen = json.loads(page)
    components = seen.pop("components")

    assert seen == {
        "finished": True,
        "successful": True,
        "x": 5,
        "y": {"big": [0, 1, 2, 3, 4]},
        "names": ["fail", "name", "x", "y"],
        "ended": True,
        "attempt": 0,
        "parents": ["Cards/1/start/1"],
        "steps": ["start", "work"],
        "tags": ["mine"],
        "absent": False,
        "options": {"a": 1},
    }
    assert [one["type"] for one in components] == ["section"]
    assert components[0]["contents"][0]["source"] == "# here"


def test_a_running_task_shows_what_it_refreshed(place: Place) -> None:
    (place.folder / "wait").touch()
    run = place.start("run")
    try:
        until = time.monotonic() + 30
        while True:
            try:
                (page,) = place.pages("1/work/2")
                break
            except Exception as error:  # no such flow, run, task or card yet
                assert time.monotonic() < until, error
                time.sleep(0.05)
        before = get_cards("Cards/1/work/2")[0].hash
    finally:
        (place.folder / "wait").unlink()
        text, _ = run.communicate(timeout=60)

    assert run.returncode == 0, text
    assert json.loads(page) == {"finished": False, "data": {"n": 1}, "ended": False}
    (card,) = get_cards("Cards/1/work/2")
    assert card.hash == before
    assert json.loads(card.get())["finished"]


def test_a_task_that_failed_has_a_card_that_says_why_and_a_resume_makes_its_own(place: Place) -> None:
    place.call("run", "--fail", "true", code=1)

    (failed,) = get_cards("Cards/1/shaky/3")
    assert (failed.type, failed.id) == ("default", None)
    for words in (
        "why &lt;it&gt; failed",
        "The task failed",
        "failed</td>",
        '"nf">shaky<',
        '<td>x</td><td class="kind">int',
    ):
        assert words in failed.get()
    assert "headrace/" not in failed.get()
    assert not Run("Cards/1").successful

    (place.folder / "fine").touch()
    place.call("resume")

    assert [one.type for one in get_cards("Cards/2/shaky/3")] == ["default", "report"]
    resumed, alone = get_cards("Cards/2/work/2"), Run("Cards/2")["work"].task
    assert (resumed.from_resumed, resumed.origin_pathspec) == (True, "Cards/1/work/2")
    assert [one.hash for one in resumed] == [one.hash for one in get_cards("Cards/1/work/2")]
    with pytest.raises(Exception, match="not found for pathspec Cards/2/work/2"):
        get_cards(alone, follow_resumed=False)
    assert "Card not found" in place.call("card", "list", "2/work", "--no-follow-resumed", code=1)
    assert "Cards/1/work/2" in place.call("card", "list", "2/work")


def test_cards_are_no_artifacts_of_the_task(place: Place) -> None:
    place.call("run")
    task = Run("Cards/1")["work"].task

    assert sorted(one.id for one in task) == ["fail", "name", "x", "y"]
    assert not any("card" in one for one in dir(task.data) if not one.startswith("__"))
    assert "_card_" not in place.call("dump", "1/work", "--private")


def test_a_card_that_is_created_later_is_beside_the_others(place: Place) -> None:
    place.call("run")
    (place.folder / "parts.json").write_text(json.dumps([{"type": "text", "text": "added <later>"}]))
    how = ("--type", "blank", "--id", "more", "--options", '{"title": "Later"}', "--component-file", "parts.json")

    place.call("card", "create", "1/end/4", *how)

    assert [(one.type, one.id) for one in get_cards("Cards/1/end/4")] == [("default", None), ("blank", "more")]
    (page,) = place.pages("1/end/4", id="more")
    assert "added &lt;later&gt;" in page
    assert "<h1>Later</h1>" in page


def test_no_card_is_a_reason_for_a_task_to_fail(place: Place) -> None:
    broken = """
class Breaks(MetaflowCard):
    type = "breaks"
    def __init__(self, options=None, components=None, graph=None, flow=None):
        raise ZeroDivisionError("in the card")

class Cards("""
    before, after = "    @card\n    @step\n    def end", '    @card(type="breaks")\n    @card(timeout="x")\n'
    flow = FLOW.replace("class Cards(", broken.lstrip("\n")).replace(before, after + before)
    (place.folder / "cards.py").write_text(flow)

    text = place.call("run")

    assert "Card render failed with error: ZeroDivisionError: in the card" in text
    assert "Card render failed with error: ValueError" in text
    assert [one.type for one in get_cards("Cards/1/end/4")] == ["default"]


def test_only_pages_made_here_by_built_in_types_are_inert(place: Place) -> None:
    place.call("run")
    (ended,), (worked,) = get_cards("Cards/1/end/4"), get_cards("Cards/1/work/2")
    record = ended._record
    brought_in = msgspec.structs.replace(record, preview=Preview("card", "", record.preview.facts[:2]))

    assert ended.inert
    assert not worked.inert
    assert not Card(brought_in, ended._run, Run("Cards/1")["end"].task).inert


def test_a_card_in_a_notebook_is_in_a_frame(place: Place) -> None:
    place.call("run")
    cards = get_cards("Cards/1/end/4")

    shown = cards[0]._repr_html_()

    assert shown.startswith("<iframe sandbox=")
    assert "allow-same-origin" not in shown
    assert "<main>" not in shown
    assert shown in cards._repr_html_()
    assert len(cards) == 1
    assert str(cards[0]).startswith("<Card at 'Cards/runs/1/steps/end/tasks/4/cards/default-")


def test_view_opens_the_browser(place: Place) -> None:
    place.call("run")
    opened = place.folder / "opened"
    program = place.folder / "show"
    program.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    program.chmod(0o755)
    place.env["BROWSER"] = f"{program} %s"

    place.call("card", "view", "end")

    until = time.monotonic() + 10
    while not opened.exists() or not opened.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    file = Path(opened.read_text().strip().removeprefix("file://"))
    assert file.read_text() == get_cards("Cards/1/end/4")[0].get()
    file.unlink()
