"""Ray Serve: what its path adds to a request, and what happens to requests when a replica and a node are lost."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from benchmarks import ROOT
from benchmarks.measure import Line, Spread, Table, Target, missing
from benchmarks.workspace import Workspace

ADDED, FAILED, BACK = Target(15, "ms"), Target(0, "requests"), Target(30, "s")
PER_SECOND, FULL_S, QUICK_S = 20, 60, 24
TURNS_PER_ROUND = 30
SLOW_S = 1.0  # a request that takes longer waits for something that was lost
CHAT: dict[str, Any] = {"model": "tiny-chat", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "answer of 8 tokens": ("/v1/chat/completions", CHAT),
    "streamed answer of 8 tokens": ("/v1/chat/completions", CHAT | {"stream": True}),
    "embedding of one text": ("/v1/embeddings", {"model": "tiny-dense", "input": "the king and the dog"}),
}
TAKEN_HERE, BY_PROXY = "`registry serve --ray`", "Serve's proxy and an ingress"
ONE_PROCESS = "`registry serve`, same models, same run"
_TESTS = ROOT / "tests"  # where the two nodes and the tiny models are


class Asked(NamedTuple):
    """One request of the load.

    Attributes:
        begun_s: When it was sent, in seconds since the load began.
        took_s: How long its answer took.
        problem: What went wrong; empty for a whole answer. `cut` for a stream that broke off.
    """

    begun_s: float
    took_s: float
    problem: str


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure what the path adds, then lose a replica and a node under load."""
    if absent := missing("ray", "fastapi", "sentence_transformers", "llama_cpp", "gguf"):
        return [Table("Several machines", remarks=[absent])]
    home = workspace.folder / "cluster"
    home.mkdir()
    sys.path.append(str(_TESTS))
    from cluster.two_nodes import environment

    stated = os.environ | environment(home)
    stated["PYTHONPATH"] = os.pathsep.join((str(_TESTS), str(ROOT)))
    with _child("benchmarks.cluster_nodes", stated) as nodes:
        here, through_proxy = nodes.first.split()
        with _child("benchmarks.single_server", stated) as one:
            added = _added({TAKEN_HERE: here, BY_PROXY: through_proxy}, one.first, rounds * TURNS_PER_ROUND)
        return [added, _losses(nodes, here, FULL_S if rounds >= 5 else QUICK_S)]


