"""Settings of Metaflow that have a meaning here: from the environment, else from its configuration file."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from headrace.frontends.metaflow.exceptions import MetaflowException

#: Settings that code of users imports, with Metaflow's defaults. Most have no effect here.
DEFAULTS: dict[str, Any] = {
    "DEFAULT_DATASTORE": "local",
    "DEFAULT_METADATA": "local",
    "DEFAULT_ENVIRONMENT": "local",
    "DEFAULT_EVENT_LOGGER": "nullSidecarLogger",
    "DEFAULT_MONITOR": "nullSidecarMonitor",
    "DEFAULT_PACKAGE_SUFFIXES": ".py,.R,.RDS",
    "DATASTORE_LOCAL_DIR": ".metaflow",
    "DATASTORE_SYSROOT_LOCAL": None,
    "DATASTORE_SYSROOT_S3": None,
    "DATASTORE_SYSROOT_AZURE": None,
    "DATASTORE_SYSROOT_GS": None,
    "DATATOOLS_SUFFIX": "data",
    "DATATOOLS_S3ROOT": None,
    "S3_ENDPOINT_URL": None,
    "S3_VERIFY_CERTIFICATE": None,
    "S3_SERVER_SIDE_ENCRYPTION": None,
    "TEMPDIR": ".",
    "USER": None,
    "UI_URL": None,
    "SERVICE_URL": None,
    "SERVICE_HEADERS": {},
    "KUBERNETES_NAMESPACE": "default",
    "KUBERNETES_SERVICE_ACCOUNT": None,
    "KUBERNETES_CONTAINER_IMAGE": None,
    "BATCH_JOB_QUEUE": None,
    "BATCH_CONTAINER_IMAGE": None,
    "DEFAULT_CONTAINER_IMAGE": None,
    "DEFAULT_SECRETS_BACKEND_TYPE": None,
    "DEFAULT_SECRETS_ROLE": None,
    "MAX_ATTEMPTS": 6,
    "MAXIMUM_FOREACH_VALUE_CHARS": 30,
    "DEFAULT_RUNTIME_LIMIT": 5 * 24 * 60 * 60,
    "SPIN_PERSIST": False,
}


def config(name: str) -> Any:
    """A setting as ``metaflow.metaflow_config`` has it.

    Raises:
        AttributeError: it is none of those that Headrace knows.
    """
    if name not in DEFAULTS:
        raise AttributeError(f"module 'metaflow.metaflow_config' has no setting {name!r} here; see docs/metaflow.md")
    if name == "DATATOOLS_S3ROOT":
        return datatools_root()
    return from_conf(name, DEFAULTS[name])


def datatools_root() -> str | None:
    """Where ``S3(run=...)`` puts things: ``METAFLOW_DATATOOLS_S3ROOT``, else a folder of the datastore's."""
    root, datastore = setting("DATATOOLS_S3ROOT"), setting("DATASTORE_SYSROOT_S3")
    return root or (f"{datastore.rstrip('/')}/{from_conf('DATATOOLS_SUFFIX', 'data')}" if datastore else None)


def from_conf(name: str, default: Any = None) -> Any:
    """A setting, of the type of its default.

    Raises:
        ValueError: its text does not say a value of that type.
    """
    found = setting(name, default)
    if not isinstance(found, str) or default is None or isinstance(default, str):
        return found
    try:
        value = json.loads(found.lower() if isinstance(default, bool) else found)
    except ValueError:
        value = None
    if not isinstance(value, type(default)):
        kind = type(default).__name__
        raise ValueError(f"METAFLOW_{name} is {found!r}; it must be a value of type {kind}")
    return value


def setting(name: str, default: Any = None) -> Any:
    """``METAFLOW_<name>`` of the environment, else of the configuration file of the profile, else ``default``.

    Raises:
        MetaflowException: the file cannot be read.
    """
    key = f"METAFLOW_{name}"
    if os.environ.get(key):
        return os.environ[key]
    home = os.environ.get("METAFLOW_HOME", "~/.metaflowconfig")
    found = _file(home, os.environ.get("METAFLOW_PROFILE", "")).get(key)
    return default if found is None else found


@lru_cache
def _file(home: str, profile: str) -> dict[str, Any]:
    file = Path(home).expanduser() / (f"config_{profile}.json" if profile else "config.json")
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        if profile:
            raise MetaflowException(f"There is no profile {profile}: {file} does not exist") from None
        return {}
    except (OSError, ValueError) as error:
        raise MetaflowException(f"{file} cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}
