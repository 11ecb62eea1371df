"""Models out of the store: rows of `model_summary` as `CatalogModel`, by number or name."""

from __future__ import annotations

import difflib
import json
import sqlite3
from collections.abc import Iterable, Sequence

from registry.catalog.entries import CatalogModel
from registry.catalog.fields import COLUMNS, MAX_NAME_LENGTH
from registry.catalog.sqlite_errors import damage
from registry.errors import CatalogModelNotFoundError

_NAMES = ("id", *COLUMNS, "source", "created_at", "updated_at")
_SELECT = f"SELECT capabilities, tags, languages, metadata, {', '.join(_NAMES)} FROM model_summary"
_BY_ID = f"{_SELECT} WHERE id = ?"
_BY_NAME = f"{_SELECT} WHERE name = ?"
_LISTS = 4  # columns that hold several values, at the beginning
_AT_ONCE = 500
_MAX_ROWID = 2**63 - 1
_NEIGHBOURS = 200


def find_model(connection: sqlite3.Connection, model: int | str) -> CatalogModel | None:
    """Give the model with a number, or a name in any case; a name of digits only is a number."""
    number = number_of(model)
    if number is not None:
        row = connection.execute(_BY_ID, (number,)).fetchone() if 0 < number <= _MAX_ROWID else None
    else:
        row = connection.execute(_BY_NAME, (model,)).fetchone() if _may_be_name(str(model)) else None
    return None if row is None else _model_of(row)


def get_model(connection: sqlite3.Connection, model: int | str, path: str) -> CatalogModel:
    """Give the model with a number or name.

    Raises:
        CatalogModelNotFoundError: There is none; the error names close matches.
    """
    found = find_model(connection, model)
    if found is None:
        raise CatalogModelNotFoundError(str(model), close_matches(connection, model), path)
    return found


def load_models(connection: sqlite3.Connection, ids: Sequence[int]) -> tuple[CatalogModel, ...]:
    """Give the models with these numbers, in this order.

    Raises:
        sqlite3.DatabaseError: One of them is not there, although an index of the same moment names it.
    """
    found: dict[int, CatalogModel] = {}
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        rows = connection.execute(f"{_SELECT} WHERE id IN ({', '.join('?' * len(some))})", some)
        for row in rows:
            model = _model_of(row)
            found[model.id] = model
    if missing := [number for number in ids if number not in found]:
        raise damage(f"an index names model {missing[0]}, which is not there")
    return tuple(found[number] for number in ids)


def id_of(connection: sqlite3.Connection, model: int | str, path: str) -> int:
    """Give the number of the model with a number or name.

    Raises:
        CatalogModelNotFoundError: There is none; the error names close matches.
    """
    number = number_of(model)
    if number is None:
        row = (
            connection.execute("SELECT id FROM models WHERE name = ?", (model,)).fetchone()
            if _may_be_name(str(model))
            else None
        )
    else:
        row = (
            connection.execute("SELECT id FROM models WHERE id = ?", (number,)).fetchone()
            if 0 < number <= _MAX_ROWID
            else None
        )
    if row is None:
        raise CatalogModelNotFoundError(str(model), close_matches(connection, model), path)
    return int(row[0])


def number_of(model: int | str) -> int | None:
    """Give the number that is meant, or `None` where it is a name."""
    if isinstance(model, int):
        return int(model)
    return int(model) if model.isascii() and model.isdigit() and len(model) < 20 else None


def close_matches(connection: sqlite3.Connection, model: int | str) -> tuple[str, ...]:
    """Give up to three names that are much like one, out of its neighbours in the order of names."""
    if number_of(model) is not None or not _may_be_name(str(model)):
        return ()
    names: list[str] = []
    for start in dict.fromkeys((str(model), str(model)[:2])):
        for comparison, direction in ((">=", ""), ("<", " DESC")):
            query = f"SELECT name FROM models WHERE name {comparison} ? ORDER BY name{direction} LIMIT {_NEIGHBOURS}"
            names += (name for (name,) in connection.execute(query, (start,)))
    by_folded = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(str(model).casefold(), by_folded, n=3, cutoff=0.7)
    return tuple(by_folded[name] for name in found)


def _may_be_name(text: str) -> bool:
    return text.isascii() and 0 < len(text) <= MAX_NAME_LENGTH and "\0" not in text


def _model_of(row: Sequence[object]) -> CatalogModel:
    capabilities, tags, languages, metadata = row[:_LISTS]
    return CatalogModel(
        **dict(zip(_NAMES, row[_LISTS:], strict=True)),  # type: ignore[arg-type]  # as the STRICT table has them
        capabilities=_split(capabilities),
        tags=_split(tags),
        languages=_split(languages),
        metadata=json.loads(metadata) if isinstance(metadata, str) and metadata != "{}" else {},
    )


def _split(joined: object) -> tuple[str, ...]:
    return tuple(joined.split(",")) if isinstance(joined, str) else ()


def merged(rows: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Give the sum for each value, whatever its case, under its most frequent spelling, sorted by value."""
    best: dict[str, tuple[int, str]] = {}
    sums: dict[str, int] = {}
    for value, count in rows:
        folded = value.casefold()
        sums[folded] = sums.get(folded, 0) + count
        best[folded] = max(best.get(folded, (0, value)), (count, value))
    return {best[folded][1]: sums[folded] for folded in sorted(sums)}
