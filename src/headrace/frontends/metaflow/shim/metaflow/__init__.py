"""Stands in for the package ``metaflow``: everything comes from ``headrace.metaflow``."""

from typing import Any

from headrace import metaflow as _ours
from metaflow import _standins  # type: ignore[import-not-found]

_standins.install()
__all__ = _ours.__all__


def __getattr__(name: str) -> Any:
    return getattr(_ours, name)


def __dir__() -> list[str]:
    return dir(_ours)
