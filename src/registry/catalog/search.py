"""Finding models by words, filters and memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from registry.catalog.entries import Page
from registry.catalog.fields import MAX_INTEGER
from registry.catalog.filters import Order, condition, order_of, spellings, values_of
from registry.catalog.reading import load_models
from registry.catalog.words import match_expression
from registry.errors import InvalidFieldError

_ANY = ("family", "type", "license")  # a model has one of these: several values mean any of them
_RANK = "bm25(model_words, 10.0, 6.0, 4.0, 2.0, 3.0, 3.0, 1.0, 1.0)"


def search(
    connection: sqlite3.Connection,
    text: str,
    filters: Mapping[str, str | Sequence[str] | None],
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
    _check_range("limit", limit, 0)
    _check_range("offset", offset, 0)
    conditions, values = _conditions(connection, filters)
    expression = match_expression(text)
    if conditions is None or (text.strip() and expression is None):
        return Page(models=(), total=0, limit=limit, offset=offset)
    if max_ram_bytes is not None:
        conditions.append("models.needed_bytes <= ?")
        values.append(min(max_ram_bytes, MAX_INTEGER))
    source = "models"
    if expression is not None:
        source = "model_words JOIN models ON models.id = model_words.rowid"
        conditions.insert(0, "model_words MATCH ?")
        values.insert(0, expression)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    (total,) = connection.execute(f"SELECT count(*) FROM {source}{where}", values).fetchone()
    terms = (order or Order("name")).sql if order or expression is None else f"{_RANK}, models.id"
    query = f"SELECT models.id FROM {source}{where} ORDER BY {terms} LIMIT ? OFFSET ?"
    ids = [id for (id,) in connection.execute(query, [*values, limit, offset])]
    return Page(models=load_models(connection, ids), total=total, limit=limit, offset=offset)


def _conditions(
    connection: sqlite3.Connection, filters: Mapping[str, str | Sequence[str] | None]
) -> tuple[list[str] | None, list[Any]]:
    """Give SQL conditions and their values; `None` where no model can pass."""
    conditions: list[str] = []
    values: list[Any] = []
    for kind, given in filters.items():
        wanted = [spellings(connection, kind, value) for value in values_of(given)]
        if kind in _ANY and wanted:
            wanted = [[each for some in wanted for each in some]]
        for some in wanted:
            if not some:
                return None, []
            conditions.append(condition(kind, len(some)))
            values += some
    return conditions, values


def _check_range(name: str, number: int, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= MAX_INTEGER:
        raise InvalidFieldError(name, f"a whole number from {least} to {MAX_INTEGER}", number)
