"""Models into the store, one at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.catalog.entries import CatalogModel
from registry.catalog.fields import COLUMNS, LISTS, now_text, parse_fields
from registry.catalog.reading import get_model
from registry.errors import ModelExistsError

USER = "user"
# Field -> table and column of its values.
TABLES = {
    "capabilities": ("model_capabilities", "capability"),
    "tags": ("model_tags", "tag"),
    "languages": ("model_languages", "language"),
}


def add_model(connection: sqlite3.Connection, given: Mapping[str, object], path: str) -> CatalogModel:
    """Add a user's model.

    Raises:
        InvalidFieldError: A field cannot hold its value, or there is none of this name.
        ModelExistsError: There is a model of this name.
    """
    values = parse_fields({"name": given["name"], "display_name": given["name"], **given})
    if connection.execute("SELECT 1 FROM models WHERE name = ?", (values["name"],)).fetchone():
        raise ModelExistsError(values["name"], path)
    model_id = insert_model(connection, values)
    return get_model(connection, model_id, path)


def insert_model(connection: sqlite3.Connection, values: Mapping[str, Any], source: str = USER) -> int:
    """Add a model with values that were checked, and give its number."""
    now = now_text()
    row = {name: values[name] for name in COLUMNS if name in values}
    row |= {"source": source, "created_at": now, "updated_at": now}
    cursor = connection.execute(
        f"INSERT INTO models ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
    )
    model_id = cursor.lastrowid
    assert model_id is not None
    for name in LISTS:
        put_list(connection, model_id, name, [(value, source) for value in values.get(name, ())])
    put_metadata(connection, model_id, {key: (value, source) for key, value in values.get("metadata", {}).items()})
    return model_id


def update_model(connection: sqlite3.Connection, model: CatalogModel, changes: Mapping[str, object], path: str) -> None:
    """Change fields of a model. Those of a synced one are remembered, so that `sync` leaves them alone.

    Raises:
        InvalidFieldError: A field cannot hold its value.
        ModelExistsError: There is another model of this name.
    """
    values = parse_fields(changes)
    changed = {name: value for name, value in values.items() if value != getattr(model, name)}
    if not changed:
        return
    name = changed.get("name", model.name)
    taken = connection.execute("SELECT id FROM models WHERE name = ?", (name,)).fetchone()
    if taken is not None and taken[0] != model.id:
        raise ModelExistsError(name, path)
    row = {name: changed[name] for name in COLUMNS if name in changed}
    edited = set(row)
    for name in LISTS:
        if name in changed and _change_list(connection, model.id, name, changed[name]):
            edited.add(name)
    if "metadata" in changed and _change_metadata(connection, model.id, changed["metadata"]):
        edited.add("metadata")
    if model.source != USER:
        if "name" in row:
            row["synced_as"] = _registry_id(connection, model.id)
        row["edited"] = _joined_edits(connection, model.id, edited)
    set_columns(connection, model.id, row)


def set_columns(connection: sqlite3.Connection, model_id: int, row: Mapping[str, object]) -> None:
    """Change columns of a model, and the time of its last change."""
    row = {**row, "updated_at": now_text()}
    assignments = ", ".join(f"{name} = ?" for name in row)
    connection.execute(f"UPDATE models SET {assignments} WHERE id = ?", (*row.values(), model_id))


def remove_model(connection: sqlite3.Connection, model: CatalogModel) -> None:
    """Remove a model with all that belongs to it. That a synced one was removed is remembered."""
    if model.source != USER:
        connection.execute(
            "INSERT INTO removed_models SELECT source, ifnull(synced_as, name) FROM models WHERE id = ? "
            "ON CONFLICT DO NOTHING",
            (model.id,),
        )
    connection.execute("DELETE FROM models WHERE id = ?", (model.id,))


def put_list(connection: sqlite3.Connection, model_id: int, field: str, values: Sequence[tuple[str, str]]) -> None:
    """Make these the values of a list of a model: pairs of a value and who put it there."""
    table, column = TABLES[field]
    rows = connection.execute(
        f"SELECT {column}, position, source FROM {table} WHERE model_id = ?", (model_id,)
    ).fetchall()
    old = {value: (position, source) for value, position, source in rows}
    new = {value: (position, source) for position, (value, source) in enumerate(values)}
    gone = [(model_id, value) for value in old if value not in new]
    connection.executemany(f"DELETE FROM {table} WHERE model_id = ? AND {column} = ?", gone)
    moved = [(*new[value], model_id, value) for value in new if value in old and new[value] != old[value]]
    connection.executemany(f"UPDATE {table} SET position = ?, source = ? WHERE model_id = ? AND {column} = ?", moved)
    added = [(model_id, value, *new[value]) for value in new if value not in old]
    connection.executemany(f"INSERT INTO {table} (model_id, {column}, position, source) VALUES (?, ?, ?, ?)", added)


def put_metadata(connection: sqlite3.Connection, model_id: int, values: Mapping[str, tuple[str, str]]) -> None:
    """Make these the metadata of a model: key -> value, and who put it there."""
    query = "SELECT key, value, source FROM model_metadata WHERE model_id = ?"
    old = {key: (value, source) for key, value, source in connection.execute(query, (model_id,))}
    gone = [(model_id, key) for key in old if key not in values]
    connection.executemany("DELETE FROM model_metadata WHERE model_id = ? AND key = ?", gone)
    new = [(model_id, key, *values[key]) for key in values if values[key] != old.get(key)]
    connection.executemany(
        "INSERT INTO model_metadata (model_id, key, value, source) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET value = excluded.value, source = excluded.source",
        new,
    )


def list_of(connection: sqlite3.Connection, model_id: int, field: str) -> list[tuple[str, str]]:
    """Give the values of a list of a model, each with who put it there."""
    table, column = TABLES[field]
    query = f"SELECT {column}, source FROM {table} WHERE model_id = ? ORDER BY position"
    return connection.execute(query, (model_id,)).fetchall()


def edits_of(connection: sqlite3.Connection, model_id: int) -> set[str]:
    """Give the fields of a synced model that a user has edited."""
    (edited,) = connection.execute("SELECT edited FROM models WHERE id = ?", (model_id,)).fetchone()
    return {name for name in edited.split(",") if name}


def _change_list(connection: sqlite3.Connection, model_id: int, field: str, values: Iterable[str]) -> bool:
    """Change a list, and tell whether more was done than to add behind what the registry put there."""
    sources = dict(list_of(connection, model_id, field))
    new = [(value, sources.get(value, USER)) for value in values]
    put_list(connection, model_id, field, new)
    theirs = [value for value, source in sources.items() if source != USER]
    return [value for value, _ in new[: len(theirs)]] != theirs


def _change_metadata(connection: sqlite3.Connection, model_id: int, values: Mapping[str, str]) -> bool:
    """Change the metadata, and tell whether what the registry put there was changed."""
    query = "SELECT key, value, source FROM model_metadata WHERE model_id = ?"
    old = {key: (value, source) for key, value, source in connection.execute(query, (model_id,))}
    new = {key: old[key] if old.get(key, (None,))[0] == value else (value, USER) for key, value in values.items()}
    put_metadata(connection, model_id, new)
    return any(source != USER and new.get(key) != (value, source) for key, (value, source) in old.items())


def _joined_edits(connection: sqlite3.Connection, model_id: int, more: Iterable[str]) -> str:
    return ",".join(sorted(edits_of(connection, model_id) | set(more)))


def _registry_id(connection: sqlite3.Connection, model_id: int) -> str:
    (found,) = connection.execute("SELECT ifnull(synced_as, name) FROM models WHERE id = ?", (model_id,)).fetchone()
    return str(found)
