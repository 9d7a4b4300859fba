"""Components of pipelines in runs: packages, Pythons, metrics, artifacts, objects elsewhere."""

from __future__ import annotations

import functools
import http.server
import os
import ssl
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import interpreters
from tests.integration.kfp_pipelines import Made, logs_of, parts

import headrace
from headrace.model.errors import EnvironmentSetupError
from headrace.testing.servers import fake_gcs, rclone_s3


def returning(source: str, **told: Any) -> Any:
    return parts.lightweight(source, "f", **told)


# --- packages and interpreters ----------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A package index with the one package ``only-here``; its URL."""
    folder = tmp_path / "index" / "only-here"
    folder.mkdir(parents=True)
    name = "only_here-1.5-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("only_here.py", "VALUE = 'from the index'\n")
        wheel.writestr("only_here-1.5.dist-info/METADATA", "Metadata-Version: 2.1\nName: only-here\nVersion: 1.5\n")
        wheel.writestr(
            "only_here-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("only_here-1.5.dist-info/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{name}">{name}</a>')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "index"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = _with_own_certificate(tmp_path).wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def _with_own_certificate(folder: Path) -> ssl.SSLContext:
    """What a server needs for TLS with a certificate that nobody has signed."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    now = datetime.datetime.now(datetime.UTC)
    tomorrow = now + datetime.timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, tomorrow)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "own.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return context


def test_component_gets_its_packages_from_its_index_and_its_python_from_its_image(here: Any, index: str) -> None:
    source = "def f() -> str:\n    import only_here\n    return only_here.VALUE\n"
    options = f"--index-url {index} --trusted-host 127.0.0.1"
    install = f"{parts.PIP}{options} 'only-here>=1'  &&  {parts.PIP}{options} {parts.OWN}"
    made = Made().add("packages", returning(source, install=install), gives={"Output": "STRING"})
    made.give("packages", "packages")
    if interpreters.OTHER:
        source = "def f() -> str:\n    import sys\n    return '.'.join(map(str, sys.version_info[:2]))\n"
        image = f"python:{interpreters.OTHER}-slim"
        made.add("python", returning(source, image=image), gives={"Output": "STRING"}).give("python", "python")
    ended = made.run()
    assert ended.error is None
    assert ended.value["packages"] == "from the index"
    assert ended.value.get("python", interpreters.OTHER) == interpreters.OTHER


def test_packages_that_are_here_need_no_environment(here: Any) -> None:
    source = "def f() -> str:\n    import sys\n    return sys.prefix\n"
    install = f"{parts.PIP}'msgspec>=0.1' 'packaging'  &&  {parts.PIP}{parts.OWN}"
    made = Made().add("a", returning(source, install=install), gives={"Output": "STRING"}).give("a", "a")
    import sys

    assert made.run().value == {"a": sys.prefix}


def test_package_that_cannot_be_installed_is_told_before_anything_runs(here: Any, index: str) -> None:
    source = "def f():\n    pass\n"
    install = f"{parts.PIP}--index-url {index} --trusted-host 127.0.0.1 'not-there==1'  &&  {parts.PIP}{parts.OWN}"
    made = Made().add("first", returning(source)).add("second", returning(source, install=install))
    with pytest.raises(EnvironmentSetupError, match=r"'second'(.|\n)*not-there"):
        made.run()
    assert headrace.Run("made/1").steps == {}


# --- artifacts and metrics --------------------------------------------------------------------------------------

WRITE = """
    def f(text: str, model: Output[Model], metrics: Output[Metrics]):
        with open(model.path, "w") as file:
            file.write(text)
        model.framework = "sklearn"
        metrics.log_metric("accuracy", 0.75)
        metrics.log_metric("rows", 12)
        metrics.metadata["note"] = "not a number"
"""
READ = """
    def f(model: Input[Model]) -> str:
        with open(model.path) as file:
            return f"{len(file.read())} {model.framework}"
"""


def test_metrics_are_those_of_the_run_and_artifacts_are_files(here: Any) -> None:
    made = Made()
    made.add(
        "train",
        returning(WRITE),
        takes={"text": ("STRING", "x" * (4 << 20))},
        gives={"model": "system.Model", "metrics": "system.Metrics"},
    )
    made.add("read", returning(READ), takes={"model": ("system.Model", ("train", "model"))}, gives={"Output": "STRING"})
    ended = made.give("read", "read").run()
    assert ended.value == {"read": f"{4 << 20} sklearn"}
    run = headrace.Run(ended.run.name)
    shown = {name: one.preview for name, one in run["train"][1].artifacts.items()}
    assert (shown["model"].type, dict(shown["model"].facts)["framework"]) == ("system.Model", "sklearn")
    assert (shown["metrics"].type, shown["metrics"].text.split(",")[0]) == ("system.Metrics", "accuracy 0.75")
    assert {name: metric.last for name, metric in run.metrics.items()} == {"accuracy": 0.75, "rows": 12.0}


def test_component_that_ends_its_process_fails_its_task_alone(here: Any) -> None:
    source = "def f():\n    import os\n    os._exit(3)\n"
    made = Made().add("dies", returning(source)).add("lives", returning("def f() -> int:\n    return 1\n"))
    ended = made.run()
    assert "dies" in str(ended.error)
    assert headrace.Run(ended.run.name).steps["lives"] == {"succeeded": 1}


def test_what_a_component_changes_in_its_process_is_not_there_for_the_next(here: Any) -> None:
    change = """
        def f(n: int) -> int:
            import logging, os, sys
            found = [os.environ.get("LEFT"), sys.path.count("/left"), os.path.exists("left"), "left" in sys.argv]
            found += [logging.getLogger().level, "left_module" in sys.modules]
            os.environ["LEFT"] = "1"
            sys.path.append("/left")
            sys.argv.append("left")
            open("left", "w").close()
            logging.getLogger().setLevel(50)
            assert found[:4] == [None, 0, False, False], found
            assert found[4] == 20, found
            return n
        """
    made = Made()
    before: Any = 0
    for number in range(4):
        made.add(
            f"t{number}", returning(change), takes={"n": ("NUMBER_INTEGER", before)}, gives={"Output": "NUMBER_INTEGER"}
        )
        before = (f"t{number}", "Output")
    assert made.run().error is None


# --- objects elsewhere ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[str, dict[str, str]]]:
    """A bucket of a real S3 server, and the variables with which it is reached."""
    with rclone_s3() as (url, settings):
        yield url, {name.upper(): value for name, value in settings.items()}


@pytest.mark.parametrize("scheme", ["s3", "minio"])
def test_artifacts_come_from_and_go_to_object_stores(
    here: Any, bucket: Any, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import obstore
    from obstore.store import from_url

    url, variables = bucket
    store = from_url(url, client_options={"allow_http": True}, **{key.lower(): one for key, one in variables.items()})
    if scheme == "minio":
        url = url.replace("s3://", "minio://")
        region = {"AWS_REGION": variables["AWS_REGION"]}
        keys = {"ACCESS_KEY": variables["AWS_ACCESS_KEY_ID"], "SECRET_KEY": variables["AWS_SECRET_ACCESS_KEY"]}
        keys["ENDPOINT"] = variables["AWS_ENDPOINT_URL"].removeprefix("http://")
        variables = {**region, **{f"MINIO_{name}": value for name, value in keys.items()}}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    obstore.put(store, "data/a.csv", b"rows")
    obstore.put(store, "data/sub/b.csv", b"more")
    source = """
        def f(one: Input[Dataset], all: Input[Dataset], unread: Input[Dataset], out: Output[Model]) -> str:
            import os
            with open(one.path) as file:
                text = file.read()
            names = sorted(os.path.relpath(os.path.join(p, n), all.path) for p, _, ns in os.walk(all.path) for n in ns)
            with open(out.path, "w") as file:
                file.write("weights")
            return f"{text} {names} {one.uri.partition('://')[2]} {unread.uri}"
        """
    made = Made(root=f"{url}/root")
    uris = {"one": f"{url}/data/a.csv", "all": f"{url}/data", "unread": "gs://no-such-bucket/x"}
    for name, uri in uris.items():
        told = {"artifactUri": {"constant": uri}, "typeSchema": {"schemaTitle": "system.Dataset"}}
        made.add(name, {"importer": told}, gives={"artifact": "system.Dataset"})
    takes = {name: ("system.Dataset", (name, "artifact")) for name in uris}
    made.add("use", returning(source), takes=takes, gives={"Output": "STRING", "out": "system.Model"})
    after = "def f(m: Input[Model]) -> str:\n    with open(m.path) as file:\n        return f'{m.uri} {file.read()}'\n"
    made.add("after", returning(after), takes={"m": ("system.Model", ("use", "out"))}, gives={"Output": "STRING"})
    ended = made.give("use", "use").give("after", "after").run()
    assert ended.error is None
    assert ended.value["use"] == "rows ['a.csv', 'sub/b.csv'] artifacts/data/a.csv gs://no-such-bucket/x"
    uri, text = ended.value["after"].split()
    assert (uri.startswith(f"{url}/root/use/"), uri.endswith("/out"), text) == (True, True, "weights")
    assert bytes(obstore.get(store, uri.removeprefix(f"{url}/")).bytes()) == b"weights"


def test_imported_artifacts_are_fetched_from_google_cloud_storage(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("a.csv", "rows"), ("sub/b.csv", "more")):
        (tmp_path / "bucket/data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bucket/data" / name).write_text(text)
    source = """
        def f(one: Input[Dataset], all: Input[Dataset]) -> str:
            import os
            names = sorted(os.path.relpath(os.path.join(p, n), all.path) for p, _, ns in os.walk(all.path) for n in ns)
            return f"{open(one.path).read()} {names} {one.uri}"
        """
    made = Made()
    for name, uri in (("one", "gs://bucket/data/a.csv"), ("all", "gs://bucket/data")):
        told = {"artifactUri": {"constant": uri}, "typeSchema": {"schemaTitle": "system.Dataset"}}
        made.add(name, {"importer": told}, gives={"artifact": "system.Dataset"})
    takes = {name: ("system.Dataset", (name, "artifact")) for name in ("one", "all")}
    made.add("use", returning(source), takes=takes, gives={"Output": "STRING"})
    with fake_gcs(tmp_path) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        ended = made.give("use", "use").run()
    assert ended.error is None
    assert ended.value["use"] == "rows ['a.csv', 'sub/b.csv'] gs://bucket/data/a.csv"


def test_object_that_cannot_be_fetched_is_named_with_its_task(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    told = {"artifactUri": {"constant": "s3://bucket/x"}, "typeSchema": {"schemaTitle": "system.Dataset"}}
    made = Made().add("get", {"importer": told}, gives={"artifact": "system.Dataset"})
    made.add(
        "read", returning(READ), takes={"model": ("system.Dataset", ("get", "artifact"))}, gives={"Output": "STRING"}
    )
    ended = made.run()
    assert "read" in str(ended.error)
    assert "s3://bucket/x cannot be fetched" in str(ended.error)


# --- commands on this machine -----------------------------------------------------------------------------------


def test_command_that_is_not_here_is_told_before_anything_runs(here: Any) -> None:
    container = {"image": "alpine", "command": ["no-such-command-here"]}
    made = Made().add("first", returning("def f():\n    pass\n")).add("second", container)
    with pytest.raises(EnvironmentSetupError, match=r"second: command 'no-such-command-here' .* not on this machine"):
        made.run(containers="host")
    assert headrace.Run("made/1").steps == {}


def test_command_runs_on_this_machine_where_that_is_allowed(here: Any) -> None:
    container = {
        "image": "alpine",
        "command": ["sh", "-c", 'cat "$0" > "$1"; echo said; echo "$PWD"'],
        "args": ["{{$.inputs.artifacts['m'].path}}", "{{$.outputs.parameters['o'].output_file}}"],
    }
    write = {"text": ("STRING", "weights")}
    made = Made().add(
        "train", returning(WRITE), takes=write, gives={"model": "system.Model", "metrics": "system.Metrics"}
    )
    made.add("show", container, takes={"m": ("system.Model", ("train", "model"))}, gives={"o": "STRING"})
    ended = made.give("o", "show", "o").run(containers="host")
    assert ended.value == {"o": "weights"}
    assert "said" in logs_of(ended)
    assert str(here.path) not in logs_of(ended).split("said")[1]
    assert sorted(os.listdir(here.path)) == [".headrace", "made.yaml"]


# --- with the real kfp ------------------------------------------------------------------------------------------


def test_component_uses_the_kfp_that_it_asks_for(here: Any) -> None:
    source = """
        def f(model: Output[Model], metrics: Output[Metrics]) -> Dataset:
            import sys
            metrics.log_metric("accuracy", 0.5)
            model.framework = kfp.__version__
            with open(model.path, "w") as file:
                file.write(dsl.Artifact.__module__)
            made = Dataset(uri=dsl.get_uri(), metadata={"file": kfp.__file__.rpartition("/site-packages/")[2]})
            with open(made.path, "w") as file:
                file.write("rows")
            return made
        """
    outputs = {"model": "system.Model", "metrics": "system.Metrics", "Output": "system.Dataset"}
    install = f"{parts.PIP}'kfp==2.17.3'"
    made = Made().add("a", returning(source, install=install), gives=outputs)
    ended = made.give("data", "a").give("model", "a", "model").run()
    assert ended.error is None
    assert ended.value["model"].metadata["kfp"]["metadata"] == {"framework": "2.17.3"}
    assert ended.value["data"].metadata["kfp"]["metadata"] == {"file": "kfp/__init__.py"}
    assert ended.value["data"].path.read_text() == "rows"
    assert headrace.Run(ended.run.name).metrics["accuracy"].last == 0.5
