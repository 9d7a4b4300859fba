"""How a cluster is reached: a kubeconfig or a pod's service account, as an HTTP client with its credentials.

Files are read as ``kubectl`` reads them: the setting of the place, else ``KUBECONFIG`` (several files are merged, the
first one wins), else the service account of the pod that this process runs in, else ``~/.kube/config``. lightkube knows
the kinds of credentials; what it leaves out of a kubeconfig is added here: merged files, ``proxy-url``,
``tls-server-name``, and credential plugins of version 1.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import msgspec
import yaml  # type: ignore[import-untyped]
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import SERVICE_ACCOUNT, KubeConfig, SingleConfig
from lightkube.config.models import NameValue, User
from lightkube.core.exceptions import ConfigError

from headrace.model.errors import UsageError

#: The context that means: the service account of the pod that this process runs in.
IN_CLUSTER = "in-cluster"
_DEFAULT = "~/.kube/config"
_PLUGIN = "client.authentication.k8s.io/"
_LISTS = ("clusters", "users", "contexts")
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


class Access(NamedTuple):
    """Which cluster: a ``kubeconfig`` file ("": found as ``kubectl`` finds it) and a ``context`` in it ("": its current
    one; ``in-cluster``: the service account of this pod).
    """

    kubeconfig: str = ""
    context: str = ""


class Connection(NamedTuple):
    """What a client needs: ``where`` names the configuration in messages, ``namespace`` is the context's own."""

    config: SingleConfig
    proxy: str | None
    server_name: str
    where: str

    @property
    def server(self) -> str:
        """The address of the API server."""
        return self.config.cluster.server

    @property
    def namespace(self) -> str:
        """The namespace of the context."""
        return self.config.namespace

    def settings(self, timeout: float) -> dict[str, Any]:
        """The arguments of ``httpx2.Client`` and ``httpx2.AsyncClient``; ``timeout`` in seconds.

        Raises:
            UsageError: a certificate or key cannot be read.
        """
        user = self.config.user or User()
        try:
            return {
                "base_url": self.server,
                "verify": client_adapter.verify_cluster(self.config.cluster, user, self.config.abs_file),
                "auth": client_adapter.user_auth(user),
                "proxy": self.proxy,
                "timeout": httpx2.Timeout(timeout),
            }
        except (OSError, ssl.SSLError, ValueError, ConfigError) as error:
            raise UsageError(f"{self.where}: certificates or credentials cannot be read: {error}") from None

    @property
    def extensions(self) -> dict[str, Any]:
        """The extensions of each request."""
        return {"sni_hostname": self.server_name} if self.server_name else {}


def connection(access: Access) -> Connection:
    """Read how the cluster is reached.

    Raises:
        UsageError: there is no configuration, it cannot be read, or it has no such context.
    """
    named = access.kubeconfig or os.environ.get("KUBECONFIG", "")
    if access.context == IN_CLUSTER or (not named and not access.context and Path(SERVICE_ACCOUNT, "token").exists()):
        return _in_cluster()
    paths = [Path(one).expanduser() for one in (named or _DEFAULT).split(os.pathsep) if one]
    found = [one for one in paths if one.is_file()]
    if not found:
        raise UsageError(
            f"no kubeconfig: {', '.join(map(str, paths))} does not exist; set `kubeconfig` of the place or KUBECONFIG, "
            "or run this in a pod of the cluster"
        )
    where = f"kubeconfig {os.pathsep.join(map(str, found))}"
    return _from_files(found, access.context, where)


def _in_cluster() -> Connection:
    try:
        config = KubeConfig.from_service_account().get()
    except (ConfigError, KeyError, OSError) as error:
        raise UsageError(
            f"context {IN_CLUSTER!r} needs a pod with a service account: {error} is missing; mount the token "
            "(automountServiceAccountToken) or name a kubeconfig"
        ) from None
    assert config is not None
    return Connection(config, None, "", "the service account of this pod")


def _from_files(paths: list[Path], context: str, where: str) -> Connection:
    data = _merged(paths)
    name = context or data["current-context"]
    contexts = data["contexts"]
    if not name or name not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        what = f"has no context {name!r}" if name else "has no current context"
        raise UsageError(f"{where} {what}; it has: {known}; set `context` of the place to one of these")
    try:
        used = contexts[name] or {}
        cluster = data["clusters"].get(used.get("cluster"))
        user = data["users"].get(used.get("user")) if used.get("user") else {}
        if cluster is None or user is None:
            missing = f"cluster {used.get('cluster')!r}" if cluster is None else f"user {used.get('user')!r}"
            raise UsageError(f"{where}: context {name!r} names {missing}, which the file does not define")
        config = KubeConfig.from_dict(
            {
                "clusters": [{"name": "cluster", "cluster": cluster}],
                "users": [{"name": "user", "user": user}],
                "contexts": [{"name": name, "context": {**used, "cluster": "cluster", "user": "user"}}],
            },
            fname=paths[0],
        ).get(name)
    except (msgspec.ValidationError, TypeError, AttributeError) as error:
        raise UsageError(f"{where}: context {name!r} cannot be used: {error}") from None
    assert config is not None
    _adapt_plugin(config)
    return Connection(
        config, cluster.get("proxy-url") or None, cluster.get("tls-server-name") or "", f"{where}, context {name}"
    )


def _merged(paths: list[Path]) -> dict[str, Any]:
    """All files as one: things by their names, with absolute paths; where two files define the same, the first wins."""
    merged: dict[str, Any] = {"current-context": "", **{one: {} for one in _LISTS}}
    for path in paths:
        try:
            data = yaml.safe_load(path.read_text()) or {}
            merged["current-context"] = merged["current-context"] or data.get("current-context") or ""
            for kind in _LISTS:
                for one in data.get(kind) or ():
                    body = dict(one[kind[:-1]] or {})
                    for key in _FILES:
                        if body.get(key):
                            body[key] = str(path.absolute().parent / body[key])
                    merged[kind].setdefault(one["name"], body)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
            detail = " ".join(str(error).split())
            raise UsageError(f"{path} cannot be read as a kubeconfig: {type(error).__name__}: {detail}") from None
    return merged


def _adapt_plugin(config: SingleConfig) -> None:
    """Let lightkube run credential plugins of version 1, which answer as those of v1beta1."""
    plugin = config.user.exec if config.user is not None else None
    if plugin is None:
        return
    asked = plugin.apiVersion
    if asked == f"{_PLUGIN}v1":
        plugin.apiVersion = f"{_PLUGIN}v1beta1"
    if os.sep in plugin.command and not plugin.command.startswith(os.sep):
        with contextlib.suppress(ConfigError):
            plugin.command = str(config.abs_file(plugin.command))
    about = {"apiVersion": asked, "kind": "ExecCredential", "spec": {"interactive": False}}
    plugin.env = [*(plugin.env or ()), NameValue("KUBERNETES_EXEC_INFO", msgspec.json.encode(about).decode())]
