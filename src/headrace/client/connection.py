"""``headrace.connect``: the runs of any workspace and project, several at once in one process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from headrace._base.sizes import parse_duration
from headrace.client.catalog import Flow, Runs, find_runs
from headrace.client.names import check_project
from headrace.client.runs import Artifact, Run, Task
from headrace.client.views import LogText, Named
from headrace.model.errors import UsageError
from headrace.model.records import Request
from headrace.services import garbage
from headrace.services.names import parse_name
from headrace.services.run_rows import parse_states
from headrace.settings import Settings, read_settings
from headrace.wiring import Scope, Workspace, check_exists, user_here

if TYPE_CHECKING:
    from datetime import timedelta

Place = str | os.PathLike[str]


class Startable(Protocol):
    """A flow that can be started in a scope of the caller's choice."""

    def _run_in(self, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Run: ...


def connect(
    *,
    database: Place | None = None,
    artifacts: Place | None = None,
    project: str | None = None,
    home: Place | None = None,
    server: str | None = None,
) -> Client:
    """A client for a workspace and a project; what is not given is as settings say for this process.

    ``headrace.connect(home="/data/vision")``, ``headrace.connect(project="speech")``,
    ``headrace.connect(database="postgresql://ada@db/runs", artifacts="s3://bucket/runs")``. Use it as a context
    manager, or ``close`` it, to release its connections. Nothing is made before a run starts in it.

    Args:
        database: a path, ``sqlite:///PATH`` or ``postgresql://USER@HOST/NAME``.
        artifacts: a folder, or ``s3://``, ``gs://``, ``az://`` with a bucket and prefix.
        project: the project in it.
        home: where everything is that has no place of its own. A home that is given is a place of its own:
            databases and artifacts that settings name elsewhere do not count.
        server: the URL of a Headrace server that has them instead. The variable ``HEADRACE_TOKEN`` says who asks where
            ``HEADRACE_SERVER`` names the same server, else the last login there does.

    Raises:
        UsageError: one of them cannot be.
    """
    if project is not None:
        check_project(project)
    places = {"database": database, "artifacts": artifacts, "home": home, "server": server}
    given = {name: _text(name, value) for name, value in places.items() if value is not None}
    if project is not None:
        given["project"] = project
    settings = read_settings(given=given)
    return Client(Scope(Workspace(settings), settings.project, user_here(), named=True))


def _text(name: str, value: Place) -> str:
    text = os.fspath(value)
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"connect: {name} is {value!r}; give a path or an address, or leave it out")
    return text if "://" in text else os.path.expanduser(text)  # noqa: PTH111


