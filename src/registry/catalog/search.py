"""Finding models by words, filters and memory: how it stays fast at a million models.

* Words and filters are one query for the index of words, because FTS5 joins its lists of numbers in C. That a filter is
  a word too, which no text can have, is the view `model_texts`' doing.
* The beginning of a word is looked up in the vocabulary (`indexing`), or where it is short has an index of its own.
* How many were found is told by counts that triggers keep, where there is one filter or none; else the index counts,
  at some 50 ns a model, and the result is remembered until a model changes. It is never estimated.
* A page is sorted in one of three ways, whichever is shortest (`paging`), or ranked (`ranking`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from registry.catalog.entries import Page
from registry.catalog.filters import Given, Order, order_of
from registry.catalog.paging import sorted_page
from registry.catalog.ranking import best_page
from registry.catalog.reading import load_models
from registry.catalog.totals import Totals
from registry.catalog.wanted import check_count, wanted_of


def search(
    connection: sqlite3.Connection,
    totals: Totals,
    text: str,
    given: Mapping[str, Given],
    max_ram_bytes: int | None,
    sort: str | None,
    limit: int,
    offset: int,
) -> Page:
    """Give a page of the models that have all words of a text and pass the filters.

    Raises:
        InvalidFieldError: There is no such order, or a number is out of range.
    """
    order = None if sort is None else order_of(sort)
    check_count("limit", limit)
    check_count("offset", offset)
    wanted = wanted_of(connection, text, given, max_ram_bytes)
    total = 0 if wanted is None else totals.of_wanted(connection, wanted)
    ids: list[int] = []
    if wanted is not None and limit and offset < total:
        if order is None and wanted.words is not None:
            ids = best_page(connection, totals, wanted, text.strip(), total, limit, offset)
        else:
            every = totals.of(connection, None, [], None)
            ids = sorted_page(connection, wanted, total, every, order or Order("name"), limit, offset)
    return Page(models=load_models(connection, ids), total=total, limit=limit, offset=offset)
