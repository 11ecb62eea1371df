"""The connections of one store: any number of readers, one writer at a time.

A file is in WAL mode: readers see the store as it was when they began, and neither wait for a writer nor hold one up.
Whoever reads borrows a connection. Writers of one process take turns at a lock, those of several at SQLite's; they wait
in short steps, so that Ctrl-C ends the wait. A store in memory has one connection, and everybody takes turns.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from registry.catalog.migrations import migrate, migrations, version_of
from registry.catalog.sqlite_errors import code_of, translated
from registry.catalog.store_file import (
    address,
    check_empty,
    check_file,
    check_sqlite,
    check_tables,
    check_version,
    has_journal,
)
from registry.catalog.transactions import began, not_busy, savepoint, transaction
from registry.errors import CatalogBusyError, CatalogFileError

_IDLE_READERS = 8  # kept open while nobody uses them
_STEP_S = 0.1  # how long a wait goes on before Ctrl-C is noticed
_READ_WAIT_S = 10.0  # readers wait only while somebody recovers the log of a process that was killed
_CANNOT_LOG = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_SETTINGS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = NORMAL",  # in WAL mode a power cut takes the last writes at most, never the file
    "PRAGMA cache_size = -16384",  # KiB
    "PRAGMA temp_store = MEMORY",
    "PRAGMA journal_size_limit = 67108864",  # bytes that the log keeps after a long import
)


class Connections:
    """The connections of one store.

    Args:
        path: The file; its folder is made. `None`: in memory.
        timeout_s: How long a write waits for another one; `None`: until it is done.

    Raises:
        CatalogFileError: The file cannot be used.
    """

    _writer: sqlite3.Connection | None

    def __init__(self, path: Path | None, timeout_s: float | None) -> None:
        check_sqlite()
        self.path = path
        self.name = ":memory:" if path is None else str(path)
        self.timeout_s = timeout_s
        self._closed = False
        self._reset()
        try:
            if path is None:
                self._writer = self._connect(":memory:", _STEP_S)
                migrate(self._writer, partial(check_empty, self.name))
            else:
                self._prepare(path)
        except BaseException:
            self.close()
            raise
        _ALL.add(self)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._nonce = secrets.token_hex(6)
        self._idle: list[sqlite3.Connection] = []
        self._watch: sqlite3.Connection | None = None
        self._writer = None
        self._write_lock = threading.RLock()  # in memory: of the one connection
        self._pool_lock = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that sees the store as it is now, until the block ends.

        Raises:
            CatalogFileError: The file is damaged or cannot be read, or this was closed.
        """
        self._check_open()
        with translated(self.name, _READ_WAIT_S):
            if self.path is None:
                with self._write_lock, transaction(self._memory()) as connection:
                    yield connection
                return
            connection = self._take()
            try:
                with transaction(connection):
                    yield connection
            finally:
                self._give_back(connection)

    @contextmanager
    def writing(self, finish: Callable[[sqlite3.Connection], None] | None = None) -> Iterator[sqlite3.Connection]:
        """Lend the connection that may write. All is kept when the block ends, and nothing where it raises.

        Within itself, in one thread, it is a part of the outer one that can fail alone.

        Args:
            finish: Called before what was written is kept.

        Raises:
            CatalogBusyError: Another one wrote for longer than the time-out.
            CatalogFileError: The file is damaged or cannot be written, or this was closed.
        """
        start = time.monotonic()
        lock, pid = self._write_lock, self._pid
        self._wait(lambda: lock.acquire(timeout=self._step(start)), start)
        try:
            self._check_open()
            with translated(self.name, self.timeout_s or 0.0):
                connection = self._open_writer()
                if connection.in_transaction:
                    with savepoint(connection):
                        yield connection
                    return
                self._wait(lambda: began(connection), start)
                with transaction(connection, begun=True):
                    yield connection
                    self._check_process(pid)
                    if finish is not None:
                        finish(connection)
                if self._closed:  # by the block itself
                    self._writer = None
                    connection.close()
        finally:
            lock.release()

    def revision(self) -> str:
        """Give a text that is another one whenever anything in the store has changed. Takes microseconds."""
        self._check_open()
        if self.path is None:
            return f"{self._nonce}-{self._memory().total_changes}"
        with self._pool_lock, translated(self.name, _READ_WAIT_S):
            if self._watch is None:
                self._watch = self._open_reader(self.path)
            # It tells the connection that asks of changes by others. This one never writes.
            (version,) = self._watch.execute("PRAGMA data_version").fetchone()
        return f"{self._nonce}-{version}"

    def close(self) -> None:
        """Close it, after a write that is going on. What still reads ends as it would have."""
        with self._write_lock:
            self._closed = True
            with self._pool_lock:
                idle, self._idle = [*self._idle, self._watch], []
                self._watch = None
            if self._writer is not None and not self._writer.in_transaction:
                idle.append(self._writer)
                self._writer = None
            for connection in idle:
                if connection is not None:
                    connection.close()

    def _prepare(self, path: Path) -> None:
        """Make the file where there is none, and bring its tables up to date."""
        check_file(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"cannot be made: {error.strerror or error} at `{error.filename}`"
            raise CatalogFileError(self.name, problem, "Choose another path.") from error
        with translated(self.name, self.timeout_s or 0.0):
            if not path.exists() or not self._is_ready(path):
                self._make(path)

    def _is_ready(self, path: Path) -> bool:
        """Tell whether the tables are those of today, and readers need not wait for writers."""
        connection = self._open_reader(path)
        try:
            version = version_of(connection)
            check_version(self.name, version)
            if version:
                check_tables(self.name, connection)
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            return version == len(migrations()) and (mode == "wal" or not _is_writable(path))
        finally:
            self._give_back(connection)

    def _make(self, path: Path) -> None:
        start = time.monotonic()
        connection = self._writer = self._connect(address(path, "mode=rwc"), _STEP_S)
        self._wait(lambda: not_busy(lambda: migrate(connection, partial(check_empty, self.name))), start)
        self._wait(lambda: not_busy(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone()), start)

    def _take(self) -> sqlite3.Connection:
        with self._pool_lock:
            if self._idle:
                return self._idle.pop()
        assert self.path is not None
        return self._open_reader(self.path)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if self._pid != os.getpid():
            _INHERITED.append(connection)
            return
        with self._pool_lock:
            if not self._closed and len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()

    def _open_reader(self, path: Path) -> sqlite3.Connection:
        try:
            connection = self._connect(address(path, "mode=rw"), _READ_WAIT_S)
        except sqlite3.OperationalError as error:
            # A log cannot be made beside it: nobody here can write, so that nothing changes while it is read.
            if code_of(error) not in _CANNOT_LOG or has_journal(path):
                raise
            connection = self._connect(address(path, "mode=ro&immutable=1"), _READ_WAIT_S)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _open_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            assert self.path is not None
            self._writer = self._connect(address(self.path, "mode=rw"), _STEP_S)
        return self._writer

    def _memory(self) -> sqlite3.Connection:
        self._check_open()
        assert self._writer is not None
        return self._writer

    @staticmethod
    def _connect(target: str, timeout_s: float) -> sqlite3.Connection:
        connection = sqlite3.connect(
            target, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            for setting in _SETTINGS:
                connection.execute(setting)
            version_of(connection)  # the first look into the file
        except BaseException:
            connection.close()
            raise
        return connection

    def _step(self, start: float) -> float:
        if self.timeout_s is None:
            return _STEP_S
        return min(_STEP_S, max(0.0, self.timeout_s - (time.monotonic() - start)))

    def _wait(self, attempt: Callable[[], bool], start: float) -> None:
        """Try again and again, each time for a step."""
        while not attempt():
            waited_s = time.monotonic() - start
            if self.timeout_s is not None and waited_s >= self.timeout_s:
                raise CatalogBusyError(self.name, self.timeout_s)

    def _check_open(self) -> None:
        if self._closed:
            raise CatalogFileError(self.name, "was closed by this program", "Open it again with `Catalog.open`.")

    def _check_process(self, pid: int) -> None:
        if pid != os.getpid():
            raise CatalogFileError(
                self.name, "is being written by the parent process", "Write after `fork`, not across."
            )

    def _after_fork(self) -> None:
        """Leave the parent's connections to the parent: to use or close them here could damage the file."""
        writer, memory = self._writer, self.path is None
        _INHERITED.extend(each for each in (*self._idle, self._watch, writer) if each is not None)
        self._reset()
        if memory:
            self._writer = writer


# Connections of a parent process. They are kept, because to collect one would close it.
_INHERITED: list[sqlite3.Connection] = []
_ALL: weakref.WeakSet[Connections] = weakref.WeakSet()


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _after_fork() -> None:
    for connections in list(_ALL):
        connections._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
