"""Rows of a file made into columns of checked values, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.catalog.columns import ABSENT, COLUMNS, Column, did_you_mean, known_columns
from registry.errors import InvalidInputError

if TYPE_CHECKING:
    from registry.catalog.text_files import Lot, Text

_LONGEST_NAME = 80  # characters of a name that is no name, as a report shows it


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be imported.

    Attributes:
        line: Line of the file that it begins on, from 1.
        name: What it has as its name; empty where that cannot be told.
        reason: What is wrong with it, all of it.
    """

    line: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}{f' ({self.name})' if self.name else ''}: {self.reason}"


@dataclass
class Batch:
    """Checked rows, column by column.

    Attributes:
        lines: Line of the file that each row begins on.
        values: Name of a column -> its value in each row, as it is stored, or `ABSENT`. There is always `name`.
        bad: The rows that are not among them.
    """

    lines: list[int]
    values: dict[str, list[Any]]
    bad: list[BadRow]


class _Checker:
    """Checks rows that were made into columns; remembers what it has found of values that come again."""

    def __init__(self, *, cells: bool) -> None:
        self._cells = cells
        self._columns: dict[str, Column] = {}

    def check(self, lines: Sequence[int], values: Mapping[str, Sequence[Any]], bad: list[BadRow]) -> Batch:
        """Check the values of each column, and leave out the rows that have wrong ones."""
        checked: dict[str, list[Any]] = {}
        reasons: dict[int, list[str]] = {}
        for name, column in values.items():
            if name not in self._columns:
                self._columns[name] = Column(name, cells=self._cells)
            checked[name], found = self._columns[name].check(column)
            for place, reason in found.items():
                reasons.setdefault(place, []).append(reason)
        if not reasons:
            return Batch(list(lines), checked, bad)
        bad += (
            BadRow(lines[place], _shown(values["name"][place]), " ".join(reasons[place])) for place in sorted(reasons)
        )
        good = [place for place in range(len(lines)) if place not in reasons]
        kept = {name: [column[place] for place in good] for name, column in checked.items()}
        return Batch([lines[place] for place in good], kept, sorted(bad, key=lambda each: each.line))


def _shown(name: object) -> str:
    return name[:_LONGEST_NAME] if isinstance(name, str) else ""


def check_table(text: Text, lots: Generator[Lot[list[str]]]) -> Generator[Batch]:
    """Check the rows of a table, whose first lot is the heading.

    Raises:
        InvalidInputError: The heading cannot be used.
    """
    with closing(lots):
        names = _names(text, next(lots))
        checker = _Checker(cells=True)
        for lot in lots:
            bad = [BadRow(line, "", f"{reason}.") for line, reason in lot.faults]
            lines, rows = _of_width(lot, len(names), names.index("name"), bad)
            columns = zip(*rows, strict=True) if rows else ([] for _ in names)
            yield checker.check(lines, dict(zip(names, columns, strict=True)), bad)


def _names(text: Text, heading: Lot[list[str]]) -> list[str]:
    for line, reason in heading.faults:
        raise InvalidInputError(text.at(line), f"{reason}. It must name the columns.")
    headings = heading.rows[0]
    while not headings[-1].strip():  # spreadsheets write the empty columns beside a table, too
        headings.pop()
    return known_columns(headings, text.at(heading.lines[0]))


def _of_width(lot: Lot[list[str]], width: int, name_at: int, bad: list[BadRow]) -> tuple[list[int], list[list[str]]]:
    """Give the rows that have a cell for each column; empty ones behind them do not count."""
    if all(len(row) == width for row in lot.rows):
        return lot.lines, lot.rows
    lines, rows = [], []
    for line, row in zip(lot.lines, lot.rows, strict=True):
        if len(row) < width or any(row[width:]):
            name = row[name_at] if name_at < len(row) else ""
            reason = f"expected {width} cells, as many as there are columns, got {len(row)}."
            bad.append(BadRow(line, _shown(name), reason))
        else:
            lines.append(line)
            rows.append(row[:width])
    return lines, rows


def check_objects(lots: Generator[Lot[dict[str, Any]]]) -> Generator[Batch]:
    """Check objects; each may have other keys than the one before."""
    checker, known = _Checker(cells=False), frozenset(COLUMNS)
    for lot in lots:
        bad = [BadRow(line, "", f"{reason}.") for line, reason in lot.faults]
        lines, rows = [], []
        for line, row in zip(lot.lines, lot.rows, strict=True):
            if row.keys() <= known and "name" in row:
                lines.append(line)
                rows.append(row)
            else:
                bad.append(BadRow(line, _shown(row.get("name")), _wrong_keys(row)))
        names = dict.fromkeys(("name", *(name for row in rows for name in row)))
        yield checker.check(lines, {name: [row.get(name, ABSENT) for row in rows] for name in names}, bad)


def _wrong_keys(row: Mapping[str, Any]) -> str:
    unknown = [f"`{_shown(name)}` is unknown{did_you_mean(name)}" for name in row if name not in COLUMNS]
    missing = [] if "name" in row else ["there is no `name`"]
    return f"{'; '.join(unknown + missing)}. Known fields: {', '.join(COLUMNS)}."
