"""Two servers of one home folder, under load, while the manifest is replaced: they move together, or not at all."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import tiny
from waiting import WAIT_S, until

from adapters.making import WORDS, entry, word_adapter, write_manifest
from registry.adapters import FileRendezvous, file_rendezvous

pytestmark = pytest.mark.skipif(
    any(find_spec(package) is None for package in ("fastapi", "uvicorn", "llama_cpp", "gguf", "filelock")),
    reason="needs the extras `server` and `chat`",
)

TOKENS = 24
LA, LI, LO = WORDS


class Answer(NamedTuple):
    """One answer: which server gave it, when it was asked for (seconds of the monotonic clock), and what it says."""

    server: int
    asked_at: float
    status: int
    text: str


class Server:
    """A server in a process of its own."""

    def __init__(self, home: Path, manifest: Path, log: Path) -> None:
        environment = os.environ | {"REGISTRY_HOME": str(home), "REGISTRY_ADAPTERS": str(manifest)}
        program = Path(__file__).with_name("server_process.py")
        self._log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(program)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def said(self, tokens: int = TOKENS, *, stream: bool = False) -> tuple[int, str]:
        """Ask for an answer with the adapter; give the status, and the text or the error."""
        with self.asked(tokens, stream=stream) as response:
            body = response.read().decode()
        if response.status != 200:
            return response.status, body
        if not stream:
            return 200, json.loads(body)["choices"][0]["message"]["content"]
        lines = [line.removeprefix("data: ") for line in body.split("\n\n") if line.startswith("data: {")]
        return 200, "".join(json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines)

    @contextmanager
    def asked(self, tokens: int, *, stream: bool) -> Iterator[HTTPResponse]:
        """Ask for an answer, and lend it with its body unread."""
        asked = {"model": "tuned", "messages": [{"role": "user", "content": "Sing."}], "stream": stream}
        body = json.dumps(asked | {"max_tokens": tokens, "temperature": 0})
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)) as connection:
            connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            with connection.getresponse() as response:
                yield response

    def logged(self) -> list[str]:
        """Give the lines of the log about adapters, without what follows the version."""
        return [" ".join(line.split()[:4]) for line in self._log.read_text().splitlines() if "adapters." in line]

    def close(self) -> None:
        with self.process:  # closes its input, which ends it, and waits
            pass


class Servers:
    """Two servers, their manifest, and clients that ask both of them all the time."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.home, self.manifest = folder / "home", folder / "adapters.json"
        self.base = tiny.chat_gguf(
            self.home / "models" / "tiny-chat.gguf", script=WORDS, repeat=True, layers=1, context_length=4096
        )
        self.list(LI)
        self.both = [Server(self.home, self.manifest, folder / f"{number}.log") for number in range(2)]
        for server in self.both:
            stack.callback(server.close)
        self.rendezvous: FileRendezvous = file_rendezvous(str(self.manifest))
        self.answers: list[Answer] = []
        self._ending = threading.Event()
        until(lambda: all(server.said() == (200, LI * TOKENS) for server in self.both))

    def list(self, word: str) -> None:
        """Replace the manifest by one that lists the adapter which says this word."""
        path = word_adapter(self.manifest.with_name(f"{word.strip()}.gguf"), self.base, word)
        write_manifest(self.manifest, entry(path))

    def ask_on(self, stack: ExitStack, clients: int) -> None:
        """Let so many clients ask each server, whole answers and streams in turn, until the stack unwinds."""
        threads = [threading.Thread(target=self._ask, args=(number % 2,)) for number in range(2 * clients)]
        for thread in threads:
            thread.start()
            stack.callback(thread.join, WAIT_S)
        stack.callback(self._ending.set)

    def move(self, word: str) -> float:
        """List another adapter, and wait for the decision to serve it; give when that was seen."""
        before = self.rendezvous.decided().number
        self.list(word)
        until(lambda: self.rendezvous.decided().number > before)
        return time.monotonic()

    def _ask(self, server: int) -> None:
        while not self._ending.is_set():
            asked_at = time.monotonic()
            status, text = self.both[server].said(stream=len(self.answers) % 2 == 0)
            self.answers.append(Answer(server, asked_at, status, text))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def servers(tmp_path: Path, stack: ExitStack) -> Servers:
    return Servers(tmp_path, stack)


def test_servers_move_together_under_load(servers: Servers, stack: ExitStack) -> None:
    with ExitStack() as asking:
        servers.ask_on(asking, clients=3)
        until(lambda: len(servers.answers) > 30)
        decided_at = servers.move(LO)
        count = len(servers.answers)
        until(lambda: len(servers.answers) > count + 30)
    assert {answer.status for answer in servers.answers} == {200}
    assert {answer.text for answer in servers.answers} == {LI * TOKENS, LO * TOKENS}, "served half by each"
    after = [answer for answer in servers.answers if answer.asked_at > decided_at]
    assert {(answer.server, answer.text) for answer in after} == {(0, LO * TOKENS), (1, LO * TOKENS)}


def test_answers_that_have_begun_are_finished_by_the_old_version(servers: Servers, stack: ExitStack) -> None:
    begun = [stack.enter_context(server.asked(3000, stream=True)) for server in servers.both]
    for response in begun:
        response.readline()
    servers.move(LO)
    assert [server.said() for server in servers.both] == [(200, LO * TOKENS)] * 2
    for response in begun:
        text = response.read().decode()
        assert (text.count("la "), text.count("li "), text.count("lo ")) == (0, 3000, 0)


def test_server_that_is_killed_does_not_hold_up_the_other(servers: Servers) -> None:
    killed, living = servers.both
    killed.process.kill()
    killed.process.wait(WAIT_S)
    servers.move(LO)
    assert living.said() == (200, LO * TOKENS)


def test_server_that_hangs_holds_nobody_up_for_long_and_moves_when_it_goes_on(servers: Servers) -> None:
    hanging, living = servers.both
    hanging.process.send_signal(signal.SIGSTOP)
    try:
        servers.move(LO)
        assert living.said() == (200, LO * TOKENS)
    finally:
        hanging.process.send_signal(signal.SIGCONT)
    assert hanging.said() == (200, LO * TOKENS)


def test_adapter_that_is_bad_is_served_by_nobody(servers: Servers) -> None:
    word_adapter(servers.manifest.with_name("bad.gguf"), servers.base, LO, architecture="qwen2")
    before = servers.rendezvous.decided().number
    write_manifest(servers.manifest, entry(servers.manifest.with_name("bad.gguf")))
    until(lambda: servers.rendezvous.decided().number > before)
    assert [server.said() for server in servers.both] == [(200, LI * TOKENS)] * 2
    for server in servers.both:
        # The one that comes second may serve what the first has decided before it has prepared it.
        assert sorted(server.logged()) == [
            "ERROR: registry.adapters.refused id=tuned version=bad",
            "INFO: registry.adapters.prepared id=tuned version=li",
            "INFO: registry.adapters.serving id=tuned version=li",
        ]
