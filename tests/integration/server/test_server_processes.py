"""Several server processes over one database are one server; a server speaks TLS where it has a certificate."""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
import sys
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.integration.server.conftest import Served, environment

from headrace.testing.proxy import ConnectProxy

FLOW = """
from headrace import flow, step

@step
def part() -> bytes:
    return bytes(2_000_000)

@flow
def whole() -> int:
    return len(part())
"""
RUNS = "/api/v1/projects/default/runs"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that it signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


def test_second_process_with_tls_goes_on_where_the_first_one_stopped(
    client: httpx.Client, runs_folder: Path, tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path)
    second = Served(runs_folder, "--tls-cert", str(cert), "--tls-key", str(key))
    try:
        assert second.url.startswith("https://")
        first = client.get(RUNS, params={"limit": 2}).json()
        rest = second.client.get(RUNS, params={"limit": 2, "cursor": first["next"]}).json()
        whole = client.get(RUNS).json()["items"]
        assert first["items"] + rest["items"] == whole[:4]
        tag = client.get(f"{RUNS}/train/1/tasks").headers["etag"]
        assert second.client.get(f"{RUNS}/train/1/tasks", headers={"If-None-Match": tag}).status_code == 304
        (tmp_path / "flow.py").write_text(FLOW)
        run = [sys.executable, "-m", "headrace", "run", "flow.py", "--server", second.url, "--project", "tls"]
        done = subprocess.run(run, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=100)
        assert done.returncode != 0
        assert "name the authority that signed it: export SSL_CERT_FILE=CA.pem" in done.stderr
        trusting = environment(SSL_CERT_FILE=str(cert))
        done = subprocess.run(run, cwd=tmp_path, env=trusting, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        [found] = second.client.get("/api/v1/projects/tls/runs").json()["items"]
        assert (found["name"], found["state"]) == ("whole/1", "succeeded")
        proxy = ConnectProxy()
        read = [sys.executable, "-m", "headrace", "get", "whole/1", "--server", second.url, "--project", "tls"]
        for around in ("", "127.0.0.1"):
            proxied = trusting | {"HTTPS_PROXY": proxy.url, "NO_PROXY": around}
            done = subprocess.run(read, cwd=tmp_path, env=proxied, capture_output=True, text=True, timeout=100)
            assert done.stdout.strip() == "2000000", done.stderr
            assert ({second.url.removeprefix("https://")} == set(proxy.asked)) is not bool(around)
            proxy.asked.clear()
        proxy.close()
        done = subprocess.run(read, cwd=tmp_path, env=trusting | {"HTTPS_PROXY": proxy.url}, capture_output=True)
        assert b"by the proxy 127.0.0.1:" in done.stderr
    finally:
        second.stop()
