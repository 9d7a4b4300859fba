"""A Metaflow flow with ``@kubernetes`` and a compiled Kubeflow pipeline, in pods of a real cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightkube.models.core_v1 import HostPathVolumeSource, PersistentVolumeSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, PersistentVolume, PersistentVolumeClaim, Secret
from tests import user_images
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project
from tests.pipelines import Pipeline, around, constant, output, task

#: The first test waits for images.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def project(tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> Project:
    return Project(tmp_path, space, cluster, image, bucket)


@pytest.fixture(scope="module")
def tools(cluster: Cluster) -> str:
    """An image with a Python of its own, without Headrace."""
    return user_images.for_cluster(f"python{sys.version_info[0]}.{sys.version_info[1]}")


@pytest.fixture(scope="module", autouse=True)
def given(space: Space) -> None:
    """What tasks take from the namespace."""
    space.client.create(Secret(metadata=ObjectMeta(name="db"), stringData={"DB_PASSWORD": "hidden", "user": "me"}))
    space.client.create(ConfigMap(metadata=ObjectMeta(name="config"), data={"mode": "fast", "path.txt": "a path"}))


FLOW = """
import os
from metaflow import FlowSpec, kubernetes, resources, step


class Elsewhere(FlowSpec):
    @step
    def start(self):
        self.here = "HEADRACE_POD" in os.environ
        self.numbers = [3, 4]
        self.next(self.fit, foreach="numbers")

    @resources(cpu=0.01)
    @kubernetes(cpu=0.01, memory=160, disk=64, secrets=["db"], shared_memory=16, use_tmpfs=True, tmpfs_size=8,
                tmpfs_path="/fast", labels={"team": "ml"}, annotations={"why": "a test"}, port=8080,
                security_context={"run_as_user": 1234})
    @step
    def fit(self):
        sizes = [os.statvfs(one).f_blocks * os.statvfs(one).f_frsize >> 20 for one in ("/dev/shm", "/fast")]
        self.told = [os.environ["DB_PASSWORD"], os.environ["METAFLOW_TEMPDIR"], sizes, os.getuid()]
        self.pod = os.environ["HEADRACE_POD"]
        self.square = self.input**2
        self.next(self.join)

    @kubernetes(cpu=0.02, memory=160, image=TOOLS)
    @step
    def join(self, inputs):
        import importlib.util
        self.bare = importlib.util.find_spec("lightkube") is None
        self.total = sum(one.square for one in inputs)
        self.told = inputs[0].told
        self.pods = [one.pod for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        print("»", self.total, self.told, all(self.pods), self.bare, "HEADRACE_POD" in os.environ)


if __name__ == "__main__":
    Elsewhere()
"""


def test_steps_with_kubernetes_run_in_pods_and_the_others_here(project: Project, tools: str) -> None:
    project.write(FLOW.replace("TOOLS", repr(tools)))
    said = project.run("run", "train.py", seconds=200)
    assert "» 25 ['hidden', '/fast', [16, 8], 1234] True True False" in said
    assert "is recorded" not in said


GANG = """
import os
import socket
import time
from metaflow import FlowSpec, current, kubernetes, parallel, step

PORT = 29500


class Gang(FlowSpec):
    @step
    def start(self):
        self.next(self.train, num_parallel=2)

    @kubernetes(cpu=0.02, memory=160)
    @parallel
    @step
    def train(self):
        place = current.parallel
        self.place, self.pod = (place.node_index, place.num_nodes), os.environ["HEADRACE_POD"]
        if place.node_index == 0:
            with socket.create_server(("", PORT)) as server:
                other, _ = server.accept()
        else:
            until = time.monotonic() + 60
            while True:
                try:
                    other = socket.create_connection((place.main_ip, PORT), 5)
                    break
                except OSError:
                    assert time.monotonic() < until, place
                    time.sleep(0.1)
        with other:
            other.sendall(b"%d" % place.node_index)
            self.heard = other.recv(1).decode()
        self.next(self.join)

    @step
    def join(self, inputs):
        print("»", sorted((*one.place, one.heard) for one in inputs), len({one.pod for one in inputs}))
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Gang()
"""


def test_nodes_of_a_gang_are_pods_that_find_each_other(project: Project) -> None:
    project.write(GANG)
    assert "» [(0, 2, '1'), (1, 2, '0')] 2" in project.run("run", "train.py", seconds=200)


def pipeline() -> tuple[dict[str, object], dict[str, object]]:
    made = Pipeline("settings", secret=(str, "db"))
    made.python(
        """
        def named() -> str:
            return "config"
        """,
        {"Output": str},
    )
    made.python(
        """
        def look(n: int) -> list:
            import os
            with open("/config/path.txt") as file:
                text = file.read()
            with open("/given/user") as file:
                text += " of " + file.read()
            size = os.statvfs("/scratch").f_blocks * os.statvfs("/scratch").f_frsize >> 20
            same = os.environ["POD"] == os.environ["HEADRACE_POD"]
            return [n, os.environ["PASSWORD"], os.environ["MODE"], same, text, size]
        """,
        {"Output": list},
        n=int,
    )
    made.tasks["named"] = task("named")
    made.tasks["look"] = task("look", "named", n={"runtimeValue": {"constant": 7}})
    made.spec["root"]["dag"]["outputs"] = {
        "parameters": {"o": {"valueFromParameter": {"producerSubtask": "look", "outputParameterKey": "Output"}}}
    }
    secret = {"secretNameParameter": {"componentInputParameter": "secret"}}
    config = {"configMapNameParameter": output("named")}
    platform = {
        "secretAsEnv": [{**secret, "keyToEnv": [{"secretKey": "DB_PASSWORD", "envVar": "PASSWORD"}]}],
        "secretAsVolume": [{**secret, "mountPath": "/given"}],
        "configMapAsEnv": [{**config, "keyToEnv": [{"configMapKey": "mode", "envVar": "MODE"}]}],
        "configMapAsVolume": [{**config, "mountPath": "/config"}],
        "fieldPathAsEnv": [{"name": "POD", "fieldPath": "metadata.name"}],
        "emptyDirMounts": [{"volumeName": "s", "mountPath": "/scratch", "medium": "Memory", "sizeLimit": "16Mi"}],
        "tolerations": [{"key": "special", "operator": "Exists"}],
        "podMetadata": {"labels": {"team": "ml"}},
        "imagePullPolicy": "IfNotPresent",
    }
    small = {"resourceCpuRequest": "10m", "resourceMemoryLimit": "160Mi"}
    for one in made.spec["deploymentSpec"]["executors"].values():
        one["container"]["resources"] = small
    return made.spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-look": platform}}}}}


def test_pipeline_has_its_settings_for_kubernetes_in_pods(project: Project) -> None:
    project.write("")
    (project.folder / "p.yaml").write_text("\n---\n".join(json.dumps(one) for one in pipeline()))
    said = project.run("run", "p.yaml", "--on", "pods", seconds=200)
    assert "Kubernetes without effect" not in said
    assert project.result("settings/1") == {"o": [7, "hidden", "fast", True, "a path of me", 16]}


@pytest.fixture
def volumes(space: Space, tmp_path: Path) -> Iterator[list[str]]:
    """Two volumes on the node, each for one claim, in one folder."""
    folder = tmp_path / "volume"
    folder.mkdir()
    folder.chmod(0o777)
    for one in folder.parents:
        if one.owner() == Path.home().owner() and one.stat().st_mode & 0o077 == 0:
            one.chmod(0o711)
    names = [f"{space.name}-{number}" for number in range(2)]
    spec = PersistentVolumeSpec(
        capacity={"storage": "16Mi"},
        accessModes=["ReadWriteOnce"],
        hostPath=HostPathVolumeSource(path=str(folder)),
        persistentVolumeReclaimPolicy="Retain",
        storageClassName="",
    )
    for name in names:
        space.client.create(PersistentVolume(metadata=ObjectMeta(name=name), spec=spec))
    yield names
    for name in names:
        space.client.delete(PersistentVolume, name, grace_period=0)


def claims(volume: str, workspace: str) -> list[dict[str, object]]:
    """A claim is made, written and read by two tasks, and deleted; what they share, too, is their workspace."""
    made = Pipeline("claims")
    outputs = {"name": str}
    made.component(
        "create",
        {"executorLabel": "exec-create"},
        outputs,
        access_modes=list,
        size=str,
        volume_name=str,
        pvc_name_suffix=str,
    )
    made.component("delete", {"executorLabel": "exec-delete"}, pvc_name=str)
    executors = made.spec["deploymentSpec"]["executors"]
    executors["exec-create"] = {"container": {"image": "argostub/createpvc"}}
    executors["exec-delete"] = {"container": {"image": "argostub/deletepvc"}}
    made.python(
        """
        def write(shared: str) -> str:
            open("/data/a", "w").write("kept")
            open(shared + "/b", "w").write("shared")
            return shared
        """,
        {"Output": str},
        shared=str,
    )
    made.python(
        """
        def read(claim: str) -> str:
            return open("/data/a").read() + " " + open("/kfp-workspace/b").read() + " " + claim
        """,
        {"Output": str},
        claim=str,
    )
    given = {"access_modes": ["ReadWriteOnce"], "size": "16Mi", "volume_name": volume, "pvc_name_suffix": "-data"}
    made.tasks["create"] = task("create", **{name: constant(value) for name, value in given.items()})
    made.tasks["write"] = task("write", "create", shared=constant("{{$.workspace_path}}"))
    made.tasks["read"] = task("read", "write", claim=output("create", "name"))
    made.tasks["delete"] = task("delete", "read", pvc_name=output("create", "name"))
    made.spec["root"]["dag"]["outputs"] = {
        "parameters": {"o": {"valueFromParameter": {"producerSubtask": "read", "outputParameterKey": "Output"}}}
    }
    small = {"resourceCpuRequest": "10m", "resourceMemoryLimit": "160Mi"}
    for label in ("exec-write", "exec-read"):
        executors[label]["container"]["resources"] = small
    mounts = [{"pvcNameParameter": output("create", "name"), "mountPath": "/data"}]
    platform = {label: {"pvcMount": mounts} for label in ("exec-write", "exec-read")}
    patch = {"volumeName": workspace, "storageClassName": ""}
    config = {"workspace": {"size": "16Mi", "kubernetes": {"pvcSpecPatch": patch}}}
    settings = {"deploymentSpec": {"executors": platform}, "pipelineConfig": config}
    return [made.spec, {"platforms": {"kubernetes": settings}}]


def test_pipeline_makes_mounts_and_deletes_volume_claims(project: Project, space: Space, volumes: list[str]) -> None:
    project.write("")
    (project.folder / "p.yaml").write_text("\n---\n".join(json.dumps(one) for one in claims(*volumes)))
    project.run("run", "p.yaml", "--on", "pods", seconds=200)
    content, shared, claim = project.result("claims/1")["o"].split()
    assert (content, shared) == ("kept", "shared")
    assert claim.endswith("-data")
    left = [one for one in space.client.list(PersistentVolumeClaim) if one.metadata.deletionTimestamp is None]
    assert left == []


def in_images(tools: str) -> dict[str, object]:
    """A Python component here, one in an image of its own, and a command in that image, which reads and writes."""
    made = Pipeline("images", word=str)
    made.python(
        """
        def write(word: str, out: dsl.Output[dsl.Dataset]):
            open(out.path, "w").write(word)
            out.metadata["letters"] = len(word)
        """,
        word=str,
    )
    data = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
    components, executors = made.spec["components"], made.spec["deploymentSpec"]["executors"]
    components["comp-write"]["outputDefinitions"] = {"artifacts": {"out": data}}
    made.component("shout", {"executorLabel": "exec-shout"}, {"text": str, "user": int}, word=str)
    components["comp-shout"]["inputDefinitions"]["artifacts"] = {"data": data}
    script = 'echo shouting >&2; tr a-z A-Z < "$0" > "$1"; printf "%s %s" "$3" "$TIMES" >> "$1"; id -u > "$2"'
    executors["exec-shout"] = {
        "container": {
            "image": tools,
            "command": ["sh", "-ec", script],
            "args": [
                "{{$.inputs.artifacts['data'].path}}",
                "{{$.outputs.parameters['text'].output_file}}",
                "{{$.outputs.parameters['user'].output_file}}",
                "{{$.inputs.parameters['word']}}",
            ],
            "env": [{"name": "TIMES", "value": "twice"}],
        }
    }
    made.python(
        """
        def inside(text: str) -> str:
            import importlib.util
            print("printed inside")
            return f"{text[::-1]} {importlib.util.find_spec('lightkube')}"
        """,
        {"Output": str},
        text=str,
    )
    executors["exec-inside"]["container"]["image"] = tools
    made.tasks["write"] = task("write", word=around("word"))
    made.tasks["shout"] = task("shout", word=constant("$(id)"))
    made.tasks["shout"]["inputs"]["artifacts"] = {
        "data": {"taskOutputArtifact": {"producerTask": "write", "outputArtifactKey": "out"}}
    }
    made.tasks["inside"] = task("inside", text=output("shout", "text"))
    for one in executors.values():
        one["container"]["resources"] = {"resourceCpuRequest": "20m", "resourceMemoryLimit": "160Mi"}
    selectors = {"text": ("shout", "text"), "user": ("shout", "user"), "back": ("inside", "Output")}
    made.spec["root"]["dag"]["outputs"] = {
        "parameters": {
            name: {"valueFromParameter": {"producerSubtask": producer, "outputParameterKey": key}}
            for name, (producer, key) in selectors.items()
        }
    }
    return made.spec


def test_components_run_in_pods_of_their_images(project: Project, tools: str) -> None:
    project.write("")
    (project.folder / "p.json").write_text(json.dumps(in_images(tools)))
    project.run("run", "p.json", "--word", "abc", "--on", "pods", seconds=200)
    assert project.result("images/1") == {"text": "ABC$(id) twice", "user": 1000, "back": "eciwt )di($CBA None"}
    logs = project.run("logs", "images/1")
    assert "shouting" in logs
    assert "printed inside" in logs
