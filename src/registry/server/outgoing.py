"""One request on its way through the front, and what is sent for it."""

from __future__ import annotations

import re
from itertools import count
from os import urandom
from time import perf_counter, time
from typing import TYPE_CHECKING

from registry.server.access_log import Line
from registry.server.methods import allowed_methods
from registry.server.representation import Headers, Representation, guarded, with_vary

if TYPE_CHECKING:
    from starlette.types import Message, Scope, Send

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_START, _NUMBERS = urandom(6).hex(), count(1)  # of this process, and its requests: an id that nobody else gives
CLIENT_WENT = 499  # no status of HTTP: nobody was there to get one
REQUEST_ID = "registry.request_id"  # where a scope has it
_EXPOSED = b"etag, link, location, retry-after, x-request-id"


class Exchange:
    """A request, and what is known about its answer.

    Attributes:
        scope: The request, as the server gave it.
        inner: The same as the routes see it.
        headers: Headers of the request, by name in lower case.
        method: HTTP method.
        request_id: The client's id for it, where that is one, or a new one.
        started: When it came.
        status: Status that was sent; 0: none yet.
        size_bytes: Bytes of the body that was sent.
        route: Template of the route where the answer came from memory.
        cors_origin: Origin whose pages may read the answer.
        varies_by_origin: True where that depends on who asks.
    """

    __slots__ = (
        "_send",
        "cors_origin",
        "headers",
        "inner",
        "method",
        "request_id",
        "route",
        "scope",
        "size_bytes",
        "started",
        "status",
        "varies_by_origin",
    )

    def __init__(self, scope: Scope, send: Send) -> None:
        self.started = perf_counter()
        self.scope = self.inner = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.method: str = scope["method"]
        stated = self.headers.get(b"x-request-id")
        self.request_id = stated if stated and _SANE_ID.fullmatch(stated) else _new_id()
        scope[REQUEST_ID] = self.request_id
        self.status = self.size_bytes = 0
        self.route = ""
        self.cors_origin: bytes | None = None
        self.varies_by_origin = False
        self._send = send

    @property
    def template(self) -> str:
        """Template of the route that answered, such as `/api/models/{model}`."""
        return self.route or getattr(self.inner.get("route"), "path", None) or "unmatched"

    async def send_whole(self, answer: Representation) -> None:
        """Send an answer that is there as a whole."""
        body = b"" if self.method == "HEAD" else answer.body
        await self.start(answer.status, answer.headers)
        self.size_bytes = len(body)
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: Headers) -> None:
        """Send status and headers, and those of this request."""
        self.status = status
        headers = [(b"x-request-id", self.request_id), *headers]
        if self.varies_by_origin:
            headers = with_vary(headers, b"origin")
        if self.cors_origin is not None:
            headers += [
                (b"access-control-allow-origin", self.cors_origin),
                (b"access-control-expose-headers", _EXPOSED),
            ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def go_on(self, message: Message) -> None:
        """Send a part of the body."""
        self.size_bytes += len(message.get("body", b""))
        await self._send(message)

    def line(self, seconds: float) -> Line:
        """Give its line of the access log."""
        scope, client = self.scope, self.scope.get("client")
        return Line(
            time(),
            self.request_id,
            client[0] if client else "",
            self.method,
            scope["path"],
            scope["query_string"],
            self.status or CLIENT_WENT,
            seconds,
            self.size_bytes,
            self.headers.get(b"user-agent", b""),
        )


def _new_id() -> bytes:
    return f"{_START}-{next(_NUMBERS):x}".encode()


class Outgoing:
    """Takes what a route sends: an answer that comes in parts is passed on, one in a single piece is held back.

    Attributes:
        whole: The answer that is held back, with the headers of the route; `None`: it was passed on.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._started: Message | None = None
        self.whole: Representation | None = None

    async def send(self, message: Message) -> None:
        """Take a message of the application."""
        if message["type"] == "http.response.start":
            self._started = message
            return
        if self._started is not None and message["type"] == "http.response.body":
            status, headers = self._started["status"], self._headers(self._started)
            self._started = None
            if not message.get("more_body", False):
                self.whole = Representation(status, headers, bytes(message.get("body", b"")), b"")
                return
            await self._exchange.start(status, unkept(guarded(headers)))
        if self._exchange.method == "HEAD":
            message = {**message, "body": b""}
        await self._exchange.go_on(message)

    def _headers(self, started: Message) -> Headers:
        """Give the headers of the route; the router does not know all methods of an address."""
        headers = [(bytes(name), bytes(value)) for name, value in started.get("headers", ())]
        if started["status"] != 405:
            return headers
        allowed = ", ".join(allowed_methods(self._exchange.scope)).encode()
        return [*(header for header in headers if header[0] != b"allow"), (b"allow", allowed)]


def unkept(headers: Headers) -> Headers:
    """Tell everybody on the way to keep nothing, where the route says nothing else."""
    return (
        headers if any(name == b"cache-control" for name, _ in headers) else [*headers, (b"cache-control", b"no-store")]
    )
