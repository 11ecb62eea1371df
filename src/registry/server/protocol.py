"""HTTP on a connection: heads of requests that are not too long, and not for ever under way."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from registry.server.answers import json_bytes
from registry.server.failures import Failure
from registry.server.representation import represent

MOST_HEAD_BYTES = 64 * 2**10
HEAD_S = 30.0

_TOO_LONG = Failure(
    431, "head_too_long", f"First line and headers are longer than {MOST_HEAD_BYTES} bytes.", "Send less in headers."
)
_TOO_SLOW = Failure(408, "head_too_slow", f"First line and headers did not arrive within {HEAD_S:g} s.", "Try again.")


class Protocol(HttpToolsProtocol):
    """HTTP, with failures in the form of this server also where a request cannot be read at all.

    The base reads headers for as long as they come, and waits for them without end: a few connections would take all
    memory, or all files that a process may open.
    """

    _unread_bytes = 0  # that came and were neither the end of a head nor a part of a body: also trailers are such
    _is_in_head = True
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in the base
        """Expect a request."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what has come, unless too much of it is no body and makes no head complete."""
        self._unread_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unread_bytes > MOST_HEAD_BYTES:
            self._refuse(_TOO_LONG)
        elif self._is_in_head and self._timer is None:  # for a head that comes in one piece, no timer is needed
            self._wait_for_head()

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that a head is complete."""
        self._is_in_head, self._unread_bytes = False, 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._unread_bytes = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(Failure(400, "invalid_http", msg, "Its first line or a header is not as HTTP wants it."))

    def _wait_for_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_for_head()  # the answer to the request before this one is under way
        elif self._unread_bytes:
            self._refuse(_TOO_SLOW)
        else:
            self.transport.close()  # nothing was asked, so nothing is answered

    def _refuse(self, failure: Failure) -> None:
        """Answer, and close the connection: where the next request would begin is not known."""
        is_openai = (getattr(self, "url", b"") or b"").startswith(b"/v1")
        body = json_bytes(failure.openai() if is_openai else failure.envelope())
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        made = represent(failure.status, headers, body)
        sent = [*self.server_state.default_headers, *made.headers, (b"connection", b"close")]
        lines = [b"%s: %s\r\n" % header for header in sent]
        first = f"HTTP/1.1 {failure.status} {HTTPStatus(failure.status).phrase}\r\n".encode()
        self.transport.write(b"".join([first, *lines, b"\r\n", made.body]))
        self.transport.close()
