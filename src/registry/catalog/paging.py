"""A page of what a search found, sorted: by the shortest of the ways that lead to it.

* Go through the models in the order of an index, and look at each until the page is full. Short when many are wanted.
* Take the numbers of all that the index of words finds, and go through the models as before. Short in between.
* Gather all that were found, and sort them. Short when they are few.

How long each takes can be told from how many were found, if these stand anywhere in the order. They may all stand at
its end (who sorts by size finds no small type first); so the first way is given up when another would have been there.
"""

from __future__ import annotations

import sqlite3
import time
from typing import NamedTuple

from registry.catalog.filters import Order
from registry.catalog.sqlite_errors import code_of
from registry.catalog.wanted import Wanted

# Microseconds for one model, measured at a million: to pass it in an index, to look at its row or at one of its lists,
# to ask the index of words about it, to keep its number, to fetch and sort it.
_PASS_US, _LOOK_US, _ASK_US, _KEEP_US, _SORT_US = 0.3, 0.8, 30.0, 0.2, 1.1
_INSTRUCTIONS = 1000  # of SQLite between two looks at the clock


class _Way(NamedTuple):
    """A way to a page: how long it may take, and a statement without its order."""

    cost_us: float
    statement: str
    values: list[object]


def sorted_page(
    connection: sqlite3.Connection, wanted: Wanted, total: int, every: int, order: Order, limit: int, offset: int
) -> list[int]:
    """Give the numbers of the models of a page.

    Args:
        connection: To the store.
        wanted: What was looked for.
        total: How many models were found; more than `offset`.
        every: How many models there are.
        order: How they are sorted.
        limit: How many numbers to give at most.
        offset: How many to pass over.
    """
    passed = min(offset + limit, total) * every / total
    look = _look(wanted, order, passed)
    if wanted.query is None:
        return _page(connection, look, order, limit, offset)
    other = min(_keep(wanted, passed, total), _gather(wanted, total))
    if look.cost_us < other.cost_us:
        deadline = time.perf_counter() + 2 * other.cost_us / 1e6
        try:
            return _page_before(deadline, connection, look, order, limit, offset)
        except TimeoutError:
            pass
    return _page(connection, other, order, limit, offset)


def _look(wanted: Wanted, order: Order, passed: float) -> _Way:
    """Check models one by one."""
    conditions, values = [*wanted.filters.conditions], [*wanted.filters.values]
    if wanted.max_ram_bytes is not None:
        leads = order.column == "needed_bytes" or wanted.query is None  # then its index begins where it is met
        conditions.append(f"{'' if leads else '+'}models.needed_bytes <= {wanted.max_ram_bytes:d}")
    cost_us = _PASS_US + _LOOK_US * len(conditions)
    if wanted.words is not None:
        conditions.append("EXISTS (SELECT 1 FROM model_words WHERE model_words MATCH ? AND rowid = models.id)")
        values.append(wanted.words)
        cost_us += _ASK_US
    return _Way(passed * cost_us, f"SELECT models.id FROM models{where(conditions)}", list(values))


def _keep(wanted: Wanted, passed: float, total: int) -> _Way:
    """See of models one by one whether their numbers are among those that were found."""
    found = "SELECT rowid FROM model_words WHERE model_words MATCH ?"
    conditions = [f"+models.id IN ({found})"]  # `+`: to be checked, not to lead
    cost_us = _PASS_US
    if wanted.max_ram_bytes is not None:
        conditions.append(f"+models.needed_bytes <= {wanted.max_ram_bytes:d}")
        cost_us += _LOOK_US
    statement = f"SELECT models.id FROM models{where(conditions)}"
    return _Way(total * _KEEP_US + passed * cost_us, statement, [wanted.query])


def _gather(wanted: Wanted, total: int) -> _Way:
    """Fetch all that were found."""
    conditions = ["model_words MATCH ?"]
    if wanted.max_ram_bytes is not None:
        conditions.append(f"models.needed_bytes <= {wanted.max_ram_bytes:d}")
    source = "model_words CROSS JOIN models ON models.id = model_words.rowid"  # CROSS: in this order
    return _Way(total * _SORT_US, f"SELECT models.id FROM {source}{where(conditions)}", [wanted.query])


def where(conditions: list[str]) -> str:
    """Give the WHERE clause of these conditions."""
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _page(connection: sqlite3.Connection, way: _Way, order: Order, limit: int, offset: int) -> list[int]:
    statement = f"{way.statement} ORDER BY {order.sql} LIMIT ? OFFSET ?"
    return [number for (number,) in connection.execute(statement, (*way.values, limit, offset))]


def _page_before(
    deadline: float, connection: sqlite3.Connection, way: _Way, order: Order, limit: int, offset: int
) -> list[int]:
    """Do the same until `time.perf_counter` is at a deadline.

    Raises:
        TimeoutError: It was not done by then.
    """
    connection.set_progress_handler(lambda: time.perf_counter() > deadline, _INSTRUCTIONS)
    try:
        return _page(connection, way, order, limit, offset)
    except sqlite3.OperationalError as error:
        if code_of(error) != sqlite3.SQLITE_INTERRUPT:
            raise
        raise TimeoutError from error
    finally:
        connection.set_progress_handler(None, 0)
