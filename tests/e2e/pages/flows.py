"""Flows that the pages are tested with, and names and texts that try to run a script there."""

from __future__ import annotations

FLOWS = '''
"""Runs of every fate."""

import logging
import sys
import time

from headrace import flow, log_artifact, log_metric, log_table, set_tag, step, wait_for


@step
def load(rows: int) -> list[int]:
    """Make data."""
    print("loading", rows, "rows")
    return list(range(rows))


@step(cache=True)
def fit(depth: int, data: list[int]) -> dict[str, float]:
    """Fit."""
    for i in range(300):
        log_metric("loss", 1.0 / (i + 1 + depth), step=i)
    print(f"fitted \\x1b[1;32mdepth {depth}\\x1b[0m")
    print("WARNING: a warning", file=sys.stderr)
    log_artifact("notes", {"depth": depth})
    return {"depth": float(depth), "score": depth / 10}


@step
def improve(model: dict[str, float]) -> dict[str, float]:
    """One turn of a loop."""
    return {**model, "score": model["score"] + 0.1}


@step(retries=1)
def judge(model: dict[str, float], fail: bool) -> float:
    """The last step; fails on request."""
    if fail:
        raise ValueError(f"no good: {model['score']:.2f}")
    return model["score"]


@flow
def train(rows: int = 3, depths: list[int] = [2, 4, 8], goal: float = 0.95, fail: bool = False) -> float:
    """Fit models in parallel, improve the best one in a loop, judge it."""
    set_tag("team", "vision lab")
    data = load.submit(rows)
    best = max((one.result() for one in fit.map(depths, data=data)), key=lambda one: one["score"])
    latest = best  # a value, then a future
    while best["score"] < goal:
        latest = improve.submit(latest)
        best = latest.result()
    score = judge(latest, fail)
    log_metric("best", score)
    log_table("scores", [{"depth": one, "score": one / 10} for one in depths])
    return score


@step
def chatter(lines: int) -> None:
    """Print much."""
    for i in range(lines):
        print(f"line {i}", "ERROR: this one stands out" if i == 77 else "")


@flow
def talk(lines: int = 3000) -> None:
    """A run with a long log."""
    chatter(lines)


@step
def slow(i: int, seconds: float) -> int:
    """Take some time."""
    print("slow", i)
    time.sleep(seconds)
    log_metric("speed", float(i), step=i)
    return i


@flow
def crawl(tasks: int = 60, seconds: float = 0.5) -> int:
    """A run that is live for a while, and then asks."""
    done = [one.result() for one in slow.map(range(tasks), seconds=seconds)]
    return len(done)


@flow
def grade(score: float = 0.5, fail: bool = False) -> float:
    """A run that is resumed, and started again with other parameters."""
    return judge({"score": score}, fail)


@flow
def ask() -> bool:
    """A run that waits for an answer."""
    return bool(wait_for("ship it", prompt="Does <b>it</b> look right?"))
'''

STARTS = (
    (("flows.py:train",), 0),
    (("flows.py:train", "--goal", "1.2"), 0),
    (("flows.py:train", "--fail", "true"), 1),
    (("flows.py:talk",), 0),
    (("flows.py:grade", "--fail", "true"), 1),
    (("payloads.py:payloads",), 0),
    (("hostile.py",), 0),
)

