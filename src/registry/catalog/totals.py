"""What was counted, exactly: by triggers, or once when it was asked for, and remembered until a model changes."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from registry.catalog.wanted import Wanted

T = TypeVar("T")
_REMEMBERED = 4096
_EVERY = "SELECT ifnull(sum(models), 0) FROM value_counts WHERE kind = 'model'"


class Totals:
    """What was counted in one store. Every trigger that changes what may be counted grows `model_changes`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, Any] = OrderedDict()

    def remembered(self, connection: sqlite3.Connection, what: Hashable, count: Callable[[], T]) -> T:
        """Give what `count` gives, or gave since a model last changed.

        Args:
            connection: In a transaction, so that it sees one state of the store.
            what: Tells it from other things that are counted.
            count: Counts it, on this connection.
        """
        # The second number is 0 but in memory, where the one connection also sees what is not kept yet.
        key = (_number(connection, "SELECT model_changes FROM store", ()), connection.total_changes, what)
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                found: T = self._found[key]
                return found
        found = count()
        with self._lock:
            self._found[key] = found
            if len(self._found) > _REMEMBERED:
                self._found.popitem(last=False)
        return found

    def of_wanted(self, connection: sqlite3.Connection, wanted: Wanted) -> int:
        """Give how many models a search finds."""
        counts = wanted.filters.counts if wanted.words is None else None
        return self.of(connection, wanted.query, counts, wanted.max_ram_bytes)

    def of(
        self,
        connection: sqlite3.Connection,
        query: str | None,
        counts: Sequence[int] | None,
        max_ram_bytes: int | None,
    ) -> int:
        """Give how many models a query of the index of words finds, of those that need so much memory at most.

        Args:
            connection: In a transaction.
            query: `None`: every model.
            counts: How many each filter finds, where the query is made of filters only.
            max_ram_bytes: `None`: however much they need.
        """
        if max_ram_bytes is None and counts is not None and len(counts) < 2:
            return counts[0] if counts else _number(connection, _EVERY, ())
        what = (query, max_ram_bytes)
        return self.remembered(connection, what, lambda: _counted(connection, query, max_ram_bytes))


def _counted(connection: sqlite3.Connection, query: str | None, max_ram_bytes: int | None) -> int:
    if query is None:
        return _number(connection, "SELECT count(*) FROM models WHERE needed_bytes <= ?", (max_ram_bytes,))
    if max_ram_bytes is None:
        return _number(connection, "SELECT count(*) FROM model_words WHERE model_words MATCH ?", (query,))
    statement = (
        "SELECT count(*) FROM model_words CROSS JOIN models ON models.id = model_words.rowid "
        "WHERE model_words MATCH ? AND models.needed_bytes <= ?"
    )
    return _number(connection, statement, (query, max_ram_bytes))


def _number(connection: sqlite3.Connection, statement: str, values: Sequence[object]) -> int:
    (number,) = connection.execute(statement, values).fetchone()
    return int(number)
