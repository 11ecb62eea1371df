"""Bringing a store up to date with a compiled registry, without touching what people added.

A row of a list and a key of the metadata says who put it there; a synced model says which of its fields a user edited,
and under which id the registry has it. So a plan can be made by reading alone, and an empty one writes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.catalog.entries import SyncReport
from registry.catalog.fields import COLUMNS, LISTS
from registry.catalog.records import values_of
from registry.catalog.writing import TABLES, USER, insert_model, put_list, put_metadata, set_columns
from registry.queries import CombinedRegistry, ModelRegistry

Rows = list[tuple[str, str]]  # a value, and who put it there


@dataclass
class Synced:
    """A model of the store that came from a registry."""

    id: int
    edited: frozenset[str]
    columns: dict[str, Any]
    lists: dict[str, Rows] = field(default_factory=lambda: {name: [] for name in LISTS})
    metadata: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def is_touched(self) -> bool:
        """True when people added anything to it but measurements."""
        rows = [row for rows in self.lists.values() for row in rows]
        return bool(self.edited) or any(source == USER for _, source in [*rows, *self.metadata.values()])


@dataclass
class Plan:
    """What a sync does."""

    added: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: dict[str, tuple[Synced, dict[str, Any]]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    released: dict[str, int] = field(default_factory=dict)  # gone from the registry, now the user's
    restored: bool = False
    unchanged: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to write."""
        return not (self.added or self.changed or self.removed or self.released or self.restored)


def plan_sync(connection: sqlite3.Connection, registry: ModelRegistry[Any], *, restore: bool) -> dict[str, Plan]:
    """Tell what a sync would do, for each registry that this one is made of. Writes nothing."""
    return {part._name: _plan(connection, part, restore=restore) for part in _parts(registry)}


def apply_plans(connection: sqlite3.Connection, plans: Mapping[str, Plan]) -> None:
    """Do it."""
    for source, plan in plans.items():
        for model_id in plan.removed.values():
            connection.execute("DELETE FROM models WHERE id = ?", (model_id,))
        for model_id in plan.released.values():
            _release(connection, model_id)
        for model, changes in plan.changed.values():
            _change(connection, model, changes)
        for values in plan.added.values():
            insert_model(connection, values, source)
        if plan.restored:
            connection.execute("DELETE FROM removed_models WHERE source = ?", (source,))


def report_of(plans: Mapping[str, Plan]) -> SyncReport:
    """Give what was done as it is told."""
    every = plans.values()
    return SyncReport(
        added=tuple(sorted(name for plan in every for name in plan.added)),
        updated=tuple(sorted(name for plan in every for name in plan.changed)),
        removed=tuple(sorted(name for plan in every for name in plan.removed)),
        unchanged=tuple(sorted(name for plan in every for name in plan.unchanged)),
        kept=tuple(sorted(name for plan in every for name in (*plan.kept, *plan.released))),
    )


def _parts(registry: ModelRegistry[Any]) -> Iterator[ModelRegistry[Any]]:
    if isinstance(registry, CombinedRegistry):
        for part in registry._registries:
            yield from _parts(part)
    else:
        yield registry


def _plan(connection: sqlite3.Connection, registry: ModelRegistry[Any], *, restore: bool) -> Plan:
    source = registry._name
    known = _synced(connection, source)
    query = "SELECT name FROM removed_models WHERE source = ?"
    removed = {name.lower() for (name,) in connection.execute(query, (source,))}
    plan = Plan(restored=restore and bool(removed))
    for record_id, record in registry.items():
        model = known.pop(record_id.lower(), None)
        if model is not None:
            _compare(plan, model, values_of(record), source)
        elif (record_id.lower() in removed and not restore) or _is_taken(connection, record_id):
            plan.kept.append(record_id)
        else:
            plan.added[record_id] = values_of(record)
    for model in known.values():
        touched = model.is_touched or _is_measured(connection, model.id)
        (plan.released if touched else plan.removed)[model.columns["name"]] = model.id
    return plan


