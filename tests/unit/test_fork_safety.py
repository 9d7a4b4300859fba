"""When a process counts as one that can be forked."""

from __future__ import annotations

import pytest

from headrace.worker import fork_safety


def test_threads_that_have_been_joined_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [["python", "python"], ["python", "python"], ["python", "jemalloc_bg_thd"]]
    monkeypatch.setattr(fork_safety, "_blas_threads", lambda: 0)
    monkeypatch.setattr(fork_safety, "_thread_names", lambda: seen.pop(0))
    assert fork_safety._only_harmless_threads()
    assert not seen


def test_threads_that_stay_are_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(fork_safety, "_blas_threads", lambda: 1)
    monkeypatch.setattr(fork_safety, "_thread_names", lambda: looks.append(1) or ["python", "blas", "other"])
    assert not fork_safety._only_harmless_threads()
    assert len(looks) == fork_safety._LOOKS
