"""Bar charts for a terminal."""

from __future__ import annotations

from typing import NamedTuple

from registry.catalog.bars import NOTHING, Bar, Chart, columns, shown

_BLOCKS = " ▏▎▍▌▋▊▉█"  # a cell of the terminal, filled by eighths
_LABEL_SHARE = 0.4  # of the width, at most
_FEWEST = 8  # cells of the longest bar


def bars_text(chart: Chart, *, width: int = 80, ascii_only: bool = False) -> str:
    """Draw a chart with characters: labels to the left, bars, values to the right.

    Labels are never cut, so that they can be copied: where one is long, each stands on a line above its bar.

    Args:
        chart: The chart.
        width: Columns of the terminal.
        ascii_only: Draw with `#` in place of blocks, for encodings that have none.

    Returns:
        Lines, each with its end.
    """
    lines = [shown(chart.heading)]
    if not chart.bars:
        lines.append(f"  {NOTHING}")
    rows = [_Row.of(chart, bar) for bar in chart.bars]
    label, value, note = (max((columns(row[place]) for row in rows), default=0) for place in range(3))
    if label > width * _LABEL_SHARE:
        label = 0
    taken = sum(2 + size for size in (label, value, note) if size)
    room = max(_FEWEST, width - taken - 2)
    for group in chart.groups:
        if group.name:
            lines.append(shown(group.name))
        for bar in group.bars:
            row = _Row.of(chart, bar)
            drawn = _bar(chart.share(bar), room, ascii_only=ascii_only)
            ending = f"{drawn:{room}}  {_filled(row.value, value, right=True)}  {row.note}".rstrip()
            lines += [f"  {_filled(row.label, label)}  {ending}"] if label else [f"  {row.label}", f"  {ending}"]
    return "".join(f"{line}\n" for line in lines)


class _Row(NamedTuple):
    """The texts of a bar."""

    label: str
    value: str
    note: str

    @classmethod
    def of(cls, chart: Chart, bar: Bar) -> _Row:
        return cls(shown(bar.label), shown(chart.value_text(bar)), shown(f"({bar.note})") if bar.note else "")


def _filled(text: str, width: int, *, right: bool = False) -> str:
    """Fill a text up to a width with blanks; `ljust` would count letters, of which some take two columns."""
    blanks = " " * (width - columns(text))
    return blanks + text if right else text + blanks


def _bar(share: float, room: int, *, ascii_only: bool) -> str:
    """Fill cells; what is more than nothing is seen."""
    if share <= 0:
        return ""
    if ascii_only:
        return "#" * max(1, round(share * room))
    full, eighths = divmod(max(1, round(share * room * 8)), 8)
    return _BLOCKS[8] * full + (_BLOCKS[eighths] if eighths else "")
