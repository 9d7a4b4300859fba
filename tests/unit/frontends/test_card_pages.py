"""Pages of cards: what components become, and that nothing on a page acts or fetches, whatever it was made of."""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from typing import Any

import pytest

from headrace.frontends.metaflow.cards import (
    Artifact,
    Error,
    EventsTimeline,
    Image,
    JSONViewer,
    Markdown,
    ProgressBar,
    PythonCode,
    Table,
    ValueBox,
    VegaChart,
    YAMLViewer,
    draw,
    html,
    vega,
)
from headrace.frontends.metaflow.cards.parts import HTMLComponent, SectionComponent, TableComponent, TitleComponent

HOSTILE = "</pre></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'><iframe src=//evil.example>"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
CHART = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "title": "Two bars",
    "data": {"values": [{"a": HOSTILE, "b": 1}, {"a": "y", "b": 2}]},
    "mark": "bar",
    "encoding": {"x": {"field": "a", "type": "nominal"}, "y": {"field": "b", "type": "quantitative"}},
}


class Seen(HTMLParser):
    """The elements and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def check_harmless(self) -> None:
        """Nothing runs and nothing is fetched."""
        assert not {"script", "object", "embed", "link", "base", "form"} & set(self.tags)
        for tag, name, value in self.attributes:
            assert not name.startswith("on"), (tag, name, value)
            if name in ("src", "xlink:href", "poster", "data"):
                assert value.startswith("data:image/"), (tag, name, value)
            if name == "href":
                assert not value.strip().lower().startswith(("javascript:", "data:", "vbscript:")), value
            if name == "style":
                assert "url(" not in value


def page_of(*components: Any) -> str:
    return html.page("title", [one.render() for one in components])


def timeline() -> EventsTimeline:
    made = EventsTimeline(title=HOSTILE)
    made.update({HOSTILE: HOSTILE}, payloads={HOSTILE: Markdown(HOSTILE)}, priority=HOSTILE)
    return made


HOSTILE_COMPONENTS = {
    "markdown": lambda: Markdown(
        f"# {HOSTILE}\n\n[a](javascript:alert(1)) ![b](https://evil.example/x.png)\n\n{HOSTILE}"
    ),
    "artifact": lambda: Artifact({HOSTILE: HOSTILE}, HOSTILE),
    "artifact-native": lambda: Artifact([HOSTILE], HOSTILE, compressed=False),
    "error": lambda: Error(ValueError(HOSTILE), HOSTILE),
    "code": lambda: PythonCode(code_string=f"x = 1  # {HOSTILE}\n'{HOSTILE}'\n"),
    "table": lambda: Table([[HOSTILE, {HOSTILE: HOSTILE}, [HOSTILE], Markdown(HOSTILE)]], headers=[HOSTILE]),
    "image": lambda: Image(PNG, HOSTILE),
    "image-source": lambda: Image('data:image/png;base64,AAAA" onload="alert(1)', HOSTILE),
    "progress": lambda: ProgressBar(max=HOSTILE, label=HOSTILE, value=HOSTILE, unit=HOSTILE, metadata=HOSTILE),
    "box": lambda: ValueBox(HOSTILE, HOSTILE[:100], HOSTILE, change_indicator=HOSTILE),
    "chart": lambda: VegaChart({**CHART, "title": HOSTILE}),
    "no-chart": lambda: VegaChart({"mark": HOSTILE}),
    "events": timeline,
    "json": lambda: JSONViewer({HOSTILE: HOSTILE}, title=HOSTILE, max_height=f"1px;{HOSTILE}"),
    "yaml": lambda: YAMLViewer({HOSTILE: HOSTILE}, title=HOSTILE, max_height="1px;background:url(//evil.example)"),
    "section": lambda: SectionComponent(HOSTILE, HOSTILE, contents=[TitleComponent(HOSTILE)]),
    "facts": lambda: TableComponent(headers=[HOSTILE], data=[[HOSTILE]], vertical=True),
}


@pytest.mark.parametrize("name", HOSTILE_COMPONENTS)
def test_hostile_values_are_shown_and_do_nothing(name: str) -> None:
    seen = Seen(page_of(HOSTILE_COMPONENTS[name]()))

    seen.check_harmless()
    assert "iframe" not in seen.tags
    if name not in ("image", "image-source", "chart", "box"):
        assert "alert(1)" in seen.text


@pytest.mark.parametrize(
    "raw",
    [
        HOSTILE,
        {"type": HOSTILE, "data": HOSTILE},
        {"type": "image", "src": "https://evil.example/x.png"},
        {"type": "image", "src": "javascript:alert(1)"},
        {"type": "table", "data": 5},
        {"type": "vegaChart"},
        {"type": "dag", "data": {"steps": {HOSTILE: {"next": [HOSTILE], "type": HOSTILE}}, "start_step": HOSTILE}},
        {"type": "artifacts", "data": [{"name": HOSTILE, "data": HOSTILE, "type": HOSTILE}]},
        5,
        None,
        [HOSTILE],
    ],
)
def test_what_user_components_render_does_nothing_either(raw: Any) -> None:
    seen = Seen(html.page(HOSTILE, [raw, "after"], heading=HOSTILE, note=HOSTILE))

    seen.check_harmless()
    assert seen.text.endswith("after")


def test_html_of_users_is_in_a_frame_that_may_do_nothing() -> None:
    seen = Seen(page_of(HTMLComponent(HOSTILE)))

    assert [value for tag, name, value in seen.attributes if (tag, name) == ("iframe", "srcdoc")] == [HOSTILE]
    assert [value for tag, name, value in seen.attributes if (tag, name) == ("iframe", "sandbox")] == [""]
    assert "script" not in seen.tags


def test_a_page_forbids_itself_scripts_and_requests() -> None:
    page = html.page("t", ["x"])

    assert "default-src 'none'" in page
    assert "script-src" not in page
    assert len(page) < 10_000


def test_markdown() -> None:
    page = page_of(
        Markdown("# One\n\n*two* `three` ~~four~~\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- x\n\n<https://a.example>")
    )

    assert "<h1>One</h1>" in page
    assert "<em>two</em>" in page
    assert "<code>three</code>" in page
    assert "<s>four</s>" in page
    assert "<td>1</td>" in page
    assert "<li>x</li>" in page
    assert '<a href="https://a.example">' in page


def test_numbers_in_tables_of_numpy_are_numbers() -> None:
    import datetime

    import numpy as np

    made = Table([[np.float64(0.5), np.int32(3), datetime.date(2026, 1, 2)]]).render()

    assert made["data"] == [[0.5, 3, "2026-01-02"]]


def test_table_of_a_frame() -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "n": [1, 2, 3, 4, 5, 6],
            "x": [0.5, None, 1.0, 1.0, 1.0, 1.0],
            "text": ["a", None, "b" * 50, "c", "d", "e"],
            "day": pd.to_datetime(["2026-01-01", None, "2026-01-03", "2026-01-04", "2026-01-05", "2026-01-06"]),
        },
        index=list("abcdef"),
    )
    before = frame.copy()

    short, whole = Table.from_dataframe(frame).render(), Table.from_dataframe(frame, truncate=False).render()

    assert short["columns"] == ["", "n", "x", "text", "day"]
    assert short["data"][0] == ["a", 1, 0.5, "a", "2026-01-01T00:00:00"]
    assert short["data"][1] == ["b", 2, "null", "null", "null"]
    assert short["data"][2][3] == "b" * 30 + "..."
    assert (len(short["data"]), len(whole["data"])) == (5, 6)
    pd.testing.assert_frame_equal(frame, before)


def test_table_of_a_frame_with_odd_columns() -> None:
    import pandas as pd

    index = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", "y"])
    frame = pd.DataFrame(
        [[1 + 2j, pd.Timedelta("1h"), pd.Interval(0, 1)], [None, None, None]], index=index, columns=["c", "c", 5]
    )

    made = Table.from_dataframe(frame).render()

    assert made["columns"] == ["", "c", "c", 5]
    assert made["data"][0][0] == "a, 1"
    assert made["data"][1][1:] == ["null", "null", "null"]
    json.dumps(made)


def test_pictures_of_matplotlib_and_pillow() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from PIL import Image as Pillow

    _, axes = plt.subplots()
    axes.plot([1, 2])
    open_before = len(plt.get_fignums())
    by_axes = Image.from_matplotlib(axes, label="axes").render()
    changed = Image.from_pil_image(Pillow.new("RGB", (2, 2)), disable_updates=False)
    first = changed.render()["src"]
    changed.update(Pillow.new("RGB", (5, 5)), label="new")

    assert by_axes["src"].startswith("data:image/png;base64,iVBOR")
    assert by_axes["label"] == "axes"
    assert len(plt.get_fignums()) == open_before - 1
    assert changed.render()["src"] != first
    assert changed.render()["label"] == "new"


def test_a_chart_is_drawn_as_a_picture() -> None:
    import altair as alt
    import pandas as pd

    chart = alt.Chart(pd.DataFrame({"a": [1, 2], "b": [3, 4]})).mark_line().encode(x="a", y="b")

    for component in (VegaChart(CHART), VegaChart.from_altair_chart(chart)):
        seen = Seen(page_of(component))
        sources = [value for tag, name, value in seen.attributes if (tag, name) == ("img", "src")]
        assert len(sources) == 1
        assert sources[0].startswith("data:image/svg+xml;base64,")


def test_a_chart_without_the_library_is_shown_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    vega._drawn.cache_clear()

    seen = Seen(page_of(VegaChart({**CHART, "title": "fallback"})))

    assert "headrace[cards]" in seen.text
    assert "fallback" in seen.text
    assert "img" not in seen.tags


@pytest.mark.parametrize(
    "spec", [{**CHART, "data": {"url": "https://evil.example/x.json"}}, {"mark": "nonsense"}, {"$schema": 5, "x": []}]
)
def test_a_chart_that_cannot_be_drawn_says_why(spec: dict[str, Any]) -> None:
    seen = Seen(page_of(VegaChart(spec)))

    assert "could not be drawn" in seen.text
    seen.check_harmless()


def test_yaml_without_the_library_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    assert json.loads(YAMLViewer({"a": [1]}).render()["yaml_string"]) == {"a": [1]}


def test_boxes_stand_side_by_side() -> None:
    page = page_of(ValueBox(value=1), ValueBox(value=1234567), Markdown("x"), ValueBox(value=0.123456789))

    assert page.count('class="part boxes"') == 2
    assert "1,234,567" in page
    assert "0.123457" in page


@pytest.mark.parametrize(
    ("steps", "places"),
    [
        ({"start": ["a", "b"], "a": ["join"], "b": ["c"], "c": ["join"], "join": ["end"], "end": []}, 5),
        ({"start": ["loop"], "loop": ["loop", "end"], "end": []}, 3),
        ({"start": ["a"], "a": ["b"], "b": ["a", "end"], "end": []}, 4),
        ({"start": ["nowhere"]}, 1),
        ({"only": []}, 1),
    ],
)
def test_the_graph_is_drawn_from_left_to_right(steps: dict[str, list[str]], places: int) -> None:
    facts = {name: {"type": "linear", "next": following} for name, following in steps.items()}

    drawing = draw.graph(facts, next(iter(steps)), "end")

    seen = Seen(drawing)
    lines = {(name, one) for name, following in steps.items() for one in following if one in steps}
    assert seen.tags.count("rect") == len(steps)
    assert seen.tags.count("path") == len(lines) + 1  # and the tip
    assert len({value for tag, name, value in seen.attributes if (tag, name) == ("rect", "x")}) == places
