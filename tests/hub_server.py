"""A small model hub on loopback, for tests and benchmarks: honest, or with faults that a test scripts.

In a process: `with Hub() as hub: commit = hub.add("org/model", {"config.json": b"{}"})`, then `hub.endpoint`.
As a program: `python tests/hub_server.py org/model FOLDER` serves the files of a folder, prints the address and the
commit, and ends when its standard input does. Files on disk are sent with sendfile.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import ssl
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

LFS_SUFFIXES = (".safetensors", ".gguf", ".bin", ".onnx", ".model", ".h5", ".pt")
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Fault:
    """What is done instead of a right answer to a request for a file.

    Attributes:
        status: Answer with this status and no file.
        headers: Sent with any answer; they replace right ones.
        message: Body of an answer with a status.
        ignore_range: Send the whole file, status 200, whatever range was asked.
        other_range: Answer a range with one that begins so many bytes later.
        cut_after: Close the connection after so many bytes of the body.
        lie: Add to the stated length.
        content: Send these bytes as the file.
        flip: Change the byte at this position of the file.
        chunked: Send the body in chunks, with no length.
        bare: Send the body with no length, and end it by closing.
        stall: Send so many bytes of the body, then nothing more until the hub is closed.
        hang_up: Close the connection without an answer.
        location: Redirect to this address.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    ignore_range: bool = False
    other_range: int | None = None
    cut_after: int | None = None
    lie: int = 0
    content: bytes | None = None
    flip: int | None = None
    chunked: bool = False
    bare: bool = False
    stall: int | None = None
    hang_up: bool = False
    location: str | None = None


@dataclass(frozen=True)
class Request:
    """One request that was made.

    Attributes:
        server: `hub` or `cdn`.
        method: HTTP method.
        path: Path, decoded, without the query.
        headers: Names in lower case.
        sent: Bytes of the body that were handed to the socket; a list of one, as they are counted while it is sent.
    """

    server: str
    method: str
    path: str
    headers: dict[str, str]
    sent: list[int] = field(default_factory=lambda: [0])


class _File:
    """A file of a repository, in memory or on disk."""

    def __init__(self, content: bytes | Path, sha256: str | None = None) -> None:
        self.content = content
        self.size = len(content) if isinstance(content, bytes) else content.stat().st_size
        self.sha256 = sha256 or self._digest(hashlib.sha256())
        self.git_sha1 = self._digest(hashlib.sha1(b"blob %d\0" % self.size)) if self.size < 2**20 else "0" * 40

    def _digest(self, digest: Any) -> str:
        if isinstance(self.content, bytes):
            digest.update(self.content)
        else:
            with self.content.open("rb") as file:
                while piece := file.read(2**22):
                    digest.update(piece)
        return digest.hexdigest()

    def read(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


class Hub:
    """The hub.

    Attributes:
        requests: Every request so far.
        token: Only requests with this token are answered; `None`: no token is needed.
        gated: Repositories whose terms nobody has accepted.
        cdn: True: large files are redirected to another port.
        closing: Set when the hub is closed.
        endpoint: Address of the hub.
        cdn_endpoint: Address of the other port.
    """

    def __init__(
        self, *, cdn: bool = False, tls: ssl.SSLContext | None = None, send_buffer_bytes: int | None = None
    ) -> None:
        """Start to serve.

        Args:
            cdn: Redirect large files to another port.
            tls: Serve the hub, not the other port, over https.
            send_buffer_bytes: Size of the buffer of each connection: `Request.sent` then counts what has left.
        """
        self.requests: list[Request] = []
        self.token: str | None = None
        self.gated: set[str] = set()
        self.cdn = cdn
        self.closing = threading.Event()
        self._repositories: dict[str, dict[str, dict[str, _File]]] = {}
        self._faults: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()
        self._hub = _serve(self, "hub", tls)
        self._cdn = _serve(self, "cdn", None)
        if send_buffer_bytes is not None:
            for server in (self._hub, self._cdn):  # connections inherit it
                server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        scheme = "https" if tls else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self._hub.server_address[1]}"
        self.cdn_endpoint = f"http://127.0.0.1:{self._cdn.server_address[1]}"

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()

    def add(self, repository: str, files: Mapping[str, bytes | Path], commit: str | None = None) -> str:
        """Add a commit to a repository, the newest; gives its name, 40 hexadecimal digits."""
        made = {name: _File(content) for name, content in files.items()}
        listed = "".join(f"{name} {file.sha256}\n" for name, file in sorted(made.items()))
        commit = commit or hashlib.sha1(listed.encode()).hexdigest()
        self._repositories.setdefault(repository, {})[commit] = made
        return commit

    def misbehave(self, name: str, *faults: Fault) -> None:
        """Do these instead of right answers, one after another, for requests of files or of lists with this name."""
        with self._lock:
            self._faults.setdefault(name, []).extend(faults)

    def url(self, repository: str, name: str, revision: str = "main") -> str:
        """Give the address of a file."""
        return f"{self.endpoint}/{repository}/resolve/{revision}/{quote(name)}"

    def asked(self, name: str, server: str | None = None) -> list[Request]:
        """Give the requests for a file so far; with `server` those of one server."""
        return [r for r in self.requests if r.path.endswith(f"/{name}") and server in (None, r.server)]

    def fault(self, name: str) -> Fault:
        with self._lock:
            waiting = self._faults.get(name)
            return waiting.pop(0) if waiting else Fault()

    def find(self, repository: str, revision: str) -> tuple[str, dict[str, _File]] | str:
        """Give a commit and its files, or the code of the error."""
        commits = self._repositories.get(repository)
        if commits is None:
            return "RepoNotFound"
        commit = next(reversed(commits)) if revision == "main" else revision
        return (commit, commits[commit]) if commit in commits else "RevisionNotFound"

    def by_digest(self, digest: str) -> _File | None:
        files = (file for commits in self._repositories.values() for c in commits.values() for file in c.values())
        return next((file for file in files if file.sha256 == digest), None)