#: Each tries to run `pwned(...)`, which no page has: an error of the page, or a request, would show that it ran.
PAYLOADS = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<svg/onload=window.pwned=1>",
    "<svg><script>window.pwned=1</script></svg>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'>",
    "<iframe src=javascript:parent.pwned=1>",
    "javascript:window.pwned=1",
    "<a href=javascript:window.pwned=1>x</a>",
    "<body onload=window.pwned=1>",
    "<details open ontoggle=window.pwned=1>",
    "<video><source onerror=window.pwned=1></video>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.pwned=1>",
    "<input autofocus onfocus=window.pwned=1>",
    "<marquee onstart=window.pwned=1>",
    "<object data=javascript:window.pwned=1>",
    "<embed src=javascript:window.pwned=1>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css'</style>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example/'>",
    "<form action=//evil.example/><button>go</button></form>",
    '"><script>window.pwned=1</script>',
    "' onmouseover='window.pwned=1",
    '" onfocus="window.pwned=1" autofocus="',
    "</textarea><script>window.pwned=1</script>",
    "</title><script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    "--><script>window.pwned=1</script>",
    "]]><script>window.pwned=1</script>",
    "{{constructor.constructor('window.pwned=1')()}}",
    "${window.pwned=1}",
    "`${window.pwned=1}`",
    "data:text/html,<script>window.pwned=1</script>",
    "vbscript:window.pwned=1",
    "&lt;script&gt;window.pwned=1&lt;/script&gt;",
    "&#60;script&#62;window.pwned=1&#60;/script&#62;",
    "\u003cscript\u003ewindow.pwned=1\u003c/script\u003e",
    "%3Cscript%3Ewindow.pwned=1%3C/script%3E",
    "<scr<script>ipt>window.pwned=1</scr</script>ipt>",
    "<ScRiPt>window.pwned=1</sCrIpT>",
    "<script\x20type=text/javascript>window.pwned=1</script>",
    "<img src='x' onerror\t=\nwindow.pwned=1>",
    "<img/src='x'/onerror=window.pwned=1>",
    "<svg><a xlink:href=javascript:window.pwned=1><text>x</text></a></svg>",
    "<svg><animate onbegin=window.pwned=1 attributeName=x dur=1s>",
    "<svg><use href='data:image/svg+xml,<svg onload=window.pwned=1>'/></svg>",
    "<table background=javascript:window.pwned=1>",
    "<div style='background:url(//evil.example/x)'>",
    "<div style=width:expression(window.pwned=1)>",
    "<template><script>window.pwned=1</script></template>",
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "\x1b[31m<script>window.pwned=1</script>\x1b[0m",
    "\x1b]8;;javascript:window.pwned=1\x07click\x1b]8;;\x07",
    "\x1b]0;title<script>window.pwned=1</script>\x07",
    "\u202e<script>window.pwned=1</script>",
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "a/b/c",
    "?where=<script>",
    "#<script>window.pwned=1</script>",
    "%",
    "%zz",
    "&project=other",
    "' or 1=1 --",
    "NaN",
    "null",
    "undefined",
    "true",
    "0",
    "-1",
    "1e309",
)

_TAGS = ("a", "audio", "body", "button", "div", "form", "img src=x", "input autofocus", "select", "svg", "video", "x-y")
_EVENTS = ("onerror", "onload", "onfocus", "onmouseover", "onclick", "ontoggle", "onbegin", "onanimationstart")
PAYLOADS += tuple(f"<{tag} {event}=window.pwned=1 tabindex=1>" for tag in _TAGS for event in _EVENTS)
PAYLOADS += tuple(f"{quote}><{tag} onload=window.pwned=1>" for quote in ("'", '"', "`", "]]") for tag in _TAGS)

CARDS_FLOW = f"""
from metaflow import FlowSpec, card, current, step
from metaflow.cards import Markdown, Table

PAYLOADS = {PAYLOADS!r}


class Hostile(FlowSpec):
    @card(type="blank", id="own")
    @card
    @step
    def start(self):
        self.texts = list(PAYLOADS)
        for one in PAYLOADS:
            current.card["own"].append(Markdown(one))
        current.card["own"].append(Table([[one, one] for one in PAYLOADS], headers=PAYLOADS[:2]))
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Hostile()
"""

#: The texts stand in the source of the flow as Python writes them.
PAYLOADS_FLOW = (
    f'''
"""Names and values that try to be more than texts."""

from headrace import flow, log_artifact, log_metric, log_params, log_table, log_text, set_tag, step

PAYLOADS = {PAYLOADS!r}
'''
    + '''

@step
def speak(texts: list[str]) -> list[str]:
    """Print and keep them."""
    for index, text in enumerate(texts):
        print(text)
        log_metric(text[:100], float(index), step=index)
        log_artifact(f"artifact {index}", {"text": text})
    return texts


@flow
def payloads(text: str = PAYLOADS[0]) -> list[str]:
    """All of them, wherever a text may go."""
    for index, one in enumerate(PAYLOADS):
        set_tag(f"tag{index}", one)
    log_text("<b onload=x>report", "\\n".join(PAYLOADS))
    log_table("<i onclick=x>table", [{one: one} for one in PAYLOADS[:20]])
    log_params({f"p {one}": one for one in PAYLOADS[:40]})
    return speak(list(PAYLOADS))
'''
)
