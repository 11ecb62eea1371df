"""What goes wrong in SQLite, as errors of this library."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from registry.errors import CatalogBusyError, CatalogFileError

OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
RESTORE = "Put a copy of it back that is whole, or move it away: a new one is made where none is."
_PROBLEMS = {
    sqlite3.SQLITE_CORRUPT: ("is damaged: {0}", RESTORE),
    sqlite3.SQLITE_NOTADB: ("is damaged: {0}", RESTORE),
    sqlite3.SQLITE_READONLY: ("cannot be written", "Let this user write the file and its folder, or use another file."),
    sqlite3.SQLITE_PERM: ("cannot be opened", "Let this user read and write it, or use another file."),
    sqlite3.SQLITE_AUTH: ("cannot be opened", "Let this user read and write it, or use another file."),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Let this user read and write the file and its folder."),
    sqlite3.SQLITE_FULL: (
        "cannot grow: the disk is full, or the store has its largest size",
        "Make room, and try again.",
    ),
    sqlite3.SQLITE_IOERR: ("cannot be read or written: {0}", "Look at the disk, and try again."),
    sqlite3.SQLITE_NOLFS: ("cannot grow: {0}", "Use another file system."),
    sqlite3.SQLITE_PROTOCOL: ("cannot be locked: {0}", "Use a disk of this machine, not a network folder."),
}
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def code_of(error: sqlite3.Error) -> int:
    """Give SQLite's primary result code; 0 where the error is Python's own."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


@contextmanager
def translated(path: str, waited_s: float = 0.0) -> Iterator[None]:
    """Raise what SQLite says of the file or its locks as an error of this library; the rest stays as it is.

    Args:
        path: The store.
        waited_s: How long a lock is waited for.

    Raises:
        CatalogFileError: The file is damaged, cannot be written, ...
        CatalogBusyError: Somebody else has it locked.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = sqlite3.SQLITE_CORRUPT if _tells_damage(error) else code_of(error)
        if code in BUSY:
            raise CatalogBusyError(path, waited_s) from error
        if code not in _PROBLEMS:
            raise
        problem, remedy = _PROBLEMS[code]
        raise CatalogFileError(path, problem.format(error), remedy) from error


def damage(text: str) -> sqlite3.DatabaseError:
    """Give the error that SQLite would raise had it seen itself that the file is damaged."""
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _tells_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error without a code of its own is one that only damage leaves."""
    if not code_of(error):
        return "decode" in str(error)  # Python's own: a text that is not UTF-8
    return code_of(error) == sqlite3.SQLITE_ERROR and str(error) == "unsupported file format"  # in the first page
