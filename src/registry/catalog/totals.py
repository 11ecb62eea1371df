"""How many models a search finds, exactly: from the counts that triggers keep, or counted once and remembered."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence

from registry.catalog.wanted import Wanted

_REMEMBERED = 4096
_EVERY = "SELECT ifnull(sum(models), 0) FROM value_counts WHERE kind = 'model'"


class Totals:
    """What was counted in one store. Every trigger that changes what a search may find counts `model_changes` up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[int, str | None, int | None], int] = OrderedDict()

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
            connection: In a transaction, so that it sees one state of the store.
            query: `None`: every model.
            counts: How many each filter finds, where the query is made of filters only.
            max_ram_bytes: `None`: however much they need.
        """
        if max_ram_bytes is None and counts is not None and len(counts) < 2:
            return counts[0] if counts else _number(connection, _EVERY, ())
        changes = _number(connection, "SELECT model_changes FROM store", ())
        key = (changes, query, max_ram_bytes)
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        found = _counted(connection, query, max_ram_bytes)
        with self._lock:
            self._found[key] = found
            if len(self._found) > _REMEMBERED:
                self._found.popitem(last=False)
        return found


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
