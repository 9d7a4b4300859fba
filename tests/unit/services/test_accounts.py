"""Users, roles and tokens: what is refused, what is audited, and what logging in takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from headrace.model.accounts import AuditFilter, Role
from headrace.model.errors import NotFoundError, UsageError
from headrace.services.accounts import passwords, secret_texts
from headrace.services.accounts.login import LockedOutError, LoginError, Logins
from headrace.services.accounts.users import Accounts, NewToken, Source
from headrace.settings import Settings
from headrace.wiring import Workspace

PASSWORD = "correct horse 9"
ROOT = Source(actor="root@here", address="command line", request_id="r1")
WEB = Source(actor="", address="192.0.2.7", request_id="r2")


class Clock:
    """A time that tests move."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _cheap_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time: these tests make a hundred of them."""
    if "parameters" not in request.node.name:
        monkeypatch.setattr(passwords, "_hasher", lambda: PasswordHasher.from_parameters(CHEAPEST))
        monkeypatch.setattr(passwords, "_of_nobody", lambda: passwords._hasher().hash("x"))


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    with Workspace(Settings(home=str(tmp_path / "home"))) as workspace:
        yield Accounts(workspace.accounts, Clock())


@pytest.fixture
def clock(accounts: Accounts) -> Clock:
    assert isinstance(accounts.clock, Clock)
    return accounts.clock


@pytest.fixture
def logins(accounts: Accounts) -> Logins:
    return Logins(accounts)


def log(accounts: Accounts) -> list[tuple[str, ...]]:
    """Who did what to whom, oldest first."""
    found = accounts.store.audit(AuditFilter(limit=1000))
    return [(one.actor, one.action, one.object, one.outcome, one.detail) for one in reversed(found)]


def test_every_change_is_audited(accounts: Accounts) -> None:
    accounts.add(ROOT, "ada", display="Ada", password=PASSWORD)
    accounts.set_role(ROOT, "ada", "shop", Role.EDITOR)
    accounts.set_role(ROOT, "ada", "shop", None)
    accounts.set_disabled(ROOT, "ada", True)
    accounts.set_disabled(ROOT, "ada", False)
    accounts.set_password(ROOT, "ada", "another horse 9")
    token, _ = accounts.add_token(ROOT, NewToken(user="ada", name="ci", scope=Role.VIEWER, project="shop"))
    accounts.revoke_token(ROOT, token.id)
    accounts.revoke_token(ROOT, token.id)  # changes nothing
    assert [entry[1:3] + entry[4:] for entry in log(accounts)] == [
        ("user.add", "ada", ""),
        ("role.set", "ada", "editor"),
        ("role.set", "ada", "none"),
        ("user.disable", "ada", ""),
        ("user.enable", "ada", ""),
        ("user.passwd", "ada", ""),
        ("token.add", "ci", "id 1, user ada, viewer"),
        ("token.revoke", "ci", "id 1, user ada"),
    ]
    [newest, *_] = accounts.store.audit(AuditFilter())
    assert (newest.actor, newest.address, newest.request_id) == ("root@here", "command line", "r1")


@pytest.mark.parametrize("name", ["", " ada", "ada\n", "a/b", "ada<script>", "-ada", "x" * 101, "ädä", "a\0b", "*"])
def test_names_that_could_be_mistaken_are_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        accounts.add(ROOT, name)
    assert log(accounts) == []


@pytest.mark.parametrize("password", ["short", "x" * 257, "aaaaaaaaaaaaaaaa", "ada1234567"])
def test_passwords_that_are_found_by_trying_are_refused(accounts: Accounts, password: str) -> None:
    with pytest.raises(UsageError, match="password"):
        accounts.add(ROOT, "ada", password=password)
    assert accounts.store.users() == []


