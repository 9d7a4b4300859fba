"""No address in a request leads the server anywhere (server-side request forgery)."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.integration.server.conftest import Served, environment

from headrace.stores.artifacts.http import HttpArtifacts
from headrace.stores.http_client import Endpoint
from headrace.stores.metadata.http import HttpMetadata
from headrace.stores.metadata.protocol import NewRun
from headrace.testing.metadata import artifact

RUNS = "/api/v1/projects/default/runs"
KFP = "/apis/v2beta1"


def test_no_address_in_a_request_is_connected_to(tmp_path: Path) -> None:
    assert "HEADRACE_SERVER" not in environment()
    server = Served(tmp_path)
    ask, statuses = server.client, []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        url = f"http://{host}/latest/meta-data"
        metadata = HttpMetadata(Endpoint(server.url, lambda: ""), "default")
        new = NewRun(project="default", flow="train", dialect="native", entry=f"{url}:train", created=time.time())
        run = metadata.create_run(new)
        blob = HttpArtifacts(Endpoint(server.url, lambda: "")).put((os.urandom(300_000),))
        metadata.commit([artifact(run.id, name=url)])
        headers = {
            "X-Forwarded-For": host,
            "X-Forwarded-Host": host,
            "Forwarded": f"for={host};host={host}",
            "Referer": url,
            "X-Original-URL": url,
            "Link": f"<{url}>",
        }
        paths = (
            f"{RUNS}/train/1?fields=",
            f"{RUNS}/train/1/diff?with={url}",
            f"{RUNS}/train/1/code/{url}",
            f"{RUNS}/train/1/artifacts/fit/1/{url}",
            f"{RUNS}/train/1/artifacts/fit/1/{url}/download",
            f"{RUNS}?where=tags.place%20%3D%20{url}",
            f"/api/v1/projects/{url}/runs",
            f"/login?next={url}",
            f"/login/command?redirect_uri={url}&state=x&challenge=y",
            f"{KFP}/pipelines?page_token={url}",
        )
        statuses += [ask.get(path, headers=headers).status_code for path in paths]
        statuses.append(ask.put(f"{RUNS}/train/1/tags/place", json={"value": url}).status_code)
        start = {"parameters": {"path": url}, "tags": {"from": url}}
        statuses.append(ask.post("/api/v1/projects/default/flows/train/start", json=start).status_code)
        pipeline = {"display_name": "p", "package_url": {"pipeline_url": url}, "code_source_url": url}
        statuses.append(ask.post(f"{KFP}/pipelines", json=pipeline).status_code)
        made = {"pipeline": {"display_name": "q"}, "pipeline_version": pipeline}
        statuses.append(ask.post(f"{KFP}/pipelines/create", json=made).status_code)
        spec = {"pipelineInfo": {"name": url}, "defaultPipelineRoot": url, "deploymentSpec": {}, "root": {}}
        kfp_run = {"display_name": "r", "pipeline_spec": spec, "runtime_config": {"pipeline_root": url}}
        statuses.append(ask.post(f"{KFP}/runs", json=kfp_run).status_code)
        link = {"Headrace-Version": "0.1.0", "Headrace-Link": url}
        statuses.append(ask.get(f"/api/v1/blobs/{blob.hex}?size={blob.size}", headers=link).status_code)
        place = urlsplit(server.url)
        for target in (url, f"//{host}/", f"@{host}/", f"\\\\{host}\\x"):  # as a proxy is asked
            with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=60) as client:
                client.sendall(f"GET {target} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n".encode())
                statuses.append(int(client.recv(100).split()[1]))
            with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=60) as client:
                client.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                assert not client.recv(100).startswith(b"HTTP/1.1 2")
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert not [status for status in statuses if status >= 500 and status != 501], statuses
    server.stop()
