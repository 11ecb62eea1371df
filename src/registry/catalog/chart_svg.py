"""Bar charts as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from registry.catalog.bars import NOTHING, Bar, Chart, columns, shown

# Classes and variables are part of the interface: a page that draws charts inline has this in its own style sheet.
CHART_CSS = """\
.registry-chart { --text: #1b2430; --dim: #57606a; --bar: #2f6db3; --line: #9aa4af; --paper: #ffffff }
@media (prefers-color-scheme: dark) {
  .registry-chart { --text: #e6eaef; --dim: #a3adb8; --bar: #6cabea; --line: #606b76; --paper: #14181d }
}
.registry-chart { color: var(--chart-text, var(--text)); font: 13px system-ui, "Segoe UI", Roboto, Arial, sans-serif }
.registry-chart .title { font-size: 15px; font-weight: 600 }
.registry-chart .group { font-weight: 600 }
.registry-chart .dim { fill: var(--chart-dim, var(--dim)) }
.registry-chart .bar { fill: var(--chart-bar, var(--bar)) }
.registry-chart .axis { stroke: var(--chart-line, var(--line)) }
.registry-chart .paper { fill: var(--chart-paper, var(--paper)) }
"""

# In pixels. How wide a text is depends on a font that is not known here: what is assumed is on the wide side.
_LETTER, _LINE, _THICK, _GAP, _MARGIN = 7.7, 17, 14, 8, 16
_LABEL_SHARE = 0.4  # of the width, at most
_BOLD = 1.15  # times as wide
_NARROWEST = 320
_SHORTEST = 1.5  # a bar of what is more than nothing


class _Piece(NamedTuple):
    """A part of the drawing that is as wide as the drawing: its markup, from 0 down, and its height."""

    markup: str
    height: float


def bars_svg(*charts: Chart, width: int = 720, standalone: bool = True, name: str = "chart") -> str:
    """Draw charts as one SVG, one below the other.

    Colours follow the reader's light or dark scheme; a page may set others through the variables `--chart-text`,
    `--chart-dim`, `--chart-bar`, `--chart-line` and `--chart-paper`. Who has the picture read aloud is given its title
    and description, which has every value. Long labels are broken into lines.

    Args:
        charts: The charts.
        width: Width in pixels, at least 320; the height is what it takes.
        standalone: True for a file. False for a page that has `CHART_CSS` in its style sheet and draws this inline:
            then it has no style and no background of its own.
        name: Beginning of the ids in it, another one for each drawing of a page.
    """
    width = max(_NARROWEST, width)
    pieces = [piece for chart in charts for piece in _panel(chart, width)]
    if not charts:
        pieces = [_Piece(_text(_MARGIN, NOTHING), _LINE)]
    body, top = [], float(_MARGIN)
    for piece in pieces:
        body.append(f'<g transform="translate(0 {top:g})">{piece.markup}</g>\n')
        top += piece.height
    style = f'<style>\n{CHART_CSS}</style>\n<rect class="paper" width="100%" height="100%"/>\n' if standalone else ""
    return f"{_head(charts, width, math.ceil(top + _MARGIN), name)}{style}{''.join(body)}</svg>\n"


def _head(charts: tuple[Chart, ...], width: int, height: int, name: str) -> str:
    prefix = escape(shown(name))
    title = "; ".join(chart.heading for chart in charts) or NOTHING
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="registry-chart" role="img" fill="currentColor" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'aria-labelledby="{prefix}-title {prefix}-desc">\n'
        f'<title id="{prefix}-title">{_escaped(title)}</title>\n'
        f'<desc id="{prefix}-desc">{_escaped(" ".join(map(_description, charts)))}</desc>\n'
    )


def _description(chart: Chart) -> str:
    """Say in words what a chart shows."""
    groups = (
        f"{f'{group.name}: ' if group.name else ''}"
        + ", ".join(f"{bar.label} {_value(chart, bar)}" for bar in group.bars)
        for group in chart.groups
    )
    return f"{chart.heading}. {'; '.join(groups) or NOTHING.removesuffix('.')}."


def _panel(chart: Chart, width: int) -> Iterator[_Piece]:
    """Draw a chart: heading, then for each group its name and bars."""
    room = width - 2 * _MARGIN
    for line in _broken(chart.title, room, _BOLD * 15 / 13):
        yield _Piece(_text(_MARGIN, line, "title", 14), 20)
    if chart.better:
        yield _Piece(_text(_MARGIN, f"{chart.better} is better", "dim"), _LINE)
    if not chart.bars:
        yield _Piece(_text(_MARGIN, NOTHING), _LINE)
    label = min(_LABEL_SHARE * room, max((_wide(bar.label) for bar in chart.bars), default=0.0))
    value = min(_LABEL_SHARE * room, max((_wide(_value(chart, bar)) for bar in chart.bars), default=0.0))
    for group in chart.groups:
        yield _Piece("", _GAP)
        for line in _broken(group.name, room, _BOLD):
            yield _Piece(_text(_MARGIN, line, "group"), _LINE + 3)
        yield from (_row(chart, bar, label, value, room - label - value - 2 * _GAP) for bar in group.bars)
    yield _Piece("", _MARGIN)


def _row(chart: Chart, bar: Bar, label: float, value: float, room: float) -> _Piece:
    """Draw a bar between its label and its value, each of which may take several lines."""
    labels, values = _broken(bar.label, label), _broken(_value(chart, bar), value)
    height = max(len(labels), len(values), 1) * _LINE + 4
    zero, share = _MARGIN + label + _GAP, chart.share(bar)
    length = max(_SHORTEST, share * room) if share else 0.0
    drawn = [_text(_MARGIN, line, top=12 + at * _LINE) for at, line in enumerate(labels)]
    drawn.append(f'<line class="axis" x1="{zero:g}" x2="{zero:g}" y1="-2" y2="{height - 2:g}" stroke="currentColor"/>')
    if length:
        drawn.append(f'<rect class="bar" x="{zero:g}" y="1" width="{length:.2f}" height="{_THICK}"/>')
    drawn += [_text(zero + length + _GAP, line, "dim", 12 + at * _LINE) for at, line in enumerate(values)]
    return _Piece("".join(drawn), height)


def _value(chart: Chart, bar: Bar) -> str:
    return f"{chart.value_text(bar)} ({bar.note})" if bar.note else chart.value_text(bar)


def _text(left: float, text: str, kind: str = "", top: float = 12) -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{left:g}" y="{top:g}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    return escape(shown(text))


def _wide(text: str) -> float:
    """Give the width of a text, about."""
    return columns(shown(text)) * _LETTER


def _broken(text: str, width: float, scale: float = 1.0) -> list[str]:
    """Break a text into lines of a width: after blanks and signs where there is one in time, else anywhere."""
    most = max(4, int(width / (_LETTER * scale) + 0.01))
    lines, rest = [], shown(text)
    while columns(rest) > most:
        end = max(1, _fitting(rest, most))
        last = max(rest.rfind(sign, 0, end) for sign in " -_/:") + 1
        end = last if last > end // 2 else end
        lines.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return [*lines, rest] if rest else lines


def _fitting(text: str, most: int) -> int:
    """Give the number of letters that fit into so many columns."""
    taken = 0
    for place, sign in enumerate(text):
        taken += columns(sign)
        if taken > most:
            return place
    return len(text)
