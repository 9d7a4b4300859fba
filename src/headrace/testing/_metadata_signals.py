"""Part of the conformance suite of metadata stores: signals to live runs, and subscriptions to them."""

from __future__ import annotations

import threading

from headrace.model.records import Signal
from headrace.stores.metadata.protocol import MetadataStore
from headrace.testing._metadata_samples import new_run


class Heard:
    """What a subscription heard."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []
        self._changed = threading.Condition()

    def add(self, signal: Signal) -> None:
        """Take one."""
        with self._changed:
            self.signals.append(signal)
            self._changed.notify_all()

    def expect(self, names: str) -> None:
        """Wait until signals of these one-letter names were heard, and no others."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.signals) >= len(names), 60)
            assert "".join([signal.name for signal in self.signals]) == names


class SignalsSuite:
    """What is sent to a run, and how it hears it."""

    def test_signals(self, store: MetadataStore) -> None:
        """Oldest first, with growing ids, for one run."""
        run_id, other_id = new_run(store).id, new_run(store).id
        store.send(run_id, "cancel", "", b"", "me", 1.0)
        store.send(other_id, "cancel", "", b"", "me", 2.0)
        store.send(run_id, "answer", "ok", b"\xc3", "you", 3.0)
        first, second = store.signals(run_id)
        assert (first.kind, second.kind, second.name, second.value, second.sender) == (
            "cancel",
            "answer",
            "ok",
            b"\xc3",
            "you",
        )
        assert store.signals(run_id, after=first.id) == [second]

    def test_subscriber_hears_signals_of_its_run_in_order(self, store: MetadataStore) -> None:
        """Also those that were sent before, when they come after what it names; each once."""
        run_id, other_id = new_run(store).id, new_run(store).id
        for name in "abc":
            store.send(run_id, "answer", name, b"", "me", 1.0)
        heard, others = Heard(), Heard()
        ours = store.subscribe(run_id, store.signals(run_id)[0].id, heard.add)
        theirs = store.subscribe(other_id, 0, others.add)
        heard.expect("bc")
        store.send(other_id, "cancel", "x", b"", "me", 2.0)
        for name in "def":
            store.send(run_id, "answer", name, b"", "me", 1.0)
        heard.expect("bcdef")
        others.expect("x")
        assert heard.signals == store.signals(run_id)[1:]
        ours.close()
        store.send(run_id, "cancel", "g", b"", "me", 3.0)
        store.send(other_id, "cancel", "y", b"", "me", 3.0)
        others.expect("xy")
        theirs.close()
        theirs.close()
        heard.expect("bcdef")

    def test_subscriptions_may_come_and_go(self, store: MetadataStore) -> None:
        """Many at once, and after all were closed."""
        for _ in range(3):
            runs = [new_run(store).id for _ in range(250)]
            heard = [Heard() for _ in runs]
            subscriptions = [store.subscribe(run, 0, one.add) for run, one in zip(runs, heard, strict=True)]
            for run_id in runs[::50]:
                store.send(run_id, "cancel", "a", b"", "me", 1.0)
            for one in heard[::50]:
                one.expect("a")
            for subscription in subscriptions:
                subscription.close()
            assert [len(one.signals) for one in heard] == [1 if at % 50 == 0 else 0 for at in range(250)]
