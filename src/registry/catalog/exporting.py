"""Exporting models to files: one moment of the store, whole, in an order and a form that importing takes back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeAlias

from registry.catalog.columns import COLUMNS
from registry.catalog.csv_files import CsvWriter
from registry.catalog.export_rows import cells_of, removed_models, rows_of
from registry.catalog.importing import Format, format_of
from registry.catalog.json_files import ArrayWriter, LinesWriter
from registry.catalog.wanted import wanted_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import TextIO

    from registry.catalog.store import Catalog

OnExport: TypeAlias = Callable[[int, int], None]

_AT_ONCE = 500  # models
_INTERVAL_S = 0.1
_EVERY = "SELECT models.id FROM models"


def export_models(
    catalog: Catalog,
    target: str | os.PathLike[str] | TextIO,
    *,
    format: Format | None = None,
    text: str = "",
    family: str | Sequence[str] | None = None,
    type: str | Sequence[str] | None = None,
    capability: str | Sequence[str] | None = None,
    tag: str | Sequence[str] | None = None,
    language: str | Sequence[str] | None = None,
    license: str | Sequence[str] | None = None,
    max_ram_bytes: int | None = None,
    progress: OnExport | None = None,
) -> int:
    """Write models with their measurements to a file, and give their number.

    They are those of one moment, whoever writes to the store meanwhile, in the order of their numbers. `import_models`
    makes the same models of the file again, in an empty store with the same numbers and times too. A cell of a CSV file
    that a spreadsheet would run as a formula has an apostrophe in front; importing takes it away.

    Args:
        catalog: The store.
        target: A path, or an open text file. What was at the path stays until the new file is whole.
        format: `None`: told by the ending of the file; CSV for a stream.
        text: Only models that `Catalog.search` finds by these words; so with all that follow.
        family: Families; any of them.
        type: Types; any of them.
        capability: Capabilities; all of them.
        tag: Tags; all of them.
        language: Languages; all of them.
        license: Licences; any of them.
        max_ram_bytes: Memory that a model may need.
        progress: Called some ten times a second with two numbers of models: those that are written, and all. What it
            raises ends the export.

    Raises:
        InvalidInputError: There is no such format, or the ending of the file tells of none.
        InvalidFieldError: A filter is no text, or `max_ram_bytes` no size.
        CatalogFileError: The store cannot be read.
        OSError: The file cannot be written.

    Example:
        >>> import io
        >>> from registry.catalog import Catalog, export_models
        >>> file = io.StringIO()
        >>> with Catalog.open(":memory:") as catalog:
        ...     model = catalog.add(name="my-model", parameters=7)
        ...     export_models(catalog, file)
        1
        >>> file.getvalue().splitlines()[1][:24]
        'my-model,my-model,,,7,,,'
    """
    chosen = format_of(target, format)
    filters = {"family": family, "type": type, "license": license}
    filters |= {"capability": capability, "tag": tag, "language": language}
    with catalog._reading() as connection, _writing(target) as file:
        query, values = _query(connection, text, filters, max_ram_bytes)
        (total,) = connection.execute(f"SELECT count(*) FROM ({query})", values).fetchone()
        ids = connection.execute(f"{query} ORDER BY models.id", values)
        writer = _WRITERS[chosen](file)
        removed = removed_models(connection) if query == _EVERY else {}  # of a choice they are no part
        done, told_s = 0, 0.0
        while lot := [model_id for (model_id,) in islice(ids, _AT_ONCE)]:
            writer.write(rows_of(connection, lot, {} if done else removed))
            done += len(lot)
            if progress is not None and (done == total or time.monotonic() - told_s >= _INTERVAL_S):
                told_s = time.monotonic()
                progress(done, total)
        writer.close()
    return done


class _TableWriter(CsvWriter):
    """Writes rows as the cells of a table with all columns."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(file, COLUMNS)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.write_cells(map(cells_of, rows))


_WRITERS: Mapping[Format, Callable[[TextIO], _TableWriter | ArrayWriter | LinesWriter]] = {
    "csv": _TableWriter,
    "json": ArrayWriter,
    "jsonl": LinesWriter,
}


def _query(
    connection: sqlite3.Connection,
    text: str,
    filters: Mapping[str, str | Sequence[str] | None],
    max_ram_bytes: int | None,
) -> tuple[str, list[Any]]:
    """Write the query for the numbers of the models that a search would find."""
    wanted = wanted_of(connection, text, filters, max_ram_bytes)
    if wanted is None:
        return f"{_EVERY} WHERE 0", []
    conditions: list[str] = []
    values: list[Any] = []
    if wanted.query is not None:
        conditions.append("models.id IN (SELECT rowid FROM model_words WHERE model_words MATCH ?)")
        values.append(wanted.query)
    if wanted.max_ram_bytes is not None:
        conditions.append("models.needed_bytes <= ?")
        values.append(wanted.max_ram_bytes)
    return f"{_EVERY} WHERE {' AND '.join(conditions)}" if conditions else _EVERY, values


def _writing(target: str | os.PathLike[str] | TextIO) -> AbstractContextManager[TextIO]:
    if not isinstance(target, str | os.PathLike):
        return nullcontext(target)
    path = Path(target)
    if path.exists() and not path.is_file():
        return path.open("w", encoding="utf-8", newline="")  # a pipe or a device: nothing can be put in its place
    return _replacing(Path(os.path.realpath(path)))  # the file that a link leads to is replaced, and not the link


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """Write a file beside the one that it replaces when it is whole."""
    draft = path.with_name(f".{path.name[:40]}.{os.getpid()}-{get_ident()}")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            if path.exists():
                shutil.copymode(path, draft)  # who might not read the file before may not read the new one
            yield file
        draft.replace(path)
    except OSError as error:
        if error.filename == str(draft):  # nobody has heard of that file
            error.filename = str(path)
        raise
    finally:
        draft.unlink(missing_ok=True)
