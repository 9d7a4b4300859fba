"""Logging in at a provider of identities: at a real one, and at one that lies."""

from __future__ import annotations

import html
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from tests.integration.server.conftest import Served

from headrace.model.accounts import AuditFilter, Role
from headrace.services.accounts.users import Accounts, Source
from headrace.settings import Settings
from headrace.wiring import Workspace

ROOT = Source(actor="root@here")
_PROVIDER = """
import json, sys
import oidc_provider_mock as mock
users = [mock.User(sub=one.pop("sub"), claims=one) for one in json.loads(sys.argv[1])]
with mock.run_server_in_thread(user_claims=users, require_nonce=True) as server:
    print(server.server_port, flush=True)
    sys.stdin.read()
"""
_USERS = [
    {"sub": "1", "email": "ada@example.org", "email_verified": True, "name": "Ada <b>"},
    {"sub": "2", "email": "ada@example.org", "email_verified": True},
    {"sub": "3", "email": "eve@example.org", "email_verified": False},
    {"sub": "4", "email": "local@example.org", "email_verified": True},
    {"sub": "5", "email": "new@example.org", "email_verified": True},
    {"sub": "6", "email": "a b@example.org", "email_verified": True},
    {"sub": "7"},
]


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The issuer of a provider that runs in a process of its own."""
    argv = [sys.executable, "-W", "ignore", "-c", _PROVIDER, json.dumps(_USERS)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port.isdigit()
        yield f"http://localhost:{port}"
        process.kill()


class Site:
    """A server whose users log in at ``issuer``."""

    def __init__(self, folder: Path, issuer: str) -> None:
        self.folder = folder
        with Workspace(Settings(home=str(folder / ".headrace"))) as workspace:
            accounts = Accounts(workspace.accounts)
            accounts.add(ROOT, "ada@example.org")
            accounts.set_role(ROOT, "ada@example.org", "shop", Role.EDITOR)
            accounts.add(ROOT, "local@example.org", password="correct horse 9")
        options = ("--auth", "oidc", "--oidc-issuer", issuer, "--oidc-client-id", "headrace")
        self.server = Served(folder, *options, HEADRACE_OIDC_CLIENT_SECRET="secret of the client")

    def browser(self) -> httpx.Client:
        """A client with cookies of its own, which follows no redirects."""
        return httpx.Client(base_url=self.server.url, timeout=30)

    def users(self) -> dict[str, str]:
        """The subject of each user by name."""
        with Workspace(Settings(home=str(self.folder / ".headrace"))) as workspace:
            return {user.name: user.subject for user in workspace.accounts.users()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, provider: str) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("oidc"), provider)
    yield made
    made.server.stop(signal.SIGKILL)


def at_provider(browser: httpx.Client, subject: str, target: str = "/") -> str:
    """Begin a login, and authorise it at the provider as ``subject``; where the browser is led then."""
    left = browser.get("/login/oidc", params={"next": target})
    assert left.status_code == 303, left.text
    answer = httpx.post(left.headers["location"], data={"sub": subject})
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def test_user_of_the_provider_logs_in(site: Site, provider: str) -> None:
    """The account that an admin made beforehand goes to the first identity of its name, and stays with it."""
    with site.browser() as browser:
        assert "single sign-on" in browser.get("/login").text
        answer = browser.get(at_provider(browser, "1", "/p/shop"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/p/shop"), answer.text
        me = browser.get("/api/v1/session").json()
        assert (me["user"], me["roles"], me["auth"]) == ("ada@example.org", {"shop": "editor"}, "oidc")
    assert site.users()["ada@example.org"] == f"{provider} 1"
    with site.browser() as browser:
        answer = browser.get(at_provider(browser, "2"))
        assert answer.status_code == 403
        assert "belongs to another identity" in answer.text


def test_new_user_of_the_provider_has_no_roles(site: Site, provider: str) -> None:
    with site.browser() as browser:
        assert browser.get(at_provider(browser, "5")).status_code == 303
        assert browser.get("/api/v1/session").json()["roles"] == {}
        assert browser.get("/api/v1/projects/shop/runs").status_code == 404
    assert site.users()["new@example.org"] == f"{provider} 5"
    with Workspace(Settings(home=str(site.folder / ".headrace"))) as workspace:
        actions = [(one.action, one.actor) for one in workspace.accounts.audit(AuditFilter(actor="new@example.org"))]
    assert actions == [("login", "new@example.org"), ("user.add", "new@example.org")]


@pytest.mark.parametrize(
    ("subject", "problem"),
    [
        ("3", "has not verified the address"),
        ("4", "belongs to another identity"),
        ("6", "cannot be the name of a user"),
        ("7", "does not say the claim"),
    ],
)
def test_identity_that_names_nobody_here_is_refused(site: Site, subject: str, problem: str) -> None:
    before = site.users()
    with site.browser() as browser:
        answer = browser.get(at_provider(browser, subject))
        assert answer.status_code == 403
        assert problem in html.unescape(answer.text)
        assert "headrace_session" not in browser.cookies
    assert site.users() == before


def test_answer_of_the_provider_is_for_the_browser_that_began_the_login(site: Site) -> None:
    """Another browser, the second use, and a state that was never given are refused."""
    with site.browser() as browser, site.browser() as victim:
        leads = at_provider(browser, "1")
        victim.get("/login/oidc")  # has a login of its own going on
        assert victim.get(leads).status_code == 403
        assert browser.get(leads).status_code == 403, "the state was used up"
        leads = at_provider(browser, "1")
        assert browser.get(leads).status_code == 303
        assert browser.get(leads).status_code == 403
        assert browser.get("/login/callback", params={"code": "x", "state": "y"}).status_code == 403
        refused = browser.get("/login/callback", params={"error": "<script>alert(1)</script>"})
        assert refused.status_code == 403
        assert "<script" not in refused.text


def test_login_at_the_provider_uses_pkce_and_a_nonce(site: Site) -> None:
    with site.browser() as browser:
        query = parse_qs(urlsplit(browser.get("/login/oidc").headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert re.fullmatch(r"[\w-]{43}", query["code_challenge"][0])
    assert len(query["nonce"][0]) == len(query["state"][0]) == 43
    assert query["redirect_uri"] == [f"{site.server.url}/login/callback"]


# --- a provider that lies -----------------------------------------------------------------------------------------

_KEY = RSAKey.generate_key(2048, {"kid": "k"}, private=True)
_OTHER = RSAKey.generate_key(2048, {"kid": "k"}, private=True)


class Liar(ThreadingHTTPServer):
    """A provider that answers as ``lie`` says."""

    lie = ""
    nonce = ""
    asked: list[str]

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def document(self) -> dict[str, Any]:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        }
        if self.lie == "issuer of another":
            found["issuer"] = "https://other.example.org"
        if self.lie == "address inside":
            found["token_endpoint"] = "http://169.254.169.254/latest/meta-data"
        return found

    def token(self) -> dict[str, Any]:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": "headrace",
            "sub": "1",
            "exp": now + 600,
            "iat": now,
            "nonce": self.nonce,
            "email": "liar@example.org",
            "email_verified": True,
        }
        header, key = {"alg": "RS256", "kid": "k"}, _KEY
        match self.lie:
            case "another key":
                key = _OTHER
            case "another server":
                claims["aud"] = "other"
            case "several servers":
                claims["aud"] = ["headrace", "other"]
            case "another party":
                claims["azp"] = "other"
            case "another login":
                claims["nonce"] = "x" * 43
            case "no login":
                del claims["nonce"]
            case "expired":
                claims |= {"exp": now - 3_600, "iat": now - 7_200}
            case "another issuer":
                claims["iss"] = "https://other.example.org"
            case "no subject":
                del claims["sub"]
            case "verified as text":
                claims["email_verified"] = "false"
            case "shared key":
                secret = OctKey.import_key(json.dumps(_KEY.as_dict(private=False)))
                return {"id_token": jwt.encode({"alg": "HS256"}, claims, secret)}
            case "no signature":
                parts = jwt.encode(header, claims, key).split(".")
                return {"id_token": f"eyJhbGciOiJub25lIn0.{parts[1]}."}
            case "no token":
                return {}
        return {"id_token": jwt.encode(header, claims, key)}


class _Answers(BaseHTTPRequestHandler):
    server: Liar

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.lie == "redirect" and self.path == "/jwks":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            return
        answers = {
            "/.well-known/openid-configuration": self.server.document,
            "/jwks": lambda: {"keys": [_KEY.as_dict(private=False)]},
        }
        self._answer(answers.get(self.path, dict)())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"x": "y" * (2 << 20)} if self.server.lie == "too much" else self.server.token())

    def _answer(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class calls it
        """Says nothing."""


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    with Liar(("127.0.0.1", 0), _Answers) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def deceived(tmp_path_factory: pytest.TempPathFactory, liar: Liar) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("liar"), liar.issuer)
    yield made
    made.server.stop(signal.SIGKILL)


def log_in(site: Site, liar: Liar, lie: str) -> httpx.Response:
    """A whole login, in which the provider lies."""
    liar.lie = lie
    with site.browser() as browser:
        left = browser.get("/login/oidc")
        if left.status_code != 303:
            return left
        query = parse_qs(urlsplit(left.headers["location"]).query)
        liar.nonce = query["nonce"][0]
        return browser.get("/login/callback", params={"code": "c", "state": query["state"][0]})


#: In this order: the document is asked for once, by the first login that it is right for.
@pytest.mark.parametrize(
    ("lie", "status"),
    [
        ("issuer of another", 502),
        ("address inside", 502),
        ("", 303),
        ("another key", 403),
        ("another server", 403),
        ("several servers", 403),
        ("another party", 403),
        ("another login", 403),
        ("no login", 403),
        ("expired", 403),
        ("another issuer", 403),
        ("no subject", 403),
        ("verified as text", 403),
        ("shared key", 403),
        ("no signature", 403),
        ("no token", 403),
        ("redirect", 502),
        ("too much", 502),
    ],
)
def test_provider_that_lies_lets_nobody_in(deceived: Site, liar: Liar, lie: str, status: int) -> None:
    answer = log_in(deceived, liar, lie)
    assert answer.status_code == status, answer.text
    assert ("headrace_session=" in answer.headers.get("set-cookie", "")) == (status == 303)
    assert "/elsewhere" not in liar.asked
