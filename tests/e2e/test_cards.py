"""Cards in a browser: what a run leaves is shown, nothing on it runs or is fetched, and a running task can be followed.

Needs the system's chromium. Where it is missing these tests are skipped, but not in CI, which installs it.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.frontends.metaflow.cards import html
from headrace.frontends.metaflow.cards.parts import HTMLComponent

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not BROWSER and not os.environ.get("CI"), reason="no chromium here (apt install chromium)"),
]

SHIM = Path(html.__file__).parents[1] / "shim"
HOSTILE = "<script>document.title='OWNED'</script><img src=x onerror=\"document.title='OWNED'\">"

FLOW = (
    '''
import os, time
import numpy as np, pandas as pd
from metaflow import FlowSpec, Parameter, card, current, step
from metaflow.cards import *

HOSTILE = {hostile!r}

class Own(MetaflowCard):
    type = "own"
    def render(self, task):
        return "<h1 id=own>mine</h1><script>document.getElementById('own').textContent = 'scripted'</script>"

class Shown(FlowSpec):
    depth = Parameter("depth", default=3)
    title = Parameter("title", default=HOSTILE)

    @card
    @card(type="own")
    @step
    def start(self):
        """Everything on one card."""
        self.frame = pd.DataFrame({{"city": ["Oslo", HOSTILE], "n": [1, 2]}})
        self.text = HOSTILE
        add = current.card.append
        add(Markdown("# Report\\n\\n" + HOSTILE + "\\n\\n| a | b |\\n|---|---|\\n| 1 | 2 |"))
        add(ValueBox(title="Accuracy", value=0.93, theme="success"))
        add(ProgressBar(max=4, value=3, label="Epochs"))
        add(Table([[str(n)] * 30 for n in range(60)], headers=[f"column {{n}}" for n in range(30)]))
        add(Image.from_pil_image(__import__("PIL.Image").Image.new("RGB", (3000, 400), "teal"), label=HOSTILE))
        data = dict(values=[dict(a="x", b=1), dict(a=HOSTILE, b=2)])
        enc = dict(x=dict(field="a", type="nominal"), y=dict(field="b", type="quantitative"))
        add(VegaChart(dict(data=data, mark="bar", encoding=enc, title=HOSTILE)))
        add(PythonCode(code_string="def f():\\n    return '''
    " + HOSTILE + "
    """\\n"))
        add(JSONViewer(dict(a=[HOSTILE])))
        add(YAMLViewer(dict(a=[HOSTILE])))
        events = EventsTimeline(title=HOSTILE)
        events.update(dict(what=HOSTILE), payloads=dict(code=PythonCode(code_string="x")))
        add(events)
        add(Error(ValueError(HOSTILE), HOSTILE))
        self.next(self.live)

    @card(refresh_interval=0.2)
    @step
    def live(self):
        bar = ProgressBar(max=1000, label="Steps")
        current.card.append(bar)
        current.card.append(Markdown("\\n".join("line  " + str(n) + "\\n" for n in range(100))))
        count = 0
        while not os.path.exists("go"):
            count += 1
            bar.update(count)
            current.card.refresh()
            time.sleep(0.05)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Shown()
