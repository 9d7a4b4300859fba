"""Requests to a cluster's API server, one after the other, for those who may wait: checks, driver Jobs, set-up.

Objects are plain dicts, as in the API's JSON. ``ClusterApi`` does what must not wait.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import httpx2
import msgspec
from lightkube.core.exceptions import ConfigError

from headrace.executors.kubernetes.access import Access, Connection, connection
from headrace.model.errors import HeadraceError

if TYPE_CHECKING:
    from typing import Self

Json = dict[str, Any]
#: Seconds that one request may take.
TIMEOUT = 30.0
_PAGE = 500
_FIELD_MANAGER = "headrace"
#: Plurals that are not the kind in lower case with an s, and kinds without a namespace.
_PLURALS = {"NetworkPolicy": "networkpolicies", "PriorityClass": "priorityclasses", "Ingress": "ingresses"}
_GLOBAL = frozenset(
    {
        "ClusterQueue",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "ResourceFlavor",
        "SelfSubjectAccessReview",
        "SelfSubjectReview",
        "StorageClass",
    }
)


class ClusterError(HeadraceError):
    """The API server refused a request, or did not answer (``code`` 0). ``reason`` is one of Kubernetes, as
    ``Forbidden``; ``retry_after`` is in seconds (0: the server did not say).
    """

    def __init__(self, message: str, code: int = 0, reason: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.retry_after = retry_after


class Kind(NamedTuple):
    """A kind of objects, as ``Kind("batch/v1", "Job")``."""

    api_version: str
    name: str

    def path(self, namespace: str, name: str = "") -> str:
        """Where the API has the objects of this kind in a namespace, or one of them."""
        base = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        within = "" if self.name in _GLOBAL else f"/namespaces/{quote(namespace, safe='')}"
        plural = _PLURALS.get(self.name, f"{self.name.lower()}s")
        return f"{base}{within}/{plural}" + (f"/{quote(name, safe='')}" if name else "")


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The kind of an object."""
    return Kind(manifest["apiVersion"], manifest["kind"])


class ClusterClient:
    """Synchronous requests. Safe for threads.

    Raises (from all methods that ask the API server):
        ClusterError: it refused, or did not answer.
    """

    def __init__(self, access: Access, namespace: str = "") -> None:
        self.connection: Connection = connection(access)
        self.namespace = namespace or self.connection.namespace
        self._access = access
        self._http = httpx2.Client(**self.connection.settings(TIMEOUT))
        self._before: list[httpx2.Client] = []  # with older credentials; a request may be under way

    def renew(self) -> bool:
        """Read anew how the cluster is reached, since somebody may have logged in; whether that is another way.

        Raises:
            UsageError: it cannot be read.
        """
        found = connection(self._access)
        if found == self.connection:
            return False
        made = httpx2.Client(**found.settings(TIMEOUT))
        self._before.append(self._http)
        self.connection, self._http = found, made
        return True

    @property
    def http(self) -> httpx2.Client:
        """The client of HTTP beneath."""
        return self._http

    def request(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, Any] | None = None, content: str = ""
    ) -> Json:
        """Do one request and return the object of the answer. ``content`` is the media type of the body."""
        return answer_of(self._send(method, path, body, params=params, content=content))

    def _send(
        self, method: str, path: str, body: Any, *, params: Mapping[str, Any] | None = None, content: str = ""
    ) -> httpx2.Response:
        with TransportErrors(self.connection):
            return self._http.request(
                method,
                path,
                params=dict(params or {}),
                content=None if body is None else msgspec.json.encode(body),
                headers={} if body is None else {"Content-Type": content or "application/json"},
                extensions=self.connection.extensions,
            )

    def get(self, kind: Kind, name: str) -> Json:
        """One object."""
        return self.request("GET", kind.path(self.namespace, name))

    def find(self, kind: Kind, name: str) -> Json | None:
        """One object, or None where it does not exist."""
        try:
            return self.get(kind, name)
        except ClusterError as error:
            if error.code == 404:
                return None
            raise

    def list(self, kind: Kind, selector: Mapping[str, str] | None = None) -> Iterator[Json]:
        """All objects of a kind with these labels."""
        params: dict[str, Any] = {"labelSelector": selector_text(selector or {}), "limit": _PAGE}
        while True:
            page = self.request("GET", kind.path(self.namespace), params=params)
            yield from page.get("items") or ()
            params["continue"] = (page.get("metadata") or {}).get("continue")
            if not params["continue"]:
                return

    def create(self, manifest: Json, *, dry_run: bool = False) -> Json:
        """Create an object and return it as it was made."""
        params = {"fieldManager": _FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}
        return self.request("POST", kind_of(manifest).path(self.namespace), manifest, params=params)

    def apply(self, manifest: Json) -> Json:
        """Create an object, or make the fields that ``manifest`` names what it says."""
        path = kind_of(manifest).path(self.namespace, manifest["metadata"]["name"])
        params = {"fieldManager": _FIELD_MANAGER, "force": "true"}
        return self.request("PATCH", path, manifest, params=params, content="application/apply-patch+yaml")

    def delete(self, kind: Kind, name: str, *, grace: float | None = None) -> bool:
        """Delete an object and what it owns; whether it existed. ``grace`` in seconds (None: as the object says)."""
        try:
            self.request("DELETE", kind.path(self.namespace, name), delete_options(grace))
        except ClusterError as error:
            if error.code == 404:
                return False
            raise
        return True

    def log(self, pod: str, container: str = "", *, tail: int = 1000) -> str:
        """The last lines of a pod's output."""
        path = f"{Kind('v1', 'Pod').path(self.namespace, pod)}/log"
        response = self._send("GET", path, None, params=log_options(container, tail))
        if response.is_error:
            answer_of(response)
        return response.text

    def close(self) -> None:
        """Close the connections."""
        for one in (*self._before, self._http):
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClusterClient:
    """The same for one event loop: requests, and answers that go on for as long as something happens."""

    def __init__(self, connection: Connection) -> None:
        self._before: list[httpx2.AsyncClient] = []  # with older credentials; a watch may still hold
        self._use(connection)

    def _use(self, connection: Connection) -> None:
        # A watch or a forwarded port keeps its connection: their number is not limited here.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=60)
        self.connection = connection
        self.http = httpx2.AsyncClient(**connection.settings(TIMEOUT), limits=limits)

    def renew(self, connection: Connection) -> None:
        """Do requests in another way from now on."""
        self._before.append(self.http)
        self._use(connection)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        content: str = "application/json",
    ) -> Json:
        """See ``ClusterClient.request``."""
        return answer_of(await self.response(method, path, body, params, content))

    async def response(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        content: str = "application/json",
    ) -> httpx2.Response:
        """Do one request and return the answer, also a refusal. ``content`` is the type of ``body``.

        Raises:
            ClusterError: the API server did not answer.
        """
        with TransportErrors(self.connection):
            return await self.http.request(
                method,
                path,
                params=dict(params or {}),
                content=None if body is None else msgspec.json.encode(body),
                headers={} if body is None else {"Content-Type": content},
                extensions=self.connection.extensions,
            )

    async def lines(self, path: str, params: Mapping[str, Any], silence: float) -> AsyncGenerator[bytes, None]:
        """The lines of an answer as they come; the first one is empty and says that the server has begun to answer.

        Raises:
            ClusterError: the server refused, the connection broke, or nothing came for ``silence`` seconds.
        """
        timeout = httpx2.Timeout(TIMEOUT, read=silence)
        asked: dict[str, Any] = {"params": dict(params), "timeout": timeout, "extensions": self.connection.extensions}
        with TransportErrors(self.connection):
            async with self.http.stream("GET", path, **asked) as got:
                if got.is_error:
                    await got.aread()
                    answer_of(got)
                yield b""
                rest = b""
                async for chunk in got.aiter_bytes():
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        yield line

    async def close(self) -> None:
        """Close the connections."""
        for one in (*self._before, self.http):
            await one.aclose()


