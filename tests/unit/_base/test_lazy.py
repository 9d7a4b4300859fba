"""Attributes that are worked out when they are first looked at."""

from __future__ import annotations

import os
import threading

from headrace._base.lazy import lazy


class Thing:
    """Counts how often it is asked."""

    asked = 0
    begun = threading.Event()
    go_on = threading.Event()

    @lazy
    def word(self) -> str:
        """A word."""
        self.asked += 1
        return "here"

    @lazy
    def slow(self) -> str:
        if threading.current_thread() is not threading.main_thread():
            self.begun.set()
            assert self.go_on.wait(30)
        return "at last"


def test_it_is_worked_out_once_per_object() -> None:
    one, other = Thing(), Thing()
    assert (one.word, one.word, one.asked, other.asked) == ("here", "here", 1, 0)
    assert Thing.word.__doc__ == "A word."
    other.__dict__["word"] = "given"
    assert other.word == "given"


def test_others_need_not_wait_nor_need_a_forked_child() -> None:
    thread = threading.Thread(target=lambda: Thing().slow)
    thread.start()
    assert Thing.begun.wait(30)
    try:
        child = os.fork()
        if child == 0:
            os._exit(0 if Thing().slow == "at last" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert Thing().slow == "at last"
    finally:
        Thing.go_on.set()
        thread.join()
