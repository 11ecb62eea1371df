"""Bringing a store to today's tables: the numbered migrations of `schema.sql`."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files

APPLICATION_ID = 0x4D4F4443  # "MODC": tells a store from other SQLite files


@cache
def migrations() -> tuple[tuple[str, ...], ...]:
    """Give the statements of each migration, in order."""
    text = files("registry.catalog").joinpath("schema.sql").read_text("utf-8")
    _, *parts = re.split(r"^-- migration \d+$", text, flags=re.MULTILINE)
    return tuple(tuple(_statements(part)) for part in parts)


def migrate(connection: sqlite3.Connection, check_empty: Callable[[sqlite3.Connection], None]) -> None:
    """Run the migrations that a store lacks, each in one transaction. Others that do the same at once wait.

    Args:
        connection: To the store.
        check_empty: Called before the first one; to raise where somebody else has made tables.
    """
    for number, statements in enumerate(migrations(), start=1):
        if version_of(connection) >= number:
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            if version_of(connection) < number:  # it may have been done while this waited
                if number == 1:
                    check_empty(connection)
                for statement in statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def version_of(connection: sqlite3.Connection) -> int:
    """Give the number of the last migration that a store has had; 0 for a new one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _statements(text: str) -> Iterator[str]:
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):  # a trigger is complete with its END
            yield statement.strip()
            statement = ""
