"""Screens: a Rich table on a terminal, plain lines with tabs elsewhere, or one JSON document."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console

_UNKNOWN = "-"
_SENTENCE = 24  # letters that a column of sentences has at least, where there is room


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: Heading.
        right: Aligned to the right, as numbers are.
        rank: The columns of the highest rank are left out first where a terminal is too narrow; 0 never is.
        wraps: May be broken into lines: for sentences, not for what is copied.
        shown: How people read a value, where that is not as it stands; programs get bytes and bare numbers.
    """

    title: str
    right: bool = False
    rank: int = 0
    wraps: bool = False
    shown: Callable[[Any], str | None] | None = None


def show_json(document: object) -> None:
    """Print one JSON document."""
    import json

    readable = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(document, indent=2, ensure_ascii=not readable, default=_plain))


def show_table(
    columns: Sequence[Column], rows: Iterable[Sequence[object]], *, empty: str = "", headed: bool = False
) -> None:
    """Print a table.

    Args:
        columns: Its columns. Without a terminal all of them are printed, with tabs between, and no headings.
        rows: Values of any type; `None` is one that is not known.
        empty: What to say, on standard error, where there is no row.
        headed: True for headings without a terminal too: for one of several tables.
    """
    lines = list(rows)
    if not lines:
        if empty:
            print(empty, file=sys.stderr)
    elif sys.stdout.isatty():
        _draw(columns, cells(columns, lines))
    else:
        if headed:
            print(*(column.title for column in columns), sep="\t")
        sys.stdout.writelines("\t".join(map(cell, line)) + "\n" for line in lines)


def show_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one below the other; what is not known is left out."""
    stated = {name: value for name, value in facts.items() if value is not None and value != () and value != ""}
    if not sys.stdout.isatty():
        sys.stdout.writelines(f"{name}\t{cell(value)}\n" for name, value in stated.items())
        return
    table = _grid()
    for name, value in stated.items():
        table.add_row(_text(name, "dim"), _text(cell(value)))
    console().print(table)


def heading(title: str) -> None:
    """Print the title of what follows."""
    if sys.stdout.isatty():
        console().print(_text(f"\n{title}", "bold"))
    else:
        print(f"\n{title}")


def console(*, stderr: bool = False) -> Console:
    """Make a console that draws on standard output, or error, and knows `NO_COLOR` of the environment and the file."""
    from registry._extras import require
    from registry._settings import text

    made: Console = require("rich.console", extra="cli", purpose="Drawing on a terminal").Console(
        stderr=stderr, highlight=False, markup=False, emoji=False, no_color=True if text("no_color") else None
    )
    return made


def cell(value: object) -> str:
    """Write a value for a table: on one line, and without what a terminal would obey."""
    match value:
        case None:
            return _UNKNOWN
        case True:
            return "yes"
        case False:
            return "no"
        case float():
            return f"{value:g}"
        case tuple() | list():
            return ", ".join(map(cell, value)) or _UNKNOWN
        case _:
            time = getattr(value, "isoformat", None)
            text = str(time() if time else value)
            return text if text.isprintable() else printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Escape control characters: names and answers come from outside, and a terminal obeys some of them."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)


def size(count: int | None) -> str | None:
    """Write a number of bytes: `4.2 GB`, in powers of 1000 as the registry does."""
    if count is None:
        return None
    if count < 1000:
        return f"{count} B"
    power = min(next(power for power in range(1, 9) if count < 999.5 * 1000**power), 4)
    scaled = count / 1000**power
    return f"{scaled:.{1 if scaled < 99.95 else 0}f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def number(count: int | None) -> str | None:
    """Write a count as people read it: `32,768`."""
    return None if count is None else f"{count:,}"


def cells(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> list[list[str]]:
    """Write the values of a table as people read them."""
    ways = [column.shown or cell for column in columns]
    return [[cell(way(value)) for way, value in zip(ways, row, strict=True)] for row in rows]


def columns_that_fit(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """Give the places of the columns that a terminal of this width has room for, whole; those of rank 0 always."""
    kept = list(range(len(columns)))
    optional = sorted((place for place in kept if columns[place].rank), key=lambda place: (columns[place].rank, place))
    while optional and _width(columns, cells, kept) > width:
        kept.remove(optional.pop())
    return kept


def _width(columns: Sequence[Column], cells: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    """Give the width of a table of these columns, with two blanks between them."""
    needs = (
        _SENTENCE if columns[place].wraps else max(len(columns[place].title), *(len(row[place]) for row in cells))
        for place in kept
    )
    return sum(needs) + 2 * (len(kept) - 1)


def _plain(value: Any) -> object:
    if isinstance(value, PurePath | os.PathLike):
        return str(value)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"no JSON for {value!r}")


def _draw(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    screen = console()
    kept = columns_that_fit(columns, cells, screen.width)
    narrow = _width(columns, cells, kept) > screen.width  # then ids are broken into lines, rather than cut off
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in (columns[place] for place in kept):
        table.add_column(
            column.title,
            style="" if table.columns else "cyan",
            justify="right" if column.right else "left",
            overflow="fold",
            no_wrap=not column.wraps and not narrow,
            ratio=1 if column.wraps else None,
        )
    for row in cells:
        table.add_row(*(_text(row[place]) for place in kept))
    screen.print(table)


def _grid() -> Any:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _text(text: str, style: str = "") -> Any:
    from rich.text import Text

    return Text(text, style=style)
