"""Transactions of one connection, and parts of them that can fail alone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from registry.catalog.sqlite_errors import BUSY, code_of


@contextmanager
def transaction(connection: sqlite3.Connection, *, begun: bool = False) -> Iterator[sqlite3.Connection]:
    """Run a block in a transaction; one that reads may be inside one that writes."""
    if not begun:
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN")
    pid = os.getpid()
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if pid == os.getpid() and connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def savepoint(connection: sqlite3.Connection) -> Iterator[None]:
    """Run a block as a part of a transaction: where it raises, only what it did is undone."""
    connection.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # SQLite may have ended it: the disk is full
            connection.execute("ROLLBACK TO part")
            connection.execute("RELEASE part")
        raise
    connection.execute("RELEASE part")


def began(connection: sqlite3.Connection) -> bool:
    """Begin a transaction that writes, and tell whether that went: somebody else may be writing."""
    return not_busy(lambda: connection.execute("BEGIN IMMEDIATE"))


def not_busy(action: Callable[[], object]) -> bool:
    """Do something, and tell whether it went: a lock may be in the way."""
    try:
        action()
    except sqlite3.OperationalError as error:
        if code_of(error) not in BUSY:
            raise
        return False
    return True
