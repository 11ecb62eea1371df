"""`serve`: the socket, the logs, and how it stops. Most of it in a process of its own."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("typer")

from waiting import until

from registry.errors import InvalidOptionError
from registry.server import ServerOptions, protocol, serving

from .api import KEY, client, server

BODY = json.dumps({"name": "mine", "notes": "x" * 100}).encode()


class Running(NamedTuple):
    process: "subprocess.Popen[str]"
    port: int

    def half_a_write(self) -> socket.socket:
        """A connection on which half of a request has been sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        head = (
            f"POST /api/models HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        connection.sendall(head.encode() + BODY[:10])
        get = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with closing(get):  # once this is answered, the half before it has been read
            get.request("GET", "/health")
            assert get.getresponse().status == 200
        return connection

    def refuses(self) -> bool:
        """True once nothing listens at its port."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=20).close()
        except ConnectionRefusedError:
            return True
        return False


def connected(address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=20)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Run `registry serve` with these words, and wait until it answers."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> Running:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "HF_"))}
        env |= {"REGISTRY_HOME": str(tmp_path / "home"), "HF_HUB_CACHE": str(tmp_path / "hub"), "REGISTRY_API_KEY": KEY}
        command = [sys.executable, "-m", "registry.cli", "serve", "--port", "0", *words]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("Serving at http://127.0.0.1:"), said
        return Running(process, int(said.removeprefix("Serving at http://127.0.0.1:").partition(".")[0]))

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_lets_an_answer_in_flight_finish(serve: Callable[..., Running], number: int) -> None:
    running = serve()
    with running.half_a_write() as connection:
        running.process.send_signal(number)
        until(running.refuses)
        connection.sendall(BODY[10:])
        answer = http.client.HTTPResponse(connection)
        answer.begin()

        assert (answer.status, json.load(answer)["data"]["name"]) == (201, "mine")
        assert answer.headers["connection"] == "close"
    out, err = running.process.communicate(timeout=30)
    assert (running.process.returncode, err) == (0, "")
    assert [json.loads(line)["status"] for line in out.splitlines()] == [200, 201]


def test_stop_ends_connections_that_ask_for_nothing(serve: Callable[..., Running]) -> None:
    running = serve()
    kept = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    kept.request("GET", "/health")
    kept.getresponse().read()

    running.process.terminate()

    assert running.process.wait(20) == 0
    kept.close()


def test_second_ctrl_c_ends_at_once(serve: Callable[..., Running]) -> None:
    running = serve()
    with running.half_a_write():
        running.process.send_signal(signal.SIGINT)
        until(running.refuses)
        running.process.send_signal(signal.SIGINT)

        assert running.process.wait(10) == 130
    assert running.process.communicate()[1] == "Stopped at once.\n"


def test_stop_waits_no_longer_than_it_may(serve: Callable[..., Running]) -> None:
    running = serve("--shutdown-timeout", "0.5", "--no-access-log")
    with running.half_a_write() as connection:
        running.process.terminate()

        assert running.process.wait(20) == 0
        assert connection.recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    out, err = running.process.communicate()
    assert (out, "Traceback" in err, "was cut: the server stops" in err) == ("", False, True)


def test_access_log_is_the_standard_output(serve: Callable[..., Running]) -> None:
    running = serve()
    asked = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    asked.request("GET", "/api/models?limit=1", headers={"X-Request-ID": "mine"})
    length = len(asked.getresponse().read())
    asked.close()
    running.process.terminate()
    (line,) = running.process.communicate(timeout=20)[0].splitlines()

    found = json.loads(line)
    assert (found["request_id"], found["path"], found["query"]) == ("mine", "/api/models", "limit=1")
    assert (found["client"], found["status"], found["bytes"]) == ("127.0.0.1", 200, length)


def test_request_that_is_no_http_is_answered_in_the_envelope() -> None:
    with client() as api, server(api.app) as address:
        connection = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=20)
        connection.sendall(b"NO HTTP\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()

        assert (answer.status, json.load(answer)["error"]["code"]) == (400, "invalid_http")
        assert answer.headers["connection"] == "close"
        answer.close()
        connection.close()


HEADERS = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
TRAILERS = b"POST /v1/rerank HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"


@pytest.mark.parametrize("start", [HEADERS, TRAILERS], ids=["headers", "trailers"])
@pytest.mark.parametrize("more", [b"x" * 10_000, b"X: y\r\n" * 2000], ids=["one", "many"])
def test_headers_without_an_end_are_refused(start: bytes, more: bytes) -> None:
    with client() as api, server(api.app) as address, connected(address) as connection:
        connection.sendall(start + (b"X-Long: " if b"\r" not in more else b""))
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            connection.sendall(more * 5000)


def test_headers_that_are_too_long_are_told_so() -> None:
    with client() as api, server(api.app) as address, connected(address) as connection:
        connection.sendall(HEADERS + b"X-Long: " + b"x" * protocol.MOST_HEAD_BYTES)
        answer = http.client.HTTPResponse(connection)
        answer.begin()

        assert (answer.status, json.load(answer)["error"]["code"]) == (431, "head_too_long")


@pytest.mark.parametrize(("sent", "answered"), [(b"", b""), (HEADERS, b"HTTP/1.1 408 Request Timeout\r\n")])
def test_connection_that_brings_no_request_is_closed(
    sent: bytes, answered: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.05)
    with client() as api, server(api.app) as address, connected(address) as connection:
        connection.sendall(sent)

        assert connection.makefile("rb").readline() == answered


def test_body_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.05)
    with client() as api, server(api.app) as address, connected(address) as slow:
        slow.sendall(b"POST /v1/rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n")
        with connected(address) as other:  # is closed after the time that a head may take
            assert other.recv(1) == b""
        slow.sendall(b"{}")

        assert slow.makefile("rb").readline() == b"HTTP/1.1 401 Unauthorized\r\n"


def test_port_that_is_taken_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidOptionError) as caught:
            serving.serve(ServerOptions(port=port))

    assert str(caught.value) == (
        f"`port`: expected a port that nothing listens at, got {port}. "
        "Stop the other program, or choose another port; 0 takes a free one."
    )


@pytest.mark.parametrize(
    ("raised", "option"),
    [
        (PermissionError(13, "Permission denied"), "port"),
        (OSError(99, "Cannot assign requested address"), "host"),
        (socket.gaierror(-2, "Name or service not known"), "host"),
    ],
)
def test_socket_that_cannot_be_says_what_to_change(raised: OSError, option: str) -> None:
    with mock.patch("socket.create_server", side_effect=raised), pytest.raises(InvalidOptionError) as caught:
        serving.serve(ServerOptions())

    assert caught.value.option == option
    assert caught.value.remedy


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "http://127.0.0.1:"), ("localhost", "http://127.0.0.1:")])
def test_address_is_that_of_the_socket(host: str, address: str) -> None:
    with serving._listening(ServerOptions(host=host, port=0)) as listener:
        assert serving.address_of(listener) == f"{address}{listener.getsockname()[1]}"


def test_address_of_ip_version_6_has_brackets() -> None:
    listener: Any = mock.Mock()
    listener.getsockname.return_value = ("::1", 8081, 0, 0)

    assert serving.address_of(listener) == "http://[::1]:8081"


def test_line_of_the_log_is_written_while_the_standard_error_leads_nowhere(run_python: Callable[..., str]) -> None:
    program = """
import logging, os
os.dup2(1, 2)
from registry.server import ServerOptions
from registry.server.serving import _logging
with _logging(ServerOptions(access_log=False)):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # as llama_cpp does while it loads
    logging.getLogger("registry.adapters").info("said")
"""
    assert run_python(program) == "INFO: said\n"
