"""Parts of the network that are cut: packets are dropped, and connections stay open."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def cut(port: int, pod: str = "") -> Iterator[None]:
    """Nothing passes between a port of this machine and pods, or the one with this address, while the block lasts."""
    source, target = (f"ip saddr {pod} ", f"ip daddr {pod} ") if pod else ("", "")
    table = f"headrace-test-{secrets.token_hex(4)}"
    rules = f"""table inet {table} {{
        chain to {{
            type filter hook input priority -300
            {source}tcp dport {port} drop
        }}
        chain from {{
            type filter hook output priority -300
            {target}tcp sport {port} drop
        }}
    }}"""
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=True)
