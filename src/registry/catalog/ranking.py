"""A page of what a search found, the best match first.

Models that have all words in their names come before the rest. Each of the two groups is ranked by BM25 while it has at
most `RANKED` models. Beyond that, where nearly everything has the words and they tell little apart, a group is in the
order of its numbers, which costs nothing.
"""

from __future__ import annotations

import sqlite3

from registry.catalog.paging import where
from registry.catalog.totals import Totals
from registry.catalog.wanted import Wanted
from registry.catalog.words import all_of, in_names, without

RANKED = 1000
# Weights of the columns of the index, in their order.
_RANK = "bm25(model_words, 10.0, 6.0, 4.0, 2.0, 3.0, 3.0, 1.0, 1.0, 0.0)"


def best_page(
    connection: sqlite3.Connection, totals: Totals, wanted: Wanted, words: str, total: int, limit: int, offset: int
) -> list[int]:
    """Give the numbers of the models of a page.

    Args:
        connection: To the store.
        totals: What was counted of it.
        wanted: What was looked for.
        words: The query for its text.
        total: How many models were found.
        limit: How many numbers to give at most.
        offset: How many to pass over.
    """
    everything = all_of(words, *wanted.filters.queries) or words
    named = all_of(in_names(words), *wanted.filters.queries) or words
    first = totals.of(connection, named, None, wanted.max_ram_bytes)
    ids: list[int] = []
    if offset < first:
        ids = _ranked(connection, named, wanted.max_ram_bytes, first, limit, offset)
    if len(ids) < limit and first < total:
        rest = without(everything, in_names(words)) if first else everything
        left, start = limit - len(ids), max(0, offset - first)
        ids += _ranked(connection, rest, wanted.max_ram_bytes, total - first, left, start)
    return ids


def _ranked(
    connection: sqlite3.Connection, query: str, max_ram_bytes: int | None, count: int, limit: int, offset: int
) -> list[int]:
    """Give the numbers of some models of a group: by BM25 where it is small, else in the order of their numbers."""
    source, conditions = "model_words", ["model_words MATCH ?"]
    if max_ram_bytes is not None:
        source = "model_words CROSS JOIN models ON models.id = model_words.rowid"
        conditions.append(f"models.needed_bytes <= {max_ram_bytes:d}")
    terms = f"{_RANK}, model_words.rowid" if count <= RANKED else "model_words.rowid"
    statement = f"SELECT model_words.rowid FROM {source}{where(conditions)} ORDER BY {terms} LIMIT ? OFFSET ?"
    return [number for (number,) in connection.execute(statement, (query, limit, offset))]
