"""What a search may be narrowed down to, and how it may be sorted."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from registry.catalog.words import filter_query
from registry.errors import InvalidFieldError

Given: TypeAlias = str | Sequence[str] | None

# How to sort: name -> column.
_ORDERS: Mapping[str, str] = {
    "id": "id",
    "name": "name",
    "type": "type",
    "family": "model_family",
    "parameters": "parameters",
    "context": "context_length",
    "dim": "embedding_dim",
    "size": "file_size_bytes",
    "ram": "needed_bytes",
    "released": "release_date",
    "created": "created_at",
    "updated": "updated_at",
}
SORTS: tuple[str, ...] = tuple(_ORDERS)
# Kind of filter -> column, for what a model has one of: several values mean any of them.
_COLUMNS = {"family": "model_family", "type": "type", "license": "license"}
# The same for what it has several of: table and column.
_TABLES = {
    "capability": ("model_capabilities", "capability"),
    "tag": ("model_tags", "tag"),
    "language": ("model_languages", "language"),
}


@dataclass(frozen=True)
class Order:
    """How to sort: by a column, unknown values last, and models that are equal in it by number."""

    column: str
    descending: bool = False

    @property
    def sql(self) -> str:
        """The terms of ORDER BY."""
        direction = " DESC" if self.descending else ""
        if self.column == "id":
            return f"models.id{direction}"
        return f"models.{self.column}{direction} NULLS LAST, models.id{direction}"


@dataclass
class Filters:
    """Filters as the store has them.

    Attributes:
        queries: What the index of words is asked for, one for each filter.
        conditions: The same as SQL conditions on `models`.
        values: The values of these, in order.
        counts: How many models pass each filter alone.
    """

    queries: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)


def order_of(sort: str) -> Order:
    """Give the order that a name stands for.

    Raises:
        InvalidFieldError: There is no such order.
    """
    name = sort.removeprefix("-")
    if name not in _ORDERS:
        raise InvalidFieldError("sort", f"one of {', '.join(SORTS)}, with `-` in front for the largest first", sort)
    return Order(_ORDERS[name], descending=sort.startswith("-"))


def filters_of(connection: sqlite3.Connection, given: Mapping[str, Given]) -> Filters | None:
    """Give the filters of a search; `None` where no model can pass them."""
    filters = Filters()
    for kind, wanted in given.items():
        values = [] if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
        found = [_spellings(connection, kind, value) for value in values]
        if kind in _COLUMNS and found:
            found = [{text: count for each in found for text, count in each.items()}]
        for spelled in found:
            if not spelled:
                return None
            filters.queries.append(filter_query(kind, list(spelled)))
            filters.conditions.append(_condition(kind, len(spelled)))
            filters.values += spelled
            filters.counts.append(sum(spelled.values()))
    return filters


def _spellings(connection: sqlite3.Connection, kind: str, value: str) -> dict[str, int]:
    """Give how a value is written in the store, whatever the case, and how many models have each spelling."""
    folded = value.casefold()
    same = (  # told which indexes to take: SQLite would read every value of the kind
        "SELECT value, models FROM value_counts INDEXED BY value_counts_ignoring_case "
        "WHERE kind = ? AND value = ? COLLATE NOCASE"
    )
    beyond = (
        "SELECT value, models FROM value_counts INDEXED BY value_counts_beyond_ascii "
        "WHERE kind = ? AND value GLOB '*[^ -~]*'"
    )
    found = dict(connection.execute(beyond, (kind,)).fetchall())
    found = {text: count for text, count in found.items() if text.casefold() == folded}
    if value.isascii():
        found |= dict(connection.execute(same, (kind, value)).fetchall())
    elif folded.isascii():  # the Kelvin sign is a `k`
        found |= dict(connection.execute(same, (kind, folded)).fetchall())
    return found


def _condition(kind: str, count: int) -> str:
    """Give the SQL condition that a model has one of `count` spellings. It is to be checked, not to lead: hence `+`."""
    marks = ", ".join("?" * count)
    if kind in _COLUMNS:
        return f"+models.{_COLUMNS[kind]} IN ({marks})"
    table, column = _TABLES[kind]
    return f"EXISTS (SELECT 1 FROM {table} WHERE model_id = models.id AND {column} IN ({marks}))"
