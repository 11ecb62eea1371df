"""A small Ollama on loopback, for tests and benchmarks: it speaks the HTTP API over sockets, honest or with faults.

In a process: `with Ollama() as peer: peer.add("llama3.2", ["Hello", " there"])`, then `OllamaProvider(peer.host)`.
As a program: `python tests/ollama_server.py llama3.2 Hello there` serves one model that says these words, prints the
address, and ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from ollama_script import Fault, Model, Request

__all__ = ["Fault", "Handler", "Model", "Ollama", "Request", "swallowing", "unused_port", "vector"]

VERSION = "0.12.6"
_JSON_TYPE = "application/json; charset=utf-8"


class Ollama:
    """The server.

    Attributes:
        requests: Every request so far.
        token: Only requests with this token are answered; `None`: no token is needed.
        models: Models that are there, by their full names.
        library: Models that can be pulled.
        closing: Set when the server stops.
        port: Port of 127.0.0.1.
        host: Its address, as `OLLAMA_HOST` has it.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Start to serve, over https where there is `tls`."""
        self.requests: list[Request] = []
        self._tls = tls
        self.token: str | None = None
        self.models: dict[str, Model] = {}
        self.library: dict[str, Model] = {}
        self.fetched: dict[str, int] = {}
        self.closing = threading.Event()
        self._faults: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self.port = 0
        self.start()

    @property
    def host(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Number of connections over which requests have come."""
        return len({request.client for request in self.requests})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if not self.closing.is_set():
            self.stop()

    def start(self) -> None:
        """Serve; after `stop`, on the port that it had."""
        self.closing.clear()
        self._server = _Server(("127.0.0.1", self.port), type("Handler", (self.handler(),), {"ollama": self}))
        self.port = self._server.server_address[1]
        if self._tls:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def handler(self) -> type[Handler]:
        """Give what answers requests."""
        return Handler

    def stop(self) -> None:
        """Stop serving: connections are cut, and new ones are refused."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def add(self, name: str, pieces: Sequence[str] = Model.pieces, **more: Any) -> Model:
        """Have a model."""
        model = self.models[full_name(name)] = Model(pieces, **more)
        return model

    def publish(self, name: str, pieces: Sequence[str] = Model.pieces, **more: Any) -> Model:
        """Have a model that can be pulled, and is not there before that."""
        model = self.library[full_name(name)] = Model(pieces, **more)
        return model

    def misbehave(self, path: str, *faults: Fault) -> None:
        """Do these instead of right answers, one after another, for requests to a path such as `/api/chat`."""
        with self._lock:
            self._faults.setdefault(path, []).extend(faults)

    def asked(self, path: str) -> list[Request]:
        """Give the requests to a path so far."""
        return [request for request in self.requests if request.path == path]

    def fault(self, path: str) -> Fault:
        with self._lock:
            waiting = self._faults.get(path)
            return waiting.pop(0) if waiting else Fault()

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)


def full_name(name: str) -> str:
    """Give the name of a model with its tag."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def vector(text: str, dimensions: int) -> list[float]:
    """Give the vector of a text, of length 1."""
    digest = hashlib.sha256(text.encode()).digest()
    values = [digest[place % len(digest)] - 127.5 for place in range(dimensions)]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def unused_port() -> int:
    """Give a port of 127.0.0.1 on which nothing listens: connections to it are refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def swallowing() -> Iterator[str]:
    """Give the address of a host that answers no packet: a listener whose queue is full. Connecting takes for ever."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    block_on_close = False  # a stalled answer may still wait
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are part of the tests."""


class CutError(Exception):
    """The answer ends here, with its connection."""


class Handler(BaseHTTPRequestHandler):
    ollama: Any  # an `Ollama`, or what is made of one
    seen: Request
    did: Fault
    line_type = "application/x-ndjson"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.ollama.opened(self.connection)

    def finish(self) -> None:
        self.ollama.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen = Request(self.command, self.path, headers, json.loads(sent) if sent else None, self.client_address)
        self.ollama.requests.append(self.seen)
        self.did = self.ollama.fault(self.path)
        try:
            self._wait(self.did.before_headers_s)
            self.route()
            self.seen.done.set()
        except (CutError, OSError) as error:
            self.close_connection = True
            if isinstance(error, OSError):
                self.seen.left.set()
            if self.did.reset:  # closing with unsent data thrown away is what sends a reset
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.rfile.close()
                self.connection.close()

    def route(self) -> None:
        if self.did.hang_up:
            raise CutError
        if self.did.status is not None:
            self.send(self.did.status, {"error": self.did.error}, self.did.body)
        elif self.ollama.token is not None and self.seen.headers.get("authorization") != f"Bearer {self.ollama.token}":
            self.send(401, {"error": "unauthorized"})
        elif self.path == "/api/version":
            self.send(200, {"version": VERSION})
        elif self.path == "/api/tags":
            self.send(200, {"models": [_listed(name, model) for name, model in self.ollama.models.items()]})
        elif self.path == "/api/pull":
            self._pull(full_name(self.seen.body["model"]))
        elif self.path in ("/api/show", "/api/chat", "/api/embed"):
            self.with_model()
        else:
            self.send(404, {}, b"404 page not found")

    def with_model(self) -> None:
        name = self.seen.body["model"]
        model = self.ollama.models.get(full_name(name))
        if model is None:
            self.send(404, {"error": f"model '{name}' not found"})
        elif self.path == "/api/show":
            self.send(200, {"details": {"format": "gguf"}, "model_info": {}, "capabilities": ["completion"]})
        elif self.path == "/api/chat":
            self._chat(name, model)
        else:
            self._embed(name, model)

    def _chat(self, name: str, model: Model) -> None:
        lines = list(_chat_lines(name, model, self.seen.body))
        if self.seen.body.get("stream", True):
            self.send_lines(lines)
        else:
            self.send(200, lines[-1] | {"message": _whole(lines)})

    def _embed(self, name: str, model: Model) -> None:
        given = self.seen.body["input"]
        texts = [given] if isinstance(given, str) else given
        size = self.seen.body.get("dimensions") or model.dimensions
        vectors = [vector(text, size) for text in texts]
        self.send(200, {"model": name, "embeddings": vectors, "prompt_eval_count": len(texts)})

    def _pull(self, name: str) -> None:
        model = self.ollama.library.get(name) or self.ollama.models.get(name)
        if model is None:
            self.send_lines([{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}])
            return
        self.send_lines(self._pull_lines(name, model))

    def _pull_lines(self, name: str, model: Model) -> Iterator[dict[str, Any]]:
        yield {"status": "pulling manifest"}
        for number, size in enumerate(model.layers):
            digest = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
            line = {"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", "total": size}
            done = self.ollama.fetched.get(digest, 0)
            yield line | ({"completed": done} if done else {})  # Go leaves a 0 out
            while done < size:
                done = self.ollama.fetched[digest] = min(size, done + math.ceil(size / 4))
                yield line | {"completed": done}
        yield {"status": "verifying sha256 digest"}
        yield {"status": "writing manifest"}
        self.ollama.models[name] = model
        yield {"status": "success"}

    def send(self, status: int, value: Any, body: bytes | None = None) -> None:
        content = json.dumps(value).encode() if body is None else body
        self.send_headers(status, {"Content-Type": _JSON_TYPE, "Content-Length": str(len(content))})
        if self.command != "HEAD":
            self._wait(self.did.before_first_s)
            if self.did.cut_after is not None:
                self._write(content[: len(content) // 2])
                raise CutError
            self._write(content)

    def send_headers(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | dict(self.did.headers)).items():
            self.send_header(name, value)
        self.end_headers()

    def send_lines(self, lines: Sequence[dict[str, Any]] | Iterator[dict[str, Any]]) -> None:
        self.send_headers(200, {"Content-Type": self.line_type, "Transfer-Encoding": "chunked"})
        self._wait(self.did.before_first_s)
        for number, line in enumerate(lines):
            if number:
                self._wait(self.did.between_s)
            if number == self.did.cut_after:
                raise CutError
            if number == self.did.end_after:
                break
            if number == self.did.error_after:
                self.send_chunk(self.encoded({"error": self.did.error}))
                break
            raw = self.did.raw if number == self.did.raw_after else None
            self.send_chunk(raw if raw is not None else self.encoded(line))
            self.seen.lines += 1
        self.wfile.write(b"0\r\n\r\n")

    def encoded(self, line: dict[str, Any]) -> bytes:
        """Give a line as it is sent."""
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"

    def send_chunk(self, content: bytes) -> None:
        if self.did.packet_bytes is None and not self.did.between_bytes_s:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
            return
        self.wfile.write(b"%x\r\n" % len(content))
        self._write(content)
        self.wfile.write(b"\r\n")

    def _write(self, content: bytes) -> None:
        size = 1 if self.did.between_bytes_s else self.did.packet_bytes or len(content) or 1
        for start in range(0, len(content), size):
            self.wfile.write(content[start : start + size])
            self._wait(self.did.between_bytes_s)

    def _wait(self, seconds: float) -> None:
        """Wait, but not for a client that has gone away, nor longer than the server runs.

        Raises:
            ConnectionError: The client has gone away.
            CutError: The server stops.
        """
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            if self.ollama.closing.is_set():
                raise CutError
            readable, _, _ = select.select([self.connection], [], [], min(left_s, 0.01))
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionError


def _listed(name: str, model: Model) -> dict[str, Any]:
    """Describe a model as /api/tags does."""
    return {
        "name": name,
        "model": name,
        "modified_at": "2026-10-01T09:00:00.123456789+02:00",
        "size": sum(model.layers),
        "digest": hashlib.sha256(name.encode()).hexdigest(),
        "details": {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"]},
    }


def _chat_lines(name: str, model: Model, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the lines of an answer, the last of which says why it ended."""
    about = {"model": name, "created_at": "2026-10-01T09:00:00.123456789Z"}
    limit = (body.get("options") or {}).get("num_predict", -1)
    pieces = list(model.pieces) if limit < 0 else list(model.pieces)[:limit]
    thinking = list(model.thinking) if body.get("think") is not False else []
    for text in thinking:
        yield about | {"message": {"role": "assistant", "content": "", "thinking": text}, "done": False}
    if body.get("tools") and model.tool_calls:
        pieces = []
        for called, arguments in model.tool_calls:
            call = {"function": {"name": called, "arguments": arguments}}
            yield about | {"message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": False}
    for text in pieces:
        yield about | {"message": {"role": "assistant", "content": text}, "done": False}
    was_cut = len(pieces) < len(model.pieces) and not body.get("tools")
    yield about | {
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "length" if was_cut else model.done_reason,
        "total_duration": 5_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": model.prompt_tokens,
        "prompt_eval_duration": 1_000_000,
        "eval_count": len(thinking) + len(pieces),
        "eval_duration": 3_000_000,
    }


def _whole(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the messages of an answer together."""
    messages = [line["message"] for line in lines]
    whole: dict[str, Any] = {"role": "assistant", "content": "".join(message["content"] for message in messages)}
    if thinking := "".join(message.get("thinking", "") for message in messages):
        whole["thinking"] = thinking
    if calls := [call for message in messages for call in message.get("tool_calls", ())]:
        whole["tool_calls"] = calls
    return whole


def main() -> None:
    """Serve one model that says the words of the command line."""
    name, *words = sys.argv[1:]
    with Ollama() as peer:
        peer.add(name, [f"{word} " for word in words])
        sys.stdout.write(f"{peer.host}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
