"""What a server was started with."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

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
    threads: int = 8
    listeners: int = 4_000
    stop_seconds: float = 10.0


class OidcConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The provider of identities that users log in at (OpenID Connect).

    Args:
        issuer: its URL, as its tokens say it.
        client_id: what it calls this server.
        client_secret: what proves that it is this server.
        claim: the claim that new users are named by; ``email`` counts only where the provider has verified it.
    """

    issuer: str
    client_id: str
    client_secret: str = ""
    claim: str = "email"


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server listens, how it is reached, and whom it believes.

    Args:
        host: the address to listen on.
        port: the port; 0 takes a free one.
        base_url: how browsers reach it, where that is not ``http://host:port``.
        auth: ``none`` on loopback alone; ``users``: accounts with passwords; ``oidc``: a provider of identities, and
            passwords for users that have one; ``proxy``: a header of a trusted proxy names the user.
        oidc: the provider, in mode ``oidc``.
        user_header: the header, in mode ``proxy``; requests of other addresses than the trusted ones are refused.
        tls_cert: the certificate's file (PEM).
        tls_key: the key's file (PEM).
        trusted_proxies: addresses whose ``X-Forwarded-*`` are believed; with one, TLS may end there.
        drivers: whether runs may be started and resumed from it, which runs their code on this machine.
        limits: what requests may take.
    """

    host: str = "127.0.0.1"
    port: int = 8700
    base_url: str = ""
    auth: str = "none"
    oidc: OidcConfig | None = None
    user_header: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    trusted_proxies: tuple[str, ...] = ()
    drivers: bool = True
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
        self._check_mode()
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

    def _check_mode(self) -> None:
        if self.auth not in AUTH_MODES:
            raise UsageError(f"server: --auth {self.auth}: there are {', '.join(AUTH_MODES)}")
        if (self.auth == "oidc") != (self.oidc is not None):
            raise UsageError("server: --auth oidc, --oidc-issuer and --oidc-client-id go together")
        if self.oidc is not None:
            check_provider_url("--oidc-issuer", self.oidc.issuer)
        if self.auth == "proxy" and not self.trusted_proxies:
            raise UsageError("server: --auth proxy needs the proxy's address: --behind-proxy ADDRESS")
        if (self.auth == "proxy") != bool(self.user_header):
            raise UsageError("server: --auth proxy and --user-header NAME go together")
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise UsageError(
                    f"server: --behind-proxy {proxy}: name it by its address, such as 10.0.0.7 or 10.0.0.0/24"
                ) from None


#: How users prove who they are.
AUTH_MODES = ("none", "users", "oidc", "proxy")


def check_provider_url(what: str, url: str) -> None:
    """Refuse addresses of a provider of identities to which secrets would go unprotected, or that are none.

    Raises:
        UsageError: it is not an ``https://`` address, nor one of this machine.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname and parts.username is None:
        return
    if parts.scheme == "http" and parts.hostname and is_loopback(parts.hostname) and parts.username is None:
        return
    raise UsageError(f"server: {what} {url}: it must begin with https://")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