def _compare(plan: Plan, model: Synced, wanted: dict[str, Any], source: str) -> None:
    """See what the registry says new of a model, and leave out what a user edited."""
    name = model.columns["name"]
    changes = {column: wanted.get(column) for column in COLUMNS if wanted.get(column) != model.columns[column]}
    for list_name, rows in model.lists.items():
        if [value for value, put_by in rows if put_by != USER] != list(wanted[list_name]):
            changes[list_name] = wanted[list_name]
    theirs = {key: value for key, (value, put_by) in model.metadata.items() if put_by != USER}
    missing = {key: value for key, value in wanted["metadata"].items() if key not in model.metadata}
    if missing or any(wanted["metadata"].get(key) != value for key, value in theirs.items()):
        changes["metadata"] = wanted["metadata"]
    plan.kept += [f"{name}: {each}" for each in changes if each in model.edited]
    changes = {each: value for each, value in changes.items() if each not in model.edited}
    if changes:
        plan.changed[name] = (model, {**changes, "source": source})
    else:
        plan.unchanged.append(name)


def _change(connection: sqlite3.Connection, model: Synced, changes: Mapping[str, Any]) -> None:
    source = changes["source"]
    for name in LISTS:
        if name in changes:
            new = [(value, source) for value in changes[name]]
            taken = {value.casefold() for value in changes[name]}
            own = [row for row in model.lists[name] if row[1] == USER and row[0].casefold() not in taken]
            put_list(connection, model.id, name, [*new, *own])
    if "metadata" in changes:
        own_metadata = {key: row for key, row in model.metadata.items() if row[1] == USER}
        new_metadata = {key: (value, source) for key, value in changes["metadata"].items()}
        put_metadata(connection, model.id, new_metadata | own_metadata)
    set_columns(connection, model.id, {name: changes[name] for name in COLUMNS if name in changes})


def _release(connection: sqlite3.Connection, model_id: int) -> None:
    """Make a model that the registry no longer has the user's own."""
    connection.execute("UPDATE models SET source = ?, synced_as = NULL, edited = '' WHERE id = ?", (USER, model_id))
    for table in (*(table for table, _ in TABLES.values()), "model_metadata"):
        connection.execute(f"UPDATE {table} SET source = ? WHERE model_id = ?", (USER, model_id))


def _synced(connection: sqlite3.Connection, source: str) -> dict[str, Synced]:
    """Give the models of a registry, by their ids there in lower case."""
    models: dict[str, Synced] = {}
    by_id: dict[int, Synced] = {}
    columns = f"ifnull(synced_as, name), id, edited, {', '.join(COLUMNS)}"
    query = f"SELECT {columns} FROM models WHERE source = ? AND source <> 'user'"
    for synced_as, model_id, edited, *values in connection.execute(query, (source,)):
        model = Synced(model_id, frozenset(edited.split(",")) - {""}, dict(zip(COLUMNS, values, strict=True)))
        models[synced_as.lower()] = by_id[model_id] = model
    of_source = "JOIN models ON models.id = model_id WHERE models.source = ? AND models.source <> 'user'"
    for name, (table, column) in TABLES.items():
        query = f"SELECT model_id, {column}, {table}.source FROM {table} {of_source} ORDER BY model_id, position"
        for model_id, value, put_by in connection.execute(query, (source,)):
            by_id[model_id].lists[name].append((value, put_by))
    query = f"SELECT model_id, key, value, model_metadata.source FROM model_metadata {of_source}"
    for model_id, key, value, put_by in connection.execute(query, (source,)):
        by_id[model_id].metadata[key] = (value, put_by)
    return models


def _is_taken(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM models WHERE name = ?", (name,)).fetchone() is not None


def _is_measured(connection: sqlite3.Connection, model_id: int) -> bool:
    return (
        connection.execute("SELECT 1 FROM performance_metrics WHERE model_id = ?", (model_id,)).fetchone() is not None
    )
