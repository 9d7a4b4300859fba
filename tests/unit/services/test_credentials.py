"""Tokens for servers: what is kept where, who may read it, and which addresses are those of servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring

from headrace.model.errors import UsageError
from headrace.services.credentials import Credentials, server_url
from headrace.settings import credentials, server_token

URL = "https://headrace.example.org"


class Memory(KeyringBackend):
    """A keyring in memory."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture(params=["keyring", "file"])
def ring(request: pytest.FixtureRequest) -> Iterator[Memory | None]:
    before = keyring.get_keyring()
    memory = Memory() if request.param == "keyring" else None
    keyring.set_keyring(memory or NoKeyring())
    yield memory
    keyring.set_keyring(before)


def test_token_is_kept_in_the_keyring_or_a_private_file(ring: Memory | None, tmp_path: Path) -> None:
    kept = Credentials(tmp_path / "config" / "credentials.json")
    assert kept.token(URL) == ""
    kept.keep(URL + "/", "ada", "headrace_secret")
    assert kept.token("HEADRACE.example.org:443") == "headrace_secret"
    assert kept.latest == URL
    assert ("headrace_secret" in kept.file.read_text()) == (ring is None)
    assert kept.file.stat().st_mode & 0o777 == 0o600
    assert kept.file.parent.stat().st_mode & 0o777 == 0o700
    kept.keep("http://127.0.0.1:8700", "bob", "headrace_other")
    assert kept.token(URL) == "headrace_secret"
    assert kept.forget("http://127.0.0.1:8700")
    assert not kept.forget("http://127.0.0.1:8700")
    assert kept.latest == URL
    assert kept.forget(URL)
    assert (kept.token(URL), kept.latest) == ("", "")
    assert ring is None or ring.kept == {}


def test_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    kept = Credentials(tmp_path / "credentials.json")
    kept.file.write_text("{}")
    kept.file.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        kept.token(URL)
    kept.file.chmod(0o600)
    kept.file.write_text("[1]")
    with pytest.raises(UsageError, match="not a file of credentials"):
        kept.token(URL)
    assert os.listdir(tmp_path) == ["credentials.json"]


def test_variable_wins_over_the_login(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    credentials(environ).keep(URL, "ada", "headrace_kept")
    assert server_token(URL, environ) == "headrace_kept"
    assert server_token(URL, {**environ, "HEADRACE_TOKEN": "headrace_given"}) == "headrace_given"
    assert server_token("https://other.example.org", environ) == ""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://a.example/", "https://a.example"),
        ("a.example", "https://a.example"),
        ("https://A.example:443/x/", "https://a.example/x"),
        ("http://localhost:8700", "http://localhost:8700"),
        ("http://[::1]:8700/", "http://[::1]:8700"),
    ],
)
def test_address_has_one_form(given: str, kept: str) -> None:
    assert server_url(given) == kept


@pytest.mark.parametrize(
    "url",
    [
        *("", "ftp://a", "https://", "http://a.example", "https://u:p@a", "https://a?x", "https://a#x", "https://a b"),
        *("https://a:99999", "https://[::1", "https://a\nb", "file:///etc/passwd", "http://127.0.0.1.evil.example"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        server_url(url)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        made = server_url(text)
    except UsageError:
        return
    assert server_url(made) == made
