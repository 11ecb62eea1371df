"""Writing many checked rows to the store at once: what is new, what has changed, and nothing else."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from registry.catalog.checking import BadRow
from registry.catalog.columns import ABSENT, METADATA, Absent, MetricRow
from registry.catalog.fields import COLUMNS, FIELDS, LISTS
from registry.catalog.indexing import finish
from registry.catalog.reading import load_models
from registry.catalog.writing import TABLES, USER, update_model
from registry.errors import InvalidFieldError

if TYPE_CHECKING:
    from registry.catalog.checking import Batch
    from registry.catalog.entries import CatalogModel

_METRIC_COLUMNS = ", ".join(MetricRow._fields)
_UPDATED = frozenset(FIELDS) - {"name"}


class Written(NamedTuple):
    """What became of a batch: numbers of models, and the rows that could not be written."""

    added: int
    updated: int
    unchanged: int
    bad: list[BadRow]


class Bulk:
    """Writes batches in one transaction of somebody else's.

    A name that the store has, whatever its case, is updated: fields that the batch does not have stay, and so does a
    model that is as the batch has it. Other names are added.
    """

    def __init__(self, connection: sqlite3.Connection, path: str, time: str) -> None:
        """Prepare to write.

        Args:
            connection: In a transaction that may write.
            path: What errors call the store.
            time: What new models, and measurements without a time, get as their times.
        """
        self._connection = connection
        self._path = path
        self._time = time
        self._numbers = _Numbers(connection, "models")
        self._metric_numbers = _Numbers(connection, "performance_metrics")
        connection.execute("CREATE TEMP TABLE imported (model_id INTEGER PRIMARY KEY, line INTEGER NOT NULL)")

    def close(self) -> None:
        """Forget which rows were written."""
        self._connection.execute("DROP TABLE temp.imported")

    def upsert(self, batch: Batch) -> Written:
        """Write rows. Of two rows with one name, in whatever batches, the second is bad."""
        names = batch.values["name"]
        same, known = _repeated(names, batch.lines), self._known(names)
        bad: list[BadRow] = []
        new: list[int] = []
        old: dict[int, int] = {}
        for place, line in enumerate(batch.lines):
            model_id, before = known.get(place, (None, None))
            earlier = same.get(place, before)
            if earlier is not None:
                bad.append(BadRow(line, names[place], f"line {earlier} has this name already, and names are unique."))
            elif model_id is None:
                new.append(place)
            else:
                old[place] = model_id
        ids = self._insert(batch, new)
        updated, refused = self._update(batch, old)
        remembered = (*zip(ids, new, strict=True), *((model_id, place) for place, model_id in old.items()))
        rows = ((model_id, batch.lines[place]) for model_id, place in remembered)
        self._connection.executemany("INSERT INTO temp.imported VALUES (?, ?)", rows)
        finish(self._connection)  # as it goes along: at the end it would be a minute in which nothing seems to happen
        return Written(len(new), updated, len(old) - updated - len(refused), bad + refused)

    def _known(self, names: Sequence[str]) -> dict[int, tuple[int, int | None]]:
        """Give number, and line where an earlier batch had it, of the models that are there, by place."""
        found = self._connection.execute(
            "SELECT each.key, models.id, imported.line FROM json_each(?) AS each "
            "CROSS JOIN models ON models.name = each.value LEFT JOIN temp.imported ON imported.model_id = models.id",
            (json.dumps(names),),
        )
        return {place: (model_id, line) for place, model_id, line in found}

    def _insert(self, batch: Batch, places: Sequence[int]) -> Sequence[int]:
        """Add models; give their numbers."""
        if not places:
            return ()
        values = {name: _picked(column, places) for name, column in batch.values.items()}
        ids = self._numbers.choose(values.get("id") or [None] * len(places))
        sources = [source or USER for source in values.get("source") or [None] * len(places)]
        theirs: list[_Theirs] = [added or {} for added in values.get("added") or [None] * len(places)]
        self._insert_models(values, ids, sources)
        for field in LISTS:
            if field in values:
                self._insert_list(field, zip(ids, values[field], sources, theirs, strict=True))
        self._insert_metadata(zip(ids, _metadata(values, len(ids)), sources, theirs, strict=True))
        for model_id, metrics in zip(ids, values.get("metrics", ()), strict=False):
            self._insert_metrics(model_id, metrics)
        self._remember_removed(values.get("removed", ()))
        return ids

    def _insert_models(self, values: Mapping[str, list[Any]], ids: Sequence[int], sources: Sequence[str]) -> None:
        columns: dict[str, Sequence[Any]] = {name: values[name] for name in COLUMNS if name in values}
        columns["display_name"] = [
            given or name
            for given, name in zip(columns.get("display_name", values["name"]), values["name"], strict=True)
        ]
        columns |= {"id": ids, "source": sources}
        columns["synced_as"] = [
            None if source == USER else name
            for source, name in zip(sources, values.get("synced_as") or [None] * len(ids), strict=True)
        ]
        columns["edited"] = [",".join(sorted(names or ())) for names in values.get("edited", [None] * len(ids))]
        created = columns["created_at"] = [time or self._time for time in values.get("created_at", [None] * len(ids))]
        columns["updated_at"] = [
            time or then for time, then in zip(values.get("updated_at", created), created, strict=True)
        ]
        statement = f"INSERT INTO models ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        self._connection.executemany(statement, zip(*columns.values(), strict=True))

    def _insert_list(self, field: str, rows: Iterable[tuple[int, Sequence[str] | None, str, _Theirs]]) -> None:
        """Add the values of a list: number of the model, values, source of the model, what users added to it."""
        table, column = TABLES[field]
        statement = f"INSERT INTO {table} (model_id, {column}, position, source) VALUES (?, ?, ?, ?)"
        flat = (
            (model_id, value, position, USER if value in theirs.get(field, ()) else source)
            for model_id, values, source, theirs in rows
            if values
            for position, value in enumerate(values)
        )
        self._connection.executemany(statement, flat)

    def _insert_metadata(self, rows: Iterable[tuple[int, Mapping[str, str], str, _Theirs]]) -> None:
        flat = (
            (model_id, key, value, USER if key in theirs.get("metadata", ()) else source)
            for model_id, metadata, source, theirs in rows
            for key, value in metadata.items()
        )
        self._connection.executemany(
            "INSERT INTO model_metadata (model_id, key, value, source) VALUES (?, ?, ?, ?)", flat
        )

    def _remember_removed(self, removed: Iterable[Mapping[str, Sequence[str]] | None]) -> None:
        """Remember which models of registries a user has removed, so that no sync brings them in."""
        rows = ((source, name) for each in removed if each for source, names in each.items() for name in names)
        self._connection.executemany("INSERT INTO removed_models VALUES (?, ?) ON CONFLICT DO NOTHING", rows)

    def _insert_metrics(self, model_id: int, metrics: Sequence[MetricRow] | None) -> bool:
        """Add measurements; tell whether there were any."""
        if not metrics:
            return False
        ids = self._metric_numbers.choose([metric.id for metric in metrics])
        rows = (
            (model_id, *metric._replace(id=number, measured_at=metric.measured_at or self._time))
            for number, metric in zip(ids, metrics, strict=True)
        )
        marks = ", ".join("?" * (len(MetricRow._fields) + 1))
        statement = f"INSERT INTO performance_metrics (model_id, {_METRIC_COLUMNS}) VALUES ({marks})"
        self._connection.executemany(statement, rows)
        return True

    def _update(self, batch: Batch, places: Mapping[int, int]) -> tuple[int, list[BadRow]]:
        """Change the models that are not as their rows have them; give their number, and the rows that do not fit."""
        names = [name for name in batch.values if name in _UPDATED or name.startswith(METADATA)]
        measurements: Sequence[Any] = batch.values.get("metrics") or [ABSENT] * len(batch.lines)
        updated, bad = 0, list[BadRow]()
        for place, model in zip(places, load_models(self._connection, list(places.values())), strict=True):
            row = {name: value for name in names if (value := batch.values[name][place]) is not ABSENT}
            changes = _changes(model, row)
            try:
                if changes:
                    update_model(self._connection, model, changes, self._path)
            except InvalidFieldError as error:  # with the keys that are there, a row may bring too many
                bad.append(BadRow(batch.lines[place], model.name, str(error)))
                continue
            measured = self._insert_metrics(model.id, self._missing(model.id, measurements[place]))
            updated += bool(changes or measured)
        return updated, bad

    def _missing(self, model_id: int, metrics: Sequence[MetricRow] | Absent) -> list[MetricRow]:
        """Give the measurements that the store does not have; without a time, one of any time is the same."""
        if isinstance(metrics, Absent) or not metrics:
            return []
        query = f"SELECT {_METRIC_COLUMNS} FROM performance_metrics WHERE model_id = ?"
        there = [MetricRow(*row)._replace(id=None) for row in self._connection.execute(query, (model_id,))]
        missing = []
        for metric in metrics:
            wanted = metric._replace(id=None)
            same = (each for each in there if wanted in (each, each._replace(measured_at=None)))
            if (found := next(same, None)) is None:
                missing.append(metric)
            else:
                there.remove(found)
        return missing


_Theirs = Mapping[str, Sequence[str]]


class _Numbers:
    """Gives the numbers of new rows: those that are wanted, as far as no row has them or ever had."""

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        self._connection = connection
        self._table = table
        found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        self._before = self._highest = int(found[0]) if found else 0

    def choose(self, wanted: Sequence[int | None]) -> list[int]:
        """Give a number for each row that is to be added now."""
        chosen: set[int] = set()
        return [self._choose(each, chosen) for each in wanted]

    def _choose(self, wanted: int | None, chosen: set[int]) -> int:
        number = self._highest + 1
        if wanted is not None and wanted > self._before and (wanted >= number or self._is_free(wanted, chosen)):
            number = wanted
        self._highest = max(self._highest, number)
        chosen.add(number)
        return number

    def _is_free(self, number: int, chosen: set[int]) -> bool:
        query = f"SELECT 1 FROM {self._table} WHERE id = ?"
        return number not in chosen and self._connection.execute(query, (number,)).fetchone() is None


def _repeated(names: Sequence[str], lines: Sequence[int]) -> dict[int, int]:
    """Give the line of the first row of the same name, whatever its case, by the places of the others."""
    folded = [name.lower() for name in names]
    if len(set(folded)) == len(folded):
        return {}
    first: dict[str, int] = {}
    earlier = ((place, first.setdefault(name, place)) for place, name in enumerate(folded))
    return {place: lines[other] for place, other in earlier if other != place}


def _picked(column: list[Any], places: Sequence[int]) -> list[Any]:
    """Give some values of a column, `None` for those that a row does not have."""
    if len(places) == len(column) and ABSENT not in column:
        return column
    return [None if (value := column[place]) is ABSENT else value for place in places]


def _metadata(values: Mapping[str, list[Any]], count: int) -> Iterator[dict[str, str]]:
    """Give the metadata of each new model, from a mapping, or from a column for each key."""
    keys = {name: name.removeprefix(METADATA) for name in values if name.startswith(METADATA)}
    whole = values.get("metadata")
    for place in range(count):
        if whole is not None:
            yield whole[place] or {}
        else:
            yield {key: value for name, key in keys.items() if (value := values[name][place]) is not None}


def _changes(model: CatalogModel, row: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields in which a row differs from the model."""
    new = dict(row)
    metadata = dict(model.metadata)
    for name in row:
        if name.startswith(METADATA):
            metadata[name.removeprefix(METADATA)] = new.pop(name)
            new["metadata"] = {key: value for key, value in metadata.items() if value is not None}
    return {name: value for name, value in new.items() if value != getattr(model, name)}
