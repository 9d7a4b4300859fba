"""``ClusterApi``: the one connection of a driver to a cluster's API server.

A thread of its own does all requests in an event loop. Calls return at once; what comes of them, and what happens to
the pods meanwhile, are events behind a descriptor. Pods are watched, never polled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace._base import logs
from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import (
    AsyncClusterClient,
    ClusterClient,
    ClusterError,
    Json,
    Kind,
    delete_options,
    kind_of,
    log_options,
    selector_text,
)
from headrace.executors.kubernetes.forwarding import forward
from headrace.executors.kubernetes.happenings import (
    Away,
    Back,
    CreateRefused,
    ForwardEnded,
    Happening,
    ObjectEvent,
    ObjectGone,
    ObjectSeen,
    PodEvent,
    PodGone,
    PodLog,
    PodSeen,
)
from headrace.executors.kubernetes.leftovers import reap
from headrace.executors.kubernetes.permission import check_access, explained
from headrace.executors.kubernetes.watch import Watch, WatchListener, back_off
from headrace.model.errors import UsageError

_log = logs.Log("kubernetes")
POD = Kind("v1", "Pod")
EVENT = Kind("v1", "Event")
#: Requests at once: creations, and all others.
_CREATIONS, _OTHERS = 50, 6
#: How often a creation is tried that the server fails at by itself (500), or that another one came between (409).
_TRIES = 5
#: How often one that names another, which its controller may not have heard of yet.
_SEEN_AFTER = 10
_LOG_LINES = 1000
#: Happenings told at once: whoever hears them has more to hear.
_TOLD = 100
#: Pods that are deleted one by one at the end of a run; where there are more, with one request. And how many seconds
#: that may take, beside those for each pod.
_FEW = 20
_CLOSING, _CLOSING_EACH = 5.0, 0.05
#: Seconds between two attempts to connect to a pod that does not listen yet.
_NOT_LISTENING = 0.1


class Watched(NamedTuple):
    """Another kind that is watched: those with the labels of the pods, or all of the namespace."""

    kind: Kind
    labelled: bool


class ClusterApi:
    """The one connection of a driver to a cluster's API server: watches the pods with the labels of ``selector``, and
    Kubernetes' events about them. Of objects of the kinds ``others`` it tells too, as far as it may and the cluster has
    them. ``client`` does synchronous requests, for those who may wait.

    Raises:
        UsageError: no kubeconfig, no such context, or certificates that cannot be read.
    """

    def __init__(
        self, access: Access, namespace: str, selector: Mapping[str, str], others: Sequence[Watched] = ()
    ) -> None:
        self._others_watched = tuple(others)
        self.client = ClusterClient(access, namespace)
        self.namespace = self.client.namespace
        self._selector = selector_text(selector)
        self._path = POD.path(self.namespace)
        self._news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._happened: deque[Happening] = deque()
        self._thread: threading.Thread | None = None
        self._leaving = 0
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self._http: AsyncClusterClient
        # In the thread only:
        self._known: dict[str, tuple[str, str]] = {}  # uid and version of each pod
        self._creating: dict[str, bool] = {}  # names asked for, and whether the request is under way
        self._withdrawn: dict[str, tuple[Kind, float]] = {}  # kind of those, and grace of their deletions
        self._ended_early: set[str] = set()  # uids of pods that ended before their creation was answered
        self._away = False
        self._hold = 0.0
        self._listing: set[str] = set()
        self._forwards: set[asyncio.Task[None]] = set()
        self._watches: list[Watch] = []

    def start(self) -> None:
        """See that the cluster can be used, and begin to watch.

        Raises:
            UsageError: it cannot; the message says what to do.
        """
        check_access(self.client)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="headrace-kubernetes", daemon=True)
        self._thread.start()
        ready.wait()

    def fileno(self) -> int:
        """Readable when ``events`` has news."""
        return self._news

    def events(self) -> list[Happening]:
        """What happened since the last call; ``fileno`` stays readable while there is more."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._news)
        happened: list[Happening] = []
        while self._happened and len(happened) < _TOLD:
            happened.append(self._happened.popleft())
        if self._happened:
            os.eventfd_write(self._news, 1)
        return happened

    def create_pod(self, pod: Json) -> None:
        """Create a pod; answered by ``PodSeen`` or ``CreateRefused``. Its name is not given to another pod later."""
        self._call(self._want, (pod,))

    def create_objects(self, manifests: Sequence[Json]) -> None:
        """Create objects of other kinds, one after the other; a refusal has the name of the last."""
        self._call(self._want, tuple(manifests))

    def delete_pod(self, name: str, grace: float) -> None:
        """Delete a pod that has ``grace`` seconds to end; answered by ``PodGone`` (at once if none was created)."""
        self._call(self._drop, POD, name, grace)

    def delete_object(self, kind: Kind, name: str) -> None:
        """Delete an object of another kind with what it owns; answered by ``ObjectGone``."""
        self._call(self._drop, kind, name, 0.0)

    def delete_pods(self, names: Collection[str], labels: Mapping[str, str], grace: float) -> None:
        """Delete pods that are all those with these labels, like ``delete_pod``."""
        self._leaving += len(names)
        self._call(self._drop_all, names, labels, grace)

    def fetch_log(self, name: str, container: str = "") -> None:
        """Ask for the end of a container's output; answered by ``PodLog``."""
        self._call(self._enqueue, self._fetch(name, container))

    def reap(self, key: str) -> None:
        """Delete what dead drivers of other runs left in the namespace; ``key`` is that of this run."""
        self._call(lambda: self._enqueue(reap(self._http, self.namespace, key)))

    def forward(self, name: str, port: int, patience: float = 0.0) -> socket.socket:
        """Connect to a port of a pod through the API server; its end is also told by ``ForwardEnded``. A pod that does
        not listen yet is asked again for ``patience`` seconds.
        """
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self._call(self._begin_forward, name, port, theirs, patience)
        return ours

    def close(self) -> None:
        """Drop creations that have not begun, do the deletions that were asked for, for some time at most, and end."""
        wait = _CLOSING + _CLOSING_EACH * self._leaving
        if self._thread is not None and self._thread.is_alive():
            self._call(self._finish, wait)
            self._thread.join(wait + 5.0)
            self._thread = None
        if self._news >= 0:
            os.close(self._news)
            self._news = -1
            self.client.close()
            self._loop.close()

    # --- the thread -------------------------------------------------------------------------------------------

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def _tell(self, happening: Happening) -> None:
        self._happened.append(happening)
        os.eventfd_write(self._news, 1)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._main = self._loop.create_task(self._serve(ready))
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._main)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    async def _serve(self, ready: threading.Event) -> None:
        self._http = AsyncClusterClient(self.client.connection)
        self._wanted: asyncio.Queue[tuple[Json, ...]] = asyncio.Queue()
        self._others: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()
        ready.set()
        pods = WatchListener(self._on_begin, self._on_pods, self._on_pod, self._on_failure, self._on_success)
        events = WatchListener(_nothing, self._on_events, self._on_event, self._on_events_failure, _nothing)
        try:
            async with asyncio.TaskGroup() as group:
                watches = [Watch(self._http, self._path, {"labelSelector": self._selector}, pods)]
                about = {"fieldSelector": "involvedObject.kind=Pod"}
                watches.append(Watch(self._http, EVENT.path(self.namespace), about, events))
                watches += [self._watch_of(other) for other in self._others_watched]
                if self._others_watched:
                    others = WatchListener(_nothing, _nothing, self._on_other_event, self._on_events_failure, _nothing)
                    about = {"fieldSelector": "involvedObject.kind!=Pod"}
                    watches.append(Watch(self._http, EVENT.path(self.namespace), about, others))
                self._watches = watches
                for one in watches:
                    group.create_task(one.run())
                for _ in range(_CREATIONS):
                    group.create_task(self._creator())
                for _ in range(_OTHERS):
                    group.create_task(self._other())
        finally:
            for task in self._forwards:
                task.cancel()
            await asyncio.gather(*self._forwards, return_exceptions=True)
            while not self._others.empty():
                self._others.get_nowait().close()
            await self._http.close()

    def _finish(self, wait: float) -> None:
        for watch in self._watches:  # nobody hears any more what becomes of all the pods
            watch.end()
        while not self._wanted.empty():
            self._creating.pop(_name_of(self._wanted.get_nowait()), None)
            self._wanted.task_done()
        self._finishing = self._loop.create_task(self._finish_within(wait))

    async def _finish_within(self, wait: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._wanted.join()
                await self._others.join()
        if self._main is not None:
            self._main.cancel()

    # --- requests ---------------------------------------------------------------------------------------------

    def _want(self, manifests: tuple[Json, ...]) -> None:
        self._creating[_name_of(manifests)] = False
        self._wanted.put_nowait(manifests)

    def _drop(self, kind: Kind, name: str, grace: float) -> None:
        under_way = self._creating.get(name)
        if under_way is None:
            self._enqueue(self._delete(kind, name, grace))
            return
        self._withdrawn[name] = kind, grace
        if not under_way:
            del self._creating[name]
            self._tell_gone(kind, name)

    def _tell_gone(self, kind: Kind, name: str) -> None:
        """Nothing of that name is there; what is watched told its end itself."""
        self._tell(PodGone(name, "", None) if kind == POD else ObjectGone(kind, name))

    def _drop_all(self, names: Collection[str], labels: Mapping[str, str], grace: float) -> None:
        there = [one for one in names if one not in self._creating]
        for name in self._creating.keys() & set(names):
            self._drop(POD, name, grace)
        if len(there) > _FEW:
            self._enqueue(self._delete_all(there, labels, grace))
        else:
            for name in there:
                self._enqueue(self._delete(POD, name, grace))

    async def _delete_all(self, names: Collection[str], labels: Mapping[str, str], grace: float) -> None:
        """Delete pods with one request; where there is no right to do so, or that fails, one by one."""
        try:
            await self._http.request(
                "DELETE", self._path, delete_options(grace), {"labelSelector": selector_text(labels)}
            )
        except ClusterError as error:
            _log.debug("pods.kept", f"pods are deleted one by one: {error.message}")
            for name in names:
                self._enqueue(self._delete(POD, name, grace))

    def _enqueue(self, request: Coroutine[Any, Any, None]) -> None:
        self._others.put_nowait(request)

    async def _other(self) -> None:
        while True:
            request = await self._others.get()
            try:
                await request
            finally:
                self._others.task_done()

    async def _creator(self) -> None:
        while True:
            manifests = await self._wanted.get()
            name = _name_of(manifests)
            try:
                if self._withdrawn.pop(name, None) is None:
                    await self._create(name, manifests)
            finally:
                self._wanted.task_done()

    async def _create(self, name: str, manifests: tuple[Json, ...]) -> None:
        self._creating[name] = True
        try:
            for number, one in enumerate(manifests):
                made = await self._post(one, manifests[:number])
        except ClusterError as error:
            self._creating.pop(name)
            self._withdrawn.pop(name, None)
            self._tell(CreateRefused(name, error.code, error.reason, error.message, error.retry_after))
            return
        self._creating.pop(name)
        is_new_pod = made is not None and kind_of(manifests[-1]) == POD and name not in self._known
        if is_new_pod and made is not None and made["metadata"]["uid"] not in self._ended_early:
            self._on_pod("ADDED", made)
        if not self._creating:
            self._ended_early.clear()
        if name in self._withdrawn:
            kind, grace = self._withdrawn.pop(name)
            self._enqueue(self._delete(kind, name, grace))

    async def _post(self, manifest: Json, before: tuple[Json, ...]) -> Json | None:
        """Create an object that may name those ``before`` it; None: an earlier try had made it.

        Raises:
            ClusterError: it is refused.
        """
        tries = 0
        while True:
            await asyncio.sleep(max(0.0, self._hold - self._loop.time()))
            try:
                made = await self._http.request("POST", kind_of(manifest).path(self.namespace), manifest)
                self._on_success()
                return made
            except ClusterError as error:
                tries += 1
                self._on_refusal(error)
                if error.reason == "AlreadyExists" and tries > 1:  # made by a try whose answer got lost
                    return None
                wait = _wait_after(error, tries)
                if wait is None and tries < _SEEN_AFTER and _misses(error, before):
                    wait = back_off(tries)
                if wait is None:
                    raise
                if error.code == 429:  # meant for all requests of this client
                    self._hold = max(self._hold, self._loop.time() + wait)
                else:
                    await asyncio.sleep(wait)

    async def _delete(self, kind: Kind, name: str, grace: float) -> None:
        tries = 0
        while True:
            try:
                await self._http.request("DELETE", kind.path(self.namespace, name), delete_options(grace))
            except ClusterError as error:
                tries += 1
                self._on_refusal(error)
                wait = _wait_after(error, tries)
                if error.code == 404:
                    if name not in self._known:
                        self._tell_gone(kind, name)
                elif wait is not None:
                    await asyncio.sleep(wait)
                    continue
                else:
                    _log.warning("pod.kept", f"{kind.name} {name} cannot be deleted: {error.message}")
            return

    async def _fetch(self, name: str, container: str) -> None:
        path = f"{POD.path(self.namespace, name)}/log"
        try:
            response = await self._http.response("GET", path, None, log_options(container, _LOG_LINES))
            text, error = (response.text, "") if response.is_success else ("", _message_of(response.content))
        except ClusterError as failure:
            text, error = "", failure.message
        self._tell(PodLog(name, container, text, error))

    def _begin_forward(self, name: str, port: int, sock: socket.socket, patience: float) -> None:
        task = self._loop.create_task(self._forward(name, port, sock, patience))
        self._forwards.add(task)
        task.add_done_callback(self._forwards.discard)

    async def _forward(self, name: str, port: int, sock: socket.socket, patience: float) -> None:
        until = self._loop.time() + patience
        why = ""
        try:
            while True:
                try:
                    await forward(self._http, self.namespace, name, port, sock)
                    break
                except ClusterError as error:
                    why = error.message
                    if error.reason != "NotListening" or self._loop.time() > until:
                        break
                    await asyncio.sleep(_NOT_LISTENING)
        finally:
            sock.close()
        self._tell(ForwardEnded(name, why))

    # --- what the watches say ---------------------------------------------------------------------------------

    def _on_begin(self) -> None:
        self._listing = set(self._known)  # pods made from now on may be missing in the list

    def _on_pods(self, pods: list[Json]) -> None:
        there = {pod["metadata"]["name"] for pod in pods}
        for name in self._listing - there:
            if name in self._known:
                self._tell(PodGone(name, self._known.pop(name)[0], None))
        for pod in pods:
            self._on_pod("ADDED", pod)

    def _on_pod(self, change: str, pod: Json) -> None:
        about = pod["metadata"]
        name, uid, version = about["name"], about["uid"], about["resourceVersion"]
        about.pop("managedFields", None)  # half of a pod, and of no use here
        known = self._known.get(name)
        if change == "DELETED":
            self._known.pop(name, None)
            if name in self._creating:
                self._ended_early.add(uid)
            self._tell(PodGone(name, uid, pod))
        elif known != (uid, version):
            if known is not None and known[0] != uid:
                self._tell(PodGone(name, known[0], None))
            self._known[name] = (uid, version)
            self._tell(PodSeen(pod))

    def _on_refusal(self, error: ClusterError) -> None:
        """A request failed: if the credentials do not hold any more, all others will."""
        if error.code == 401:
            self._on_failure(error)

    def _on_failure(self, error: ClusterError) -> bool:
        if error.code == 401:
            with contextlib.suppress(UsageError):
                if self.client.renew():  # somebody has logged in again
                    self._http.renew(self.client.connection)
        if not self._away and error.code != 410:
            self._away = True
            self._tell(Away(time.time(), explained(error, self.client)))
        return True

    def _on_success(self) -> None:
        if self._away:
            self._away = False
            self._tell(Back())

    def _watch_of(self, other: Watched) -> Watch:
        kind, known = other.kind, dict[str, None]()

        def on_one(change: str, manifest: Json) -> None:
            name = manifest["metadata"]["name"]
            manifest["metadata"].pop("managedFields", None)
            if change != "DELETED":
                known[name] = None
                self._tell(ObjectSeen(kind, manifest))
            elif name in known:
                del known[name]
                self._tell(ObjectGone(kind, name))

        def on_list(manifests: list[Json]) -> None:
            for name in set(known) - {one["metadata"]["name"] for one in manifests}:
                del known[name]
                self._tell(ObjectGone(kind, name))
            for one in manifests:
                # Items of a list do not say what they are.
                on_one("ADDED", {"apiVersion": kind.api_version, "kind": kind.name, **one})

        def on_failure(error: ClusterError) -> bool:
            if error.code in (403, 404):
                _log.warning("kind.unseen", f"{kind.name} of {kind.api_version} cannot be watched: {error.message}")
                return False
            return True

        params = {"labelSelector": self._selector} if other.labelled else {}
        listener = WatchListener(_nothing, on_list, on_one, on_failure, _nothing)
        return Watch(self._http, kind.path(self.namespace), params, listener)

    def _on_other_event(self, change: str, event: Json) -> None:
        name = (event.get("involvedObject") or {}).get("name", "")
        if change != "DELETED" and name:
            event.get("metadata", {}).pop("managedFields", None)
            self._tell(ObjectEvent(name, event))

    def _on_events(self, events: list[Json]) -> None:
        for event in events:
            self._on_event("ADDED", event)

    def _on_event(self, change: str, event: Json) -> None:
        name = (event.get("involvedObject") or {}).get("name", "")
        if change != "DELETED" and (name in self._known or name in self._creating):
            event.get("metadata", {}).pop("managedFields", None)
            self._tell(PodEvent(name, event))

    def _on_events_failure(self, error: ClusterError) -> bool:
        """Do without events where there is no right to see them: the pods' own states say most."""
        if error.code == 403:
            _log.warning("events.forbidden", f"Kubernetes' events about pods cannot be seen: {error.message}")
            return False
        return True


def _wait_after(error: ClusterError, tries: int) -> float | None:
    """Seconds after which to try a request again; None: the answer is final."""
    if error.code == 429:
        return error.retry_after or 1.0
    if error.code in (0, 401, 502, 503, 504):
        return error.retry_after or back_off(tries)
    if (error.code == 500 or error.reason == "Conflict") and tries < _TRIES:
        return back_off(tries)
    return None


def _misses(error: ClusterError, before: tuple[Json, ...]) -> bool:
    """Whether an object is refused since another, which was just made, is not known everywhere yet."""
    return "not found" in error.message and any(one["metadata"]["name"] in error.message for one in before)


def _nothing(*_: object) -> None:
    pass


def _name_of(manifests: tuple[Json, ...]) -> str:
    """The name by which a creation is known: that of the last object."""
    return str(manifests[-1]["metadata"]["name"])


def _message_of(content: bytes) -> str:
    try:
        return str(msgspec.json.decode(content)["message"])
    except (msgspec.DecodeError, LookupError, TypeError):
        return content.decode(errors="replace").strip()[:500]
