"""Measured performance of models: rows of `performance_metrics`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from registry.catalog.entries import Metric, NewMetric
from registry.catalog.fields import MAX_INTEGER, METRIC_FIELDS, now_text, parse_fields
from registry.errors import InvalidFieldError

_COLUMNS = ("id", "model_id", *METRIC_FIELDS)
_FILTERS = ("model_id", "metric_type", "hardware_type", "hardware_name")


def find_metrics(
    connection: sqlite3.Connection, filters: Mapping[str, int | str | None], limit: int | None, offset: int
) -> tuple[Metric, ...]:
    """Give measurements that pass the filters, the newest first.

    Raises:
        InvalidFieldError: A number is out of range.
    """
    for name, number in (("limit", 0 if limit is None else limit), ("offset", offset)):
        if not 0 <= number <= MAX_INTEGER:
            raise InvalidFieldError(name, f"a whole number from 0 to {MAX_INTEGER}", number)
    where, values = _where(connection, filters)
    query = (
        f"SELECT {', '.join(_COLUMNS)} FROM performance_metrics{where} "
        "ORDER BY measured_at DESC, id DESC LIMIT ? OFFSET ?"
    )
    rows = connection.execute(query, (*values, -1 if limit is None else limit, offset))
    return tuple(Metric(**dict(zip(_COLUMNS, row, strict=True))) for row in rows)


def count_metrics(connection: sqlite3.Connection, filters: Mapping[str, int | str | None]) -> int:
    """Give the number of measurements that pass the filters."""
    where, values = _where(connection, filters)
    (count,) = connection.execute(f"SELECT count(*) FROM performance_metrics{where}", values).fetchone()
    return int(count)


def add_metrics(
    connection: sqlite3.Connection, model_id: int, metrics: Iterable[NewMetric | Mapping[str, object]]
) -> tuple[Metric, ...]:
    """Add measurements of a model.

    Raises:
        InvalidFieldError: A field cannot hold its value.
    """
    query = (
        f"INSERT INTO performance_metrics (model_id, {', '.join(METRIC_FIELDS)}) "
        f"VALUES (?, {', '.join('?' * len(METRIC_FIELDS))})"
    )
    added = []
    for metric in metrics:
        given = asdict(metric) if isinstance(metric, NewMetric) else metric
        values = parse_fields({**dict.fromkeys(METRIC_FIELDS), **given}, METRIC_FIELDS)
        values["measured_at"] = values["measured_at"] or now_text()
        number = connection.execute(query, (model_id, *values.values())).lastrowid
        assert number is not None
        added.append(Metric(id=number, model_id=model_id, **values))
    return tuple(added)


def remove_metric(connection: sqlite3.Connection, metric_id: int) -> None:
    """Remove a measurement.

    Raises:
        InvalidFieldError: There is none of this number.
    """
    within = isinstance(metric_id, int) and 0 < metric_id < 2**63
    if not within or not connection.execute("DELETE FROM performance_metrics WHERE id = ?", (metric_id,)).rowcount:
        raise InvalidFieldError("metric_id", "the number of a measurement in the store", metric_id)


def _where(connection: sqlite3.Connection, filters: Mapping[str, int | str | None]) -> tuple[str, list[int | str]]:
    conditions: list[str] = []
    values: list[int | str] = []
    for name in _FILTERS:
        if (wanted := filters.get(name)) is not None:
            spelled = [wanted] if isinstance(wanted, int) else _spellings(connection, name, wanted)
            conditions.append(f"{name} IN ({', '.join('?' * len(spelled))})")
            values += spelled
    return f" WHERE {' AND '.join(conditions)}" if conditions else "", values


def _spellings(connection: sqlite3.Connection, column: str, value: str) -> list[str]:
    """Give how a value is written in the store, whatever its case. SQLite itself folds ASCII only."""
    if value.isascii():
        return [value]
    rows = connection.execute(f"SELECT DISTINCT {column} FROM performance_metrics WHERE {column} GLOB '*[^ -~]*'")
    return [text for (text,) in rows if text.casefold() == value.casefold()]
