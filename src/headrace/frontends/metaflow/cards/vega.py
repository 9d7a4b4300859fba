"""Charts drawn without a browser and without a network, where the library for it is installed."""

from __future__ import annotations

import base64
import functools
import json
from html import escape
from typing import Any

#: What a chart that fills its container is wide, in pixels.
_WIDTH = 640
_MISSING = "To see the chart drawn, install headrace[cards] where the step runs; this is its specification."


def chart(spec: dict[str, Any]) -> str:
    """A chart as a picture; else its specification, with the reason."""
    text = json.dumps(spec, sort_keys=True)
    try:
        svg = _drawn(text)
    except ImportError:
        return _as_text(spec, _MISSING)
    except ValueError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("Error")), lines[0] if lines else "")
        return _as_text(spec, f"The chart could not be drawn: {reason}")
    data = base64.b64encode(svg.encode()).decode()
    return f'<img class="chart" alt="{escape(_title(spec))}" src="data:image/svg+xml;base64,{data}">'


def _title(spec: dict[str, Any]) -> str:
    title = spec.get("title") or spec.get("description") or "chart"
    return str(title.get("text", "chart") if isinstance(title, dict) else title)


def _as_text(spec: dict[str, Any], why: str) -> str:
    text = escape(json.dumps(spec, indent=2, default=str))
    return f'<p class="note">{escape(why)}</p><details><summary>Specification</summary><pre>{text}</pre></details>'


@functools.lru_cache(maxsize=64)
def _drawn(text: str) -> str:
    """The chart as SVG.

    Raises:
        ImportError: the library is not here; ValueError: it is not a chart, or wants something from the network.
    """
    import vl_convert

    spec = json.loads(text)
    if spec.get("width") == "container":
        spec["width"] = _WIDTH
    draw = vl_convert.vega_to_svg if "/vega/" in str(spec.get("$schema", "")) else vl_convert.vegalite_to_svg
    return str(draw(spec, allowed_base_urls=[]))