class Client:
    """The runs of one project in one workspace: read, tag, cancel, answer, delete, start.

    What it hands out (``Run``, ``Task``, ``Artifact``, ``Flow``) reads from the same place, and says the same things
    as that of ``headrace.Run`` and its like, which are those of the default workspace.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    @property
    def project(self) -> str:
        """The name of its project."""
        return self._scope.project

    @property
    def settings(self) -> Settings:
        """Where it all is."""
        return self._scope.settings

    @property
    def projects(self) -> list[str]:
        """The names of all projects of the workspace that have runs."""
        return self._reading().workspace.metadata.projects()

    def in_project(self, name: str) -> Client:
        """A client for another project of the same workspace; it shares the connections of this one."""
        check_project(name)
        return Client(self._scope.of(name))

    def _reading(self) -> Scope:
        check_exists(self._scope.settings)
        return self._scope

    # --- reading ----------------------------------------------------------------------------------------------

    def run(self, name: str) -> Run:
        """The run that ``train/42``, or ``train`` for its newest, names; raises NotFoundError."""
        return Run._in(self._reading(), name)

    def task(self, name: str) -> Task:
        """The task that ``train/42/fit/3`` names; raises NotFoundError."""
        return Task._in(self._reading(), name)

    def artifact(self, name: str) -> Artifact:
        """The artifact that ``train/42/fit/3/model`` names; raises NotFoundError."""
        return Artifact._in(self._reading(), name)

    def artifacts(self, name: str) -> Named[Artifact]:
        """The artifacts of the run or task that ``name`` says, by name; raises NotFoundError."""
        return self._named(name).artifacts

    def logs(self, name: str) -> LogText:
        """What the run or task that ``name`` says printed; raises NotFoundError."""
        return self._named(name).logs

    def tags(self, name: str) -> dict[str, str]:
        """The tags of a run by name; raises NotFoundError."""
        return self.run(name).tags

    def _named(self, name: str) -> Run | Task:
        return self.task(name) if parse_name(name.replace("/latest", "", 1)).step else self.run(name)

    def flow(self, name: str) -> Flow:
        """The runs of one flow; raises NotFoundError."""
        return Flow._in(self._reading(), name)

    @property
    def flows(self) -> list[str]:
        """The names of all flows that were run in the project."""
        scope = self._reading()
        return [name for name, _, _ in scope.metadata.flows(scope.project)]

    def runs(
        self,
        flow: str | Flow | None = None,
        *,
        tag: str | Sequence[str] = (),
        status: str | Sequence[str] = (),
        where: str = "",
        limit: int | None = None,
    ) -> Runs:
        """Runs that match, newest first; see ``headrace.runs``."""
        return find_runs(self._reading(), flow, tag=tag, status=status, where=where, limit=limit)

    def requests(self, run: str = "", limit: int = 100) -> list[Request]:
        """What actors changed, newest first: of the run of that name, or of all runs, deleted ones included."""
        scope = self._reading()
        return scope.metadata.requests(scope.project, run, limit)

    # --- changing ---------------------------------------------------------------------------------------------

    def start(self, flow: Startable, *args: Any, **parameters: Any) -> Run:
        """Run ``flow`` here, wait for its end, and return its run, also when it failed: as ``flow.run(...)`` does."""
        start: Callable[..., Run] | None = getattr(flow, "_run_in", None)
        if start is None:
            raise UsageError(f"start takes a function under @flow, not a {type(flow).__name__}")
        return start(self._scope, args, parameters)

    def delete(self, name: str) -> None:
        """Forget a run with its tasks, logs and metrics; its objects stay until ``gc``.

        Raises:
            UsageError: it is still running; NotFoundError: there is none.
        """
        self.run(name).delete()

    def gc(
        self,
        *,
        older_than: str | float | timedelta | None = None,
        keep: int | None = None,
        flow: str | None = None,
        tag: str | None = None,
        without_tag: str | None = None,
        status: str | Sequence[str] = (),
        grace: str | float | timedelta = garbage.GRACE,
        delete: bool = False,
    ) -> garbage.Plan:
        """Remove runs of the project that match all conditions, and bytes that no run of any project needs.

        Nothing is removed without ``delete``: the plan says what would be. The conditions are those of
        ``headrace gc``; without any no run goes. ``grace`` keeps bytes stored within that time.

        Raises:
            UsageError: a condition makes no sense.
        """
        age = None if older_than is None else parse_duration(older_than)
        states = parse_states((status,) if isinstance(status, str) else status)
        policy = garbage.Policy(older_than=age, keep=keep, flow=flow, tag=tag, without_tag=without_tag, states=states)
        scope, now = self._reading(), time.time()
        runs = garbage.choose_runs(scope.metadata, scope.project, policy, now)
        whole, spare = scope.workspace.metadata, parse_duration(grace)
        if delete:
            return garbage.collect(whole, scope.artifacts, runs, now, spare, scope.actor)
        return garbage.plan(whole, scope.artifacts, runs, now, spare)

    # --- connections ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Release the connections; calling twice is the same as once.

        Later uses of the client, of those that ``in_project`` made of it, and of their runs raise ``UsageError``.
        """
        self._scope.workspace.close(final=True)

    def __enter__(self) -> Client:
        self._scope.workspace.check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        settings = self._scope.settings
        place = settings.server or settings.database or settings.home
        return f"<headrace client: project {self.project!r} in {place.rpartition('@')[2]}>"
