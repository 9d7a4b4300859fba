"""Logging in: passwords on a page, the command line through the browser, sessions, CSRF, lockout, a proxy in front."""

from __future__ import annotations

import asyncio
import concurrent.futures
import html
import ipaddress
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import Response
from tests.integration.server.conftest import Served, environment

from headrace.model.accounts import Role
from headrace.server.accounts.cookies import Cookies
from headrace.server.config import ServerConfig
from headrace.server.forwarded import Forwarded
from headrace.services.accounts.users import Accounts, NewToken, Source
from headrace.settings import Settings
from headrace.testing.metadata import new_run
from headrace.testing.postgres import restartable_postgres
from headrace.wiring import Workspace

ROOT = Source(actor="root@here")
PASSWORD = "correct horse 9"
RUN = "/api/v1/projects/shop/runs/train/1"


def prepare(folder: Path) -> str:
    """Users with passwords in a new database, one run of the project shop; the text of a token."""
    with Workspace(Settings(home=str(folder / ".headrace"))) as workspace:
        accounts = Accounts(workspace.accounts)
        for name in ("ada", "bob", "eve", "carl"):
            accounts.add(ROOT, name, password=PASSWORD)
        accounts.set_role(ROOT, "ada", "shop", Role.ADMIN)
        accounts.set_role(ROOT, "bob", "shop", Role.EDITOR)
        new_run(workspace.metadata, project="shop")
        return accounts.add_token(ROOT, NewToken(user="bob", name="ci"))[1]


