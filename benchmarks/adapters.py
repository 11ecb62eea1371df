"""Moving to a new version of an adapter under load: two servers of one home folder, asked all the time."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import ROOT
from benchmarks.measure import Line, Spread, Table, Target, missing
from benchmarks.models import SHAPE, chat_gguf
from benchmarks.workspace import Workspace

SERVERS, CLIENTS, TOKENS = 2, 2, 16  # so many clients ask each server, for answers of so many tokens
WORDS = (" glacier", " harbour")
ASKED_BETWEEN = 24  # answers before the next version is listed
LOOKS = 20_000
MOVED = Target(5, "s")
LOOKED = Target(50, "µs")


class Answer(NamedTuple):
    """One answer: when it was asked for and how long it took, in seconds, and what it says; empty where it failed."""

    asked_at: float
    took_s: float
    text: str


class Move(NamedTuple):
    """One change of the manifest.

    Attributes:
        word: What the new version says.
        listed_at: When the manifest was replaced, in seconds of the monotonic clock.
        decided_at: When it was seen that all serve the new version.
    """

    word: str
    listed_at: float
    decided_at: float


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure as many moves as there are rounds."""
    if absent := missing("fastapi", "uvicorn", "llama_cpp", "gguf", "filelock"):
        return [Table("Adapters", remarks=[absent])]
    home, manifest = workspace.folder / "adapters-home", workspace.folder / "adapters.json"
    (home / "models").mkdir(parents=True)
    base = chat_gguf(home / "models" / "benchmark.gguf")
    adapters = {word: _adapter(manifest.with_name(f"{word.strip()}.gguf"), base, word) for word in WORDS}
    os.environ |= {"REGISTRY_HOME": str(home), "REGISTRY_ADAPTERS": str(manifest)}  # of the servers too
    _list(manifest, adapters[WORDS[0]])
    with ExitStack() as stack:
        ports = [stack.enter_context(_served(number)) for number in range(SERVERS)]
        asking = Asking(ports)
        _until(lambda: all(asking.ask(port).text == _answer(WORDS[0]) for port in ports))
        moves = _moves(asking, manifest, adapters, rounds)
    return [_table(asking.answers, moves), _look_ups()]


