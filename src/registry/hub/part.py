"""A file that is being fetched: its bytes, their sha256 so far, and what is known of where they come from."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hashlib import _Hash as Digest

# Four buffers: while one is hashed and one is filled, two wait. What a kill loses is what one of them holds.
_BUFFERS = 4
_BUFFER_BYTES = 2 * 1024 * 1024
_LEAST_BYTES = 16 * 1024
# A read waits until its buffer is full, so on a slow line only a piece of a buffer is asked for.
_SHORT_S, _LONG_S = 0.05, 0.25


class _Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int: ...


@dataclass(frozen=True)
class Origin:
    """Where the bytes of a part come from, kept beside it in a file.

    Attributes:
        url: Address, without credentials.
        digest: sha256, or git blob sha1, that the whole file is to have, if one is known.
        etag: Strong entity tag that the server gave with them.
    """

    url: str
    digest: str | None
    etag: str | None = None


class Part:
    """A file that grows. Not for several threads, or processes, at once: the caller holds a lock.

    Attributes:
        path: The file.
        size_bytes: Bytes in it. All of them are in the digest.
        origin: Where they come from; `None` while there are none.
    """

    def __init__(self, path: Path) -> None:
        """Open a file, or make it and its folder. What is there is neither read nor changed: see `resume`.

        Raises:
            OSError: It cannot be written.
        """
        self.path = path
        self.size_bytes = 0
        self.origin = _read_origin(_sidecar(path))
        self._digest = hashlib.sha256()
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags, 0o644), "r+b", buffering=0)

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_empty = not os.fstat(self._file.fileno()).st_size  # an interrupt may come before `size_bytes` is counted up
        self._file.close()
        if error is not None and is_empty:
            self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """sha256 of the bytes so far, 64 hexadecimal digits."""
        return self._digest.hexdigest()

    @property
    def git_sha1(self) -> str:
        """sha1 that git gives these bytes. Reads them again: it begins with their number, and git's files are small."""
        digest = hashlib.sha1(b"blob %d\0" % self.size_bytes, usedforsecurity=False)
        self._file.seek(0)
        while piece := self._file.read(_BUFFER_BYTES):
            digest.update(piece)
        return digest.hexdigest()

    def resume(
        self, digest: str | None, limit_bytes: int | None, hashed: Callable[[int, int], None] | None = None
    ) -> None:
        """Take over what an earlier process has left, or throw it away. What is kept is read, for the digest.

        Kept is what was begun for the same digest. It proves nothing: whether it is right shows at the end.

        Args:
            digest: sha256, or git blob sha1, that the whole file is to have, if one is known.
            limit_bytes: Size that the file should have at most.
            hashed: Called with bytes read so far and in all.

        Raises:
            OSError: It cannot be read.
        """
        total = os.fstat(self._file.fileno()).st_size
        begun_for = self.origin.digest if self.origin else digest  # lost, or left by hand: a known digest will tell
        if begun_for != digest or (limit_bytes or total) < total:
            self.discard()
            return
        buffer = memoryview(bytearray(_BUFFERS * _BUFFER_BYTES))
        while size := self._file.readinto(buffer):
            self._digest.update(buffer[:size])
            self.size_bytes += size
            if hashed is not None:
                hashed(self.size_bytes, total)

    def start(self) -> bytes:
        """Give the first bytes, 64 at most: they tell a web page from weights."""
        self._file.seek(0)
        found = self._file.read(64)
        self._file.seek(self.size_bytes)
        return found or b""

    def set_origin(self, origin: Origin) -> None:
        """Write down where the bytes come from: before the first of them, as a part without this is not used again."""
        if origin == self.origin:
            return
        beside = _sidecar(self.path)
        new = beside.with_name(f"{beside.name}.new")
        new.write_text(json.dumps(asdict(origin)), "utf-8")
        new.replace(beside)
        self.origin = origin

    def clear(self) -> None:
        """Throw away all bytes."""
        self._file.seek(0)
        self._file.truncate()
        self.size_bytes = 0
        self._digest = hashlib.sha256()

    def discard(self) -> None:
        """Throw away the file, and what is kept beside it."""
        self.clear()
        self.origin = None
        _sidecar(self.path).unlink(missing_ok=True)

    def append(self, body: _Readable, limit_bytes: int | None, written: Callable[[int], None]) -> None:
        """Write what a body gives to the end of the file, until the body ends or the file is larger than it should be.

        Args:
            body: Its `readinto` gives 0 at the end.
            limit_bytes: Size that the file should have at most.
            written: Called with the size of the file after each piece.

        Raises:
            OSError: The file cannot be written: the disk is full. What was written stays.
            DownloadError: The body's own. What came before stays, and may be continued.
        """
        self._file.seek(self.size_bytes)
        asked = _BUFFER_BYTES // _BUFFERS
        with _Hashing(self._digest) as hashing:
            while limit_bytes is None or self.size_bytes <= limit_bytes:
                buffer = hashing.empty()
                began = time.monotonic()
                size = body.readinto(buffer[:asked])
                if not size:
                    return
                asked = _next_size(asked, time.monotonic() - began)
                hashing.add(buffer, size)
                self._write(buffer[:size])
                self.size_bytes += size
                written(self.size_bytes)

    def sync(self) -> None:
        """Wait until the disk has all bytes.

        Raises:
            OSError: It does not take them.
        """
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Take away what is kept beside the file: it is complete."""
        _sidecar(self.path).unlink(missing_ok=True)

    def _write(self, piece: memoryview) -> None:
        while piece:
            piece = piece[self._file.write(piece) :]


class _Hashing:
    """A thread that takes a digest beside the one that reads and writes, and the buffers that go round between them."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._full: SimpleQueue[tuple[memoryview, int] | None] = SimpleQueue()
        self._empty: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(_BUFFERS):
            self._empty.put(memoryview(bytearray(_BUFFER_BYTES)))
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)

    def __enter__(self) -> _Hashing:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._full.put(None)
        self._thread.join()

    def empty(self) -> memoryview:
        return self._empty.get()

    def add(self, buffer: memoryview, size: int) -> None:
        self._full.put((buffer, size))

    def _run(self) -> None:
        while (taken := self._full.get()) is not None:
            buffer, size = taken
            self._digest.update(buffer[:size])
            self._empty.put(buffer)


def _next_size(size: int, took_s: float) -> int:
    """Give how much to ask for next, so that a read takes neither so long that nothing is seen nor all of the time."""
    if took_s < _SHORT_S:
        return min(2 * size, _BUFFER_BYTES)
    return max(size // 2, _LEAST_BYTES) if took_s > _LONG_S else size


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read_origin(path: Path) -> Origin | None:
    """Read where the bytes of a part come from; `None` where that is lost, and they are of no use."""
    with suppress(OSError, ValueError, TypeError):
        return Origin(**json.loads(path.read_text("utf-8")))
    return None
