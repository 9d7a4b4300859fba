"""``headrace server``."""

from __future__ import annotations

import os
from typing import Any

import click

#: What proves to the provider of identities that it is this server; some providers give none.
OIDC_SECRET = "HEADRACE_OIDC_CLIENT_SECRET"


@click.command(name="server")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8700, show_default=True, help="The port; 0: any free.")
@click.option("--base-url", default="", metavar="URL", help="How browsers reach it, where that is another address.")
@click.option("--tls-cert", default="", metavar="FILE", help="The certificate, to serve over TLS.")
@click.option("--tls-key", default="", metavar="FILE", help="The certificate's key.")
@click.option(
    "--behind-proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="The proxy that ends TLS; what it says of clients is believed. May be repeated.",
)
@click.option(
    "--auth",
    type=click.Choice(["none", "users", "oidc", "proxy"]),
    default="none",
    show_default=True,
    help="How users prove who they are: accounts with passwords, a provider of identities, or a header of the proxy.",
)
@click.option("--oidc-issuer", default="", metavar="URL", help="The provider of identities, for --auth oidc.")
@click.option("--oidc-client-id", default="", metavar="ID", help="What the provider calls this server.")
@click.option(
    "--oidc-claim", default="email", metavar="NAME", show_default=True, help="The claim that users are named by."
)
@click.option(
    "--user-header", default="", metavar="NAME", help="The proxy's header that names the user, for --auth proxy."
)
@click.option(
    "--drivers/--no-drivers",
    default=None,
    help="Whether editors may start and resume runs, whose code then runs on this machine, as you. They may where "
    "there are no accounts.",
)
@click.option("--open", "open_", is_flag=True, help="Open it in the browser.")
def server_command(
    proxies: tuple[str, ...],
    open_: bool,
    drivers: bool | None,
    oidc_issuer: str,
    oidc_client_id: str,
    oidc_claim: str,
    **more: Any,
) -> None:
    """Serve the runs of this folder to browsers and programs: pages, and an API under /api/v1.

    Without accounts it listens on this machine alone, and whoever uses it is you. With --auth oidc the
    variable HEADRACE_OIDC_CLIENT_SECRET has the secret that the provider gave. It stops at Ctrl-C.
    """
    from headrace import wiring
    from headrace.model.errors import UsageError
    from headrace.services.served_at import announce, withdraw
    from headrace.settings import read_settings

    try:
        from headrace.server.config import OidcConfig, ServerConfig
        from headrace.server.serve import serve
    except ImportError as error:
        raise UsageError(f"the server needs more packages: pip install 'headrace[server]' ({error})") from None
    settings = read_settings()
    if settings.server:
        raise UsageError(
            f"the setting server says that runs are behind {settings.server}; a server needs the database itself: "
            "unset HEADRACE_SERVER or leave out --server, or give --home or --database"
        )
    oidc = None
    if oidc_issuer or oidc_client_id:
        secret = os.environ.pop(OIDC_SECRET, "")
        oidc = OidcConfig(issuer=oidc_issuer, client_id=oidc_client_id, client_secret=secret, claim=oidc_claim)
    if drivers is None:
        drivers = more["auth"] == "none"  # an editor who may start runs is the user of the server
    config = ServerConfig(trusted_proxies=proxies, oidc=oidc, drivers=drivers, **more)
    config.check()
    scope = wiring.scope_at(settings)

    _ = scope.workspace.metadata  # made where there is none, and refused now where it cannot be

    def ready(config: ServerConfig) -> None:
        announce(settings.home, config.url)
        click.echo(f"Headrace serves {settings.home} at {config.url}", err=True)
        if open_:
            click.launch(config.url)

    try:
        serve(config, scope, ready)
    finally:
        withdraw(settings.home)
