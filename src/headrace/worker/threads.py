"""Keeping N workers from starting N times as many threads as there are cores."""

from __future__ import annotations

import os
import sys

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_NUMERIC = ("numpy", "scipy", "torch", "sklearn", "xgboost", "lightgbm")
_user_set = frozenset(name for name in _VARIABLES if name in os.environ)
_current: tuple[int, frozenset[str]] = (0, frozenset())
_modules = 0


def limit_threads(threads: int) -> None:
    """Let numeric libraries use ``threads`` threads each: those loaded already, and those still to come.

    A variable that the user set before is left alone, and so is what is loaded.
    """
    global _current, _modules
    if _current[0] == threads and len(sys.modules) == _modules:
        return
    _modules = len(sys.modules)
    loaded = frozenset(name for name in _NUMERIC if name in sys.modules)
    if _current == (threads, loaded):
        return
    _current = (threads, loaded)
    for name in _VARIABLES:
        if name not in _user_set:
            os.environ[name] = str(threads)
    if loaded and not _user_set:
        import threadpoolctl

        threadpoolctl.threadpool_limits(limits=threads)
