"""`Catalog`: the catalogue store."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from registry._home import catalog_file
from registry.catalog import measurements, reading, statistics, writing
from registry.catalog.connections import Connections
from registry.catalog.entries import CatalogModel, Metric, NewMetric, Page, Stats, SyncReport, ValueCount
from registry.catalog.indexing import finish
from registry.catalog.search import search
from registry.catalog.syncing import apply_plans, plan_sync, report_of
from registry.catalog.totals import Totals
from registry.errors import CatalogFileError
from registry.queries import ModelRegistry


class Catalog:
    """A store of models in one SQLite file. Any number of threads share one; `Catalog.open` gives it.

    Example:
        >>> from registry.catalog import Catalog
        >>> with Catalog.open(":memory:") as catalog:
        ...     catalog.add(name="my-model", parameters=7, tags=["work"]).tags
        ('work',)
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._totals = Totals()

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None, *, timeout_s: float | None = None) -> Catalog:
        """Open the store at a path; where no file is, make one, with its folder.

        Args:
            path: The file; `None`: `catalog.db` in `REGISTRY_HOME`; `:memory:`: in memory, gone when it is closed.
            timeout_s: How long a write waits for another writer; `None`: until that is done.

        Raises:
            CatalogFileError: It is no store, is damaged, or was written by a newer version. It is left as it is.
        """
        if path is not None and os.fspath(path) == ":memory:":
            return cls(Connections(None, timeout_s))
        file = catalog_file() if path is None else Path(os.fspath(path)).expanduser()
        catalog = cls(Connections(file, timeout_s))
        try:
            catalog._finish_others()
        except BaseException:
            catalog.close()
            raise
        return catalog

    @property
    def path(self) -> Path | None:
        """The file; `None` where it is in memory."""
        return self._connections.path

    def close(self) -> None:
        """Close it, after a write that is going on. Closing again does nothing."""
        self._connections.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<catalogue store {self._connections.name}>"

    def revision(self) -> str:
        """Give a text that is another one whenever anything in the store has changed, by whomever. Takes microseconds.

        It means nothing beyond this object: another one, of another process or after a restart, gives other texts.
        """
        return self._connections.revision()

    # Models

    def search(
        self,
        text: str = "",
        *,
        family: str | Sequence[str] | None = None,
        type: str | Sequence[str] | None = None,
        capability: str | Sequence[str] | None = None,
        tag: str | Sequence[str] | None = None,
        language: str | Sequence[str] | None = None,
        license: str | Sequence[str] | None = None,
        max_ram_bytes: int | None = None,
        sort: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Page:
        """Find models that have all words of a text, or words that begin with them, and pass every filter.

        Filters ignore case and take one value or several: any of them for `family`, `type` and `license`, all of them
        for `capability`, `tag` and `language`.

        Args:
            text: Words; punctuation means nothing but a border between them.
            family: As `families()` lists them.
            type: As `types()` lists them.
            capability: As `capabilities()` lists them.
            tag: As `tags()` lists them.
            language: As `languages()` lists them.
            license: As `licenses()` lists them.
            max_ram_bytes: Only models known to need at most so much memory: by `ram_required_mb`, or where that is not
                stated by their weights and a quarter more. `registry list --max-ram` goes by what is stated too, and
                computes the rest from facts that the store does not have.
            sort: One of `SORTS`, with `-` in front for the largest first; what is not known comes last. `None`: the
                best match first, or by name where there is no text.
            limit: How many models to give at most.
            offset: How many to pass over.

        Raises:
            InvalidFieldError: There is no such order, or a number is negative.
        """
        filters = {"family": family, "type": type, "license": license}
        filters |= {"capability": capability, "tag": tag, "language": language}
        with self._connections.reading() as connection:
            return search(connection, self._totals, text, filters, max_ram_bytes, sort, limit, offset)

    def get(self, model: int | str) -> CatalogModel:
        """Give the model with a number or a name.

        Raises:
            CatalogModelNotFoundError: There is none; the error names close matches.
        """
        with self._connections.reading() as connection:
            return reading.get_model(connection, model, self._connections.name)

    def get_many(self, models: Iterable[int | str]) -> tuple[CatalogModel, ...]:
        """Give the models with these numbers or names, in this order, as they were at one moment.

        Raises:
            CatalogModelNotFoundError: One of them is not there.
        """
        with self._connections.reading() as connection:
            return tuple(reading.get_model(connection, model, self._connections.name) for model in models)

    def add(self, *, name: str, **fields: object) -> CatalogModel:
        """Add a model.

        Args:
            name: Its name; `display_name` is the same where none is given.
            fields: Other fields of `CatalogModel`.

        Raises:
            ModelExistsError: There is a model of this name.
            InvalidFieldError: A field cannot hold its value, or there is no such field.
        """
        with self._writing() as connection:
            return writing.add_model(connection, {"name": name, **fields}, self._connections.name)

    def update(self, model: int | str, **changes: object) -> CatalogModel:
        """Change fields of a model; `None` empties one. A later `sync` leaves what was changed alone.

        Raises:
            CatalogModelNotFoundError: There is no such model.
            ModelExistsError: Another model has the new name.
            InvalidFieldError: A field cannot hold its value, or there is no such field.
        """
        with self._writing() as connection:
            old = reading.get_model(connection, model, self._connections.name)
            writing.update_model(connection, old, changes, self._connections.name)
            return reading.get_model(connection, old.id, self._connections.name)

    def remove(self, model: int | str) -> None:
        """Remove a model and its measurements. A synced one stays removed until `sync(restore=True)`.

        Raises:
            CatalogModelNotFoundError: There is no such model.
        """
        with self._writing() as connection:
            writing.remove_model(connection, reading.get_model(connection, model, self._connections.name))

    def sync(self, registry: ModelRegistry[Any] | None = None, *, restore: bool = False) -> SyncReport:
        """Bring the models of a compiled registry in, or up to date; what people added or edited stays as it is.

        Args:
            registry: `None`: the one of this package.
            restore: Bring back models that a user removed.
        """
        if registry is None:
            from registry import MODEL_REGISTRY

            registry = MODEL_REGISTRY
        with self._connections.reading() as connection:
            plans = plan_sync(connection, registry, restore=restore)
        if not all(plan.is_empty for plan in plans.values()):
            with self._writing() as connection:
                plans = plan_sync(connection, registry, restore=restore)  # somebody may have been faster
                apply_plans(connection, plans)
        return report_of(plans)

    # Values and counts

    def families(self) -> tuple[ValueCount, ...]:
        """Give the families, and how many models each has."""
        return self._value_counts("family")

    def types(self) -> tuple[ValueCount, ...]:
        """Give the types, and how many models each has."""
        return self._value_counts("type")

    def capabilities(self) -> tuple[ValueCount, ...]:
        """Give the capabilities, and how many models have each."""
        return self._value_counts("capability")

    def tags(self) -> tuple[ValueCount, ...]:
        """Give the tags, and how many models have each."""
        return self._value_counts("tag")

    def languages(self) -> tuple[ValueCount, ...]:
        """Give the languages, and how many models have each."""
        return self._value_counts("language")

    def licenses(self) -> tuple[ValueCount, ...]:
        """Give the licences, and how many models have each."""
        return self._value_counts("license")

    def stats(self) -> Stats:
        """Count models and bytes: in all, by size class, family and type."""
        with self._connections.reading() as connection:
            return self._totals.remembered(connection, "stats", lambda: statistics.stats(connection))

    # Measurements

    def metrics(
        self,
        model: int | str | None = None,
        *,
        metric_type: str | None = None,
        hardware_type: str | None = None,
        hardware_name: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> tuple[Metric, ...]:
        """Give measurements, the newest first; of one model, of one kind, on one machine. Filters ignore case.

        Raises:
            CatalogModelNotFoundError: There is no such model.
            InvalidFieldError: A number is negative.
        """
        given = {"metric_type": metric_type, "hardware_type": hardware_type, "hardware_name": hardware_name}
        with self._connections.reading() as connection:
            return measurements.find_metrics(connection, self._metric_filters(connection, model, given), limit, offset)

    def count_metrics(
        self,
        model: int | str | None = None,
        *,
        metric_type: str | None = None,
        hardware_type: str | None = None,
        hardware_name: str | None = None,
    ) -> int:
        """Give how many measurements `metrics` would give without a limit.

        Raises:
            CatalogModelNotFoundError: There is no such model.
        """
        given = {"metric_type": metric_type, "hardware_type": hardware_type, "hardware_name": hardware_name}
        with self._connections.reading() as connection:
            return measurements.count_metrics(connection, self._metric_filters(connection, model, given))

    def add_metrics(self, model: int | str, metrics: Iterable[NewMetric | Mapping[str, object]]) -> tuple[Metric, ...]:
        """Add measurements of a model, all or none.

        Raises:
            CatalogModelNotFoundError: There is no such model.
            InvalidFieldError: A field cannot hold its value.
        """
        with self._connections.writing() as connection:
            model_id = reading.id_of(connection, model, self._connections.name)
            return measurements.add_metrics(connection, model_id, metrics)

    def remove_metric(self, metric_id: int) -> None:
        """Remove a measurement.

        Raises:
            InvalidFieldError: There is none of this number.
        """
        with self._connections.writing() as connection:
            measurements.remove_metric(connection, metric_id)

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Lend a connection that sees the store as it is now."""
        return self._connections.reading()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection that writes: all is kept when the block ends, and nothing where it raises.

        Triggers keep the counts, and the index of words is brought up to date at the end.
        """
        with self._connections.writing(finish) as connection:
            yield connection

    def _finish_others(self) -> None:
        """Index what another program has written: triggers run there too, but no write ends as one does here."""
        with self._connections.reading() as connection:
            is_waiting = connection.execute("SELECT 1 FROM unindexed").fetchone()
        if is_waiting:
            with suppress(CatalogFileError), self._writing():  # a store that cannot be written is read as it is
                pass

    def _value_counts(self, kind: str) -> tuple[ValueCount, ...]:
        with self._connections.reading() as connection:
            return self._totals.remembered(connection, kind, lambda: statistics.value_counts(connection, kind))

    def _metric_filters(
        self, connection: sqlite3.Connection, model: int | str | None, given: Mapping[str, str | None]
    ) -> dict[str, int | str | None]:
        model_id = None if model is None else reading.id_of(connection, model, self._connections.name)
        return {"model_id": model_id, **given}
