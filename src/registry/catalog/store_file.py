"""Whether a file is a store that can be used, told before anything may write to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from registry.catalog.migrations import APPLICATION_ID, migrations
from registry.catalog.sqlite_errors import OLDEST_SQLITE, RESTORE, code_of, translated
from registry.errors import CatalogFileError, RegistryError

_MOVE = "Choose another path, or move it away."
_UPGRADE = "Upgrade with `pip install --upgrade typed-model-registry`, or use another file."
_FACTS = ("application_id", "user_version", "schema_version")


def check_sqlite() -> None:
    """Refuse an SQLite that is too old.

    Raises:
        RegistryError: It is.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise RegistryError(
            f"The SQLite of this Python is too old for the catalogue store: expected {oldest} or newer, got "
            f"{sqlite3.sqlite_version}. Use a Python that was built with a newer one."
        )


def check_file(path: Path) -> None:
    """Refuse a file that is no store, is damaged as far as its first page tells, or is of a newer version.

    A file that is not there or empty is what a new store is made of. Changes nothing, and takes no lock.

    Raises:
        CatalogFileError: The file cannot be used.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    except OSError as error:
        raise CatalogFileError(str(path), f"cannot be read: {error.strerror}", "Let this user read it.") from error
    if path.is_dir():
        raise CatalogFileError(str(path), "is a folder", "Name a file.")
    if not size:
        return
    try:
        facts = _facts(path)
    except sqlite3.DatabaseError as error:
        # Another process may be making the store right now, or may have been killed while it wrote: then there is a
        # journal, and SQLite knows what to do. Without one, what is in the file is all there is.
        if code_of(error) == sqlite3.SQLITE_CORRUPT and has_journal(path):
            return
        with translated(str(path)):
            facts = _facts(path)
    _check_facts(path, *facts)


def check_version(path: str, version: int) -> None:
    """Refuse tables that this version of the library does not know.

    Raises:
        CatalogFileError: They are newer.
    """
    if version > len(migrations()):
        problem = f"was written by a newer version: expected tables of version {len(migrations())} at most"
        raise CatalogFileError(path, f"{problem}, got {version}", _UPGRADE)


def check_empty(path: str, connection: sqlite3.Connection) -> None:
    """Refuse a database that is no store yet, and has tables of somebody else's.

    Raises:
        CatalogFileError: It has.
    """
    if connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
        raise CatalogFileError(path, "is another program's database", _MOVE)


def check_tables(path: str, connection: sqlite3.Connection) -> None:
    """Refuse a store whose first table is not as it was made: its list of tables is damaged.

    Raises:
        CatalogFileError: It is.
    """
    try:
        found = connection.execute("SELECT model_changes FROM store").fetchone()
    except sqlite3.OperationalError as error:
        if code_of(error) != sqlite3.SQLITE_ERROR:
            raise
        raise CatalogFileError(path, f"is damaged: {error}", RESTORE) from error
    if found is None:
        raise CatalogFileError(path, "is damaged: its first table is empty", RESTORE)


def has_journal(path: Path) -> bool:
    """Tell whether there are changes beside the file that are not in it yet."""
    return any(_size(path.with_name(f"{path.name}{ending}")) for ending in ("-journal", "-wal"))


def address(path: Path, options: str) -> str:
    """Give the URI of a file for `sqlite3.connect`."""
    return f"{path.absolute().as_uri()}?{options}"


def _facts(path: Path) -> tuple[int, ...]:
    # Through SQLite, not `open`: closing a file of its own would drop the locks that other connections of this process
    # have on it (https://www.sqlite.org/howtocorrupt.html, 2.2). `immutable` neither locks nor makes files beside it.
    with closing(sqlite3.connect(address(path, "mode=ro&immutable=1"), uri=True)) as connection:
        return tuple(connection.execute(f"PRAGMA {fact}").fetchone()[0] for fact in _FACTS)


def _check_facts(path: Path, application_id: int, user_version: int, schema_version: int) -> None:
    if application_id != APPLICATION_ID:
        if application_id or user_version or schema_version:
            raise CatalogFileError(str(path), "is another program's database", _MOVE)
        return
    check_version(str(path), user_version)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
