"""What a trusted proxy says of the client that it speaks for."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send


class Forwarded:
    """Puts the client's address and scheme in place of the proxy's, where the proxy is one of ``proxies``.

    ``scope["proxy"]`` says afterwards whether a trusted proxy sent the request. Of a chain of addresses the last one
    counts that is not a trusted proxy: what stands before it may be made up.
    """

    def __init__(self, app: ASGIApp, proxies: Sequence[str]) -> None:
        self._app = app
        self._networks = [ipaddress.ip_network(one) for one in proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and self._networks:
            peer = (scope.get("client") or ("",))[0]
            scope["proxy"] = self._is_trusted(peer)
            if scope["proxy"]:
                self._believe(scope, Headers(scope=scope))
        await self._app(scope, receive, send)

    def _is_trusted(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)

    def _believe(self, scope: Scope, headers: Headers) -> None:
        chain = [one.strip() for line in headers.getlist("x-forwarded-for") for one in line.split(",")]
        for address in reversed(chain):
            if not _is_address(address):
                break
            scope["client"] = (address, 0)
            if not self._is_trusted(address):
                break
        scheme = headers.get("x-forwarded-proto", "").strip().lower()
        if scheme in ("http", "https"):
            scope["scheme"] = scheme


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
