"""Importing files of models: every row checked, good ones written in one transaction, bad ones reported by line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from registry.catalog.bulk import Bulk
from registry.catalog.checking import BadRow as BadRow
from registry.catalog.checking import Batch, check_objects, check_table
from registry.catalog.csv_files import read_records
from registry.catalog.fields import now_text
from registry.catalog.json_files import read_array, read_lines
from registry.catalog.text_files import Text, opened
from registry.errors import ImportRowsError, InvalidInputError

if TYPE_CHECKING:
    from registry.catalog.store import Catalog
    from registry.catalog.text_files import Source

Format: TypeAlias = Literal["csv", "json", "jsonl"]

MAX_BAD_ROWS = 1000  # that a report names
_AT_ONCE = 1000  # rows
_INTERVAL_S = 0.1
_ENDINGS: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@dataclass(frozen=True)
class ImportProgress:
    """How far an import has come.

    Attributes:
        rows: Rows read so far, bad ones too.
        bad_rows: Rows among them that cannot be imported.
        done_bytes: Bytes read so far; of a stream of text its characters.
        total_bytes: Size of the file; `None` for a stream.
    """

    rows: int
    bad_rows: int
    done_bytes: int
    total_bytes: int | None


OnImport: TypeAlias = Callable[[ImportProgress], None]


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        source: The file, or what the stream is called.
        rows: Rows that were read, bad ones too; rows without any value do not count.
        added: Models that were not there.
        updated: Models in which a row has changed something.
        unchanged: Models that were as their rows have them; nothing of them was written.
        bad_rows: Rows that were not imported.
        bad: The first `MAX_BAD_ROWS` of them, in the order of the file.
    """

    source: str
    rows: int
    added: int
    updated: int
    unchanged: int
    bad_rows: int
    bad: tuple[BadRow, ...]


def import_models(
    catalog: Catalog,
    source: Source,
    *,
    format: Format | None = None,
    strict: bool = False,
    progress: OnImport | None = None,
) -> ImportReport:
    r"""Bring models from a file into the store, in one transaction.

    A row whose name the store has, whatever its case, changes that model, and only in the columns that the file has; an
    empty cell empties a field. Other names are added. Rows are read and written in lots: the size of the file does not
    matter. Whatever ends this before its end leaves the store as it was.

    Args:
        catalog: The store.
        source: A path, or an open file of text or bytes in UTF-8.
        format: `None`: told by the ending of the file; CSV for a stream.
        strict: True: where any row is bad, nothing is imported.
        progress: Called some ten times a second, and at the end. What it raises ends the import.

    Raises:
        InvalidInputError: It is not UTF-8, has columns that are unknown, or is no JSON; nothing is imported.
        ImportRowsError: Rows are bad, and `strict` was asked for.
        CatalogBusyError: Another process has been writing for longer than the store waits.
        CatalogFileError: The store cannot be written.
        OSError: The file cannot be read.

    Example:
        >>> import io
        >>> from registry.catalog import Catalog, import_models
        >>> with Catalog.open(":memory:") as catalog:
        ...     report = import_models(catalog, io.StringIO("name,parameters\nmy-model,7\nother,?\n"))
        >>> print(report.added, *report.bad)
        1 line 3 (other): `parameters`: expected a number from 0 to 1000000, or nothing, got '?'.
    """
    chosen = format_of(source, format)
    with opened(source) as text, closing(_batches(text, chosen)) as batches:
        tally = _Tally(text, progress)
        first = next(batches, None)  # what is wrong with the heading is told before anybody is made to wait
        if first is None:
            return tally.report()
        with catalog._writing() as connection:
            bulk = Bulk(connection, str(catalog.path or ":memory:"), now_text())
            for batch in chain((first,), batches):
                tally.count(batch, bulk)
            bulk.close()
            tally.tell(at_end=True)
            if strict and tally.bad_rows:
                raise ImportRowsError(text.name, tally.problems())
    return tally.report()


def format_of(file: object, format: str | None) -> Format:
    """Choose the format: the one that is named, that of the file's ending, or CSV for a stream.

    Raises:
        InvalidInputError: There is no such format, or the ending tells of none.
    """
    if format in get_args(Format):
        return format  # type: ignore[return-value] # it is one of them
    known = ", ".join(get_args(Format))
    if format is not None:
        raise InvalidInputError("format", f"expected one of {known}, got {format!r}.")
    if not isinstance(file, str | os.PathLike):
        return "csv"
    suffix = PurePath(file).suffix.lower()
    if suffix not in _ENDINGS:
        endings = ", ".join(_ENDINGS)
        raise InvalidInputError(
            str(file), f"expected an ending among {endings}, got {suffix!r}. Or name the format: {known}."
        )
    return _ENDINGS[suffix]


def _batches(text: Text, format: Format) -> Generator[Batch]:
    if format == "csv":
        return check_table(text, read_records(text, _AT_ONCE))
    return check_objects((read_array if format == "json" else read_lines)(text, _AT_ONCE))


class _Tally:
    """Counts what becomes of the rows, and tells how far it has come."""

    def __init__(self, text: Text, progress: OnImport | None) -> None:
        self._text = text
        self._progress = progress
        self._told_s = 0.0
        self._rows = self._added = self._updated = self._unchanged = self.bad_rows = 0
        self._bad: list[BadRow] = []

    def count(self, batch: Batch, bulk: Bulk) -> None:
        """Write a batch and count it."""
        written = bulk.upsert(batch)
        bad = sorted([*batch.bad, *written.bad], key=lambda row: row.line)
        self._rows += len(batch.lines) + len(batch.bad)
        self._added += written.added
        self._updated += written.updated
        self._unchanged += written.unchanged
        self.bad_rows += len(bad)
        self._bad += bad[: MAX_BAD_ROWS - len(self._bad)]
        self.tell()

    def report(self) -> ImportReport:
        """Give what was counted."""
        numbers = (self._rows, self._added, self._updated, self._unchanged, self.bad_rows)
        return ImportReport(self._text.name, *numbers, tuple(self._bad))

    def problems(self) -> tuple[str, ...]:
        """Give a sentence for each bad row, as far as they are kept, and one for the rest."""
        rest = self.bad_rows - len(self._bad)
        return (*map(str, self._bad), *([f"and {rest:,} more bad rows."] if rest else []))

    def tell(self, *, at_end: bool = False) -> None:
        """Say how far it has come, where it is time to."""
        now = time.monotonic()
        if self._progress is not None and (at_end or now - self._told_s >= _INTERVAL_S):
            self._told_s = now
            text = self._text
            self._progress(ImportProgress(self._rows, self.bad_rows, text.done_bytes, text.total_bytes))
