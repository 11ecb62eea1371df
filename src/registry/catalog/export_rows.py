"""Models as rows of an export: everything that the store knows of them, as JSON has it or as the cells of a table."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from registry.catalog.columns import COLUMNS
from registry.catalog.fields import FIELDS, LISTS, METRIC_FIELDS
from registry.catalog.reading import load_models
from registry.catalog.writing import TABLES, USER

_METRIC = ("id", *METRIC_FIELDS)
# What a `CatalogModel` does not have.
_BEYOND = ("metrics", "synced_as", "edited", "added", "removed")
_OF_MODEL = tuple(name for name in COLUMNS if name not in _BEYOND)


def rows_of(
    connection: sqlite3.Connection, ids: Sequence[int], removed: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """Give the rows of the models with these numbers, in this order, each with all `COLUMNS` in theirs.

    Args:
        connection: To the store.
        ids: The numbers.
        removed: What the first row says of models that are not there.
    """
    models = load_models(connection, ids)
    metrics = _metrics(connection, ids)
    synced = [model.id for model in models if model.source != USER]
    syncs = _syncs(connection, synced) if synced else {}
    for model in models:
        values = {name: getattr(model, name) for name in _OF_MODEL}
        values |= {"metrics": metrics.get(model.id, []), **syncs.get(model.id, _NEVER_SYNCED), "removed": removed}
        removed = {}
        yield {name: values[name] for name in COLUMNS}


_NEVER_SYNCED: Mapping[str, Any] = {"synced_as": None, "edited": [], "added": {}}


def removed_models(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Give the ids of the models of registries that a user has removed, by the registries' modules."""
    found: dict[str, list[str]] = {}
    for source, name in connection.execute("SELECT source, name FROM removed_models ORDER BY source, name"):
        found.setdefault(source, []).append(name)
    return found


def _metrics(connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """Give the measurements of each model that has any, the oldest number first."""
    query = (
        f"SELECT model_id, {', '.join(_METRIC)} FROM performance_metrics "
        "WHERE model_id IN (SELECT value FROM json_each(?)) ORDER BY model_id, id"
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for model_id, *values in connection.execute(query, (json.dumps(ids),)):
        found.setdefault(model_id, []).append(dict(zip(_METRIC, values, strict=True)))
    return found


def _syncs(connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Give, of synced models, their ids in the registry, the fields that users have edited, and what they added."""
    among = "IN (SELECT value FROM json_each(?))"
    query = f"SELECT id, synced_as, edited FROM models WHERE id {among}"
    found: dict[int, dict[str, Any]] = {
        model_id: {"synced_as": name, "edited": edited.split(",") if edited else [], "added": {}}
        for model_id, name, edited in connection.execute(query, (json.dumps(ids),))
    }
    tables = {**TABLES, "metadata": ("model_metadata", "key")}
    for field, (table, column) in tables.items():
        order = "position" if field in LISTS else column
        query = (
            f"SELECT model_id, {column} FROM {table} WHERE model_id {among} AND source = ? ORDER BY model_id, {order}"
        )
        for model_id, value in connection.execute(query, (json.dumps(ids), USER)):
            found[model_id]["added"].setdefault(field, []).append(value)
    return found


def cells_of(row: Mapping[str, Any]) -> list[str]:
    """Write a row as the cells of a table."""
    return [write(row[name]) for name, write in _CELLS]


def _joined(values: Sequence[str]) -> str:
    return ",".join(values)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _number(value: float | None) -> str:
    """Write a number with all its digits, and none more: 7, not 7.0."""
    return "" if value is None else repr(value).removesuffix(".0")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _writer(name: str) -> Callable[[Any], str]:
    if name in ("metadata", "metrics", "added", "removed"):
        return _json
    if name in LISTS or name == "edited":
        return _joined
    return _number if name in FIELDS and FIELDS[name].kind == "number" else _text


_CELLS = tuple((name, _writer(name)) for name in COLUMNS)
