"""The graph of a flow as a small drawing."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_WIDE, _HIGH, _ACROSS, _DOWN = 132, 44, 56, 20
_KINDS = {
    **dict.fromkeys(("split-and", "split-static"), "split"),
    "split-foreach": "foreach",
    "split-switch": "switch",
    "split-parallel": "parallel",
}


def graph(steps: Mapping[str, Any], start: str, here: str = "") -> str:
    """An SVG of the steps from left to right; the step ``here`` is marked."""
    columns = _columns(steps, start)
    tall = max(len(names) for names in columns)
    places = {}
    for x, names in enumerate(columns):
        top = (tall - len(names)) * (_HIGH + _DOWN) / 2
        for y, name in enumerate(names):
            places[name] = (x * (_WIDE + _ACROSS) + 1, top + y * (_HIGH + _DOWN) + 1)
    width = len(columns) * (_WIDE + _ACROSS) - _ACROSS + 2
    backward = any(_is_back(places, name, other) for name in places for other in _next(steps, name, places))
    height = tall * (_HIGH + _DOWN) - _DOWN + 2 + (26 if backward else 0)
    lines = [_line(places, name, other, height) for name in places for other in _next(steps, name, places)]
    boxes = [_box(name, str(steps[name].get("type", "")), places[name], name == here) for name in places]
    arrow = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    arrow += '<path d="M0 0L8 4L0 8z"/></marker>'
    return (
        f'<div class="scroll"><svg class="dag" role="img" aria-label="Graph of the flow" width="{width}" '
        f'height="{height:g}" viewBox="0 0 {width} {height:g}"><defs>{arrow}</defs>{"".join(lines)}{"".join(boxes)}'
        "</svg></div>"
    )


def _next(steps: Mapping[str, Any], name: str, places: Mapping[str, Any]) -> list[str]:
    return [one for one in dict.fromkeys(steps[name].get("next", ())) if one in places]


def _columns(steps: Mapping[str, Any], start: str) -> list[list[str]]:
    """Steps by how far they are from the first; a step stands right of all that lead to it, loops apart."""
    depth: dict[str, int] = {}
    order = _order(steps, start)
    place = {name: at for at, name in enumerate(order)}
    for name in order:
        before = [depth[one] for one in order if name in steps[one].get("next", ()) and place[one] < place[name]]
        depth[name] = 1 + max(before, default=-1)
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name in steps:
        if name in depth:
            columns[depth[name]].append(name)
    return columns


def _order(steps: Mapping[str, Any], start: str) -> list[str]:
    """All steps, each after those that lead to it; where there is a loop, after the one that was met first."""
    done: list[str] = []
    seen: set[str] = set()
    for first in (start, *steps):
        if first not in steps or first in seen:
            continue
        seen.add(first)
        stack = [(first, iter(reversed(list(steps[first].get("next", ())))))]
        while stack:
            name, rest = stack[-1]
            target = next((one for one in rest if one in steps and one not in seen), None)
            if target is None:
                done.append(name)
                stack.pop()
            else:
                seen.add(target)
                stack.append((target, iter(reversed(list(steps[target].get("next", ()))))))
    return done[::-1]


def _is_back(places: Mapping[str, tuple[float, float]], name: str, other: str) -> bool:
    return places[other][0] <= places[name][0]


def _line(places: Mapping[str, tuple[float, float]], name: str, other: str, height: float) -> str:
    x, y = places[name][0] + _WIDE, places[name][1] + _HIGH / 2
    to_x, to_y = places[other][0], places[other][1] + _HIGH / 2
    if _is_back(places, name, other):  # a loop: around below
        x, to_x = x - _WIDE / 2 + 12, to_x + _WIDE / 2 - 12
        low = height - 4
        path = f"M{x:g} {y + _HIGH / 2:g}C{x:g} {low:g} {to_x:g} {low:g} {to_x:g} {to_y + _HIGH / 2:g}"
    else:
        middle = x + _ACROSS / 2 if to_x - x <= _ACROSS else to_x - _ACROSS / 2
        path = f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"
    return f'<path d="{path}" marker-end="url(#tip)"/>'


def _box(name: str, kind: str, at: tuple[float, float], marked: bool) -> str:
    x, y = at
    middle = x + _WIDE / 2
    shown = name if len(name) <= 17 else name[:16] + "…"
    word = _KINDS.get(kind, kind)
    small = "" if word in ("linear", "start", "end") else word
    line = y + (_HIGH / 2 - 2 if small else _HIGH / 2 + 5)
    below = f'<text class="kind" x="{middle:g}" y="{y + _HIGH - 9:g}" text-anchor="middle">{escape(small)}</text>'
    return (
        f'<g class="{"here" if marked else "step"}"><title>{escape(name)}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDE}" height="{_HIGH}" rx="8"/>'
        f'<text x="{middle:g}" y="{line:g}" text-anchor="middle">{escape(shown)}</text>{below if small else ""}</g>'
    )
