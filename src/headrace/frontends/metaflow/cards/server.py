"""``card server``: the cards of a run in a browser, on this machine only.

Pages of cards are shown in a frame without an origin, or without scripts, so what a card holds cannot reach the server
or its other cards. A request that names another host than this machine is refused: it comes from another site's page.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from headrace.frontends.metaflow.cards.errors import CardNotPresentException
from headrace.frontends.metaflow.cards.view import Card, Wanted, cards_of
from headrace.frontends.metaflow.client.runs import Flow, Run, Task
from headrace.frontends.metaflow.exceptions import MetaflowException, MetaflowNotFound
from headrace.model.errors import HeadraceError
from headrace.model.states import RunState

_HERE = "127.0.0.1"
_NAMES = (_HERE, "localhost", "[::1]")
#: A card of a user's type is HTML of that user: it has no origin, so it cannot read this server's other answers. An
#: inert #: one may run no scripts at all.
_CARD_POLICY = {False: "sandbox allow-scripts allow-popups", True: "sandbox allow-same-origin allow-popups"}
_VIEWER_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; " + (
    "frame-src 'self'; img-src data:"
)


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What is served. ``run_id`` None: the latest run, and each newer one."""

    flow: str
    run_id: str | None = None
    poll_interval: int = 5
    max_cards: int = 30

    def run(self) -> Run | None:
        """The run whose cards are shown at the moment."""
        try:
            return Run(f"{self.flow}/{self.run_id}") if self.run_id else Flow(self.flow).latest_run
        except (MetaflowNotFound, MetaflowException):
            return None

    def info(self) -> dict[str, Any]:
        """All cards of the run, newest steps first, for the page that lists them."""
        run = self.run()
        if run is None:
            return {"status": "no run yet", "flow": self.flow, "cards": [], "poll_interval": self.poll_interval}
        found: list[dict[str, Any]] = []
        for task in (task for step in run for task in step):
            if len(found) > self.max_cards:
                break
            found += [_listed(task, card) for card in _cards(task)]
        return {
            "status": "ok",
            "flow": self.flow,
            "run_id": run.id,
            "finished": run._run.record().state is not RunState.RUNNING,
            "cards": found[: self.max_cards],
            "more": len(found) > self.max_cards,
            "poll_interval": self.poll_interval,
        }

    def card(self, path: str) -> Card | None:
        """The card at ``Flow/run/step/task/hash``; None when there is none."""
        *place, card_hash = path.split("/")
        if len(place) != 4 or place[0] != self.flow:
            return None
        try:
            cards = list(cards_of(Task("/".join(place)), Wanted(hash=card_hash)))
        except (MetaflowException, HeadraceError):
            return None
        return cards[0] if cards else None


def _cards(task: Task) -> list[Card]:
    try:
        return list(cards_of(task, Wanted()))
    except CardNotPresentException:
        return []


def _listed(task: Task, card: Card) -> dict[str, Any]:
    step, number = task.path_components[2:]
    return {
        "task": task.pathspec,
        "label": f"{step}/{number}",
        "card_object": {"hash": card.hash, "type": card.type, "path": card.path, "id": card.id},
        "finished": task.finished_at is not None,
        "card": f"{task.pathspec}/{card.hash}",
        "version": str(card.created),
        "inert": card.inert,
    }


class _Handler(BaseHTTPRequestHandler):
    server: CardServer

    def do_GET(self) -> None:
        """Answer ``/``, ``/runinfo`` and ``/card/...``."""
        if self.headers.get("Host", "").rpartition(":")[0] not in _NAMES:
            self._answer(403, "text/plain", "This server answers at 127.0.0.1 only.\n")
            return
        path = unquote(urlsplit(self.path).path)
        with self.server.lock:  # one reader of the store at a time
            if path == "/":
                self._answer(200, "text/html", self.server.viewer, _VIEWER_POLICY)
            elif path == "/runinfo":
                self._answer(200, "application/json", json.dumps(self.server.served.info()))
            elif path.startswith("/card/"):
                card = self.server.served.card(path.removeprefix("/card/"))
                if card is None:
                    self._answer(404, "text/plain", "There is no such card.\n")
                else:
                    self._answer(200, "text/html", card.get(), _CARD_POLICY[card.inert])
            else:
                self._answer(404, "text/plain", "There is nothing here; the cards are at /\n")

    def _answer(self, code: int, kind: str, text: str, policy: str = "default-src 'none'") -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it has
        """Requests are not logged."""


class CardServer(ThreadingHTTPServer):
    """Listens from the moment it is made; ``serve_forever`` answers.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, served: Served, port: int) -> None:
        self.served = served
        self.lock = threading.Lock()
        self.viewer = Path(__file__).with_name("viewer.html").read_text("utf-8")
        super().__init__((_HERE, port), _Handler)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{_HERE}:{self.server_address[1]}/"
