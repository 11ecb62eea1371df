"""A page of what a search found, the best match first.

The model of that very name is first. Models that have all words in their names come before the rest. Each of these two
groups is ranked by BM25 while it has at
most `RANKED` models. Beyond that, where nearly everything has the words and they tell little apart, a group is in the
order of its numbers, which costs nothing.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from registry.catalog.paging import where
from registry.catalog.totals import Totals
from registry.catalog.wanted import Wanted
from registry.catalog.words import all_of, in_names, without

RANKED = 1000
# Weights of the columns of the index, in their order.
_RANK = "bm25(model_words, 10.0, 6.0, 4.0, 2.0, 3.0, 3.0, 1.0, 1.0, 0.0)"


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
    assert wanted.words is not None
    assert wanted.query is not None
    in_name = in_names(wanted.words)
    named = all_of(in_name, *wanted.filters.queries) or in_name
    first = totals.of(connection, named, None, wanted.max_ram_bytes)
    exact = _exact(connection, wanted, text)
    groups = (
        _Group(named, len(exact), [f"+model_words.rowid = {number:d}" for number in exact]),
        _Group(named, first - len(exact), [f"+model_words.rowid <> {number:d}" for number in exact]),
        _Group(without(wanted.query, in_name) if first else wanted.query, total - first, []),
    )
    ids: list[int] = []
    for group in groups:
        if offset < group.count and len(ids) < limit:
            ids += _ranked(connection, group, wanted.max_ram_bytes, limit - len(ids), offset)
        offset = max(0, offset - group.count)
    return ids


@dataclass(frozen=True)
class _Group:
    """Models that come before others: their query, how many they are, and conditions besides."""

    query: str
    count: int
    conditions: list[str]


def _exact(connection: sqlite3.Connection, wanted: Wanted, text: str) -> list[int]:
    """Give the number of the model of this very name, if there is one and it was found."""
    row = (
        connection.execute("SELECT id, needed_bytes FROM models WHERE name = ?", (text,)).fetchone()
        if text.isascii()
        else None
    )
    if row is None or (wanted.max_ram_bytes is not None and (row[1] is None or row[1] > wanted.max_ram_bytes)):
        return []
    statement = "SELECT rowid FROM model_words WHERE model_words MATCH ? AND rowid = ?"
    return [number for (number,) in connection.execute(statement, (wanted.query, row[0]))]


def _ranked(
    connection: sqlite3.Connection, group: _Group, max_ram_bytes: int | None, limit: int, offset: int
) -> list[int]:
    """Give the numbers of some models of a group: by BM25 where it is small, else in the order of their numbers."""
    source, conditions = "model_words", ["model_words MATCH ?", *group.conditions]
    if max_ram_bytes is not None:
        source = "model_words CROSS JOIN models ON models.id = model_words.rowid"
        conditions.append(f"models.needed_bytes <= {max_ram_bytes:d}")
    terms = f"{_RANK}, model_words.rowid" if group.count <= RANKED else "model_words.rowid"
    statement = f"SELECT model_words.rowid FROM {source}{where(conditions)} ORDER BY {terms} LIMIT ? OFFSET ?"
    return [number for (number,) in connection.execute(statement, (group.query, limit, offset))]
