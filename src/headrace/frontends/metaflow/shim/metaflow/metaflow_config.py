"""Settings that flows read: from the environment or the configuration file when they are looked at, else a default."""

from typing import Any

from headrace.frontends.metaflow.settings import DEFAULTS, config
from headrace.frontends.metaflow.settings import from_conf as from_conf


def __getattr__(name: str) -> Any:
    return config(name)


def __dir__() -> list[str]:
    return [*DEFAULTS, "from_conf"]
