"""Texts from files and standard input: one a line, or a field of JSON lines and CSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from registry.errors import InvalidInputError

if TYPE_CHECKING:
    from typing import TextIO


def read_texts(path: Path | None, field: str | None) -> list[str]:
    """Read texts.

    Args:
        path: A file; `None` or `-`: standard input. A .csv is a table with headings, a .jsonl has a JSON object a
            line, and anything else, or either of them without `field`, a text a line; blank lines are passed over.
        field: Field, or column, that has the text. On standard input it means JSON lines.

    Raises:
        InvalidInputError: A line has no such text, or the file is not UTF-8.
        OSError: The file cannot be read.
    """
    suffix = path.suffix.lower() if path is not None and str(path) != "-" else ".jsonl"
    if field is not None and suffix not in (".jsonl", ".ndjson", ".csv"):
        raise typer.BadParameter(f"expected a .jsonl or a .csv, got `{path}`", param_hint="--field")
    if field is None and suffix == ".csv":
        raise typer.BadParameter("a .csv needs it: name the column that has the text", param_hint="--field")
    with _opened(path) as (file, name):
        try:
            if field is None:
                lines = (line.removesuffix("\r") for line in file.read().split("\n"))
                return [line for line in lines if line.strip()]
            return list(_column(file, field, name) if suffix == ".csv" else _fields(file, field, name))
        except UnicodeDecodeError as error:
            raise InvalidInputError(name, f"expected UTF-8, got a byte that is none at {error.start}.") from None


@contextmanager
def _opened(path: Path | None) -> Iterator[tuple[TextIO, str]]:
    if path is None or str(path) == "-":
        if sys.stdin.isatty():
            print("Reading texts, one a line, until Ctrl-D.", file=sys.stderr)
        yield sys.stdin, "standard input"
    else:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file, str(path)


def _fields(lines: Iterable[str], field: str, name: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            found = json.loads(line)
        except ValueError as error:
            raise InvalidInputError(place, f"expected a JSON object on a line, got something else: {error}") from None
        yield _text(found.get(field) if isinstance(found, dict) else None, field, place)


def _column(lines: Iterable[str], field: str, name: str) -> Iterator[str]:
    reader = csv.DictReader(lines)
    if field not in (reader.fieldnames or ()):
        columns = ", ".join(reader.fieldnames or ()) or "none"
        raise InvalidInputError(f"{name}:1", f"expected a column `{field}`, got {columns}.")
    for row in reader:
        yield _text(row[field], field, f"{name}:{reader.line_num}")


def _text(value: object, field: str, place: str) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(place, f"expected a text in `{field}`, got {json.dumps(value, default=str)[:60]}.")
    return value
