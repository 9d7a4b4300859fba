"""``headrace login``, ``headrace whoami`` and ``headrace logout``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.options import as_json
from headrace.cli.output import clean, print_facts, print_json

if TYPE_CHECKING:
    from headrace.stores.http_client import HttpClient

_SESSION = "/api/v1/session"


def _client(url: str, token: str) -> HttpClient:
    from headrace.stores.http_client import Endpoint, HttpClient

    return HttpClient(Endpoint(url, lambda: token, ""), patience=0)


def _ask(client: HttpClient, method: str, path: str, body: object = None) -> Any:
    """What the server answers, decoded; raises the error that it answers with."""
    import msgspec

    from headrace.stores.http_client import Request

    data = b"" if body is None else msgspec.json.encode(body)
    headers = {"Content-Type": "application/json"} if data else {}
    answer = client.once(Request(method, path, data, headers, again=False))
    return msgspec.json.decode(answer) if answer else None


def _server(url: str | None) -> str:
    """The server that is meant: of the command line, of ``HEADRACE_SERVER``, or of the last login."""
    from headrace.model.errors import UsageError
    from headrace.services.credentials import server_url
    from headrace.settings import credentials

    found = url or os.environ.get("HEADRACE_SERVER") or credentials().latest
    if not found:
        raise UsageError("which server? Name it, such as https://HOST, or set HEADRACE_SERVER")
    return server_url(found)


@click.command(name="login")
@click.argument("url", metavar="[URL]", required=False)
@click.option("--with-token", is_flag=True, help="Read a token from standard input, instead of opening the browser.")
@click.option("--no-browser", is_flag=True, help="Print the address of the page to open, and open nothing.")
def login_command(url: str | None, with_token: bool, no_browser: bool) -> None:
    """Log in to the server at URL, and keep the token that it gives for later commands and runs.

    It is kept in the keyring of the system, else in a file that you alone may read. Without URL the server is that of
    HEADRACE_SERVER, or of the last login.
    """
    from headrace.settings import credentials

    server = _server(url)
    token = _token_from_input() if with_token else _token_from_browser(server, no_browser)
    found = _ask(_client(server, token), "GET", _SESSION)
    place = credentials().keep(server, found["user"], token)
    click.echo(f"Logged in to {server} as {clean(found['user'])}. The token is in {place}.")
    if os.environ.get("HEADRACE_TOKEN"):
        click.echo("headrace: HEADRACE_TOKEN is set, and is used instead of it", err=True)


def _token_from_input() -> str:
    from headrace.model.errors import UsageError
    from headrace.services.accounts.secret_texts import is_token

    text = click.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    token = str(text).strip()
    if not is_token(token):
        raise UsageError("this is not a token of Headrace: these begin with headrace_, as `headrace token add` prints")
    return token


def _token_from_browser(server: str, no_browser: bool) -> str:
    from headrace.cli.browser_login import BrowserLogin
    from headrace.model.errors import UsageError

    client = _client(server, "")
    if _ask(client, "GET", "/api/v1/about")["auth"] == "none":
        raise UsageError(f"{server} has no accounts: whoever reaches it is the user who started it; no login is needed")
    login = BrowserLogin(server)
    if no_browser or not _opened(login.address):
        click.echo(f"Open this page on this machine, and allow it there:\n  {login.address}", err=True)
    else:
        click.echo("A page was opened in your browser; allow it there.", err=True)
    answer = login.wait()
    made = _ask(client, "POST", f"{_SESSION}/token", {"code": answer.code, "verifier": answer.verifier})
    return str(made["token"])


def _opened(address: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False


@click.command(name="whoami")
@click.argument("url", metavar="[URL]", required=False)
@as_json
def whoami_command(url: str | None, json: bool) -> None:
    """Say who you are for the server at URL, and what you may do there.

    With --json: an object with the keys server, user, admin, roles, token, project, scope.
    """
    from headrace.settings import server_token

    server = _server(url)
    found = _ask(_client(server, server_token(server)), "GET", _SESSION)
    if json:
        names = ("user", "admin", "roles", "token", "project", "scope")
        print_json({"server": server, **{name: found[name] for name in names}})
        return
    roles = [f"{role} of {'all projects' if name == '*' else clean(name)}" for name, role in found["roles"].items()]
    facts = [("server", server), ("user", clean(found["user"])), ("roles", ", ".join(roles) or "none")]
    if found["token"] is not None:
        bounds = f", project {clean(found['project'])}" if found["project"] else ""
        facts.append(("token", f"{found['token']}: {found['scope']}{bounds}"))
    print_facts(facts)


@click.command(name="logout")
@click.argument("url", metavar="[URL]", required=False)
def logout_command(url: str | None) -> None:
    """Revoke the token of the last login to the server at URL, and forget it."""
    from headrace.model.errors import HeadraceError
    from headrace.settings import credentials

    server = _server(url)
    kept = credentials()
    token = kept.token(server)
    if not token:
        click.echo(f"You are not logged in to {server}.")
        return
    try:
        _ask(_client(server, token), "DELETE", _SESSION)
    except HeadraceError as error:
        click.echo(f"headrace: the token could not be revoked ({error}); it is forgotten here", err=True)
    kept.forget(server)
    click.echo(f"Logged out of {server}.")
