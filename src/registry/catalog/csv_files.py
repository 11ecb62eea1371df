"""CSV: records of cells read with the line that each begins on, and cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from registry.catalog.text_files import LONGEST, Lot
from registry.errors import InvalidInputError

if TYPE_CHECKING:
    from typing import TextIO

    from registry.catalog.text_files import Text

# A cell that a spreadsheet takes for a formula: by its first character, full-width forms and blanks before it too.
# Apostrophes in front are passed over, so that one more or one less never changes whether a cell is such a one.
_FORMULA = re.compile(r"'*(?:\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])")
_SEPARATORS = (",", ";", "\t")


def defuse(cell: str) -> str:
    """Give a cell as it may stand in a file that a spreadsheet opens: one that it would run gets an apostrophe."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restore(cell: str) -> str:
    """Undo `defuse`."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def read_records(text: Text, size: int) -> Generator[Lot[list[str]]]:
    """Read rows in lots of at most `size`; the first lot has the heading alone.

    Rows without any value are passed over. Cells are separated by what separates the headings: commas, or semicolons
    or tabs where there is no comma. A row may hold quoted ends of lines of every kind.

    Raises:
        InvalidInputError: The file is not UTF-8, is empty, or has a cell that never ends.
    """
    blocks = text.blocks()
    first = next(blocks, "")
    separator = _separator(first)
    # `newline=""`: LF, CRLF and CR end a line, and stay as they are in quotes.
    lines = chain.from_iterable(io.StringIO(block, newline="") for block in chain((first,), blocks))
    reader = csv.reader(lines, strict=True, delimiter=separator)
    with _long_cells():
        head = _take(reader, 1, text)
        if not head:
            raise InvalidInputError(text.at(1), "expected a line with the names of the columns, got an empty file.")
        yield head
        while lot := _take(reader, size, text):
            yield lot


def _separator(beginning: str) -> str:
    """Tell what separates the cells: names of columns hold none of what may do so."""
    lines = re.split(r"[\r\n]+", beginning.lstrip("\r\n"), maxsplit=1)
    return next((sign for sign in _SEPARATORS if sign in lines[0]), ",")


def _take(reader: Any, size: int, text: Text) -> Lot[list[str]]:
    """Read on until there are so many rows, or no more."""
    lot = Lot[list[str]]()
    before = reader.line_num
    while len(lot) < size:
        try:
            row = next(reader, None)
        except csv.Error as error:  # the reader goes on with the next line
            if "field limit" in str(error):
                reason = f"expected cells of at most {LONGEST:,} characters. Is a quotation mark missing that ends one?"
                raise InvalidInputError(text.at(before + 1), reason) from None
            lot.faults.append((before + 1, _fault(error, reader.line_num - before)))
        else:
            if row is None:
                return lot
            if any(row):
                lot.add(before + 1, row)
        before = reader.line_num
    return lot


def _fault(error: csv.Error, lines: int) -> str:
    if "unexpected end of data" in str(error):
        return f"a quotation mark opens a cell that never ends, so that the last {lines} lines are one row"
    return "a quotation mark that ends a cell must be followed by a separator or the end of the line"


_limit_lock = threading.Lock()
_limit_users = 0
_limit_before = 0


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let cells be long. The limit of the csv module is the process's, and shall be what it was in the end."""
    global _limit_users, _limit_before
    with _limit_lock:
        if not _limit_users:
            _limit_before = csv.field_size_limit(LONGEST)
        _limit_users += 1
    try:
        yield
    finally:
        with _limit_lock:
            _limit_users -= 1
            if not _limit_users:
                csv.field_size_limit(_limit_before)


class CsvWriter:
    """Writes a table as RFC 4180 has it: commas, CRLF, quotes where they are needed; no cell is a formula."""

    def __init__(self, file: TextIO, columns: Sequence[str]) -> None:
        # CRLF also because a lone CR or LF in a cell is then quoted by every version of the csv module.
        self._writer = csv.writer(file, lineterminator="\r\n")
        self._writer.writerow(columns)

    def write_cells(self, rows: Iterable[Sequence[str]]) -> None:
        """Write rows."""
        # JSON and most texts begin with a letter, a digit or a bracket: those are not looked at twice.
        self._writer.writerows([cell if cell[:1].isalnum() else defuse(cell) for cell in row] for row in rows)

    def close(self) -> None:
        """End the table: nothing needs to be written."""
