"""Kubeconfigs are read as ``kubectl`` reads them; what is wrong with them is said in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from headrace.executors.kubernetes.access import Access, connection
from headrace.model.errors import UsageError


def _config(**changes: Any) -> dict[str, Any]:
    return {
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": "https://[fd00::1]:6443", "proxy-url": "http://proxy:3128"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        **changes,
    }


def _write(path: Path, config: Any) -> str:
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return str(path)


@pytest.fixture(autouse=True)
def _no_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_context_gives_server_namespace_and_proxy(tmp_path: Path) -> None:
    found = connection(Access(_write(tmp_path / "config", _config())))
    assert (found.server, found.namespace, found.proxy) == ("https://[fd00::1]:6443", "team", "http://proxy:3128")
    assert found.where.endswith("config, context one")


def test_files_of_the_variable_are_merged_and_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = _config(
        **{"current-context": "two"},
        clusters=[
            {"name": "c", "cluster": {"server": "https://hidden"}},
            {"name": "d", "cluster": {"server": "https://d", "certificate-authority": "ca.crt"}},
        ],
        contexts=[{"name": "two", "context": {"cluster": "d", "user": "u"}}],
    )
    (tmp_path / "sub").mkdir()
    first, second = _write(tmp_path / "first", _config()), _write(tmp_path / "sub" / "second", other)
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([first, str(tmp_path / "missing"), second]))
    assert connection(Access()).server == "https://[fd00::1]:6443"
    two = connection(Access(context="two"))
    assert two.server == "https://d"
    assert two.config.cluster.certificate_auth == str(tmp_path / "sub" / "ca.crt")


def test_plugin_of_version_1_is_run_and_told_what_is_asked(tmp_path: Path) -> None:
    script = tmp_path / "plugin"
    script.write_text(
        '#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" > "$(dirname "$0")/asked"\n'
        'echo \'{"status": {"token": "of-the-plugin"}}\'\n'
    )
    script.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin"}}
    found = connection(Access(_write(tmp_path / "config", _config(users=[{"name": "u", "user": user}]))))
    import httpx2

    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["Authorization"])
        return httpx2.Response(200)

    auth = found.settings(5)["auth"]
    with httpx2.Client(auth=auth, transport=httpx2.MockTransport(answer)) as client:
        client.get("https://cluster/")
    assert seen == ["Bearer of-the-plugin"]
    assert json.loads((tmp_path / "asked").read_text())["apiVersion"] == "client.authentication.k8s.io/v1"


@pytest.mark.parametrize(
    ("config", "context", "said"),
    [
        (None, "", "does not exist"),
        ("{", "", "cannot be read as a kubeconfig"),
        ("[1, 2]", "", "cannot be read as a kubeconfig"),
        ("\0", "", "cannot be read as a kubeconfig"),
        ({"clusters": [{"name": "c"}]}, "", "cannot be read as a kubeconfig"),
        ("", "", "has no current context; it has: none"),
        (_config(), "two", "has no context 'two'; it has: one"),
        (_config(clusters=[]), "", "names cluster 'c', which the file does not define"),
        (_config(users=[]), "", "names user 'u', which the file does not define"),
        (_config(clusters=[{"name": "c", "cluster": {"server": 7}}]), "", "cannot be used"),
        (_config(), "in-cluster", "needs a pod with a service account"),
    ],
)
def test_configuration_that_cannot_be_used_is_named(tmp_path: Path, config: Any, context: str, said: str) -> None:
    path = str(tmp_path / "config") if config is None else _write(tmp_path / "config", config)
    with pytest.raises(UsageError, match=said) as caught:
        connection(Access(path, context))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["certificate-authority", "certificate-authority-data"])
def test_certificates_that_cannot_be_read_are_named(tmp_path: Path, where: str) -> None:
    cluster = {"server": "https://c", where: "AAAA"}
    found = connection(Access(_write(tmp_path / "config", _config(clusters=[{"name": "c", "cluster": cluster}]))))
    with pytest.raises(UsageError, match="certificates or credentials cannot be read"):
        found.settings(5)


def test_user_of_a_kind_that_is_unknown_is_named(tmp_path: Path) -> None:
    user = {"auth-provider": {"name": "gcp"}}
    found = connection(Access(_write(tmp_path / "config", _config(users=[{"name": "u", "user": user}]))))
    with pytest.raises(UsageError, match="auth-provider not supported"):
        found.settings(5)