def test_parameters_of_hashes_are_those_of_rfc_9106_and_old_ones_are_replaced(
    accounts: Accounts, logins: Logins
) -> None:
    weak = PasswordHasher.from_parameters(CHEAPEST).hash(PASSWORD)
    accounts.store.change_user(replace(accounts.add(ROOT, "ada"), password=weak))
    assert logins.check_password(WEB, "ada", PASSWORD).name == "ada"
    stored = accounts.find("ada").password
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.is_right(stored, PASSWORD)
    assert not passwords.is_right(stored, PASSWORD + " ")


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        (NewToken(user="ada", name=""), "name of a token"),
        (NewToken(user="ada", name="a\nb"), "name of a token"),
        (NewToken(user="ada", name="x", project="a\tb"), "name of a project"),
        (NewToken(user="ada", name="x", seconds=0.0), "valid"),
        (NewToken(user="ada", name="x", seconds=float("nan")), "valid"),
        (NewToken(user="ada", name="x", seconds=1e12), "valid"),
        (NewToken(user="eve", name="x"), "no user"),
        (NewToken(user="off", name="x"), "disabled"),
    ],
)
def test_impossible_tokens_are_refused(accounts: Accounts, new: NewToken, problem: str) -> None:
    accounts.add(ROOT, "ada")
    accounts.add(ROOT, "off")
    accounts.set_disabled(ROOT, "off", True)
    with pytest.raises(UsageError, match=problem):
        accounts.add_token(ROOT, new)
    assert accounts.store.tokens() == []


def test_token_lets_in_until_it_expires_is_revoked_or_its_user_is_disabled(
    accounts: Accounts, logins: Logins, clock: Clock
) -> None:
    accounts.add(ROOT, "ada")
    token, text = accounts.add_token(ROOT, NewToken(user="ada", name="ci", seconds=100.0))
    found = logins.token_of(text)
    assert found is not None
    assert (found[0].id, found[1].name) == (token.id, "ada")
    assert accounts.store.tokens()[0].last_used == clock.now
    accounts.set_disabled(ROOT, "ada", True)
    assert logins.token_of(text) is None
    accounts.set_disabled(ROOT, "ada", False)
    clock.now += 100.0
    assert logins.token_of(text) is None
    second, text = accounts.add_token(ROOT, NewToken(user="ada", name="ci", seconds=None))
    clock.now += 1e9
    assert logins.token_of(text) is not None
    accounts.revoke_token(ROOT, second.id)
    assert logins.token_of(text) is None


def test_text_of_a_token_is_nowhere_in_the_database(accounts: Accounts, tmp_path: Path, logins: Logins) -> None:
    accounts.add(ROOT, "ada", password=PASSWORD)
    _, text = accounts.add_token(ROOT, NewToken(user="ada", name="ci"))
    opened = logins.open_session(WEB, accounts.find("ada"), "password")
    stored = b"".join(file.read_bytes() for file in (tmp_path / "home").iterdir() if file.is_file())
    assert b"ada" in stored
    for secret in (text, text.removeprefix(secret_texts.PREFIX), opened.cookie, PASSWORD):
        assert secret.encode() not in stored


def test_revoking_a_token_of_another_user_finds_nothing(accounts: Accounts) -> None:
    accounts.add(ROOT, "ada")
    token, _ = accounts.add_token(ROOT, NewToken(user="ada", name="ci"))
    with pytest.raises(NotFoundError):
        accounts.revoke_token(ROOT, token.id, "bob")
    assert accounts.store.tokens()[0].revoked is None


def test_login_takes_name_and_password_of_an_enabled_user(accounts: Accounts, logins: Logins) -> None:
    accounts.add(ROOT, "ada", password=PASSWORD)
    accounts.add(ROOT, "sso")
    assert logins.check_password(WEB, "ada", PASSWORD).name == "ada"
    for name, password in (("ada", "wrong"), ("ADA", PASSWORD), ("eve", PASSWORD), ("sso", ""), ("ada", "x" * 10_000)):
        with pytest.raises(LoginError, match="do not fit"):
            logins.check_password(WEB, name, password)
    accounts.set_disabled(ROOT, "ada", True)
    with pytest.raises(LoginError, match="do not fit"):
        logins.check_password(WEB, "ada", PASSWORD)
    refused = [entry for entry in log(accounts) if entry[3] == "refused"]
    assert {entry[2] for entry in refused} == {"ada", "sso", "(unknown user)"}
    assert len(refused) == 6