"""
)


class Place:
    """A folder with a flow file, and its command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "shown.py").write_text(FLOW.format(hostile=HOSTILE))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "METAFLOW_"))}
        self.env = {**kept, "PYTHONPATH": str(SHIM), "HEADRACE_HOME": str(folder / "home"), "METAFLOW_USER": "tester"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command."""
        return subprocess.Popen(
            [sys.executable, "shown.py", *arguments],
            cwd=self.folder,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def call(self, *arguments: str) -> str:
        """Run a command to its end; what it wrote."""
        process = self.start(*arguments)
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 0, text
        return text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """With one run that is over."""
    made = Place(tmp_path_factory.mktemp("cards"))
    (made.folder / "go").touch()
    made.call("run")
    (made.folder / "go").unlink()
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    assert BROWSER, "chromium is missing; .ci/run installs it with apt-get"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield found
        found.close()


class Tab:
    """A page of the browser that remembers what it asked for and what it complained of."""

    def __init__(self, browser: Any, scheme: str = "light", width: int = 1100) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda one: self.asked.append(one.url))
        self.page.on("pageerror", lambda one: self.errors.append(str(one)))

    def outside(self, *allowed: str) -> list[str]:
        """Requests to elsewhere."""
        return [one for one in self.asked if not one.startswith(("data:", "about:", *allowed))]


@pytest.fixture
def tab(browser: Any) -> Iterator[Tab]:
    made = Tab(browser)
    yield made
    made.page.close()


@pytest.fixture(scope="module")
def card(place: Place) -> str:
    """The page of the default card of the first step, as an address."""
    place.call("card", "get", "start", "card.html", "--type", "default")
    return (place.folder / "card.html").as_uri()


def test_the_card_shows_everything_and_asks_for_nothing(card: str, tab: Tab) -> None:
    tab.page.goto(card)
    text = tab.page.inner_text("body")

    for words in (
        "Report",
        "Accuracy",
        "0.93",
        "3 / 4 (75%)",
        "column 29",
        "Parameters",
        "depth",
        "Artifacts",
        "Source",
    ):
        assert words in text, words
    assert "Shown/1/start/1" in text
    assert re.search(r"Took\s+[\d.]+ m?s", text)
    assert "user:tester" in text
    assert tab.page.locator("svg.dag rect").count() == 3
    assert tab.page.locator("svg.dag .here").count() == 1
    assert tab.page.title() == "Shown/1/start/1"
    assert tab.outside(card) == []
    assert tab.errors == []


def test_hostile_values_are_texts(card: str, tab: Tab) -> None:
    tab.page.goto(card)
    tab.page.wait_for_timeout(200)

    assert tab.page.title() == "Shown/1/start/1"
    assert tab.page.locator("script").count() == 0
    assert tab.page.inner_text("body").count("document.title='OWNED'") >= 8
    assert tab.page.locator("img").count() == 2  # the picture and the chart


def test_a_script_that_came_in_would_not_run(tab: Tab) -> None:
    page = html.page("calm", ["x"]).replace("<main>", f"<main>{HOSTILE}<img src=https://evil.example/x.png>")
    tab.page.set_content(page)
    tab.page.wait_for_timeout(200)

    assert tab.page.title() == "calm"


def test_html_of_a_component_is_shown_in_a_frame_and_does_nothing(tab: Tab, tmp_path: Path) -> None:
    file = tmp_path / "card.html"
    file.write_text(html.page("calm", [HTMLComponent(f"<h1>Framed</h1>{HOSTILE}").render()]))
    tab.page.goto(file.as_uri())

    assert tab.page.frame_locator("iframe").locator("h1").inner_text() == "Framed"
    assert tab.page.title() == "calm"


def test_tables_scroll_and_pictures_fit(card: str, tab: Tab) -> None:
    tab.page.goto(card)
    wide = tab.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    table = tab.page.locator(".scroll", has_text="column 29").first
    sizes = tab.page.evaluate("[...document.images].map(one => [one.complete, one.naturalWidth, one.width])")

    assert wide <= 0
    assert table.evaluate("one => one.scrollWidth > one.clientWidth && one.scrollHeight > one.clientHeight")
    assert all(complete and natural > 0 and shown <= 1000 for complete, natural, shown in sizes)
    assert len(sizes) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_in_light_and_dark(card: str, browser: Any, scheme: str) -> None:
    tab = Tab(browser, scheme)
    tab.page.goto(card)
    low = tab.page.evaluate(CONTRASTS)
    tab.page.close()

    assert low == []


#: Elements with a text of their own whose contrast to what is behind them is below 4.5.
CONTRASTS = """() => {
  const numbers = text => (text.match(/[\\d.]+/g) || []).map(Number)
  const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  const light = rgb => rgb.slice(0, 3).reduce((sum, v, at) => sum + linear(v / 255) * [0.2126, 0.7152, 0.0722][at], 0)
  const behind = one => { for (; one; one = one.parentElement) {
    const found = numbers(getComputedStyle(one).backgroundColor)
    if (found.length === 3 || found[3] > 0) return found } return [255, 255, 255] }
  return [...document.querySelectorAll("main *:not(svg *)")]
    .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .map(one => { const [a, b] = [light(numbers(getComputedStyle(one).color)), light(behind(one))]
      return [one.className || one.tagName, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)] })
    .filter(([, contrast]) => contrast < 4.5)
}"""


def test_a_phone_can_show_it(card: str, browser: Any) -> None:
    tab = Tab(browser, width=380)
    tab.page.goto(card)
    wide = tab.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    tab.page.close()

    assert wide <= 0


# --- the server ---------------------------------------------------------------------------------------------------


class Serving:
    """A server of cards and where it is."""

    def __init__(self, place: Place, *arguments: str) -> None:
        self.process = place.start("card", "server", "--port", "0", "--poll-interval", "1", *arguments)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            if found:
                self.url = found[0]
                return
        raise AssertionError(f"the server ended with {self.process.wait()}")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def serving(place: Place) -> Iterator[Serving]:
    made = Serving(place)
    yield made
    made.stop()


def test_the_server_lists_the_cards_of_a_run_and_shows_them(serving: Serving, tab: Tab) -> None:
    tab.page.goto(serving.url)
    tab.page.locator("nav a").first.wait_for()
    labels = [" ".join(one.split()) for one in tab.page.locator("nav a").all_inner_texts()]
    tab.page.locator("nav a", has_text="default").last.click()
    frame = tab.page.frame_locator("#page")
    frame.get_by_text("Report").first.wait_for()
    hostile_title = tab.page.title()
    tab.page.locator("nav a", has_text="own").click()
    frame.get_by_text("scripted").wait_for()

    assert [re.sub(r" · \w+$", "", one) for one in labels] == ["live/2 default", "start/1 default", "start/1 own"]
    assert hostile_title == "Cards"
    assert "run is over" in tab.page.inner_text("nav")
    assert tab.outside(serving.url) == []


def test_a_card_of_a_user_cannot_reach_the_server(serving: Serving, place: Place, tab: Tab) -> None:
    tab.page.goto(serving.url)
    tab.page.locator("nav a", has_text="own").click()
    tab.page.frame_locator("#page").get_by_text("scripted").wait_for()
    frame = next(one for one in tab.page.frames if "/card/" in one.url)

    reached = frame.evaluate("fetch('/runinfo').then(() => 'reached', () => 'refused')")
    above = frame.evaluate("(() => { try { return parent.document.title } catch { return 'refused' } })()")

    assert (reached, above) == ("refused", "refused")


def test_a_running_task_is_followed_where_it_is_being_read(place: Place, serving: Serving, tab: Tab) -> None:
    run = place.start("run")
    try:
        tab.page.goto(serving.url)
        tab.page.locator("nav a.live", has_text="live").click(timeout=30_000)
        frame = tab.page.frame_locator("#page")
        progress = frame.locator(".progress span").nth(1)
        first = progress.inner_text()
        inner = next(one for one in tab.page.frames if "/card/" in one.url)
        inner.evaluate("scrollTo(0, 700)")
        until = time.monotonic() + 30
        while progress.inner_text() == first:
            assert time.monotonic() < until, "the card stayed as it was"
            tab.page.wait_for_timeout(200)
        tab.page.wait_for_timeout(300)
        scrolled = next(one for one in tab.page.frames if "/card/" in one.url).evaluate("scrollY")
        (place.folder / "go").touch()
        assert run.communicate(timeout=60) and run.returncode == 0
        tab.page.get_by_text("run is over").wait_for(timeout=30_000)
    finally:
        (place.folder / "go").unlink(missing_ok=True)
        run.kill()
        run.communicate()

    assert scrolled > 300
    assert "Shown/2" in tab.page.inner_text("nav")
    assert tab.page.locator("nav a.live").count() == 0
    assert tab.errors == []


@pytest.mark.parametrize(
    ("path", "host", "code"),
    [
        ("", None, 200),
        ("runinfo", None, 200),
        ("runinfo", "localhost", 200),
        ("runinfo", "evil.example", 403),
        ("card/Shown/1/start/1/00000", None, 404),
        ("card/Shown/1/start/99/0", None, 404),
        ("card/Other/1/start/1/0", None, 404),
        ("card/../../etc/passwd", None, 404),
        ("nothing", None, 404),
    ],
)
def test_answers_of_the_server(serving: Serving, path: str, host: str | None, code: int) -> None:
    import http.client

    port = int(re.findall(r":(\d+)/", serving.url)[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/" + path, headers={"Host": f"{host or '127.0.0.1'}:{port}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()

    assert answer.status == code
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"Traceback" not in body


def test_a_port_that_is_taken_is_an_error_of_one_line(place: Place, serving: Serving) -> None:
    port = re.findall(r":(\d+)/", serving.url)[0]

    process = place.start("card", "server", "--port", port)
    text, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"Cannot listen at 127.0.0.1:{port}" in text
    assert "Traceback" not in text


def test_pictures_in_the_page_are_whole(card: str, tab: Tab) -> None:
    tab.page.goto(card)
    sources = tab.page.evaluate("[...document.images].map(one => one.src)")

    assert [base64.b64decode(one.partition(",")[2])[:4] for one in sources] == [b"\x89PNG", b"<svg"]
