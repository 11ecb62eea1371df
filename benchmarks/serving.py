"""The service under load: requests a second against an empty route, and 200 clients that read and write for a minute.

Servers and clients are processes of their own on loopback. The rival is a Starlette application of one route that
answers with nothing, run by the same code with the same settings.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import ROOT
from benchmarks.measure import Line, Spread, Table, Target, environment
from benchmarks.workspace import Workspace

_KEY = "a-key-for-benchmarks"
_CONNECTIONS = 64
_SECONDS = 3.0
_MODEL, _PAGE = "/api/models/colbert-v2", "/api/models"
_CLIENTS, _LOAD_SECONDS, _FIRST_LOOK_S = 200, 60.0, 20.0
_MIXED = (
    _MODEL,
    _PAGE,
    "/api/models/qwen2.5-coder-7b-q4_k_m",
    "/api/models?search=embedding&limit=10",
    "/api/models?type=chat&max_ram=8GB&sort=-parameters",
    f"{_MODEL}/metrics?limit=20",
    "/api/stats",
    "/api/tags",
    "/health",
)
_WRITES = 5  # each fifth request


class Server(NamedTuple):
    """A server that runs.

    Attributes:
        process: Its process.
        port: Its port on loopback.
    """

    process: subprocess.Popen[str]
    port: str

    def cpu_seconds(self) -> float:
        """Give the processor time that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Give its memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure requests a second, and what a minute of mixed load does."""
    folder = workspace.folder / "serving"
    return [_speed(folder, rounds), _load(folder / "load")]


def _speed(folder: Path, rounds: int) -> Table:
    asked = {
        "one model": ("ours", _MODEL, Target(0.7, at_least=True)),
        "the first page, 50 models": ("ours", _PAGE, Target(0.5, at_least=True)),
        "one model, made anew each time": ("cold", _MODEL, None),
        "the first page, made anew each time": ("cold", _PAGE, None),
    }
    rates: dict[str, list[float]] = {what: [] for what in asked}
    ratios: dict[str, list[float]] = {what: [] for what in asked}
    with ExitStack() as running:
        servers = {kind: running.enter_context(_server(kind, folder / kind)) for kind in ("bare", "ours", "cold")}
        for turn in range(rounds + 1):
            for what, (kind, path, _) in asked.items():
                pair = [("bare", "/"), (kind, path)]
                found = {each: _rate(servers[each], there) for each, there in (pair if turn % 2 else pair[::-1])}
                if turn:  # the first is thrown away
                    rates[what].append(found[kind])
                    ratios[what].append(found[kind] / found["bare"])
    table = Table("Requests a second, 64 connections, one worker")
    for what, (_, _, target) in asked.items():
        detail = f"{Spread.of(rates[what]).median:.0f}/s"
        table.lines.append(
            Line.measured(what, "an empty Starlette route", Spread.of(ratios[what]), "x", detail, target)
        )
    table.remarks.append(
        "Both with uvicorn, httptools and uvloop, keep-alive, the access log of ours written. A read is made anew when "
        "anything in the store has changed since it was last answered."
    )
    return table


def _load(folder: Path) -> Table:
    with _server("ours", folder) as server:
        seen, looks = _busy(server)
        stored = _count(folder)
    failed = sum(number for kind, number in seen.items() if kind.split()[-1][:1] not in ("2", "3"))
    written, read = seen.get("write 201", 0), seen.get("read 200", 0)
    table = Table(f"{_CLIENTS} clients for {_LOAD_SECONDS:.0f} s, each fifth request writes a measurement")
    growth = looks[1] / looks[0]
    table.lines += [
        Line("answers but 2xx", "", f"**{failed}**", f"{read} reads, {written} writes", "0", _said(failed == 0)),
        Line("writes that are not in the store", "", f"**{written - stored}**", "", "0", _said(written == stored)),
        Line.measured(
            "memory at the end",
            f"at {_FIRST_LOOK_S:.0f} s",
            Spread.of([growth]),
            "x",
            f"{looks[1]:.0f} MB / {looks[0]:.0f} MB",
            Target(1.1),
        ),
    ]
    return table


def _said(reached: bool) -> str:
    return "yes" if reached else "**no**"


def _busy(server: Server) -> tuple[dict[str, int], tuple[float, float]]:
    """Send for a minute; give what was answered, and the memory after a third of it and at its end."""
    found: list[dict[str, Any]] = []
    client = threading.Thread(
        target=lambda: found.append(_client(server, _LOAD_SECONDS, _CLIENTS, _WRITES, *_MIXED)), daemon=True
    )
    client.start()
    time.sleep(_FIRST_LOOK_S)
    first = server.rss_mb()
    client.join()
    return found[0]["seen"], (first, server.rss_mb())


def _count(folder: Path) -> int:
    from registry.catalog import Catalog

    with Catalog.open(folder / "catalog.db") as catalog:
        return catalog.count_metrics()


def _rate(server: Server, path: str) -> float:
    """Give the requests a second.

    Raises:
        RuntimeError: An answer was none of success.
    """
    found = _client(server, _SECONDS, _CONNECTIONS, 0, path)
    if set(found["seen"]) != {"read 200"}:
        raise RuntimeError(f"expected answers with 200 from {path}, got {found['seen']}")
    return float(found["seen"]["read 200"] / found["seconds"])


def _client(server: Server, seconds: float, connections: int, writes: int, *paths: str) -> dict[str, Any]:
    words = (server.port, str(seconds), str(connections), str(writes), _KEY, *paths)
    command = [sys.executable, "-m", "benchmarks.http_client", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@contextmanager
def _server(kind: str, folder: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "benchmarks.http_server", kind, _KEY]
    env = {**environment(), "REGISTRY_HOME": str(folder)}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        yield Server(process, process.stderr.readline().strip())
    finally:
        process.terminate()
        process.communicate(timeout=30)
