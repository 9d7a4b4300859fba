"""What a principal may do with the stores: which projects, reading or writing, one run alone, and under whose name."""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from headrace.model.accounts import Role
from headrace.model.actors import Actor
from headrace.model.records import Request, RunRecord, lease_name
from headrace.server.call import Server
from headrace.server.principals import Principal
from headrace.server.problems import Problem, not_found
from headrace.services.accounts.users import Source
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore, RunChange, Write

#: Methods that open a run: a token for one run may not, unless it is yet to have its run.
_OPENS = ("create_run", "open_run")
#: Methods whose success is in the audit log. What a driver writes of its run is not: the run itself shows that.
#: Those of ``_NAMED`` name the run, so the entry is written with the change; the others make one.
_AUDITED, _NAMED = (*_OPENS, "import_rows"), ("delete_run", "send")
_PROJECT, HASTY = b"headrace-project", b"headrace-hasty"


class OpenStores:
    """The stores of a workspace as requests need them: by project, and patient or not.

    Args:
        server: what requests share.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._workspace = server.workspace
        self._lock = threading.Lock()
        self._whole: dict[bool, MetadataStore] = {}
        self._projects: dict[tuple[str, bool], MetadataStore] = {}

    def metadata(self, project: str, hasty: bool) -> MetadataStore:
        """Runs of ``project``, or of all of them where it is empty."""
        found = self._projects.get((project, hasty))
        if found is None:
            with self._lock:
                whole = self._workspace.metadata_of(project) if project else self._workspace.metadata
                found = whole.hasty() if hasty else whole
                self._projects[project, hasty] = found
        return found

    @property
    def artifacts(self) -> ArtifactStore:
        """The bytes of objects. A server must answer: it does not wait for a bucket for long."""
        return self._workspace.artifacts.hasty()


class Access:
    """Who asks for which project, for one request.

    Args:
        principal: who asks.
        headers: of the request, names in small letters.
        source: where the request comes from, for the audit log.
        named: whether clients say themselves who changes something, because the server has no accounts.
    """

    def __init__(self, principal: Principal, headers: Mapping[bytes, bytes], source: Source, named: bool) -> None:
        self.principal = principal
        self.source = source
        self.hasty = HASTY in headers
        self.project = self.project_of(headers)
        self._named = named

    @staticmethod
    def project_of(headers: Mapping[bytes, bytes]) -> str:
        """The project that a request is about; empty for all of them."""
        return urllib.parse.unquote(headers.get(_PROJECT, b"").decode("latin-1"))

    def check(self, *, writes: bool = False, whole: bool = False) -> None:
        """Refuse what the principal may not do.

        Args:
            writes: whether something is changed.
            whole: whether it is about more than one project.

        Raises:
            Problem: 404 where they may not see the project, 403 where they may see it and no more.
        """
        principal = self.principal
        if not self.project or whole:
            if not principal.may_administer():
                raise Problem(403, "forbidden", f"this is for admins of the server; {principal.name} is not one")
            return
        has = principal.role_in(self.project)
        if has is None:
            raise not_found(f"there is no project {self.project!r} for {principal.name}")
        if writes and has < Role.EDITOR:
            raise Problem(
                403,
                "forbidden",
                f"{principal.name} is {has.label} of project {self.project!r}; to change its runs takes the role "
                "editor, which an admin of the project gives",
            )

    def check_somewhere(self, role: Role) -> None:
        """Refuse a principal who has ``role`` in no project: blobs are of no project."""
        principal = self.principal
        projects = [principal.project] if principal.project else list(principal.roles)
        best = max((principal.role_in(project) or 0 for project in projects), default=0)
        if principal.admin and principal.most is not None:
            best = max(best, principal.most)
        if principal.admin and principal.most is None:
            best = Role.ADMIN
        if best < role:
            raise Problem(403, "forbidden", f"{principal.name} is not {role.label} of any project")

    def check_arguments(self, name: str, arguments: Any) -> None:
        """Refuse a token that is for one run what concerns others.

        Raises:
            Problem: 403.
        """
        run = self.principal.run
        if run is None:
            return
        if name in _OPENS and run == 0:
            return  # the first run that it opens is its run
        if name in _OPENS or name == "import_rows":
            raise self._beyond(run)
        if name in ("acquire", "release"):
            self.check_lease(arguments.name if name == "acquire" else arguments.lease.name)
        elif name in ("send", "delete_run") and arguments.run_id != run:
            raise self._beyond(run)

    def recorded(self, server: Server, name: str, arguments: Any) -> AbstractContextManager[None]:
        """Write the entry of the audit log with the change that is made in the ``with`` block, where it has one."""
        if name not in _NAMED:
            return nullcontext()
        return server.audit.change(self.source, f"store {name}", f"run with the id {arguments.run_id}", self.project)

    def settle(self, server: Server, name: str, found: Any) -> None:
        """After a method has succeeded: audit it, and give a driver's token the run that it has opened.

        Raises:
            Problem: 403, another process opened a run with the same token; the one that was made is deleted.
        """
        if name not in _AUDITED:
            return
        run: RunRecord | None = found[0] if name == "open_run" else found if isinstance(found, RunRecord) else None
        if name in _OPENS and self.principal.run == 0 and run is not None:
            token = self.principal.token
            if token is None or not server.accounts.store.bind_token(token, run.id):
                server.workspace.metadata.delete_run(run.id)
                raise Problem(403, "forbidden", "this token has opened its run already")
            server.authenticator.forget()
        server.audit.done(self.source, f"store {name}", "" if run is None else run.name, self.project)

    def check_lease(self, name: str) -> None:
        """Refuse a token that is for one run the lease of anything else.

        Raises:
            Problem: 403.
        """
        run = self.principal.run
        if run is not None and name != lease_name(run):
            raise self._beyond(run)

    def _beyond(self, run: int) -> Problem:
        return Problem(403, "forbidden", f"the token of {self.principal.name} is for the run with the id {run} alone")

    def written_as(self, writes: Sequence[Write]) -> list[Write]:
        """``writes`` under the name of the principal, whatever name the client gave.

        Raises:
            Problem: 403, the token is for another run.
        """
        run = self.principal.run
        if run is not None and any(write.run_id != run for write in writes):
            raise self._beyond(run)
        return list(writes) if self._named else [self._renamed(write) for write in writes]

    def _renamed(self, write: Write) -> Write:
        if isinstance(write, RunChange) and write.user is not msgspec.UNSET:
            return msgspec.structs.replace(write, user=self.principal.actor.user)
        if isinstance(write, Request):
            return msgspec.structs.replace(write, actor=self._actor(write.actor))
        return write

    def _actor(self, given: str) -> str:
        """The principal at the machine that the client says it is on."""
        return str(Actor(self.principal.actor.user, given.partition("@")[2][:200]))

    def renamed(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments of a method under the name of the principal."""
        if self._named:
            return arguments
        if name in ("create_run", "open_run"):
            run = msgspec.structs.replace(arguments["run"], user=self.principal.actor.user)
            return {**arguments, "run": run}
        if name == "send":
            return {**arguments, "sender": self._actor(arguments["sender"])}
        return arguments
