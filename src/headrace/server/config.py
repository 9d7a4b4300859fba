"""What a server was started with."""

from __future__ import annotations

import ipaddress

import msgspec

from headrace.model.errors import UsageError

MIB = 1 << 20


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one request may take.

    Args:
        body: bytes of a body, where the route says nothing else.
        body_seconds: time in which a body must have come; a route that streams needs ``chunk_seconds`` between chunks.
        head_seconds: time in which the head of a request must have come, and the longest wait for the next one.
        threads: handlers that run at once.
        listeners: streams of live events that are open at once.
        stop_seconds: time that requests have to end in when the server stops.
    """

    body: int = 4 * MIB
    body_seconds: float = 30.0
    chunk_seconds: float = 30.0
    head_seconds: float = 15.0
    threads: int = 16
    listeners: int = 4_000
    stop_seconds: float = 10.0


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server listens, how it is reached, and whom it believes.

    Args:
        host: the address to listen on.
        port: the port; 0 takes a free one.
        base_url: how browsers reach it, where that is not ``http://host:port``.
        auth: ``none`` on loopback alone; else a mode of accounts.
        tls_cert: the certificate's file (PEM).
        tls_key: the key's file (PEM).
        trusted_proxies: addresses whose ``X-Forwarded-*`` are believed; with one, TLS may end there.
        limits: what requests may take.
    """

    host: str = "127.0.0.1"
    port: int = 8700
    base_url: str = ""
    auth: str = "none"
    tls_cert: str = ""
    tls_key: str = ""
    trusted_proxies: tuple[str, ...] = ()
    limits: Limits = Limits()

    @property
    def url(self) -> str:
        """Where browsers find it, without a slash at its end."""
        if self.base_url:
            return self.base_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"

    def check(self) -> None:
        """Refuse what would show runs, or passwords, to a network that may listen.

        Raises:
            UsageError: another address than loopback without TLS, or without accounts; one of two TLS files.
        """
        if bool(self.tls_cert) != bool(self.tls_key):
            raise UsageError("server: --tls-cert and --tls-key go together; give both files, or neither")
        if is_loopback(self.host):
            return
        if not self.tls_cert and not self.trusted_proxies:
            raise UsageError(
                f"server: without TLS it listens on loopback alone, not on {self.host}: what it sends could be read "
                "on the way. Give --tls-cert and --tls-key, or --behind-proxy ADDRESS for the proxy that ends TLS"
            )
        if self.auth == "none":
            raise UsageError(
                f"server: without accounts it listens on loopback alone, not on {self.host}: everybody who reaches it "
                "would be you. Choose --auth users or --auth oidc"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
