"""Reading manifests from files and addresses: what is said where they cannot be, and what is not asked for twice."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from waiting import within

from registry.adapters import AdapterManifest, ManifestSource, read_manifest, source
from registry.errors import ManifestError

MANIFEST = b'{"version": 1, "adapters": []}'


class Web:
    """A server of one manifest on loopback.

    Attributes:
        content: The manifest.
        answer: What is sent in place of it, if anything.
        asked: Headers of the requests, names in lower case.
    """

    def __init__(self) -> None:
        self.content = MANIFEST
        self.answer: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.asked: list[dict[str, str]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None: ...

            def do_GET(self) -> None:
                web.asked.append({name.lower(): value for name, value in self.headers.items()})
                self.close_connection = True
                if web.answer is not None:
                    web.answer(self)
                elif self.headers["If-None-Match"] == web.etag:
                    send(self, 304)
                else:
                    send(self, 200, web.content, ETag=web.etag)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/adapters.json"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def etag(self) -> str:
        return f'"{hash(self.content)}"'

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in ({"Content-Length": str(len(body)), "Connection": "close"} | given).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


def _problems(where: str | os.PathLike[str], **options: float) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        ManifestSource(os.fspath(where), **options).read()
    return caught.value.problems


def test_manifest_of_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "adapters.json").write_bytes(MANIFEST)
    assert read_manifest(tmp_path / "adapters.json") == AdapterManifest(str(tmp_path / "adapters.json"), ())


def test_manifest_of_a_file_address_is_read(tmp_path: Path) -> None:
    (tmp_path / "my adapters.json").write_bytes(MANIFEST)
    path = tmp_path / "my adapters.json"
    assert read_manifest(path.as_uri()) == AdapterManifest(str(path), ())


def test_manifest_of_an_address_is_read(web: Web) -> None:
    assert read_manifest(web.url) == AdapterManifest(web.url, ())
    assert "authorization" not in web.asked[0]


def test_file_is_read_every_time(tmp_path: Path) -> None:
    (tmp_path / "adapters.json").write_bytes(MANIFEST)
    read = ManifestSource(str(tmp_path / "adapters.json")).read
    assert [read(), read()] == [MANIFEST] * 2


def test_address_sends_the_manifest_again_when_it_has_changed(web: Web) -> None:
    watched = ManifestSource(web.url)
    assert [watched.read(), watched.read()] == [MANIFEST, None]
    web.content = b"{}"
    assert [watched.read(), watched.read()] == [b"{}", None]


def test_manifest_that_says_nothing_of_its_version_is_read_every_time(web: Web) -> None:
    web.answer = lambda handler: send(handler, 200, MANIFEST)
    watched = ManifestSource(web.url)
    assert [watched.read(), watched.read()] == [MANIFEST] * 2
    assert "if-none-match" not in web.asked[1]


def test_token_of_the_hub_is_not_sent(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    ManifestSource(web.url).read()
    assert "secret" not in str(web.asked)


def test_user_of_an_address_is_sent_and_not_shown(web: Web) -> None:
    url = web.url.replace("//", "//me:secret@")
    ManifestSource(url).read()
    assert web.asked[0]["authorization"] == "Basic bWU6c2VjcmV0"
    web.answer = lambda handler: send(handler, 403)
    with pytest.raises(ManifestError) as caught:
        ManifestSource(url).read()
    assert "secret" not in str(caught.value)


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert _problems(tmp_path / "no.json") == ("No such file or directory",)


def test_folder_and_pipe_are_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    assert _problems(tmp_path / "pipe.json") == _problems(tmp_path) == ("this is no file",)


def test_file_that_is_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "adapters.json").write_bytes(b" " * 2**21)
    assert len(ManifestSource(str(tmp_path / "adapters.json")).read() or b"") == 2**20 + 1


@pytest.mark.parametrize("status", [400, 401, 404, 410, 500, 503])
def test_refusal_of_a_server_is_told(status: int, web: Web) -> None:
    web.answer = lambda handler: send(handler, status)
    (problem,) = _problems(web.url)
    assert problem.startswith(f"{web.url}: ")
    assert f"(status {status})" in problem


def test_redirect_is_followed_without_the_user(web: Web) -> None:
    other = Web()
    web.answer = lambda handler: send(handler, 302, Location=other.url)
    try:
        assert ManifestSource(web.url.replace("//", "//me:secret@")).read() == MANIFEST
        assert "authorization" not in other.asked[0]
    finally:
        other.close()


def test_redirect_without_end_is_told(web: Web) -> None:
    web.answer = lambda handler: send(handler, 302, Location=web.url)
    assert len(_problems(web.url)) == 1
    assert len(web.asked) < 10


def test_redirect_to_a_file_is_not_followed(web: Web) -> None:
    web.answer = lambda handler: send(handler, 302, Location="file:///etc/passwd")
    assert "(status 302)" in _problems(web.url)[0]


def test_answer_without_end_is_cut(web: Web) -> None:
    def pour(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):  # the pipe is broken, or the connection was reset
            while True:
                handler.wfile.write(b" " * 2**16)

    web.answer = pour
    assert 2**20 < len(ManifestSource(web.url).read() or b"") < 2**21


def test_answer_that_breaks_off_is_told(web: Web) -> None:
    web.answer = lambda handler: send(handler, 200, MANIFEST, Content_Length="1000")
    assert _problems(web.url)[0].startswith(f"{web.url}: ")


def test_silent_server_is_told(web: Web) -> None:
    released = threading.Event()

    def wait(_: BaseHTTPRequestHandler) -> None:
        released.wait(20)

    web.answer = wait
    try:
        assert _problems(web.url, timeout_s=0.1) == (f"{web.url}: the server did not answer in time.",)
    finally:
        released.set()


def test_dripping_server_is_told(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_LONGEST_S", 0.0)
    assert _problems(web.url) == (f"{web.url}: the server did not answer in time.",)


def test_server_whose_headers_drip_is_told(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_LONGEST_S", 0.2)
    released = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with suppress(OSError):  # the client has gone
            while not released.wait(0.02):
                handler.wfile.write(b"X")

    web.answer = drip
    try:
        assert within(lambda: _problems(web.url)) == (f"{web.url}: the server did not answer in time.",)
    finally:
        released.set()


def test_server_that_is_not_there_is_told(web: Web) -> None:
    web.close()
    try:
        assert "refused" in _problems(web.url)[0].lower()
    finally:
        web.__init__()  # type: ignore[misc] # for the fixture to close


@pytest.mark.parametrize("where", ["http://", "http://[half/a.json", "http://host:port/a.json", "ftp://host/a.json"])
def test_what_is_no_address_is_told(where: str) -> None:
    assert len(_problems(where)) == 1