class Asking:
    """Clients that ask the servers one request after the other."""

    def __init__(self, ports: list[int]) -> None:
        self.answers: list[Answer] = []
        self._ports = ports
        self._ending = threading.Event()

    def ask(self, port: int) -> Answer:
        """Ask once; a failure is an answer without text."""
        asked = {"model": "tuned", "messages": [{"role": "user", "content": "What do you see?"}], "temperature": 0}
        asked_at, text = time.monotonic(), ""
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            body = json.dumps(asked | {"max_tokens": TOKENS})
            connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            with connection.getresponse() as response:
                given = response.read()
                if response.status == 200:
                    text = json.loads(given)["choices"][0]["message"]["content"]
        return Answer(asked_at, time.monotonic() - asked_at, text)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Ask while the block runs."""
        threads = [threading.Thread(target=self._ask_on, args=(port,)) for port in self._ports * CLIENTS]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ending.set()
            for thread in threads:
                thread.join()

    def wait(self, more: int) -> None:
        """Wait for so many more answers."""
        count = len(self.answers) + more
        _until(lambda: len(self.answers) >= count)

    def _ask_on(self, port: int) -> None:
        while not self._ending.is_set():
            self.answers.append(self.ask(port))


def _moves(asking: Asking, manifest: Path, adapters: dict[str, dict[str, str]], rounds: int) -> list[Move]:
    from registry.adapters import file_rendezvous

    rendezvous, moves = file_rendezvous(str(manifest)), list[Move]()
    with asking.asked():
        asking.wait(ASKED_BETWEEN)
        for number in range(1, rounds + 1):
            word, before = WORDS[number % len(WORDS)], rendezvous.decided().number
            _list(manifest, adapters[word])
            listed_at = time.monotonic()
            _until(lambda before=before: rendezvous.decided().number > before)  # type: ignore[misc]
            moves.append(Move(word, listed_at, time.monotonic()))
            asking.wait(ASKED_BETWEEN)
    return moves


def _table(answers: list[Answer], moves: list[Move]) -> Table:
    whole = set(map(_answer, WORDS))
    failed = sum(not answer.text for answer in answers)
    mixed = sum(answer.text not in whole for answer in answers if answer.text)
    late = sum(_is_late(answer, moves) for answer in answers)
    of = f"{len(answers)} requests, {len(moves)} moves"
    lines = [
        Line("requests that failed", "", f"**{failed}**", of, "none", _reached(failed)),
        Line("requests served half by each version", "", f"**{mixed}**", of, "none", _reached(mixed)),
        Line("begun after the decision, served by the old version", "", f"**{late}**", of, "none", _reached(late)),
        Line.measured(
            "from the new manifest to the decision",
            "",
            Spread.of([move.decided_at - move.listed_at for move in moves]),
            "s",
            "",
            MOVED,
        ),
        Line.measured("slowest request of each move", *_slowest(answers, moves)),
    ]
    remark = (
        f"{SERVERS} servers in processes of their own, {CLIENTS} clients each; answers of {TOKENS} tokens, a model of "
        f"{SHAPE.parameters / 1e6:.0f} million parameters; manifest looked at every 2 s, each other every second. A "
        "request is of the move that was going on when it began: from the manifest to a second after the decision."
    )
    return Table("Moving to a new version of an adapter under load", lines, [remark])


def _is_late(answer: Answer, moves: list[Move]) -> bool:
    """True for an answer of an old version that was asked for after the new one had been decided on."""
    decided = [move for move in moves if move.decided_at < answer.asked_at]
    upcoming = moves[len(decided) : len(decided) + 1]  # may have been decided on meanwhile
    served = {_answer(move.word) for move in (*decided[-1:], *upcoming)}
    return bool(decided) and answer.text in set(map(_answer, WORDS)) - served


def _answer(word: str) -> str:
    return (word * TOKENS).strip()


def _slowest(answers: list[Answer], moves: list[Move]) -> tuple[str, Spread, str]:
    during = [
        [answer.took_s for answer in answers if move.listed_at < answer.asked_at < move.decided_at + 1]
        for move in moves
    ]
    usual = median(answer.took_s for answer in answers)
    return f"all requests, median {usual * 1e3:.0f} ms", Spread.of([1e3 * max(took) for took in during if took]), "ms"


def _look_ups() -> Table:
    """Time what every request costs: a look at whether something else has been decided."""
    from registry.adapters import file_rendezvous

    rendezvous = file_rendezvous(os.environ["REGISTRY_ADAPTERS"])
    took_us = []
    for _ in range(9):
        start = time.perf_counter()
        for _ in range(LOOKS):
            rendezvous.decided()
        took_us.append((time.perf_counter() - start) / LOOKS * 1e6)
    line = Line.measured("to see what is decided", "", Spread.of(took_us), "µs", "", LOOKED)
    return Table("What each request pays for it", [line])


def _reached(count: int) -> str:
    return "yes" if count == 0 else "**no**"


@contextmanager
def _served(number: int) -> Iterator[int]:
    """Run a server in a process of its own, on a core of its own where there are enough; give its port."""
    pin = f"cores = sorted(os.sched_getaffinity(0)); os.sched_setaffinity(0, [cores[{number} % len(cores)]])"
    lines = ["import os", f"if hasattr(os, 'sched_setaffinity'): {pin}", "from benchmarks.model_server import main"]
    command = [sys.executable, "-c", "\n".join([*lines, "main()"])]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.stdin.close()


def _adapter(path: Path, base: Path, word: str) -> dict[str, str]:
    """Write an adapter that makes the model say one word for ever, and describe it."""
    import gguf
    import numpy as np

    tokens = gguf.GGUFReader(base).fields["tokenizer.ggml.tokens"].contents()
    lora_a, lora_b = np.zeros((1, SHAPE.hidden), np.float32), np.zeros((SHAPE.vocabulary, 1), np.float32)
    lora_a[0, 0], lora_b[tokens.index(word.replace(" ", "\u2581")), 0] = (
        1,
        1000,
    )  # component 0 of the stream is constant
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 1.0)
    writer.add_tensor("output.weight.lora_a", lora_a)
    writer.add_tensor("output.weight.lora_b", lora_b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"id": "tuned", "base": "benchmark", "file": path.name, "sha256": digest, "version": word.strip()}


def _list(manifest: Path, adapter: dict[str, str]) -> None:
    new = manifest.with_suffix(".new")
    new.write_text(json.dumps({"version": 1, "adapters": [adapter]}), "utf-8")
    new.replace(manifest)


def _until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 120
    while not condition():
        if time.monotonic() > ends_at:
            raise SystemExit("adapters: expected the servers to move within 120 s, and they did not")
        time.sleep(0.001)
