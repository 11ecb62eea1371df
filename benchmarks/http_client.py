"""A client that keeps a server busy: `python -m benchmarks.http_client PORT SECONDS CONNECTIONS WRITES KEY PATH...`.

Each connection sends a request, reads the whole answer and sends the next, for as long as it is told. It does no more
than that, so that the server is what is measured. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from itertools import count, cycle
from typing import NamedTuple, cast

import uvloop

_LENGTH = b"\r\ncontent-length: "
_METRIC = {"metric_type": "tokens_per_second", "unit": "tokens/s", "hardware_type": "cpu", "hardware_name": "bench"}


class Load(NamedTuple):
    """What to send.

    Attributes:
        port: Port on loopback.
        seconds: How long.
        connections: How many at once.
        writes: Each how manyth request writes a measurement; 0: none does.
        key: API key.
        paths: Paths to read in turn. A write goes to the first one's `/metrics`.
    """

    port: int
    seconds: float
    connections: int
    writes: int
    key: str
    paths: tuple[str, ...]


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: Load, seen: Counter[str], ends_at: float) -> None:
        self._load, self._seen, self._ends_at = load, seen, ends_at
        self._requests = cycle([_read(path) for path in load.paths])
        self._buffer = b""
        self._left = -1  # bytes of the body that are missing; -1: the headers are not there yet
        self._is_write = False
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Read on; at the end of an answer send the next request."""
        if self._left < 0:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            start = self._buffer.index(_LENGTH, 0, end) + len(_LENGTH)
            length = int(self._buffer[start : self._buffer.find(b"\r\n", start)])
            self._left = length - (len(self._buffer) - end - 4)
            self._seen[("write " if self._is_write else "read ") + self._buffer[9:12].decode()] += 1
            self._buffer = b""
        else:
            self._left -= len(data)
        if self._left == 0:
            self._left = -1
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as in the base
        """Count it, unless the time is over."""
        if not self.done.done():
            self._seen["lost connections"] += 1
            self.done.set_result(None)

    def _next(self) -> None:
        if time.perf_counter() < self._ends_at:
            self._ask()
        else:
            self.done.set_result(None)
            self._transport.close()

    def _ask(self) -> None:
        number = next(_NUMBERS)
        self._is_write = bool(self._load.writes) and number % self._load.writes == 0
        self._transport.write(_write(self._load, number) if self._is_write else next(self._requests))


_NUMBERS = count(1)


def _read(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: benchmark\r\nAccept: */*\r\n\r\n".encode()


def _write(load: Load, number: int) -> bytes:
    body = json.dumps({**_METRIC, "metric_value": number}).encode()
    head = (
        f"POST {load.paths[0]}/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {load.key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(load: Load) -> dict[str, object]:
    """Send for as long as told, and give what was answered."""
    loop = asyncio.get_running_loop()
    seen: Counter[str] = Counter()
    started = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: Client(load, seen, started + load.seconds), "127.0.0.1", load.port))[1]
        for _ in range(load.connections)
    ]
    await asyncio.gather(*(client.done for client in clients))
    return {"seconds": time.perf_counter() - started, "seen": dict(seen)}


def main() -> None:
    """Run what the command line says."""
    port, seconds, connections, writes, key, *paths = sys.argv[1:]
    load = Load(int(port), float(seconds), int(connections), int(writes), key, tuple(paths))
    print(json.dumps(uvloop.run(run(load))))


if __name__ == "__main__":
    main()
