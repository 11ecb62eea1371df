"""What SQLite says, as errors of this library."""

import sqlite3

import pytest

from registry.catalog.sqlite_errors import RESTORE, damage, translated
from registry.errors import CatalogBusyError, CatalogFileError


def _error(code: int, text: str = "said so") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_BUSY_RECOVERY])
def test_lock_of_somebody_else_is_busy(code: int) -> None:
    with pytest.raises(CatalogBusyError) as caught, translated("c.db", 2.0):
        raise _error(code)

    assert str(caught.value) == str(CatalogBusyError("c.db", 2.0))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (_error(sqlite3.SQLITE_CORRUPT_VTAB), f"is damaged: said so. It was left as it is. {RESTORE}"),
        (damage("an index is wrong"), f"is damaged: an index is wrong. It was left as it is. {RESTORE}"),
        (
            sqlite3.OperationalError("Could not decode to UTF-8 column 'name'"),
            f"is damaged: Could not decode to UTF-8 column 'name'. It was left as it is. {RESTORE}",
        ),
        (
            _error(sqlite3.SQLITE_FULL),
            (
                "cannot grow: the disk is full, or the store has its largest size. It was left as it is. "
                "Make room, and try again."
            ),
        ),
    ],
)
def test_trouble_with_the_file_names_it_and_says_what_to_do(error: sqlite3.Error, message: str) -> None:
    with pytest.raises(CatalogFileError) as caught, translated("c.db"):
        raise error

    assert str(caught.value) == f"`c.db` {message}"


def test_mistake_in_a_statement_stays_what_it_is() -> None:
    with pytest.raises(sqlite3.OperationalError, match=r"^no such column: nope$"), translated("c.db"):
        raise _error(sqlite3.SQLITE_ERROR, "no such column: nope")
