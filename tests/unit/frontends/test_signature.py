"""Calls are matched with parameters exactly as Python does it, and named so that equal calls have equal names."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from headrace.frontends.native.signature import Signature
from headrace.model.errors import CallError


def _plain(a: Any, b: Any = 1) -> None: ...
def _none() -> None: ...
def _only(a: Any, /, b: Any, *, c: Any, d: Any = 4) -> None: ...
def _rest(a: Any, *rest: Any, c: Any = 1) -> None: ...
def _extra(a: Any, b: Any = 2, **more: Any) -> None: ...
def _all(a: Any, /, b: Any = 2, *rest: Any, c: Any = 3, **more: Any) -> None: ...
def _loose(*rest: Any, **more: Any) -> None: ...


FUNCTIONS: list[Callable[..., None]] = [_plain, _none, _only, _rest, _extra, _all, _loose]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_calls_fit_when_python_says_so(function: Callable[..., None]) -> None:
    """Every call of up to three positional and any of five keyword arguments, against ``inspect``."""
    signature, judge = Signature(function), inspect.signature(function)
    for count in range(4):
        args = tuple(range(10, 10 + count))
        for size in range(4):
            for names in itertools.combinations("abcdz", size):
                kwargs = {name: name.upper() for name in names}
                try:
                    expected = judge.bind(*args, **kwargs)
                except TypeError:
                    with pytest.raises(CallError):
                        signature.bind(args, kwargs)
                    continue
                bound = signature.bind(args, kwargs)
                positional = tuple(value for name, value in bound if name.startswith(("/", "*")))
                named = {name: value for name, value in bound if not name.startswith(("/", "*"))}
                assert judge.bind(*positional, **named) == expected
                assert len(dict(bound)) == len(bound)


def test_equal_calls_have_equal_names() -> None:
    signature = Signature(_plain)
    assert signature.bind((1, 2), {}) == signature.bind((1,), {"b": 2}) == signature.bind((), {"b": 2, "a": 1})
    more = Signature(_all)
    assert sorted(more.bind((1,), {"z": 1, "y": 2, "b": 3})) == sorted(more.bind((1, 3), {"y": 2, "z": 1}))
    assert [name for name, _ in more.bind((1, 2, 3, 4), {"c": 5})] == ["/a", "/b", "*rest[0]", "*rest[1]", "c"]
    assert [name for name, _ in more.bind((1, 2), {"c": 5})] == ["/a", "b", "c"]


def test_the_words_are_pythons() -> None:
    def fit(frame: Any, depth: Any, *, seed: Any) -> None: ...

    signature = Signature(fit)
    for args, kwargs, words in (
        ((), {}, "fit() missing 3 required arguments: 'frame', 'depth', 'seed'"),
        ((1, 2, 3), {"seed": 1}, "fit() takes 2 positional arguments but 3 were given"),
        ((1,), {"frame": 1, "depth": 1, "seed": 1}, "fit() got multiple values for argument 'frame'"),
        ((1, 2), {"sede": 1}, "fit() got an unexpected keyword argument 'sede'; did you mean 'seed'?"),
    ):
        with pytest.raises(TypeError) as caught:
            signature.bind(args, kwargs)  # type: ignore[arg-type]
        assert str(caught.value) == words


def test_what_is_no_python_function_is_refused() -> None:
    with pytest.raises(TypeError, match="not a Python function"):
        Signature(len)
