"""``headrace worker``."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import Any

import click


def _address(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, int] | None:
    if value is None:
        return None
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise click.BadParameter(f"{value!r} is not HOST:PORT, such as driver.example:7701")
    return host.strip("[]"), int(port)


@click.command(name="worker")
@click.option("--connect", callback=_address, metavar="HOST:PORT", help="Where a run listens.")
@click.option(
    "--listen",
    type=click.IntRange(1, 65_535),
    metavar="PORT",
    help="Instead: listen at this port of the loopback, for a driver that comes through a forwarded port.",
)
@click.option(
    "--secret-file", metavar="PATH", help="The joining token that the run wrote; else HEADRACE_WORKER_SECRET has it."
)
@click.option("--workers", type=click.IntRange(1, 1024), metavar="N", help="How many workers; else one per core.")
@click.option("--root", default=".", metavar="FOLDER", help="Where steps run and copies of blobs are kept.")
@click.option("--name", default="", metavar="NAME", help="What the run calls this machine; else a random name.")
@click.option("--spare/--no-spare", default=True, help="Have more workers than N where attempts need them (default).")
@click.option("--once", is_flag=True, help="Leave after one run.")
def worker_command(
    connect: tuple[str, int] | None,
    listen: int | None,
    secret_file: str | None,
    workers: int | None,
    root: str,
    **more: Any,
) -> None:
    """Lend this machine's cores to a run elsewhere, whose place of kind "workers" listens at HOST:PORT.

    Steps of the run are executed here as this user: join only drivers that you trust. The artifact store of the run
    must be reachable from here, with credentials of this machine's own environment.
    """
    from headrace.wiring.lending import HostSettings, lend_workers

    def report(line: str) -> None:
        print(f"headrace worker: {line}", file=sys.stderr, flush=True)

    if (connect is None) == (listen is None):
        raise click.UsageError("give one of --connect HOST:PORT and --listen PORT")
    address = ("127.0.0.1", listen) if listen is not None else connect
    assert address is not None
    settings = HostSettings(
        address=address, listen=listen is not None, secret_file=secret_file, workers=workers, root=root, **more
    )
    host = lend_workers(settings, report)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError, OSError):
            signal.signal(number, lambda *_: host.stop())
    host.run()
