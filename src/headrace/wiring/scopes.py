"""Scopes: a workspace, a project in it, and the actor who asks; made of settings and of this process's surroundings."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from headrace._base import interpreter_end, logs
from headrace._base.process import host_name, user_name
from headrace._base.sizes import parse_duration
from headrace.model.actors import Actor
from headrace.model.errors import NotFoundError
from headrace.runtime import context, secrets
from headrace.services.secret_sources import SecretSources
from headrace.services.store_wait import StoreWait
from headrace.services.stores import Stores
from headrace.settings import HOME, Settings, database_file, here, place_variables, read_settings, secret_sources
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore
from headrace.wiring.workspace import Workspace


class Scope:
    """A workspace, a project in it, and the actor who asks."""

    def __init__(
        self, workspace: Workspace, project: str, actor: Actor, *, named: bool = False, hasty: bool = False
    ) -> None:
        #: Whether its stores say soon that they do not answer, because the caller decides how long to wait.
        self.hasty = hasty
        #: Whether a caller named it, instead of the surroundings of the process.
        self.named = named
        self.workspace = workspace
        self.project = project
        self.actor = actor
        self._metadata: MetadataStore | None = None
        self._whole: MetadataStore | None = None

    @property
    def settings(self) -> Settings:
        """Where it all is, the project included: enough for another process to open the same."""
        return msgspec.structs.replace(self.workspace.settings, project=self.project)

    @property
    def metadata(self) -> MetadataStore:
        """Runs, tasks and all about them, of the project."""
        whole = self.workspace.metadata  # another one after a fork, and after the workspace was closed
        if self._metadata is None or self._whole is not whole:
            found = self.workspace.metadata_of(self.project)
            self._metadata, self._whole = found.hasty() if self.hasty else found, whole
        return self._metadata

    @property
    def artifacts(self) -> ArtifactStore:
        """The bytes of objects, of all projects: who does not know a digest does not find them."""
        return self.workspace.artifacts.hasty() if self.hasty else self.workspace.artifacts

    @property
    def stores(self) -> Stores:
        """What services need of it."""
        return Stores(self.metadata, self.artifacts, self.project, self.actor)

    def opened_stores(self) -> Stores:
        """``stores`` for the start of a run: a database that is away is waited for as long as ``store_wait`` says.

        Raises:
            StoreAwayError: it did not answer in time.
        """
        self.store_wait()(lambda: self.metadata)
        return self.stores

    def store_wait(self) -> StoreWait:
        """Calls functions until the store that they need answers, as long as the setting ``store_wait`` says."""
        return StoreWait(parse_duration(self.settings.store_wait))

    @property
    def variables(self) -> dict[str, str]:
        """Variables with which another process finds the same; none where its surroundings say so already."""
        return place_variables(msgspec.structs.asdict(self.settings)) if self.named else {}

    @property
    def secret_sources(self) -> SecretSources:
        """Where the secrets of steps come from, in the surroundings of this process."""
        return secret_sources()

    def of(self, project: str) -> Scope:
        """The same workspace and actor, in another project."""
        return Scope(self.workspace, project, self.actor, named=self.named, hasty=self.hasty)


#: Number of workspaces that a process keeps open for later calls; others live as long as they are used.
_KEPT = 8
_workspaces: dict[tuple[int, Settings], Workspace] = {}


def scope_here() -> Scope:
    """The scope of this process's working directory and environment; its workspace stays open for later calls.

    In a worker it is that of the run, wherever a step went.
    """
    return scope_at(read_settings())


def scope_at(settings: Settings) -> Scope:
    """The scope that ``settings`` say, for the user of this process."""
    configure_logs(settings)
    return Scope(workspace_at(settings), settings.project, user_here())


def configure_logs(settings: Settings) -> None:
    """Log what Headrace does in this process as ``settings`` say."""
    if (settings.log or settings.log_level) and settings.log != "off" and context.current() is None:
        logs.secret_values = lambda: secrets.known_values
        logs.configure(settings.log or "text", settings.log_level)


def workspace_at(settings: Settings) -> Workspace:
    """The workspace that ``settings`` say; mostly the same object for the same settings. A forked child has its own."""
    settings = msgspec.structs.replace(settings, project=Settings(home="").project)  # it holds all projects
    key = os.getpid(), settings
    found = _workspaces.get(key)
    if found is None:
        if not any(pid == key[0] for pid, _ in _workspaces):
            interpreter_end.quicken(_close_workspaces)
        found = _workspaces.setdefault(key, Workspace(settings))
        for oldest in list(_workspaces)[:-_KEPT]:
            _workspaces.pop(oldest, None)
    return found


def _close_workspaces() -> None:
    for workspace in list(_workspaces.values()):
        workspace.close()


def user_here() -> Actor:
    """The user whose process this is, on this machine."""
    return Actor(user_name(), host_name())


def check_exists(settings: Settings) -> None:
    """Refuse to read where nothing was ever run, instead of making a database there.

    Raises:
        NotFoundError: it is such a place.
    """
    file = database_file(settings)
    if file is not None and not file.exists():
        found = not settings.database and Path(settings.home) == here() / HOME  # what it is where nothing names a home
        missing = f"no {HOME} folder with any in {here()} or above" if found else f"{file} does not exist"
        raise NotFoundError(
            f"there are no runs yet: {missing}; start one with `headrace run FILE.py`, or name a place with "
            "--home or HEADRACE_HOME"
        )


def existing_scope(settings: Settings | None = None) -> Scope:
    """As ``scope_here``, or ``scope_at``, for reading: a place where nothing was ever run is left as it is.

    Raises:
        NotFoundError: it is such a place.
    """
    settings = settings or read_settings()
    check_exists(settings)
    return scope_at(settings)
