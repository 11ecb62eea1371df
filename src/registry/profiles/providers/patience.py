"""How long an answer may keep its reader waiting: deadlines below an HTTP client, and a way to end it from any thread.

The time-outs of httpx are those of one read of a socket: a server that sends a byte now and then, or comments that
keep a connection alive, can make it wait for ever. What is limited here is the time to the next token, whatever
arrives meanwhile.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from registry.profiles.providers.endpoints import addresses

_KEPT_CONNECTIONS = 16
# Below the 5 s after which uvicorn hangs up: a request on a connection that is being closed fails for no good reason.
_KEPT_S = 4.0
_LONGEST_CONNECT_S = 60.0


class Patience:
    """The deadline of what is waited for now, and the connection that it comes over.

    The HTTP client does its reading in the thread that asks, so a context variable takes this down to the socket.

    Attributes:
        is_over: True when the answer is complete.
        is_cancelled: True after `cancel`, unless it came too late.
        problem: What there is to say when the time is over, a sentence.
    """

    def __init__(self) -> None:
        self._deadline = math.inf
        self._lock = threading.Lock()
        self._stream: _Stream | None = None
        self.is_over = False
        self.is_cancelled = False
        self.problem = ""

    @contextmanager
    def waiting(self, seconds: float, what: str) -> Iterator[None]:
        """Limit everything that is sent and read in the block to so many seconds together.

        Args:
            seconds: The limit.
            what: What is missing when it is over: `no first token`.
        """
        self._deadline = time.monotonic() + seconds
        self.problem = f"It gave {what} within {seconds:g} s."
        token = _NOW.set(self)
        try:
            yield
        finally:
            _NOW.reset(token)

    def left_s(self, timeout_s: float | None) -> float:
        """Give what is left of the time, 0 at least, or a shorter time-out."""
        if self.is_cancelled:
            return 0.0
        return max(0.0, min(self._deadline - time.monotonic(), math.inf if timeout_s is None else timeout_s))

    def uses(self, stream: _Stream) -> None:
        """Note which connection is in use."""
        with self._lock:
            if not self.is_over:
                self._stream = stream

    def over(self) -> None:
        """Note that the answer is complete: its connection is for others from now on."""
        with self._lock:
            self.is_over, self._stream = True, None

    def cancel(self) -> None:
        """Cut the connection, unless the answer is complete. A thread that waits for it is woken. From any thread."""
        with self._lock:
            if self.is_over:
                return
            self.is_cancelled = True
            if self._stream is not None:
                self._stream.cut()


_NOW: ContextVar[Patience | None] = ContextVar("what is waited for in this context", default=None)


class _Stream:
    """A connection whose reads and writes end when the patience does. Has what httpcore asks of a network stream."""

    def __init__(self, inner: Any, core: Any) -> None:
        self._inner = inner
        self._core = core

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        limit = self._limit(timeout, self._core.ReadTimeout)
        return bytes(self._inner.read(max_bytes, timeout=limit))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout=self._limit(timeout, self._core.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        limit = self._limit(timeout, self._core.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, limit), self._core)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def cut(self) -> None:
        """Wake the thread that reads: closing alone would leave it waiting."""
        with contextlib.suppress(OSError):
            self._inner.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def _limit(self, timeout: float | None, late: type[Exception]) -> float | None:
        """Give the time-out of one call. Where bytes keep coming, none would ever end: hence the error."""
        if (patience := _NOW.get()) is None:
            return timeout
        patience.uses(self)
        if (left_s := patience.left_s(timeout)) <= 0:
            raise late("the time for an answer is over")
        return None if left_s == math.inf else left_s


class _Backend:
    """Makes such connections. Has what httpcore asks of a network backend."""

    def __init__(self, core: Any) -> None:
        self._inner = core.SyncBackend()
        self._core = core

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> _Stream:
        """Connect to the first address that answers, with one time-out for all of them and for the look-up."""
        patience = _NOW.get()
        limit_s = _LONGEST_CONNECT_S if timeout is None else timeout
        if patience is not None:
            limit_s = patience.left_s(limit_s)
        problem: Exception = self._core.ConnectTimeout(f"{host} has no address")
        try:
            for address, left_s in addresses(host, port, limit_s):
                try:
                    return _Stream(self._inner.connect_tcp(address, port, timeout=left_s, **options), self._core)
                except (self._core.ConnectError, self._core.ConnectTimeout) as error:
                    problem = error
        except TimeoutError as error:
            raise self._core.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise self._core.ConnectError(str(error)) from error
        raise problem

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


def transport(http: Any, core: Any, *, proxy: str | None) -> Any:
    """Give a transport for a client of httpx, or of httpx2, that keeps to the patience of its callers.

    Args:
        http: The module `httpx` or `httpx2`.
        core: The module `httpcore` or `httpcore2` beneath it.
        proxy: Address of the proxy; `None` for none.
    """
    limits = http.Limits(max_connections=None, max_keepalive_connections=_KEPT_CONNECTIONS, keepalive_expiry=_KEPT_S)
    made = http.HTTPTransport(limits=limits, proxy=proxy)
    # httpcore takes a backend of the caller's; httpx has no way to hand one down. The tests notice if this fails.
    made._pool._network_backend = _Backend(core)
    return made
