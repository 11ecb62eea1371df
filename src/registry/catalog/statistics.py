"""Lists of values and counts over the whole store, from what triggers have counted."""

from __future__ import annotations

import sqlite3

from registry.catalog.entries import FamilyStats, Stats, ValueCount
from registry.catalog.reading import merged

SIZE_CLASSES = ("Tiny", "Small", "Medium", "Large", "unknown")


def value_counts(connection: sqlite3.Connection, kind: str) -> tuple[ValueCount, ...]:
    """Give the values of a kind and how many models have each, by value."""
    rows = connection.execute("SELECT value, models FROM value_counts WHERE kind = ?", (kind,))
    return tuple(ValueCount(value, models) for value, models in merged(rows).items())


def stats(connection: sqlite3.Connection) -> Stats:
    """Count everything."""
    sizes = {value: models for value, models, _ in _rows(connection, "size")}
    families = _rows(connection, "family")
    total_bytes = merged((family, size) for family, _, size in families)
    return Stats(
        models=sum(models for _, models, _ in _rows(connection, "model")),
        total_bytes=sum(size for _, _, size in _rows(connection, "model")),
        size_classes={name: sizes.get(name, 0) for name in SIZE_CLASSES},
        families=tuple(
            FamilyStats(each.value, each.models, size)
            for each, size in zip(value_counts(connection, "family"), total_bytes.values(), strict=True)
        ),
        types=value_counts(connection, "type"),
    )


def _rows(connection: sqlite3.Connection, kind: str) -> list[tuple[str, int, int]]:
    query = "SELECT value, models, total_bytes FROM value_counts WHERE kind = ?"
    return connection.execute(query, (kind,)).fetchall()
