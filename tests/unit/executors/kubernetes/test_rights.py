"""The manifests that grant what Headrace needs, and the Helm chart of the same objects."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.executors.kubernetes.rights import RIGHTS, Grant, ServerShape, chart, manifests, rights_of
from headrace.executors.kubernetes.yaml_text import yaml_text

SERVERS = [
    None,
    ServerShape("team/x:1", "stores", {"HEADRACE_PROJECT": "{{ danger }} @IMAGE@"}, proxies=["10.0.0.0/8"]),
    ServerShape("team/x:1", "stores", tls="certificate"),
]


def _rendered(files: dict[str, str], namespace: str) -> list[dict[str, Any]]:
    """What Helm makes of a chart; of its language, templates use no more than this."""
    values = yaml.safe_load(files["values.yaml"])
    objects: list[dict[str, Any]] = []
    for path, text in files.items():
        if not path.startswith("templates/"):
            continue
        if text.startswith("{{- if"):
            text = text.split("\n", 1)[1].rsplit("{{- end", 1)[0] if values["server"]["enabled"] else ""
        text = text.replace("{{ .Release.Namespace | quote }}", f'"{namespace}"')
        text = re.sub(
            r'\{\{ required "[^"]+" \.Values\.server\.(\w+) \| quote \}\}',
            lambda m: f'"{values["server"][m[1]]}"',
            text,
        )
        text = text.replace("{{`{{`}}", "{{")
        objects += [one for one in yaml.safe_load_all(text) if one]
    return objects


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("namespace", ["team", "123"])
def test_chart_has_the_objects_of_the_manifest(server: ServerShape | None, namespace: str) -> None:
    grant = Grant(users=["alice@example.org"], groups=["ml"])
    wanted = manifests(namespace, grant, "trainer", server)
    assert list(yaml.safe_load_all(yaml_text(*wanted))) == wanted
    rendered = _rendered(chart("1.2.dev3+abc", grant, "trainer", server), namespace)
    assert sorted(rendered, key=repr) == sorted(wanted, key=repr)


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed; the test above stands for it")
@pytest.mark.parametrize("server", SERVERS)
def test_helm_renders_the_chart_as_the_manifest(tmp_path: Path, server: ServerShape | None) -> None:
    grant = Grant(users=["alice@example.org"], rights=rights_of("trainjob", queued=True))
    for name, text in chart("0.1.0", grant, "trainer", server).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    command = ["helm", "template", "name", str(tmp_path), "--namespace", "team"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rendered = [one for one in yaml.safe_load_all(done.stdout) if one]
    assert sorted(rendered, key=repr) == sorted(manifests("team", grant, "trainer", server), key=repr)


def test_role_has_no_right_to_read_secrets_and_none_outside_of_the_namespace() -> None:
    made = manifests("team", Grant())
    kinds = [one["kind"] for one in made]
    assert kinds == ["ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"]
    assert all(one["metadata"]["namespace"] == "team" for one in made)
    (secrets,) = [one for one in RIGHTS if one.resource == "secrets"]
    assert not {"get", "list", "watch", "update"} & set(secrets.verbs)
    assert "*" not in yaml_text(*made)


def test_versions_of_charts_are_semantic() -> None:
    for version, semantic in (("1.2.dev3+abc", "1.2.3"), ("0.9", "0.9.0"), ("2", "2.0.0")):
        assert yaml.safe_load(chart(version, Grant())["Chart.yaml"])["version"] == semantic


def test_role_has_what_gangs_and_queues_of_the_place_need() -> None:
    def granted(gangs: str, *, queued: bool) -> set[str]:
        grant = Grant(rights=rights_of(gangs, queued=queued))
        (role,) = [one for one in manifests("team", grant) if one["kind"] == "Role"]
        return {resource for rule in role["rules"] for resource in rule["resources"]}

    plain = granted("pods", queued=False)
    assert granted("job", queued=False) == plain
    assert granted("jobset", queued=False) - plain == {"jobsets"}
    assert granted("trainjob", queued=True) - plain == {"trainjobs", "trainingruntimes", "workloads", "localqueues"}
