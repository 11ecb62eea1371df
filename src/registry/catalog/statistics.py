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
    query = "SELECT size_class, sum(models), sum(total_bytes) FROM model_groups GROUP BY size_class"
    classes = {name: (models, total_bytes) for name, models, total_bytes in connection.execute(query)}
    return Stats(
        models=sum(models for models, _ in classes.values()),
        total_bytes=sum(total_bytes for _, total_bytes in classes.values()),
        size_classes={name: classes.get(name, (0, 0))[0] for name in SIZE_CLASSES},
        families=_families(connection),
        types=value_counts(connection, "type"),
    )


def _families(connection: sqlite3.Connection) -> tuple[FamilyStats, ...]:
    query = "SELECT model_family, sum(total_bytes) FROM model_groups WHERE model_family <> '' GROUP BY model_family"
    total_bytes: dict[str, int] = {}
    for family, size in connection.execute(query):
        total_bytes[family.casefold()] = total_bytes.get(family.casefold(), 0) + size
    counts = value_counts(connection, "family")
    return tuple(FamilyStats(each.value, each.models, total_bytes[each.value.casefold()]) for each in counts)
