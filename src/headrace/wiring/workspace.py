"""A workspace: the two stores together, and the workers beside them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headrace._base.sizes import parse_size
from headrace.model.errors import UsageError
from headrace.model.workers import LOCAL
from headrace.settings import Settings, code_settings, database_file
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore
from headrace.wiring.places import ConfiguredPlaces, WorkerOptions
from headrace.wiring.preparations import environments_in
from headrace.wiring.stores import (
    artifacts_folder,
    code_cache,
    make_home,
    open_artifacts,
    open_metadata_of,
    project_of,
)

if TYPE_CHECKING:
    from headrace.services.code.collect import CodeRules
    from headrace.services.environments.service import Environments
    from headrace.services.places import Places
    from headrace.stores.accounts.protocol import AccountStore
    from headrace.stores.metadata.accounts import SqlAccounts


class Workspace:
    """The two stores together, and the workers beside them: a value that is opened by its first use, and closed.

    All projects of the database are in it. A forked child opens the stores for itself.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._metadata: MetadataStore | None = None
        self._artifacts: ArtifactStore | None = None
        self._accounts: SqlAccounts | None = None
        self._environments: Environments | None = None
        self._pid = os.getpid()
        self._closed = False

    @property
    def metadata(self) -> MetadataStore:
        """Runs, tasks and all about them, of every project: for what concerns the whole database alone."""
        self.check_open()
        if self._metadata is None:
            self._metadata = open_metadata_of(self.settings)
        return self._metadata

    def metadata_of(self, project: str) -> MetadataStore:
        """Runs, tasks and all about them, of one project: what belongs to another is not there."""
        return project_of(self.metadata, self.settings, project)

    @property
    def accounts(self) -> AccountStore:
        """Users, tokens, sessions and the audit log, which are in the database of the runs.

        Raises:
            UsageError: the database is behind a server, which keeps the accounts to itself.
        """
        from headrace.stores.metadata.accounts import SqlAccounts
        from headrace.stores.metadata.store import SqlMetadata

        metadata = self.metadata
        if not isinstance(metadata, SqlMetadata):
            raise UsageError(f"accounts of {metadata.url} are changed on its pages, or where its database is reached")
        if self._accounts is None or self._accounts.metadata is not metadata:
            self._accounts = SqlAccounts(metadata)
        return self._accounts

    @property
    def artifacts(self) -> ArtifactStore:
        """The bytes of objects."""
        self.check_open()
        if self._artifacts is None:
            elsewhere = self.settings.server or "://" in self.settings.artifacts
            if elsewhere or artifacts_folder(self.settings).is_relative_to(self.settings.home):
                make_home(self.settings)  # a store elsewhere has its cache there
            self._artifacts = open_artifacts(self.settings)
        return self._artifacts

    def places(self, workers: WorkerOptions | None = None, default: str = "") -> Places:
        """The places of one run; tasks that name none run in ``default`` (empty: on this machine).

        Raises:
            UsageError: there is no such place as ``default``.
        """
        return ConfiguredPlaces(
            self.settings,
            self.artifacts,
            lambda: self.environments,
            workers or WorkerOptions(),
            default or LOCAL,
        )

    @property
    def environments(self) -> Environments:
        """Locks and builds the environments of steps."""
        if self._environments is None:
            found = self.settings
            self._environments = environments_in(found.home, found.artifacts, found.environments)
        return self._environments

    @property
    def code_cache(self) -> str:
        """The folder for code packages that are run from here."""
        return code_cache(self.settings)

    def code_rules(self, file: str) -> CodeRules:
        """What the code package of the flow in ``file`` may hold, by the settings of the project that the file is in.

        Raises:
            UsageError: a setting there has an impossible value.
        """
        from headrace.services.code.collect import CodeRules, project_root

        home = self.settings.home
        root = project_root(file)
        found = code_settings(home, root)
        database = database_file(self.settings)
        places = [self.settings.artifacts or f"{home}/artifacts", f"{home}/cache", f"{home}/imports", self.code_cache]
        if database is not None:
            places += [str(database), f"{database}-wal", f"{database}-shm"]
        return CodeRules(
            include=found.include,
            exclude=found.exclude,
            file_limit=parse_size(found.code_file_limit),
            limit=parse_size(found.code_limit),
            skipped=tuple(os.path.abspath(place) for place in places if "://" not in place),  # noqa: PTH100
            known=self.code_cache,
            root=root,
        )

    def close(self, *, final: bool = False) -> None:
        """Release connections; a later use opens them again, unless this was ``final``."""
        self._closed = self._closed or final
        if self._metadata is not None and self._pid == os.getpid():
            self._metadata.close()
        self._metadata = None

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_open(self) -> None:
        """Raise UsageError after a final ``close``; in a forked child, leave the connections to the parent."""
        if self._closed:
            raise UsageError("this client was closed, and so was all that came from it; connect again")
        if self._pid != os.getpid():  # in a forked child the connections are the parent's
            self._metadata, self._artifacts, self._pid = None, None, os.getpid()
