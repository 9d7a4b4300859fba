"""The environments of a home, and those that are built while a run goes on."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.model.environments import Environment, EnvironmentLock
    from headrace.services.environments.construction import Construction
    from headrace.services.environments.service import Environments

_IN_POD = (
    "This driver is in a pod. `headrace env lock FILE.py`, called where the run is started, locks the environment, and "
    "the drivers of later runs take that lock; `headrace image build FILE.py` makes an image of it as well."
)


def environments_in(home: str, artifacts: str, named: Iterable[Environment] = ()) -> Environments:
    """Locks and builds environments in the folder ``home``, for workers that use the store ``artifacts`` (URL)."""
    from headrace.services.environments.service import Environments
    from headrace.wiring.driver_pods import driver_pod

    extra = ("obstore>=0.8",) if "://" in artifacts else ()  # workers read and write objects
    advice = _IN_POD if driver_pod() is not None else ""
    return Environments(str(Path(home, "environments")), _tell, {one.name: one for one in named}, extra, advice)


def _tell(text: str) -> None:
    """Say on standard error what takes long."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or never there
        print(f"headrace: {text}", file=sys.stderr, flush=True)


def preparation_of(lock: EnvironmentLock, step: str, environments: Environments) -> Construction | None:
    """None if workers of ``lock`` can start; else what is being built for them.

    Raises:
        EnvironmentSetupError: nothing can be built here.
    """
    return None if environments.is_there(lock) else environments.begin(lock, f"step {step!r}")
