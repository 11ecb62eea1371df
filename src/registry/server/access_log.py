"""The access log: one line of JSON for each request, through the logger `registry.access`."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import IO, NamedTuple

LOGGER = logging.getLogger("registry.access")
_LINE = (
    '{"time": "%s.%03dZ", "request_id": "%s", "client": %s, "method": %s, "path": %s, "query": %s, '
    '"status": %d, "duration_ms": %.3f, "bytes": %d, "user_agent": %s}'
)
_MAX_TEXT = 1000  # of what the client has sent: a line shall not be as long as it likes
_FLUSH_S = 0.2
_MAX_LINES = 100_000  # that wait while the reader of the log stands still; more are dropped, and counted


quoted = lru_cache(maxsize=1024)(encode_basestring_ascii)  # the same clients ask for the same addresses


class Line(NamedTuple):
    """One request, and how it was answered.

    Attributes:
        time: When, in seconds since 1970.
        request_id: Its id.
        client: Address that it came from.
        method: HTTP method.
        path: Path.
        query: Query, as it was sent.
        status: Status of the answer.
        seconds: Time until the answer was sent.
        size_bytes: Bytes of the body that was sent.
        user_agent: What the client says that it is.
    """

    time: float
    request_id: bytes
    client: str
    method: str
    path: str
    query: bytes
    status: int
    seconds: float
    size_bytes: int
    user_agent: bytes


def write(line: Line) -> None:
    """Write a line: to the handler of `serve` as it is, to others as a record."""
    handlers = LOGGER.handlers
    if len(handlers) == 1 and isinstance(handlers[0], BufferedHandler) and not LOGGER.propagate:
        handlers[0].take(line)  # making a record takes longer than all else that is done for an answer from memory
    else:
        LOGGER.handle(logging.LogRecord(LOGGER.name, logging.INFO, __file__, 0, text_of(line), None, None))


def text_of(line: Line) -> str:
    """Give the line, without its end."""
    return _LINE % (
        _seconds_text(int(line.time)),
        int(line.time * 1000) % 1000,
        line.request_id.decode("ascii"),
        quoted(line.client),
        quoted(line.method),
        quoted(line.path[:_MAX_TEXT]),
        quoted(line.query[:_MAX_TEXT].decode("latin-1")),
        line.status,
        line.seconds * 1000,
        line.size_bytes,
        quoted(line.user_agent[:_MAX_TEXT].decode("latin-1")),
    )


_last_second = (0, "")


def _seconds_text(second: int) -> str:
    global _last_second
    last, text = _last_second
    if last != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _last_second = second, text
    return text


class BufferedHandler(logging.Handler):
    """Writes lines a few times a second from a thread of its own: nobody waits for who reads the log.

    Args:
        stream: Where to write; left out: the standard output.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        super().__init__()
        self._stream = stream if stream is not None else sys.stdout
        self._lines: deque[str | Line] = deque()
        self._dropped = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        self.take(record.getMessage())

    def take(self, line: str | Line) -> None:
        """Take a line; it is put into words when it is written."""
        if len(self._lines) < _MAX_LINES:
            self._lines.append(line)
        else:
            self._dropped += 1

    def close(self) -> None:
        """Write what is left, and end."""
        self._stop.set()
        self._thread.join(timeout=2)  # longer only where nobody reads, and then it does not help
        super().close()

    def _run(self) -> None:
        while not self._stop.wait(_FLUSH_S):
            self._write()
        self._write()

    def _write(self) -> None:
        taken = [self._lines.popleft() for _ in range(len(self._lines))]
        lines = [each if isinstance(each, str) else text_of(each) for each in taken]
        if not lines:
            return
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(f'{{"dropped_lines": {dropped}}}')
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe: serving goes on without a log
            self._stop.set()
