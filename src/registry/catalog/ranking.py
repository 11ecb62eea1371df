"""A page of what a search found, the best match first.

The model of that very name is first. Then come models that have all words in their names; then those that have them in
names, family, publisher, tags and capabilities together; then the rest. In each of these groups the shortest name comes
first, because the words are more of it.

This is not BM25, on purpose: all models that are ranked have all words, so that it could tell apart by little more than
length, and SQLite's goes through all places of every word, however few models have all of them. A group of more than
`RANKED` models, where nearly everything has the words and no order is much of a help, is in the order of its numbers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from registry.catalog.paging import where
from registry.catalog.totals import Totals
from registry.catalog.wanted import Wanted
from registry.catalog.words import LABELS, NAMES, all_of, in_columns, without

RANKED = 1000


@dataclass(frozen=True)
class _Group:
    """Models that come before others: their query, how many they are, and conditions besides."""

    query: str
    count: int
    conditions: tuple[str, ...] = ()


def best_page(
    connection: sqlite3.Connection, totals: Totals, wanted: Wanted, text: str, total: int, limit: int, offset: int
) -> list[int]:
    """Give the numbers of the models of a page.

    Args:
        connection: To the store.
        totals: What was counted of it.
        wanted: What was looked for, words among it.
        text: The words as they were typed.
        total: How many models were found.
        limit: How many numbers to give at most.
        offset: How many to pass over.
    """
    ids: list[int] = []
    for group in _groups(connection, totals, wanted, text, total):
        if offset < group.count:
            ids += _ranked(connection, group, wanted.max_ram_bytes, limit - len(ids), offset)
        if len(ids) == limit:
            break
        offset = max(0, offset - group.count)
    return ids


def _groups(connection: sqlite3.Connection, totals: Totals, wanted: Wanted, text: str, total: int) -> Iterator[_Group]:
    """Give the groups in their order. Each is counted when the page has not ended before it."""
    assert wanted.words is not None
    assert wanted.query is not None
    exact = _exact(connection, wanted, text)
    yield _Group(wanted.query, len(exact), tuple(f"+model_words.rowid = {number:d}" for number in exact))
    not_exact = tuple(f"+model_words.rowid <> {number:d}" for number in exact)
    inner, inner_count = "", len(exact)
    for columns in (NAMES, LABELS):
        outer = all_of(in_columns(columns, wanted.words), *wanted.filters.queries) or ""
        count = totals.of(connection, outer, None, wanted.max_ram_bytes)
        yield _Group(without(outer, inner), count - inner_count, not_exact)
        inner, inner_count = outer, count
    yield _Group(without(wanted.query, inner), total - inner_count)


def _exact(connection: sqlite3.Connection, wanted: Wanted, text: str) -> list[int]:
    """Give the number of the model of this very name, if there is one and it was found."""
    if not text.isascii():
        return []
    row = connection.execute("SELECT id, needed_bytes FROM models WHERE name = ?", (text,)).fetchone()
    if row is None or (wanted.max_ram_bytes is not None and (row[1] is None or row[1] > wanted.max_ram_bytes)):
        return []
    statement = "SELECT rowid FROM model_words WHERE model_words MATCH ? AND rowid = ?"
    return [number for (number,) in connection.execute(statement, (wanted.query, row[0]))]


def _ranked(
    connection: sqlite3.Connection, group: _Group, max_ram_bytes: int | None, limit: int, offset: int
) -> list[int]:
    """Give the numbers of some models of a group."""
    is_ranked = group.count <= RANKED
    source, conditions = "model_words", ["model_words MATCH ?", *group.conditions]
    if is_ranked or max_ram_bytes is not None:
        source = "model_words CROSS JOIN models ON models.id = model_words.rowid"
    if max_ram_bytes is not None:
        conditions.append(f"models.needed_bytes <= {max_ram_bytes:d}")
    order = "length(models.name), model_words.rowid" if is_ranked else "model_words.rowid"
    statement = f"SELECT model_words.rowid FROM {source}{where(conditions)} ORDER BY {order} LIMIT ? OFFSET ?"
    return [number for (number,) in connection.execute(statement, (group.query, limit, offset))]
