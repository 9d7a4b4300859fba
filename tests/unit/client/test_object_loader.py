"""From manifests to objects: what loading lends to the import system."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from headrace.client import object_loader


def test_a_child_forked_meanwhile_has_nothing_that_was_lent() -> None:
    before = list(sys.meta_path)
    inside = threading.Event()
    nobody: Any = None

    def lend() -> None:
        with object_loader.lent(nobody):
            inside.set()
            time.sleep(0.2)

    thread = threading.Thread(target=lend)
    thread.start()
    assert inside.wait(30)
    child = os.fork()
    if child == 0:
        with object_loader.lent(nobody):
            os._exit(0 if sys.meta_path[:-1] == before else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    assert sys.meta_path == before
