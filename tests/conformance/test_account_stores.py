"""Accounts in every database pass the suite."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.stores.accounts.protocol import AccountStore
from headrace.stores.metadata.accounts import SqlAccounts
from headrace.stores.metadata.open import open_metadata
from headrace.testing.accounts import AccountStoreSuite
from headrace.testing.postgres import postgres_server

_schemas = itertools.count()


class TestSqlite(AccountStoreSuite):
    def new_store(self, folder: Path) -> AccountStore:
        return SqlAccounts(open_metadata(str(folder / "headrace.db")))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


class TestPostgres(AccountStoreSuite):
    @pytest.fixture(autouse=True)
    def _server(self, server: str) -> Iterator[None]:
        self.server = server
        yield
        self.metadata.close()

    def new_store(self, folder: Path) -> AccountStore:
        self.metadata = open_metadata(f"{self.server}&schema=t{next(_schemas)}")
        return SqlAccounts(self.metadata)
