"""How pages are made: card types and how they are found, what they are given, what becomes of their mistakes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headrace.frontends.metaflow.authoring.decorators import STEP_DEFAULTS, step
from headrace.frontends.metaflow.cards import (
    BlankCard,
    DefaultCard,
    Markdown,
    MetaflowCard,
    MetaflowCardComponent,
    Table,
)
from headrace.frontends.metaflow.cards.charts import ProgressBar
from headrace.frontends.metaflow.cards.current import CurrentCard, OneCard
from headrace.frontends.metaflow.cards.errors import (
    CardClassFoundException,
    IncorrectCardArgsException,
    UnrenderableCardException,
)
from headrace.frontends.metaflow.cards.renderer import Order, render, stem_of
from headrace.frontends.metaflow.cards.types import find_type
from headrace.frontends.metaflow.flow import FlowSpec


class Small(FlowSpec):
    @step
    def start(self) -> None:
        self.next(self.end)

    @step
    def end(self) -> None:
        pass


class Mine(MetaflowCard):
    type = "mine"
    ALLOW_USER_COMPONENTS = True
    RUNTIME_UPDATABLE = True
    RELOAD_POLICY = MetaflowCard.RELOAD_POLICY_ALWAYS

    def __init__(self, options: Any = None, components: Any = None, graph: Any = None, flow: Any = None) -> None:
        self.options, self.components, self.graph = options or {}, components, graph

    def render(self, task: Any) -> str:
        return f"{task} {self.options} {self.components} {sorted(self.graph)} {self.runtime_data.get('user')}"

    def render_runtime(self, task: Any, data: Any) -> str:
        return f"{data['user']} {data['mode']} [METAFLOW_RELOAD_TOKEN]"


class NoOptions(MetaflowCard):
    type = "no_options"

    def __init__(self, components: Any = None, graph: Any = None, flow: Any = None) -> None:
        pass

    def render(self, task: Any) -> str:
        return "fine"


class Raises(MetaflowCard):
    type = "raises"

    def render(self, task: Any) -> str:
        raise ValueError("my <own> mistake")


class Leaves(MetaflowCard):
    type = "leaves"

    def render(self, task: Any) -> str:
        raise SystemExit(5)


class Slow(MetaflowCard):
    type = "slow"

    def render(self, task: Any) -> str:
        try:
            time.sleep(30)
        except Exception:
            return "caught it"
        return "late"


class Nothing(MetaflowCard):
    type = "nothing"
    RUNTIME_UPDATABLE = True

    def render(self, task: Any) -> Any:
        return None


class Somewhere:
    pathspec = "Small/1/start/1"

    def __str__(self) -> str:
        return self.pathspec


def rendered(kind: str, **more: Any) -> str | None:
    return render(Order(type=kind, flow=Small, **more), Somewhere())


def test_a_type_of_the_flow_file_is_found_and_given_everything() -> None:
    page = rendered("mine", options={"a": 1}, components=["c"], data={"user": {"b": 2}, "render_seq": "final"})

    assert page == "Small/1/start/1 {'a': 1} ['c'] ['end', 'start'] {'b': 2}"
    assert Mine.runtime_data is None


def test_a_page_of_a_running_task() -> None:
    data = {"user": 5, "mode": "render_runtime", "render_seq": 7}

    assert rendered("mine", mode="render_runtime", data=data) == "5 render_runtime render-seq-7"


@pytest.mark.parametrize(
    ("kind", "more", "error", "text"),
    [
        ("unheard", {}, CardClassFoundException, "unheard"),
        ("no_options", {"options": {"a": 1}}, IncorrectCardArgsException, "cannot support arguments"),
        ("raises", {}, UnrenderableCardException, "my &lt;own&gt; mistake"),
        ("leaves", {}, UnrenderableCardException, "SystemExit: 5"),
    ],
)
def test_mistakes_are_errors_or_pages_that_tell_them(kind: str, more: Any, error: Any, text: str) -> None:
    page = rendered(kind, **more)

    assert page is not None
    assert text in page
    with pytest.raises(error):
        rendered(kind, save_errors=False, **more)


def test_a_type_without_a_page_gives_a_page_that_says_so() -> None:
    assert "No information rendered" in str(rendered("nothing"))
    assert rendered("nothing", save_errors=False) is None
    assert "does not have `render_runtime`" in str(rendered("nothing", mode="render_runtime", data={}))


def test_rendering_is_stopped_when_it_takes_too_long_and_the_timer_of_the_step_goes_on() -> None:
    import signal

    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(time.monotonic()))
    begun = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        page = rendered("slow", timeout=0.3)
        assert time.monotonic() - begun < 0.9
        assert not rang
        time.sleep(1.2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert "timed out after 0.3 seconds" in str(page)
    assert len(rang) == 1
    assert 0.9 < rang[0] - begun < 1.8


def test_types_of_an_installed_extension_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "from headrace.frontends.metaflow.cards import MetaflowCard\n"
        "class One(MetaflowCard):\n    type = '{name}'\nCARDS = [One, object]\n"
    )
    for place, name in (
        ("org_a/plugins/cards/__init__.py", "ext_a"),
        ("org_b/plugins/cards/inner/__init__.py", "ext_b"),
    ):
        file = tmp_path / "metaflow_extensions" / place
        file.parent.mkdir(parents=True)
        file.write_text(source.format(name=name))
    broken = tmp_path / "metaflow_extensions/org_b/plugins/cards/broken/__init__.py"
    broken.parent.mkdir()
    broken.write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)

    for name in ("ext_a", "ext_b"):
        found = find_type(name, Small)
        assert found is not None
        assert found.type == name
    assert find_type("ext_c", Small) is None
    for name in [one for one in sys.modules if one.startswith("metaflow_extensions")]:
        del sys.modules[name]


def test_names_of_cards() -> None:
    assert stem_of("default", None, "abc") == "default-abc"
    assert stem_of("default", "id", "abc") == "default-id-abc"
    assert stem_of("odd type!", None, "abc") == "error-abc"


# --- current.card -------------------------------------------------------------------------------------------------


class Board:
    """Cards of a step, and what they said and published."""

    def __init__(self, *cards: dict[str, Any]) -> None:
        self.said: list[str] = []
        self.published: list[OneCard] = []
        kinds = {"default": DefaultCard, "blank": BlankCard, "mine": Mine, "raises": Raises}
        made = [
            OneCard(
                {**STEP_DEFAULTS["card"], **one},
                kinds.get(one.get("type", "default")),
                self.said.append,
                self.published.append,
            )
            for one in cards
        ]
        self.card = CurrentCard(made, self.said.append)


@pytest.mark.parametrize(
    ("cards", "chosen"),
    [
        ([{}], 0),
        ([{"id": "a"}], 0),
        ([{"id": "a"}, {}], 1),
        ([{"id": "a"}, {"id": "b"}], None),
        ([{}, {}], None),
        ([{"type": "raises"}, {"id": "a"}], 1),
        ([{"id": "a"}, {"id": "b", "customize": True}], 1),
        ([{"id": "a"}, {"id": "b", "customize": "True"}], 1),
        ([{}, {"id": "b", "customize": True}], 1),
        ([{"id": "a", "customize": True}, {"id": "b", "customize": True}], None),
        ([{"type": "raises", "customize": True}, {"id": "a"}], 1),
        ([{"type": "raises"}], None),
        ([{"type": "unheard"}], None),
    ],
)
def test_which_card_is_meant(cards: list[dict[str, Any]], chosen: int | None) -> None:
    board = Board(*cards)

    board.card.append(Markdown("x"))

    texts = [[type(one).__name__ for one in card.components] for card in board.card.cards]
    if chosen is None:
        assert all(text == ["WarningComponent"] for text in texts)
        board.card.append(Markdown("x"))
        assert len([one for one in board.said if "current.card.append" in one]) == 1
        assert board.card.components is None
    else:
        assert [bool(text) for text in texts] == [at == chosen for at in range(len(cards))]


def test_refreshes_are_published_at_most_once_in_an_interval() -> None:
    board = Board({"refresh_interval": 0.2})

    board.card.refresh()
    board.card.refresh({"a": 1})
    assert len(board.published) == 1
    time.sleep(0.25)
    board.card.refresh({"a": 2})

    assert len(board.published) == 2
    assert board.card.cards[0].data("render_runtime")["user"] == {"a": 2}
    assert board.card.cards[0].data("render_runtime")["render_seq"] == 2
    assert board.card.cards[0].data("render")["render_seq"] == "final"


def test_a_type_that_cannot_be_refreshed_is_not() -> None:
    board = Board({"type": "raises", "id": "a"}, {"id": "b"})

    board.card["a"].refresh()

    assert not board.published


def test_data_for_a_refresh_that_json_cannot_hold_is_ignored_with_a_warning() -> None:
    board = Board({})
    board.card.refresh(object())

    assert board.card.cards[0].data("render_runtime")["user"] == {}
    assert any("JSON" in one for one in board.said)


def test_data_has_the_components_that_can_change() -> None:
    board = Board({})
    board.card.append(ProgressBar(max=3), id="bar")
    board.card.append(Table([["a"]], disable_updates=True), id="table")
    board.card.components["bar"].update(2)

    assert {key: one["value"] for key, one in board.card.cards[0].data("render")["components"].items()} == {"bar": 2}


def test_components_that_cannot_be_rendered_are_left_out() -> None:
    class Own(MetaflowCardComponent):
        def __init__(self, made: Any) -> None:
            self.made = made

        def render(self) -> Any:
            if self.made is ValueError:
                raise ValueError
            return self.made

    board = Board({})
    board.card.extend([Own("text"), Own(ValueError), Own(5), Own({"a": object()}), Own({"type": "own"})])

    assert board.card.cards[0].rendered() == ["text", {"type": "own"}]


def test_a_step_without_cards_imports_nothing_of_them() -> None:
    code = (
        "import sys\nfrom headrace.frontends.metaflow import flow\n"
        "from headrace.frontends.metaflow.client import runs\n"
        "from headrace.frontends.metaflow.commands import cli\n"
        "from headrace.frontends.metaflow.running import launch, task\n"
        "print([name for name in sys.modules if 'metaflow.cards' in name or name in ('markdown_it', 'pygments')])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
