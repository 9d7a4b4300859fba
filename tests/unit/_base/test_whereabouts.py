"""Paths of a project are the same wherever it lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from headrace._base import whereabouts
from headrace._base.whereabouts import add_root, from_root
from headrace.runtime.transfer import digest_of


@pytest.fixture(autouse=True)
def roots(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(whereabouts, "_roots", [])
    yield


def test_only_paths_below_a_root_are_seen_from_it() -> None:
    add_root("/home/me/shop")
    add_root("/")
    seen = [from_root(value) for value in ("/home/me/shop", "/home/me/shop/data", Path("/home/me/shop/a"))]
    assert seen == ["", "/data", "/a"]
    for other in ("/home/me/shopping", "/home/me", "shop", b"/home/me/shop", 3, None, ["/home/me/shop"]):
        assert from_root(other) is None


def test_the_innermost_project_counts() -> None:
    add_root("/work")
    add_root("/work/inner")
    assert from_root("/work/inner/a") == "/a"


@pytest.mark.parametrize("kind", [str, Path, PurePosixPath])
def test_a_path_of_the_project_has_one_digest_in_both_places(kind: type) -> None:
    add_root("/home/me/shop")
    add_root("/cache/0123")
    assert digest_of(kind("/home/me/shop/data")) == digest_of(kind("/cache/0123/data"))
    assert digest_of(kind("/home/me/shop/data")) != digest_of(kind("/cache/0123/other"))
    assert digest_of(kind("/elsewhere/data")) != digest_of(kind("/other/data"))
