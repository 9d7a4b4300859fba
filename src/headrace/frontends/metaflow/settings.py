"""Settings of Metaflow that have a meaning here: from the environment, else from its configuration files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
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
    "DEFAULT_DECOSPECS": "",
    "INCLUDE_FOREACH_STACK": True,
    "NAMESPACED_EVENTS_PREFIX": "mfns",
    "CARD_NO_WARNING": False,
    "CARD_LOCALROOT": None,
    "RUNTIME_CARD_RENDER_INTERVAL": 60,
    "CLIENT_CACHE_PATH": "/tmp/metaflow_client",
    "CLIENT_CACHE_MAX_SIZE": 10000,
    "DATASTORE_SYSROOT_SPIN": None,
    "SERVICE_AUTH_KEY": None,
    "SERVICE_RETRY_COUNT": 5,
    "S3_RETRY_COUNT": 7,
    "S3_WORKER_COUNT": 64,
    "KUBERNETES_IMAGE_PULL_POLICY": None,
    "KUBERNETES_NODE_SELECTOR": "",
    "KUBERNETES_SECRETS": "",
    "DEFAULT_CONTAINER_REGISTRY": None,
    "BATCH_CONTAINER_REGISTRY": None,
    "KUBERNETES_CONTAINER_REGISTRY": None,
    "DEFAULT_AWS_CLIENT_PROVIDER": "boto3",
    "DEFAULT_GCP_CLIENT_PROVIDER": "gcp-default",
    "FEAT_ALWAYS_UPLOAD_CODE_PACKAGE": False,
}


def config(name: str) -> Any:
    """A setting as ``metaflow.metaflow_config`` has it.

    Raises:
        AttributeError: it is none of those that Headrace knows.
    """
    if name not in DEFAULTS:
        if name.isupper() and (found := setting(name)) is not None:  # of another part of Metaflow, or an extension
            return found
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
    if isinstance(default, bool):
        return found.lower() not in ("0", "false", "")
    try:
        value = json.loads(found)
    except ValueError:
        value = None
    if not isinstance(value, type(default)):
        kind = type(default).__name__
        raise ValueError(f"METAFLOW_{name} is {found!r}; it must be a value of type {kind}")
    return value


def setting(name: str, default: Any = None, environ: Mapping[str, str] | None = None) -> Any:
    """A setting, from the first place that has it, else ``default``.

    The places are ``METAFLOW_<name>`` of the environment, ``config.json`` of the nearest ``.metaflow`` upward, and that
    of ``~/.metaflowconfig`` or METAFLOW_HOME, of the profile that METAFLOW_PROFILE names.

    Raises:
        MetaflowException: a file cannot be read, or the profile has none.
    """
    environ = os.environ if environ is None else environ
    key = f"METAFLOW_{name}"
    if environ.get(key):
        return environ[key]
    home = environ.get("METAFLOW_HOME", "~/.metaflowconfig")
    found = _of_folder(_folder()).get(key)
    found = _file(home, environ.get("METAFLOW_PROFILE", "")).get(key) if found is None else found
    return default if found is None else found


def text_setting(name: str) -> str:
    """A setting as a text; empty where it is none."""
    found = setting(name)
    return "" if found is None else str(found)


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a text is quicker
    except FileNotFoundError:  # removed; what needs it will say so
        return ""


@lru_cache
def _of_folder(start: str) -> dict[str, Any]:
    for folder in (Path(start), *Path(start).parents) if start else ():
        if _is_there(folder / ".metaflow"):
            file = folder / ".metaflow/config.json"
            return read_config(file) if _is_there(file) else {}
    return {}


def config_file(profile: str = "", home: str | None = None) -> Path:
    """The configuration file of a profile, whether or not it exists."""
    folder = os.path.expanduser(home or os.environ.get("METAFLOW_HOME", "~/.metaflowconfig"))  # noqa: PTH111
    return Path(folder, f"config_{profile}.json" if profile else "config.json")


def _is_there(path: Path) -> bool:
    """Whether there is such a file or folder, as far as this user may know."""
    return os.path.exists(path)  # noqa: PTH110 - unlike pathlib's, it raises nothing


@lru_cache
def _file(home: str, profile: str) -> dict[str, Any]:
    file = config_file(profile, home)
    if _is_there(file):
        return read_config(file)
    if profile:
        raise MetaflowException(
            f"Unable to locate METAFLOW_PROFILE '{profile}': {file} does not exist; make it, or name another profile"
        )
    return {}


def read_config(file: Path) -> dict[str, Any]:
    """What a configuration file says.

    Raises:
        MetaflowException: it cannot be read, or is none.
    """
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise MetaflowException(f"{file} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise MetaflowException(f'{file} must hold a JSON object, such as {{"METAFLOW_USER": "me"}}')
    return found
