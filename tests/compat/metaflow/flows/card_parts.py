"""Not a flow: what components render to, and what they refuse, as JSON."""

import base64
import json
import sys

from metaflow.cards import (
    Artifact,
    Error,
    EventsTimeline,
    Image,
    JSONViewer,
    Markdown,
    PageComponent,
    ProgressBar,
    PythonCode,
    Table,
    ValueBox,
    VegaChart,
    YAMLViewer,
)

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABRDE8UwAAAABJRU5ErkJggg=="
)


def updated(component, *args, **kwargs):
    component.update(*args, **kwargs)
    return component


def code():
    return 1


def events(**kwargs):
    timeline = EventsTimeline(title="what", max_events=2)
    for number in range(3):
        timeline.update({"number": number, "timestamp": number}, **kwargs)
    return timeline


MADE = {
    "markdown": lambda: Markdown("# a\n\nb"),
    "markdown plain": lambda: Markdown("a"),
    "markdown indented": lambda: Markdown("\n    # a\n      b\n"),
    "markdown none": lambda: Markdown(),
    "markdown updated": lambda: updated(Markdown("a"), "b"),
    "artifact": lambda: Artifact({"a": [1, 2.5, None, "<b>"]}, "name"),
    "artifact long": lambda: Artifact(list(range(1000))),
    "artifact native": lambda: Artifact([1, {"a": (1, 2)}, {3}, b"a", 2j], compressed=False),
    "artifact native text": lambda: Artifact("text", compressed=False),
    "artifact native other": lambda: Artifact(range(3), compressed=False),
    "artifact updated": lambda: updated(Artifact(1, "x"), 2),
    "error": lambda: Error(ValueError("bad"), "title"),
    "code": lambda: PythonCode(code),
    "code text": lambda: PythonCode(code_string="x = 1"),
    "code none": lambda: PythonCode(),
    "table": lambda: Table([["a", 1, 2.5, True, None], ["b", [1], {"a": 1}, (1, 2)]], headers=["x", "y"]),
    "table of parts": lambda: Table([[Markdown("# x"), Artifact(1), Table([["in"]])]]),
    "table of a chart": lambda: Table([[VegaChart({"mark": "bar"})]]),
    "table none": lambda: Table(),
    "table wrong": lambda: Table("rows", headers="names"),
    "table flat": lambda: Table(["a", "b"]),
    "table no frame": lambda: Table.from_dataframe([1]),
    "table updated": lambda: updated(Table([["a"]]), [["b"]]),
    "image": lambda: Image(PNG, "label"),
    "image source": lambda: Image("data:image/png;base64,AAAA"),
    "image none": lambda: Image(),
    "image no image": lambda: Image(b"no image"),
    "image text": lambda: Image("text"),
    "image number": lambda: Image(5),
    "image not updated": lambda: updated(Image(PNG), b"no image"),
    "image updated": lambda: updated(Image(PNG, disable_updates=False), b"no image"),
    "image no figure": lambda: Image.from_matplotlib(5),
    "image no pillow": lambda: Image.from_pil_image(5),
    "progress": lambda: ProgressBar(),
    "progress full": lambda: updated(ProgressBar(max=5, label="l", value=1, unit="u", metadata="m"), 3, "n"),
    "box": lambda: ValueBox("t", 5, "s", "success", "up"),
    "box updated": lambda: updated(ValueBox(value="x"), value=2.5, title="t"),
    "box own theme": lambda: ValueBox(value=1, theme="my-theme"),
    "box empty": lambda: ValueBox(),
    "box none": lambda: ValueBox(value=None),
    "box list": lambda: ValueBox(value=[1]),
    "box long": lambda: ValueBox(value="x" * 101),
    "box large": lambda: ValueBox(value=1e16),
    "box wrong theme": lambda: ValueBox(value=1, theme="a b"),
    "box long title": lambda: ValueBox(value=1, title="x" * 201),
    "box blank title": lambda: ValueBox(value=1, title=" "),
    "box number title": lambda: ValueBox(value=1, title=5),
    "box long subtitle": lambda: ValueBox(value=1, subtitle="x" * 301),
    "box long change": lambda: ValueBox(value=1, change_indicator="x" * 201),
    "chart": lambda: VegaChart({"mark": "bar"}),
    "chart sized": lambda: VegaChart({"mark": "bar", "width": 5}, show_controls=True),
    "chart updated": lambda: updated(VegaChart({"mark": "bar"}), {"mark": "line"}),
    "chart not updated": lambda: updated(VegaChart({"mark": "bar"})),
    "chart no spec": lambda: VegaChart(5),
    "chart no altair": lambda: VegaChart.from_altair_chart(5),
    "events none": lambda: EventsTimeline(),
    "events": lambda: events(),
    "events styled": lambda: events(style_theme="success", priority="high", finished=True),
    "events own style": lambda: events(style_theme="mine"),
    "events wrong style": lambda: events(style_theme="a b"),
    "events payload": lambda: events(payloads={"a": Markdown("# x"), "b": JSONViewer(1)}),
    "events wrong payload": lambda: events(payloads={"a": "text"}),
    "events chart": lambda: events(payloads={"a": VegaChart({})}),
    "json": lambda: JSONViewer({"a": [1, None, "ü"]}),
    "json text": lambda: JSONViewer('{"a": 1}', collapsible=False, max_height="9px", show_copy_button=False, title="t"),
    "json no json": lambda: JSONViewer("text"),
    "json object": lambda: JSONViewer({"a": complex(1, 2)}),
    "json updated": lambda: updated(JSONViewer(1), 2),
    "yaml": lambda: YAMLViewer({"b": [1, {"c": None}], "a": "x: y"}),
    "yaml text": lambda: YAMLViewer("a: b"),
    "yaml of json": lambda: YAMLViewer('{"a": [1]}'),
    "page": lambda: PageComponent(title="t", subtitle="s", contents=[Markdown("# a"), {"type": "own"}]),
    "wrong id": lambda: setattr(Markdown("a"), "component_id", 5),
}

#: Given by chance, or by the clock.
LEFT_OUT = ("id", "received_at", "last_update", "first_event", "events_per_minute", "total_runtime_seconds")


def plain(value):
    """Without ids and times; of what cannot be rendered, and of pictures, only the beginning."""
    if isinstance(value, dict):
        found = {key: plain(one) for key, one in value.items() if key not in LEFT_OUT}
        if found.get("type") == "log":
            found["data"] = found["data"].split("\n")[0].split(":")[0]
        if found.get("type") == "image":
            found["src"] = found["src"].replace(" ", "").replace("\n", "")
        return dict(sorted(found.items()))
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def said(what):
    """What a component renders to, or the class of what is raised."""
    try:
        component = what()
        return None if component is None else plain(component.render())
    except Exception as error:
        return type(error).__name__


for name, make in MADE.items():
    print(name, json.dumps(said(make)))
timeline = events()
print({key: value for key, value in timeline.get_stats().items() if key not in LEFT_OUT})
print(sys.argv[1:])