def test_failed_logins_lock_out_for_longer_and_longer(accounts: Accounts, logins: Logins, clock: Clock) -> None:
    accounts.add(ROOT, "ada", password=PASSWORD)
    for _ in range(5):
        with pytest.raises(LoginError, match="do not fit"):
            logins.check_password(WEB, "ada", "wrong")
    waits = []
    for _ in range(12):
        with pytest.raises(LockedOutError) as caught:
            logins.check_password(WEB, "ada", PASSWORD)
        waits.append(caught.value.seconds)
        clock.now += caught.value.seconds
        with pytest.raises(LoginError, match="do not fit"):
            logins.check_password(WEB, "ada", "wrong")
    refused = [entry for entry in log(accounts) if entry[3] == "refused"]
    assert len(refused) == 5 + 12, "tries of who is locked out leave no entry"
    assert refused[4][4] == "wrong name or password; locked out for 2 s"
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 900.0, 900.0, 900.0]
    elsewhere = Source(actor="", address="198.51.100.1")
    assert logins.check_password(elsewhere, "ada", PASSWORD).name == "ada", "another address is not locked out by it"
    clock.now += 900.0
    assert logins.check_password(WEB, "ada", PASSWORD).name == "ada"
    with pytest.raises(LoginError, match="do not fit"):
        logins.check_password(WEB, "ada", "wrong")


def test_trying_many_names_locks_the_address_out(logins: Logins) -> None:
    for number in range(30):
        with pytest.raises(LoginError, match="do not fit"):
            logins.check_password(WEB, f"user{number}", "wrong")
    with pytest.raises(LockedOutError):
        logins.check_password(WEB, "user99", "wrong")


def test_logins_that_succeed_do_not_lock_out_an_address_that_many_share(accounts: Accounts, logins: Logins) -> None:
    accounts.add(ROOT, "ada", password=PASSWORD)
    for _ in range(60):
        assert logins.check_password(WEB, "ada", PASSWORD).name == "ada"


def test_session_lasts_until_it_is_closed_expires_or_the_password_changes(
    accounts: Accounts, logins: Logins, clock: Clock
) -> None:
    ada = accounts.add(ROOT, "ada", password=PASSWORD)
    first, second, third = [logins.open_session(WEB, ada, "password") for _ in range(3)]
    assert len({first.cookie, second.cookie, third.cookie, first.session.csrf, second.session.csrf}) == 5
    found = logins.session_of(first.cookie)
    assert found is not None
    assert found == (first.session, ada)
    logins.close_session(WEB, first.cookie)
    assert logins.session_of(first.cookie) is None
    assert logins.session_of(first.session.csrf) is None
    accounts.set_password(ROOT, "ada", "another horse 9")
    assert logins.session_of(second.cookie) is None
    fifth = logins.open_session(WEB, ada, "password")
    accounts.set_disabled(ROOT, "ada", True)
    assert logins.session_of(fifth.cookie) is None
    accounts.set_disabled(ROOT, "ada", False)
    sixth = logins.open_session(WEB, ada, "password")
    clock.now = sixth.session.expires
    assert logins.session_of(sixth.cookie) is None
    assert [entry[0] for entry in log(accounts) if entry[1] == "login"] == ["ada"] * 5


def test_second_step_of_a_login_is_possible_once_and_in_time(logins: Logins, clock: Clock) -> None:
    text = logins.begin("oidc", b"body", 60.0)
    assert logins.finish("cli", text) is None
    assert logins.finish("oidc", text) == b"body"
    assert logins.finish("oidc", text) is None
    late = logins.begin("oidc", b"body", 60.0)
    clock.now += 60.0
    assert logins.finish("oidc", late) is None


@given(st.text(max_size=80))
def test_texts_that_are_no_tokens_are_not_looked_for(text: str) -> None:
    assert not secret_texts.is_token(text)
    assert not secret_texts.is_token(secret_texts.new_token() + text + "!")
    assert secret_texts.hash_of(text, "token") != secret_texts.hash_of(text, "session")
    assert secret_texts.equal(text, text)
    assert not secret_texts.equal(text, text + "x")


def test_new_tokens_have_the_form_of_tokens() -> None:
    made = [secret_texts.new_token() for _ in range(100)]
    assert all(secret_texts.is_token(one) for one in made)
    assert len(set(made)) == 100