def _serve(hub: Hub, name: str, tls: ssl.SSLContext | None) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"hub": hub, "name": name})
    server = _Server(("127.0.0.1", 0), handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    block_on_close = False  # a stalled answer may still wait

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    name: str
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.request_seen = Request(self.name, self.command, path, headers)
        self.hub.requests.append(self.request_seen)
        if api := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?/?", path):
            self._api(api[1], api[2], api[3] or "main", parse_qs(parts.query))
        elif file := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(*file.groups())
        elif blob := re.fullmatch(r"/blobs/([0-9a-f]{64})/(.+)", path):
            found = self.hub.by_digest(blob[1])
            self._send_file(found, self.hub.fault(f"cdn:{blob[2]}"), {}) if found else self._status(404, {}, "")
        else:
            self._resolve_plain(path)

    def _may(self, repository: str) -> bool:
        """Say that a token is needed, or that terms are, where they are."""
        given = self.request_seen.headers.get("authorization")
        if repository in self.hub.gated:
            message = f"Access to model {repository} is restricted. You must have access to it."
            self._status(403 if given else 401, {"X-Error-Code": "GatedRepo", "X-Error-Message": message}, message)
            return False
        if self.hub.token is not None and given != f"Bearer {self.hub.token}":
            headers = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            self._status(401, headers, "Invalid username or password.")
            return False
        return True

    def _api(self, repository: str, kind: str | None, revision: str, query: dict[str, list[str]]) -> None:
        fault = self.hub.fault(f"api:{repository}")
        if self._did(fault) or not self._may(repository):
            return
        found = self.hub.find(repository, revision)
        if isinstance(found, str):
            self._status(404, {"X-Error-Code": found, "X-Error-Message": "not found"}, json.dumps({"error": found}))
            return
        commit, files = found
        if kind == "tree":
            body: Any = [_tree_entry(name, file) for name, file in files.items()]
        else:
            blobs = "blobs" in query
            body = {"id": repository, "sha": commit, "siblings": [_sibling(n, f, blobs) for n, f in files.items()]}
        self._status(200, {"Content-Type": "application/json", **fault.headers}, json.dumps(body))

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        fault = self.hub.fault(name)
        if self._did(fault) or not self._may(repository):
            return
        found = self.hub.find(repository, revision)
        file = None if isinstance(found, str) else found[1].get(name)
        if file is None or isinstance(found, str):
            code = found if isinstance(found, str) else "EntryNotFound"
            self._status(404, {"X-Error-Code": code, "X-Error-Message": "not found"}, "Entry not found")
            return
        headers = {"X-Repo-Commit": found[0]}
        if name.endswith(LFS_SUFFIXES):
            headers |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
            if self.hub.cdn:
                location = f"{self.hub.cdn_endpoint}/blobs/{file.sha256}/{quote(name)}?signature=secret"
                self._status(302, headers | {"Location": location}, "")
                return
        self._send_file(file, fault, headers, None if name.endswith(LFS_SUFFIXES) else file.git_sha1)

    def _resolve_plain(self, path: str) -> None:
        """Answer for addresses that are no hub's: `/mirror/<file>` of any repository."""
        name = path.rpartition("/")[2]
        fault = self.hub.fault(f"mirror:{name}")
        if self._did(fault):
            return
        for commits in self.hub._repositories.values():
            for files in commits.values():
                if name in files and path.startswith("/mirror/"):
                    self._send_file(files[name], fault, {})
                    return
        self._status(404, {}, "")

    def _did(self, fault: Fault) -> bool:
        """Do what needs no file."""
        if fault.hang_up:
            self.close_connection = True
            return True
        if fault.location is not None:
            self._status(302, {"Location": fault.location}, "")
        elif fault.status is not None:
            self._status(fault.status, dict(fault.headers), fault.message)
        return fault.location is not None or fault.status is not None

    def _status(self, status: int, headers: Mapping[str, str], body: str) -> None:
        content = body.encode()
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_file(self, file: _File, fault: Fault, headers: Mapping[str, str], etag: str | None = None) -> None:
        size = file.size if fault.content is None else len(fault.content)
        etag = f'"{etag or file.sha256}"'
        asked = None if fault.ignore_range else self._range(size, etag)
        if asked == size:
            self._status(416, {"Content-Range": f"bytes */{size}"}, "")
            return
        start = (asked or 0) + (fault.other_range or 0 if asked is not None else 0)
        answer = {"ETag": etag, "Accept-Ranges": "bytes", **headers}
        if asked is not None:
            answer["Content-Range"] = f"bytes {start}-{size - 1 + fault.lie}/{size + fault.lie}"
        if fault.chunked:
            answer["Transfer-Encoding"] = "chunked"
        elif fault.bare:
            answer["Connection"] = "close"
        else:
            answer["Content-Length"] = str(size - start + fault.lie)
        self.send_response(200 if asked is None else 206)
        for name, value in (answer | dict(fault.headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(file, fault, start)

    def _range(self, size: int, etag: str) -> int | None:
        """Give the first byte that is asked for, `size` where there is none; `None` to send the whole file."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.request_seen.headers.get("range", ""))
        if not asked or self.request_seen.headers.get("if-range", etag) != etag:
            return None
        return min(int(asked[1]), size)

    def _send_body(self, file: _File, fault: Fault, start: int) -> None:
        ends = (fault.cut_after, fault.stall)
        if isinstance(file.content, Path) and fault == Fault():
            with file.content.open("rb") as opened:
                try:
                    self.connection.sendfile(opened, start)
                finally:
                    self.request_seen.sent[0] = opened.tell() - start
            return
        body = bytearray(file.read() if fault.content is None else fault.content)
        if fault.flip is not None:
            body[fault.flip] ^= 0xFF
        end = min([len(body), *(start + each for each in ends if each is not None)])
        for at in range(start, end, _PIECE_BYTES):
            piece = bytes(body[at : min(at + _PIECE_BYTES, end)])
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if fault.chunked else piece)
            self.request_seen.sent[0] += len(piece)
        if fault.stall is not None:
            self.hub.closing.wait()
        if fault.chunked and end == len(body):
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = self.close_connection or fault.bare or fault.lie > 0 or any(e is not None for e in ends)


def _sibling(name: str, file: _File, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": name}
    made: dict[str, Any] = {"rfilename": name, "size": file.size, "blobId": file.git_sha1}
    if name.endswith(LFS_SUFFIXES):
        made["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 134}
    return made


def _tree_entry(name: str, file: _File) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "file", "path": name, "size": file.size, "oid": file.git_sha1}
    if name.endswith(LFS_SUFFIXES):
        xet = hashlib.blake2b(file.sha256.encode(), digest_size=32).hexdigest()  # never to be taken for a sha256
        made |= {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 134}, "xetHash": xet}
    return made


def main() -> None:
    """Serve the files of a folder until standard input ends."""
    repository, folder = sys.argv[1], Path(sys.argv[2])
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    with Hub() as hub:
        print(hub.endpoint, hub.add(repository, files), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.read()


if __name__ == "__main__":
    main()
