"""``headrace server``."""

from __future__ import annotations

import click


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
@click.option("--open", "open_", is_flag=True, help="Open it in the browser.")
def server_command(
    host: str, port: int, base_url: str, tls_cert: str, tls_key: str, proxies: tuple[str, ...], open_: bool
) -> None:
    """Serve the runs of this folder to browsers and programs: pages, and an API under /api/v1.

    Without accounts it listens on this machine alone, and whoever uses it is you. It stops at Ctrl-C.
    """
    from headrace import wiring
    from headrace.model.errors import UsageError
    from headrace.settings import read_settings

    try:
        from headrace.server.config import ServerConfig
        from headrace.server.serve import serve
    except ImportError as error:
        raise UsageError(f"the server needs more packages: pip install 'headrace[server]' ({error})") from None
    settings = read_settings()
    config = ServerConfig(
        host=host, port=port, base_url=base_url, tls_cert=tls_cert, tls_key=tls_key, trusted_proxies=proxies
    )
    config.check()
    scope = wiring.scope_at(settings)

    def ready(config: ServerConfig) -> None:
        click.echo(f"Headrace serves {settings.home} at {config.url}", err=True)
        if open_:
            click.launch(config.url)

    serve(config, scope.workspace, settings.project, ready)
