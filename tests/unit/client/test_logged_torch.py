"""A metric that is a tensor. ``make test-torch`` installs torch, which is large, and runs this."""

from __future__ import annotations

import pytest

import headrace
from headrace.model.messages import Track
from headrace.runtime import context
from headrace.runtime.context import AttemptContext
from headrace.stores.artifacts.memory import MemoryStore

torch = pytest.importorskip("torch")


def test_a_tensor_with_a_gradient() -> None:
    sent: list[Track] = []
    attempt = AttemptContext("train/1/fit/1", 1, 7, sent.append, MemoryStore())
    context.enter(attempt)
    try:
        headrace.log_metric("loss", torch.tensor(0.5, requires_grad=True))
        attempt.flush()
    finally:
        context.enter(None)
    assert sent[0].metrics[0].values == (0.5,)
