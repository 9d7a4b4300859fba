"""The conformance suite of stores of accounts: subclass it, and say how a store is made.

class TestMine(AccountStoreSuite):
    def new_store(self, folder: Path) -> AccountStore:
        return MyAccounts(folder)
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from headrace.model.accounts import AuditEntry, AuditFilter, Grant, LoginSession, Role, Token, User
from headrace.model.errors import LeaseLostError, UsageError
from headrace.model.records import Lease, Tag
from headrace.stores.accounts.protocol import AccountStore
from headrace.stores.metadata.accounts import SqlAccounts
from headrace.testing._metadata_samples import new_run


def entry(action: str = "run.cancel", **more: object) -> AuditEntry:
    """An entry of the audit log."""
    return AuditEntry(**{"created": 5.0, "actor": "ada", "action": action, **more})  # type: ignore[arg-type]


class AccountStoreSuite:
    """What every ``AccountStore`` must do."""

    def new_store(self, folder: Path) -> AccountStore:
        """An empty store."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> AccountStore:
        """One store for one test."""
        return self.new_store(tmp_path)

    def test_users_come_back_as_they_were_put(self, store: AccountStore) -> None:
        """By name, by subject, and all in order; a change replaces everything."""
        bob = User(name="bob", display="Bob <b>", password="$argon2id$x", created=2.5)
        ada = User(name="Ada", subject="https://issuer 7", disabled=True)
        store.add_user(bob)
        store.add_user(ada)
        assert store.users() == [ada, bob]
        assert store.user("bob") == bob
        assert store.user("BOB") is None
        assert store.user_of_subject("https://issuer 7") == ada
        assert store.user_of_subject("") is None
        store.change_user(replace(bob, disabled=True, display="B"))
        assert store.user("bob") == replace(bob, disabled=True, display="B")

    def test_two_users_share_neither_name_nor_subject(self, store: AccountStore) -> None:
        """The second is refused, and the first stays as it is."""
        ada = User(name="ada", subject="s", display="first")
        store.add_user(ada)
        for second in (User(name="ada"), User(name="bob", subject="s")):
            with pytest.raises(UsageError, match="already"):
                store.add_user(second)
        store.add_user(User(name="no1"))
        store.add_user(User(name="no2"))  # neither has a subject
        assert store.user("ada") == ada

    def test_roles_are_per_project(self, store: AccountStore) -> None:
        """A user has one role in a project; None takes it away."""
        store.set_role("ada", "p", Role.VIEWER)
        store.set_role("ada", "*", Role.ADMIN)
        store.set_role("bob", "p", Role.EDITOR)
        store.set_role("ada", "p", Role.EDITOR)
        assert store.roles("ada") == [Grant("ada", "*", Role.ADMIN), Grant("ada", "p", Role.EDITOR)]
        assert len(store.roles()) == 3
        store.set_role("ada", "*", None)
        store.set_role("ada", "q", None)
        assert store.roles("ada") == [Grant("ada", "p", Role.EDITOR)]
        assert store.roles("eve") == []

    def test_tokens_are_found_by_hash_alone(self, store: AccountStore) -> None:
        """A token keeps its bounds, and its id is never used again."""
        made = store.add_token(
            Token(user="ada", name="ci", scope=Role.VIEWER, project="p", created=1.0, expires=9.0), b"h1"
        )
        other = store.add_token(Token(user="bob", name="ci"), b"h2")
        assert made.id != other.id
        assert store.token_of(b"h1") == made
        assert store.token_of(b"h3") is None
        assert store.tokens("ada") == [made]
        assert store.tokens() == [made, other]
        store.note_use(made.id, 4.5)
        assert store.tokens("ada") == [replace(made, last_used=4.5)]

    def test_token_is_revoked_once(self, store: AccountStore) -> None:
        """Revoking says whether the token was valid; the record stays."""
        token = store.add_token(Token(user="ada", name="ci", expires=9.0), b"h")
        assert not store.revoke_token(token.id, 9.0)
        assert store.revoke_token(token.id, 5.0)
        assert not store.revoke_token(token.id, 6.0)
        assert not store.revoke_token(token.id + 1, 6.0)
        found = store.token_of(b"h")
        assert found is not None
        assert found.revoked == 5.0
        assert not found.is_valid(5.5)

    def test_driver_token_is_bound_to_one_run(self, store: AccountStore) -> None:
        """Of several threads that bind it one succeeds; a token that is not a driver's cannot be bound."""
        token = store.add_token(Token(user="ada", name="driver", run=0), b"h")
        bound: list[int] = []

        def bind(run_id: int) -> None:
            if store.bind_token(token.id, run_id):
                bound.append(run_id)

        threads = [threading.Thread(target=bind, args=(run_id,)) for run_id in range(1, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.run for one in store.tokens()] == bound
        assert len(bound) == 1
        assert not store.bind_token(store.add_token(Token(user="ada", name="x"), b"g").id, 3)

    def test_sessions_end_one_by_one_or_all_of_a_user(self, store: AccountStore) -> None:
        """A session is found by the hash of its cookie until it is ended."""
        sessions = [
            LoginSession(hash=bytes([n]), user="ada" if n < 3 else "bob", csrf=f"c{n}", created=1.0, expires=9.0)
            for n in range(4)
        ]
        for session in sessions:
            store.add_session(session)
        assert store.session(b"\0") == sessions[0]
        store.end_session(b"\0")
        store.end_session(b"\0")
        assert store.session(b"\0") is None
        store.end_sessions("ada")
        assert [store.session(one.hash) for one in sessions] == [None, None, None, sessions[3]]
        store.forget_expired(9.0, 0.0)
        assert store.session(b"\3") is None

    def test_pending_login_is_taken_once_and_in_time(self, store: AccountStore) -> None:
        """Another kind, the second call and one that comes too late find nothing."""
        for key in (b"a", b"b", b"c"):
            store.begin_login(key, "oidc", b"\0body", 9.0)
        assert store.take_login(b"a", "cli", 5.0) is None
        assert store.take_login(b"a", "oidc", 5.0) == b"\0body"
        assert store.take_login(b"a", "oidc", 5.0) is None
        assert store.take_login(b"b", "oidc", 9.0) is None
        store.forget_expired(9.0, 0.0)
        assert store.take_login(b"c", "oidc", 5.0) is None

    def test_failed_logins_are_counted_in_a_row(self, store: AccountStore) -> None:
        """Until one succeeds, or they are old."""
        assert store.login_failures("user ada") == (0, 0.0)
        assert [store.login_failed("user ada", at) for at in (1.0, 2.0, 3.5)] == [1, 2, 3]
        assert store.login_failed("address ::1", 9.0) == 1
        assert store.login_failures("user ada") == (3, 3.5)
        store.forget_expired(0.0, 4.0)
        assert store.login_failures("user ada") == (0, 0.0)
        store.login_succeeded("address ::1")
        assert store.login_failures("address ::1") == (0, 0.0)

    def test_audit_is_newest_first_and_filtered(self, store: AccountStore) -> None:
        """Ids grow; pages continue before an id."""
        store.record([entry(), entry("user.add", actor="root", outcome="refused", project="p"), entry(project="p")])
        store.record([])
        store.record([entry("token.add", address="::1", request_id="r", object="ci", detail="x")])
        found = store.audit(AuditFilter())
        assert [one.action for one in found] == ["token.add", "run.cancel", "user.add", "run.cancel"]
        assert found[0] == entry("token.add", id=found[0].id, address="::1", request_id="r", object="ci", detail="x")
        assert store.audit(AuditFilter(limit=2)) == found[:2]
        assert store.audit(AuditFilter(before_id=found[1].id)) == found[2:]
        assert store.audit(AuditFilter(project="p")) == found[1:3]
        assert store.audit(AuditFilter(project="p", outcome="refused")) == [found[2]]
        assert store.audit(AuditFilter(actor="ada", action="run.cancel")) == [found[1], found[3]]

    def test_entry_is_written_with_the_change_it_is_about(self, store: AccountStore) -> None:
        """Once, with the first change; and not with one that fails."""
        with store.recorded(entry("role.set")) as recording:
            told = [recording.written]
            store.set_role("ada", "shop", Role.EDITOR)
            told.append(recording.written)
            store.set_role("ada", "lab", Role.EDITOR)
        assert told == [False, True]
        assert [one.action for one in store.audit(AuditFilter())] == ["role.set"]
        store.add_user(User(name="ada", created=1.0))
        with pytest.raises(UsageError), store.recorded(entry("user.add")) as recording:
            store.add_user(User(name="ada", created=2.0))
        assert not recording.written
        store.set_role("ada", "lab", None)  # outside of the block nothing waits
        assert [one.action for one in store.audit(AuditFilter())] == ["role.set"]

    def test_entry_is_written_with_a_change_of_a_run(self, store: AccountStore) -> None:
        """Of the same database; one that is refused leaves no entry."""
        if not isinstance(store, SqlAccounts):
            pytest.skip("its runs are elsewhere")
        run = new_run(store.metadata)
        with store.recorded(entry("run.tag")) as recording:
            store.metadata.hasty().commit([Tag(run.id, "a")])
        assert recording.written
        with pytest.raises(LeaseLostError), store.recorded(entry("run.tag")):
            store.metadata.commit([Tag(run.id, "b")], Lease(name="run/1", owner="x", token=9, left=1.0))
        assert [one.action for one in store.audit(AuditFilter())] == ["run.tag"]
        assert [one.name for one in store.metadata.tags([run.id])] == ["a"]

    def test_any_text_can_be_audited(self, store: AccountStore) -> None:
        """What a client sends is written down whatever it is, and values are never part of a statement."""
        wild = "'; DROP TABLE users; -- \0 \ud800 \r\n :name %s ?"
        store.record([entry(actor=wild, object=wild, detail=wild)])
        [found] = store.audit(AuditFilter())
        assert found.detail.startswith("'; DROP TABLE users; -- \u2400")
        assert store.users() == []
