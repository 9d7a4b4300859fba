"""Readers of an HTTP server: each asks, waits for the whole answer, and asks again over the same connection."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import NamedTuple


class Measured(NamedTuple):
    """Times are milliseconds; ``rate`` requests per second over all readers."""

    count: int
    rate: float
    p50: float
    p99: float
    size: int

    def __str__(self) -> str:
        return (
            f"{self.count} requests, {self.rate:,.0f} a second, p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms, "
            f"{self.size / 1024:.0f} KiB each"
        )


class Reader:
    """One connection."""

    def __init__(self, host: str, port: int) -> None:
        self._place = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, body: bytes = b"") -> bytes:
        """The body of the answer; raises ConnectionError unless it is 200."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._place)
        reader, writer = self._streams
        method = "POST" if body else "GET"
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._place[0]}:{self._place[1]}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"\r\n" + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        if lines[0].split()[1] != b"200":
            raise ConnectionError(lines[0].decode())
        for line in lines:
            if line.startswith(b"content-length:"):
                return await reader.readexactly(int(line[15:]))
        if b"transfer-encoding: chunked" in lines:
            return await _chunks(reader)
        raise ConnectionError("an answer without a length")

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


async def measure(place: tuple[str, int], asked: list[tuple[str, bytes]], readers: int, seconds: float) -> Measured:
    """Let ``readers`` ask for ``asked`` (paths with bodies), by turns, for so long."""
    times: list[float] = []
    sizes: list[int] = []
    end = time.perf_counter() + seconds

    async def read(number: int) -> None:
        reader = Reader(*place)
        turn = number
        while time.perf_counter() < end:
            began = time.perf_counter()
            sizes.append(len(await reader.get(*asked[turn % len(asked)])))
            times.append(time.perf_counter() - began)
            turn += 1
        reader.close()

    began = time.perf_counter()
    await asyncio.gather(*(read(number) for number in range(readers)))
    took = time.perf_counter() - began
    times.sort()
    return Measured(
        len(times),
        len(times) / took,
        1e3 * statistics.median(times),
        1e3 * times[min(len(times) - 1, int(0.99 * len(times)))],
        int(statistics.mean(sizes)),
    )