class TransportErrors:
    """Raises ``ClusterError`` for whatever keeps a request from its answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, httpx2.HTTPError | httpx2.InvalidURL | ConfigError | OSError | ValueError | LookupError):
            detail = str(error) or type(error).__name__
            if isinstance(error, httpx2.TransportError | httpx2.InvalidURL):
                text = f"the API server {self._connection.server} does not answer: {detail}"
            else:  # a credential plugin that is missing, fails, or says something else than a token
                text = f"{self._connection.where}: no credentials: {detail}"
            raise ClusterError(text, reason="Away") from error


def answer_of(response: httpx2.Response) -> Json:
    """The object that the API server answered.

    Raises:
        ClusterError: it refused the request.
    """
    try:
        body = msgspec.json.decode(response.content) if response.content else {}
    except msgspec.DecodeError:
        body = {"message": response.text.strip()[:500]}
    if not isinstance(body, dict):
        body = {"message": f"answered {type(body).__name__}"}
    if response.is_success:
        return body
    raise error_of(body, response.status_code, _retry_after(response))


def error_of(status: Mapping[str, Any], code: int = 0, retry_after: float = 0.0) -> ClusterError:
    """What a ``Status`` object says, as an error."""
    code = code or int(status.get("code") or 0)
    details = status.get("details") or {}
    causes = [one.get("reason") for one in details.get("causes") or () if isinstance(one, dict)]
    reason = str(status.get("reason") or "")
    if "NamespaceTerminating" in causes:
        reason = "NamespaceTerminating"
    message = str(status.get("message") or reason or f"HTTP status {code}")
    return ClusterError(message, code, reason, retry_after or float(details.get("retryAfterSeconds") or 0))


def _retry_after(response: httpx2.Response) -> float:
    text = response.headers.get("Retry-After", "")
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def selector_text(labels: Mapping[str, str]) -> str:
    """Labels as the API's label selector."""
    return ",".join([f"{name}={value}" for name, value in sorted(labels.items())])


def delete_options(grace: float | None) -> Json:
    """The body of a deletion; what the object owns goes after it."""
    options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    if grace is not None:
        options["gracePeriodSeconds"] = max(0, -int(-grace // 1))
    return options


def log_options(container: str, tail: int) -> dict[str, Any]:
    """The query of a request for a log."""
    return {"tailLines": tail, **({"container": container} if container else {})}