def fields(page: httpx.Response) -> dict[str, str]:
    """The fields of a form that are not shown."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    return {name: html.unescape(value) for name, value in found}


class Site:
    """A server with accounts, and browsers that forget nothing but what they are told to."""

    def __init__(self, folder: Path) -> None:
        self.token = prepare(folder)
        self.folder = folder
        self.server = Served(folder, "--auth", "users")
        self.url = self.server.url

    def browser(self) -> httpx.Client:
        """A client with cookies of its own, which follows no redirects."""
        return httpx.Client(base_url=self.url, timeout=30, headers={"Origin": self.url})

    def log_in(self, browser: httpx.Client, name: str, password: str = PASSWORD, target: str = "/") -> httpx.Response:
        """What the form does."""
        page = browser.get("/login", params={"next": target})
        assert page.status_code == 200
        form = fields(page)
        return browser.post("/login", data={**form, "name": name, "password": password})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.server.stop(signal.SIGKILL)


def test_server_with_accounts_starts_runs_only_if_it_was_told_to(site: Site) -> None:
    """An editor would run code as its user."""
    with httpx.Client(base_url=site.url, timeout=30, headers={"Authorization": f"Bearer {site.token}"}) as client:
        for action in ("runs/train/1/resume", "flows/train/start"):
            answer = client.post(f"/api/v1/projects/shop/{action}", json={})
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (403, "no-drivers"), answer.text


def test_form_logs_in_and_out(site: Site) -> None:
    with site.browser() as browser:
        assert browser.get("/api/v1/session").status_code == 401
        answer = site.log_in(browser, "ada", target="/p/shop?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/p/shop?x=1")
        me = browser.get("/api/v1/session").json()
        assert (me["user"], me["roles"], me["auth"]) == ("ada", {"shop": "admin"}, "users")
        assert browser.get(RUN).status_code == 200
        assert browser.post("/logout", data={"csrf": "wrong"}).status_code == 403
        assert browser.post("/logout", data={"csrf": me["csrf"]}).status_code == 303
        assert browser.get("/api/v1/session").status_code == 401


def test_wrong_name_and_wrong_password_are_answered_alike(site: Site) -> None:
    with site.browser() as browser:
        answers = [site.log_in(browser, "ada", "wrong password"), site.log_in(browser, "nobody", "wrong password")]
        texts = {re.sub(r'name="guard" value="[^"]*"', "", answer.text) for answer in answers}
        assert [answer.status_code for answer in answers] == [401, 401]
        assert len(texts) == 1
        assert "set-cookie" not in {name for name in answers[0].headers if "session" in answers[0].headers[name]}


def test_session_cookie_is_out_of_reach_of_scripts_and_new_with_every_login(site: Site) -> None:
    """A cookie that was planted before (session fixation) is of no use, and the session before is over."""
    with site.browser() as browser:
        browser.cookies.set("headrace_session", "planted-by-another-site", domain="127.0.0.1")
        answer = site.log_in(browser, "ada")
        [cookie] = [text for text in answer.headers.get_list("set-cookie") if text.startswith("headrace_session=")]
        first = cookie.partition("=")[2].partition(";")[0]
        assert first != "planted-by-another-site"
        assert {part.strip().lower() for part in cookie.split(";")[1:]} >= {"httponly", "samesite=lax", "path=/"}
        old = httpx.Client(base_url=site.url, cookies={"headrace_session": first})
        assert old.get("/api/v1/session").status_code == 200
        browser.cookies.clear()
        browser.cookies.set("headrace_session", first)
        second = site.log_in(browser, "ada").headers["set-cookie"]
        assert first not in second
        assert old.get("/api/v1/session").status_code == 401
        old.close()


def test_change_with_a_cookie_must_show_the_csrf_token(site: Site) -> None:
    """A page of another site has the cookie sent, but can neither read nor set the token."""
    with site.browser() as browser, site.browser() as other:
        site.log_in(browser, "ada")
        site.log_in(other, "ada")
        csrf = browser.get("/api/v1/session").json()["csrf"]
        foreign = other.get("/api/v1/session").json()["csrf"]
        role = "/api/v1/projects/shop/roles/eve"
        body = {"role": "viewer"}
        for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": foreign}, {"X-CSRF-Token": csrf[:-1]}):
            answer = browser.put(role, json=body, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:headrace:problem:csrf"), headers
        evil = browser.put(role, json=body, headers={"X-CSRF-Token": csrf, "Origin": "https://evil.example"})
        assert evil.json()["type"] == "urn:headrace:problem:origin"
        assert browser.put(role, json=body, headers={"X-CSRF-Token": csrf}).status_code == 204
        assert browser.delete(role, headers={"X-CSRF-Token": csrf}).status_code == 204


def test_form_of_another_site_cannot_log_a_browser_in(site: Site) -> None:
    """Login CSRF: the form must show what a cookie of this site says."""
    with site.browser() as browser:
        answer = browser.post("/login", data={"guard": "x", "next": "/", "name": "eve", "password": PASSWORD})
        assert answer.status_code == 403
        browser.cookies.clear()
        browser.get("/login")
        answer = browser.post("/login", data={"guard": "", "next": "/", "name": "eve", "password": PASSWORD})
        assert answer.status_code == 403
        assert "headrace_session" not in browser.cookies


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nSet-Cookie: x=1", "x"],
)
def test_login_leads_to_this_server_alone(site: Site, target: str) -> None:
    with site.browser() as browser:
        answer = site.log_in(browser, "ada", target=target)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "x" not in browser.cookies


def test_too_many_failures_lock_out_with_back_off(site: Site) -> None:
    with site.browser() as browser:
        for _ in range(5):
            assert site.log_in(browser, "carl", "wrong password").status_code == 401
        answer = site.log_in(browser, "carl")
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert site.log_in(browser, "ada").status_code == 303


def test_flood_of_logins_holds_up_no_other_request(site: Site) -> None:
    """They are checked or sent away; tokens are let in meanwhile."""
    with site.browser() as browser:
        form = fields(browser.get("/login"))
        cookies = dict(browser.cookies)

    def log_in(number: int) -> int:
        data = {**form, "name": f"nobody{number}", "password": "wrong password"}
        return httpx.post(site.url + "/login", data=data, cookies=cookies, timeout=60).status_code

    with concurrent.futures.ThreadPoolExecutor(12) as pool:  # more failures would lock this address out
        flood = [pool.submit(log_in, number) for number in range(12)]
        while not all(one.done() for one in flood):
            answer = site.server.client.get("/api/v1/session", headers={"Authorization": f"Bearer {site.token}"})
            assert answer.status_code == 200
    statuses = [one.result() for one in flood]
    assert 401 in statuses
    assert set(statuses) <= {401, 503}


def test_pages_have_no_scripts_and_cannot_be_framed(site: Site) -> None:
    hostile = '"><script>alert(1)</script>'
    with site.browser() as browser:
        for page in (browser.get("/login", params={"next": f"/{hostile}"}), site.log_in(browser, hostile, "wrong")):
            assert "<script" not in page.text
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "script-src" not in policy
            assert page.headers["cache-control"] == "no-store"


def test_own_password_is_changed_with_the_old_one(site: Site) -> None:
    with site.browser() as browser:
        site.log_in(browser, "bob")
        headers = {"X-CSRF-Token": browser.get("/api/v1/session").json()["csrf"]}
        path = "/api/v1/session/password"
        wrong = browser.put(path, json={"old": "wrong", "new": "another horse 9"}, headers=headers)
        assert wrong.status_code == 403
        assert browser.put(path, json={"old": PASSWORD, "new": "short"}, headers=headers).status_code == 400
        assert browser.put(path, json={"old": PASSWORD, "new": "another horse 9"}, headers=headers).status_code == 204
        assert browser.get("/api/v1/session").status_code == 401
        assert site.log_in(browser, "bob", "another horse 9").status_code == 303
    bearer = {"Authorization": f"Bearer {site.token}"}
    body = {"old": "another horse 9", "new": PASSWORD}
    assert httpx.put(site.url + "/api/v1/session/password", json=body, headers=bearer).status_code == 403


# --- tokens, cookies and headers that are garbage -----------------------------------------------------------------

_wild = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=120)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_wild, st.sampled_from(["authorization", "bearer", "cookie", "session", "proxy"]))
def test_garbage_lets_nobody_in(site: Site, text: str, where: str) -> None:
    headers = {
        "authorization": {"Authorization": text},
        "bearer": {"Authorization": f"Bearer {text}"},
        "cookie": {"Cookie": text},
        "session": {"Cookie": f"headrace_session={text}"},
        "proxy": {"X-Forwarded-User": text, "X-Forwarded-For": text, "X-Request-ID": text},
    }[where]
    raw = [(name.encode(), value.strip().encode("latin-1")) for name, value in headers.items()]
    answer = site.server.client.get("/api/v1/session", headers=raw)
    assert answer.status_code in (400, 401), answer.text


@pytest.mark.parametrize("change", ["prefix", "cut", "case", "doubled", "spaced", "other"])
def test_token_that_is_almost_right_lets_nobody_in(site: Site, change: str) -> None:
    good = site.token
    text = {
        "prefix": good.removeprefix("headrace_"),
        "cut": good[:-1],
        "case": good.swapcase(),
        "doubled": good + good,
        "spaced": good[:20] + " " + good[20:],
        "other": good[:-1] + ("A" if good[-1] != "A" else "B"),
    }[change]
    client = site.server.client
    assert client.get("/api/v1/session", headers={"Authorization": f"Bearer {text}"}).status_code == 401
    assert client.get("/api/v1/session", headers={"Authorization": f"bearer  {good}"}).status_code == 200


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text().map(str.encode), st.sampled_from(["/login", "/logout", "/login/cli"]))
def test_garbage_in_forms_is_answered(site: Site, body: bytes, path: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = site.server.client.post(path, content=body, headers=headers)
    assert answer.status_code < 500, answer.text
    assert "headrace_session=" not in answer.headers.get("set-cookie", "").replace('headrace_session="";', "")


def test_request_ids_and_names_cannot_forge_lines_of_logs(site: Site) -> None:
    """Header and log injection: what a client sends stands in one line, or not at all."""
    with socket.create_connection(("127.0.0.1", urlsplit(site.url).port or 80)) as raw:
        raw.sendall(
            b"PUT /api/v1/projects/shop%0d%0aevil/roles/x%0aINFO%20forged HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"X-Request-ID: forged\x0bline\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        answer = b""
        while part := raw.recv(65536):
            answer += part
    head = answer.partition(b"\r\n\r\n")[0]
    assert b"forged" not in head
    assert b"evil" not in head
    with site.browser() as browser:
        site.log_in(browser, "ada\r\nforged", "wrong password")
        site.log_in(browser, "ada")
        items = browser.get("/api/v1/projects/shop/audit").json()["items"]
    assert "forged" not in json.dumps(items)


# --- the command line ---------------------------------------------------------------------------------------------


def command(site: Site, *argv: str, typed: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``headrace`` as a user on another machine: nothing but a place for credentials."""
    home = site.folder / "laptop"
    home.mkdir(exist_ok=True)
    variables = environment(HOME=str(home), XDG_CONFIG_HOME=str(home / "config"), **env)
    variables |= {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    return subprocess.run(
        [sys.executable, "-m", "headrace", *argv],
        cwd=home,
        env=variables,
        input=typed,
        text=True,
        capture_output=True,
        timeout=60,
    )


def test_command_line_logs_in_with_a_token_says_who_it_is_and_logs_out(site: Site) -> None:
    with site.browser() as browser:
        site.log_in(browser, "ada")
        headers = {"X-CSRF-Token": browser.get("/api/v1/session").json()["csrf"]}
        made = browser.post("/api/v1/tokens", json={"name": "laptop", "project": "shop"}, headers=headers).json()
    assert "begin with headrace_" in command(site, "login", site.url, "--with-token", typed="x\n").stderr
    done = command(site, "login", site.url, "--with-token", typed=made["token"] + "\n")
    assert f"Logged in to {site.url} as ada" in done.stdout, done.stderr
    kept = site.folder / "laptop" / "config" / "headrace" / "credentials.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    shown = json.loads(command(site, "whoami", "--json").stdout)
    assert (shown["server"], shown["user"], shown["project"], shown["scope"]) == (site.url, "ada", "shop", "editor")
    assert "Logged out" in command(site, "logout").stdout
    assert httpx.get(site.url + RUN, headers={"Authorization": f"Bearer {made['token']}"}).status_code == 401
    done = command(site, "whoami", site.url)
    assert done.returncode == 1
    assert "headrace login" in done.stderr


def test_command_line_is_let_in_by_a_page(site: Site) -> None:
    """The browser is led to the listener of the command line, with a code that it alone can use, once."""
    home = site.folder / "laptop2"
    home.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "headrace", "login", site.url, "--no-browser"],
        cwd=home,
        env=environment(
            HOME=str(home), XDG_CONFIG_HOME=str(home), PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring"
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            process.stderr.readline()
            address = process.stderr.readline().strip()
            with site.browser() as browser:
                asked = browser.get(address)
                assert asked.headers["location"].startswith("/login?next=")
                target = parse_qs(urlsplit(asked.headers["location"]).query)["next"][0]
                back = site.log_in(browser, "ada", target=target)
                page = browser.get(back.headers["location"])
                form = fields(page)
                assert browser.post("/login/cli", data={**form, "csrf": "wrong"}).status_code == 403
                assert browser.post("/login/cli", data={**form, "port": "22"}).status_code == 400
                sent = browser.post("/login/cli", data=form)
                leads = sent.headers["location"]
                assert leads.startswith(f"http://127.0.0.1:{form['port']}/?code=")
                code = parse_qs(urlsplit(leads).query)["code"][0]
                assert httpx.get(leads.replace(form["state"], "x" * 32)).status_code == 404, (
                    "an answer with another state"
                )
                stolen = httpx.post(
                    site.url + "/api/v1/session/token", json={"code": code[:-2] + "xx", "verifier": "x"}
                )
                assert stolen.status_code == 403
                assert httpx.get(leads).status_code == 200
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert "Logged in" in out
    assert json.loads((home / "headrace" / "credentials.json").read_text())["latest"] == site.url
    again = httpx.post(site.url + "/api/v1/session/token", json={"code": code, "verifier": "x"})
    assert again.status_code == 403


def test_code_is_of_no_use_without_the_secret_of_the_command_line(site: Site) -> None:
    with site.browser() as browser:
        site.log_in(browser, "ada")
        csrf = browser.get("/api/v1/session").json()["csrf"]
        form = {"csrf": csrf, "port": "50000", "state": "s" * 32, "challenge": "c" * 43, "machine": "<b>laptop</b>"}
        leads = browser.post("/login/cli", data=form).headers["location"]
        code = parse_qs(urlsplit(leads).query)["code"][0]
        body = {"code": code, "verifier": "c" * 43}
        assert httpx.post(site.url + "/api/v1/session/token", json=body).status_code == 403
        page = browser.get("/login/cli", params=form)
        assert "&lt;b&gt;laptop&lt;/b&gt;" in page.text


# --- a proxy in front ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that believes 127.0.0.2, and no other address."""
    folder = tmp_path_factory.mktemp("behind")
    prepare(folder)
    made = Served(folder, "--auth", "proxy", "--behind-proxy", "127.0.0.2", "--user-header", "X-User")
    yield made
    made.stop(signal.SIGKILL)


def through(address: str, served: Served, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """A request that comes from ``address``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address), base_url=served.url, timeout=30) as client:
        return client.request(method, path, headers=named)


def test_header_of_the_trusted_proxy_alone_names_the_user(behind: Served) -> None:
    assert through("127.0.0.2", behind, "/api/v1/session", X_User="ada").json()["roles"] == {"shop": "admin"}
    for address in ("127.0.0.1", "127.0.0.3"):
        assert through(address, behind, "/api/v1/session", X_User="ada").status_code == 401
        forged = through(address, behind, "/api/v1/session", X_User="ada", X_Forwarded_For="127.0.0.2")
        assert forged.status_code == 401
    assert through("127.0.0.2", behind, "/api/v1/session").status_code == 401
    assert through("127.0.0.2", behind, "/api/v1/session", X_User="a/b").status_code == 401


def test_new_user_of_the_proxy_has_no_roles(behind: Served) -> None:
    found = through("127.0.0.2", behind, "/api/v1/session", X_User="new@example.org").json()
    assert (found["user"], found["roles"], found["admin"]) == ("new@example.org", {}, False)
    assert through("127.0.0.2", behind, RUN, X_User="new@example.org").status_code == 404


def test_audit_has_the_address_that_the_trusted_proxy_reports(behind: Served) -> None:
    """The last address of the chain that is not a trusted proxy: those before it are what the client says."""
    refused = {"X_User": "bob", "X_Forwarded_For": "203.0.113.9, 198.51.100.7, 127.0.0.2"}
    answer = through("127.0.0.2", behind, "/api/v1/projects/shop/roles/eve", "DELETE", **refused)
    assert answer.status_code == 403
    [newest, *_] = through("127.0.0.2", behind, "/api/v1/projects/shop/audit", X_User="ada").json()["items"]
    assert (newest["actor"], newest["address"], newest["outcome"]) == ("bob", "198.51.100.7", "refused")
    assert newest["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--auth", "oidc"), "--oidc-issuer"),
        (("--auth", "oidc", "--oidc-issuer", "http://login.example.org", "--oidc-client-id", "x"), "https://"),
        (("--auth", "users", "--oidc-issuer", "https://login.example.org"), "go together"),
        (("--auth", "proxy", "--user-header", "X-User"), "--behind-proxy"),
        (("--auth", "proxy", "--behind-proxy", "127.0.0.1"), "--user-header"),
        (("--auth", "users", "--behind-proxy", "proxy.example.org"), "by its address"),
    ],
)
def test_modes_that_cannot_be_are_refused_at_the_start(options: tuple[str, ...], problem: str) -> None:
    from click.testing import CliRunner

    from headrace.cli.main import headrace_command
    from headrace.model.errors import UsageError

    done = CliRunner().invoke(headrace_command, ["server", "--port", "0", *options])
    assert isinstance(done.exception, UsageError)
    assert problem in str(done.exception)


# --- a database that is away --------------------------------------------------------------------------------------


def test_database_that_is_away_lets_in_who_is_known_and_tells_others_to_wait(tmp_path: Path) -> None:
    """And once it is back, all is as before."""
    with restartable_postgres() as postgres:
        database = f"{postgres.url}&schema=away"
        with Workspace(Settings(home=str(tmp_path / ".headrace"), database=database)) as workspace:
            accounts = Accounts(workspace.accounts)
            accounts.add(ROOT, "ada")
            known, new = [accounts.add_token(ROOT, NewToken(user="ada", name=name))[1] for name in ("a", "b")]
        server = Served(tmp_path, "--auth", "users", "--database", database)

        def ask(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return server.client.get("/api/v1/session", headers=headers).status_code

        assert ask(known) == 200
        postgres.stop()
        assert (ask(known), ask(new)) == (200, 503)
        postgres.start()
        assert (ask(known), ask(new)) == (200, 200)
        server.stop(signal.SIGKILL)


# --- in this process ----------------------------------------------------------------------------------------------


def test_cookies_are_for_tls_and_this_host_alone_where_there_is_tls() -> None:
    cookies = Cookies(ServerConfig(auth="users", base_url="https://headrace.example.org"))
    response = Response()
    cookies.set(response, "session", "secret", 60.0)
    cookies.drop(response, "session")
    for text in response.headers.getlist("set-cookie"):
        name, *parts = text.split(";")
        assert name.startswith("__Host-headrace_session=")
        assert {part.strip().lower() for part in parts} >= {"secure", "httponly", "path=/", "samesite=lax"}
        assert "domain" not in text.lower(), "with a domain the prefix __Host- is not valid"


@given(st.lists(st.text(max_size=40) | st.ip_addresses().map(str), max_size=5), st.booleans())
def test_any_chain_of_a_proxy_leaves_an_address_of_the_chain_or_the_proxy(chain: list[str], trusted: bool) -> None:
    """What is not an address is never believed; of an untrusted sender nothing is."""
    text = ",".join(chain).encode("utf-8", "replace")
    peer = "10.0.0.7" if trusted else "192.0.2.1"
    scope: dict[str, Any] = {
        "type": "http",
        "client": (peer, 1),
        "scheme": "http",
        "headers": [(b"x-forwarded-for", text), (b"x-forwarded-proto", b"https")],
    }
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    asyncio.run(Forwarded(app, ["10.0.0.0/24"])(scope, None, None))  # type: ignore[arg-type]
    address = seen[0]["client"][0]
    assert seen[0]["proxy"] is trusted
    if not trusted:
        assert (address, seen[0]["scheme"]) == (peer, "http")
    elif address != peer:
        ipaddress.ip_address(address)
        assert address in [part.strip() for part in text.decode("latin-1").split(",")]
