"""What a search may be narrowed down to, and how it may be sorted."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry.errors import InvalidFieldError

# How to sort: name -> column.
_ORDERS: Mapping[str, str] = {
    "id": "id",
    "name": "name",
    "type": "type",
    "family": "model_family",
    "license": "license",
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
# Kind of filter -> column, for what a model has one of.
_COLUMNS = {"family": "model_family", "type": "type", "license": "license"}
# The same for what it has several of: table and column.
_TABLES = {
    "capability": ("model_capabilities", "capability"),
    "tag": ("model_tags", "tag"),
    "language": ("model_languages", "language"),
}
KINDS = (*_COLUMNS, *_TABLES)


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


def order_of(sort: str) -> Order:
    """Give the order that a name stands for.

    Raises:
        InvalidFieldError: There is no such order.
    """
    name = sort.removeprefix("-")
    if name not in _ORDERS:
        raise InvalidFieldError("sort", f"one of {', '.join(SORTS)}, with `-` in front for the largest first", sort)
    return Order(_ORDERS[name], descending=sort.startswith("-"))


def values_of(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Give the values of a filter: one, several, or none."""
    if given is None:
        return ()
    return tuple(dict.fromkeys([given] if isinstance(given, str) else given))


def spellings(connection: sqlite3.Connection, kind: str, value: str) -> list[str]:
    """Give how a value is written in the store, whatever the case; the empty list where no model has it."""
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate: no text in the store has one
        return []
    same = "SELECT value FROM value_counts WHERE kind = ? AND value = ? COLLATE NOCASE"
    beyond = "SELECT value FROM value_counts WHERE kind = ? AND value GLOB '*[^ -~]*'"
    found = {text for (text,) in connection.execute(same, (kind, value))}
    folded = value.casefold()
    found |= {text for (text,) in connection.execute(beyond, (kind,)) if text.casefold() == folded}
    return sorted(found)


def condition(kind: str, count: int) -> str:
    """Give the SQL condition that a model has one of `count` spellings."""
    marks = ", ".join("?" * count)
    if kind in _COLUMNS:
        return f"models.{_COLUMNS[kind]} IN ({marks})"
    table, column = _TABLES[kind]
    return f"EXISTS (SELECT 1 FROM {table} WHERE model_id = models.id AND {column} IN ({marks}))"