class _Child:
    """A process that says `@...` and is told what to do."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.first = self.said()

    def said(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@"):
                return line[1:].strip()
        raise RuntimeError(f"`{self._process.args}` ended with exit code {self._process.wait()}")

    def do(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        self.said()


@contextmanager
def _child(module: str, environment: dict[str, str]) -> Iterator[_Child]:
    command = [sys.executable, "-m", module]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as process:
        assert process.stdin is not None
        try:
            yield _Child(process)
        finally:
            process.stdin.close()


def _added(ways: Mapping[str, str], one: str, turns: int) -> Table:
    """Send the same requests to all in turn, with nothing else to do for any."""
    table = Table(f"Latency of the Ray path, idle, {turns} requests of each kind in turn")
    for kind, (path, body) in KINDS.items():
        connections = [HTTPConnection(urlsplit(url).netloc, timeout=60) for url in (one, *ways.values())]
        for connection in connections * 5:
            _ask(connection, path, body)
        times: list[list[float]] = [[] for _ in connections]
        for turn in range(turns):
            order = list(enumerate(connections))
            for side, connection in order if turn % 2 else reversed(order):
                start = time.perf_counter()
                _ask(connection, path, body)
                times[side].append((time.perf_counter() - start) * 1e3)
        for connection in connections:
            connection.close()
        rival = times[0]
        for way, ours in zip(ways, times[1:], strict=True):
            added = Spread.of([each - other for each, other in zip(ours, rival, strict=True)])
            detail = f"{Spread.of(ours).median:.3g} ms / {Spread.of(rival).median:.3g} ms"
            table.lines.append(Line.measured(f"{kind}, added by {way}", ONE_PROCESS, added, "ms", detail, ADDED))
    table.remarks.append(
        "All have the same tiny models, so that next to nothing but the way is measured. `registry serve --ray` takes "
        "the request itself and hands it to a replica; with `build_app`, which a Serve config file names, it goes from "
        "the proxy of Serve to an ingress and from there to a replica, four processes where the rival is one."
    )
    return table


def _losses(nodes: _Child, url: str, seconds: int) -> Table:
    """Send requests at a steady rate, kill a replica after a quarter of the time and remove a node after the half."""
    events: dict[str, float] = {}
    with ThreadPoolExecutor(64) as pool, ThreadPoolExecutor(1) as hand:
        start = time.perf_counter()
        asked = []
        acts = [(seconds / 4, "kill a replica"), (seconds / 2, "remove a node")]
        for number in range(seconds * PER_SECOND):
            due = number / PER_SECOND
            time.sleep(max(0.0, start + due - time.perf_counter()))
            if acts and due >= acts[0][0]:
                _, act = acts.pop(0)
                events[act] = due
                hand.submit(nodes.do, act)
            asked.append(pool.submit(_sent, url, start, number))
        found = [each.result() for each in asked]
    return _report(found, events, seconds)


def _report(found: Sequence[Asked], events: dict[str, float], seconds: int) -> Table:
    table = Table(f"{PER_SECOND} requests/s for {seconds} s on two nodes; a replica is killed, then a node removed")
    failed = [each.problem for each in found if each.problem and each.problem != "cut"]
    cut = sum(each.problem == "cut" for each in found)
    number, none = Spread.of([len(failed)]), f"of {len(found)}"
    table.lines.append(Line.measured("failed requests that could be retried", "", number, "requests", none, FAILED))
    for act, at_s in events.items():
        slow = [each.begun_s + each.took_s - at_s for each in found if each.begun_s >= at_s - 1 and _is_slow(each)]
        until = min((other for other in events.values() if other > at_s), default=float(seconds))
        slow = [each for each in slow if each <= until - at_s]
        longest = max((each.took_s for each in found if at_s - 1 <= each.begun_s < until), default=0.0)
        back = Spread.of([max(slow, default=0.0)])
        detail = f"longest request {longest:.2f} s"
        table.lines.append(Line.measured(f"service back after: {act}", "", back, "s", detail, BACK))
    table.remarks.append(
        f"Half of the requests are streamed. Streams that broke off after their first piece, which nobody may repeat: "
        f"{cut}. Service is back when the last request has its answer that took longer than {SLOW_S:g} s. Median of "
        f"all: {Spread.of([each.took_s * 1e3 for each in found]).median:.3g} ms. Requests go to the process that "
        "`registry serve --ray` is, on the node that stays."
    )
    table.remarks += [f"Failures: {', '.join(sorted(set(failed)))}."] if failed else []
    return table


def _is_slow(asked: Asked) -> bool:
    return asked.took_s > SLOW_S


def _sent(url: str, start: float, number: int) -> Asked:
    """Send one request on a connection of its own."""
    path, body = KINDS["streamed answer of 8 tokens" if number % 2 else "answer of 8 tokens"]
    begun = time.perf_counter()
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    problem = ""
    try:
        answer = _ask(connection, path, body | {"seed": random.randrange(1000)})
        if body.get("stream") and not answer.endswith(b"data: [DONE]\n\n"):
            problem = "cut"
    except (OSError, HTTPException, RuntimeError) as error:
        problem = str(error) or type(error).__name__
    finally:
        connection.close()
    return Asked(begun - start, time.perf_counter() - begun, problem)


def _ask(connection: HTTPConnection, path: str, body: dict[str, Any]) -> bytes:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    read = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"status {answer.status}: {read[:200]!r}")
    return read
