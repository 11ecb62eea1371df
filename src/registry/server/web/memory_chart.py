"""Memory by context length, drawn: what a model takes beside what this machine has. Pure: numbers in, SVG out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from registry.server.web.figures import size_text

if TYPE_CHECKING:
    from registry.hardware.need import Estimate

# Part of an estimate -> how it is called. The names are also those of the classes that give them a colour.
PARTS = {"weights": "Weights", "kv_cache": "KV cache", "compute": "Compute buffers", "overhead": "Library"}

# A mark so many times beyond the longest bar would leave nothing of the bars to see: it is said in words instead.
_FARTHEST = 4.0
_ROW_PX = 44  # a line of text and the bar below it
_BAR_PX = 16
_MARK_PX = 18  # a line of text for each mark, above the bars
_GAP_PX = 8
_NAMED = 'aria-labelledby="memory-title memory-desc"'


class Bar(NamedTuple):
    """What a model takes at one context.

    Attributes:
        label: What the bar stands for: `4,096 tokens`.
        parts: Bytes of each of `PARTS`, in that order.
    """

    label: str
    parts: tuple[int, ...]

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return sum(self.parts)


class Mark(NamedTuple):
    """An amount to compare with, drawn as a line across the bars.

    Attributes:
        kind: `available` or `total`: which line it is drawn with.
        label: `available now`.
        size_bytes: The amount.
    """

    kind: str
    label: str
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.label}: {size_text(self.size_bytes)}"


def bar_of(found: Estimate) -> Bar:
    """Give the bar of an estimate whose total is known; what lies on several devices is added up."""
    parts = (sum(getattr(device, f"{part}_bytes") for device in found.devices) for part in PARTS)
    return Bar(f"{found.context_length:,} tokens", tuple(parts))


def drawn_marks(bars: Sequence[Bar], marks: Iterable[Mark]) -> tuple[tuple[Mark, ...], tuple[Mark, ...]]:
    """Part the marks into those that fit on the scale of the bars, and those far beyond it."""
    most = max(bar.total_bytes for bar in bars) * _FARTHEST
    given = sorted(marks, key=lambda mark: -mark.size_bytes)  # words to the left of a line then meet no other line
    return tuple(mark for mark in given if mark.size_bytes <= most), tuple(
        mark for mark in given if mark.size_bytes > most
    )


def memory_svg(bars: Sequence[Bar], marks: Sequence[Mark] = (), *, title: str) -> str:
    """Draw a bar for each context, stacked by what the memory is for.

    The width is that of the place it is put in; heights and letters keep their size in pixels, so that it can be read
    on a telephone. Colours come from the page: classes are named after `PARTS` and after the kinds of marks.

    Args:
        bars: At least one.
        marks: What the machine has; those far beyond the longest bar are left to the description.
        title: What is drawn, for those who cannot see it.
    """
    shown, beyond = drawn_marks(bars, marks)
    # A little room to the right, so that the line of a mark is never the edge.
    full = max([bar.total_bytes for bar in bars] + [round(mark.size_bytes * 1.03) for mark in shown]) or 1
    top = len(shown) * _MARK_PX + _GAP_PX
    height = top + len(bars) * _ROW_PX
    said = "; ".join([f"{bar.label} take {size_text(bar.total_bytes)}" for bar in bars])
    machine = "; ".join(map(str, (*shown, *beyond)))
    drawn = [
        f'<svg class="memory-chart" role="img" width="100%" height="{height}" {_NAMED}>',
        f'<title id="memory-title">{escape(title)}</title>',
        f'<desc id="memory-desc">{escape(said)}. {escape(machine)}</desc>',
    ]
    for place, mark in enumerate(shown):
        drawn += _mark(mark, place, height, _percent(mark.size_bytes, full))
    for place, bar in enumerate(bars):
        drawn += _bar(bar, top + place * _ROW_PX, full)
    return "".join([*drawn, "</svg>"])


def _bar(bar: Bar, y: int, full: int) -> Iterable[str]:
    value = f'<tspan class="value" dx="4">{size_text(bar.total_bytes)}</tspan>'
    yield f'<text x="0" y="{y + 14}">{escape(bar.label)} {value}</text>'
    yield f'<rect class="track" x="0" y="{y + 20}" width="100%" height="{_BAR_PX}" rx="3"/>'
    begin = 0
    for part, size in zip(PARTS, bar.parts, strict=True):
        if size:
            place = f'x="{_percent(begin, full):.3f}%" y="{y + 20}"'
            yield f'<rect class="part-{part}" {place} width="{_percent(size, full):.3f}%" height="{_BAR_PX}"/>'
        begin += size


def _mark(mark: Mark, place: int, height: int, x: float) -> Iterable[str]:
    """Draw a line with its words beside the upper end, on the side where there is room."""
    y = place * _MARK_PX
    anchor, shift = ("end", -6) if x > 50 else ("start", 6)
    yield f'<line class="mark-{mark.kind}" x1="{x:.3f}%" x2="{x:.3f}%" y1="{y}" y2="{height}"/>'
    words = f'x="{x:.3f}%" dx="{shift}" y="{y + 12}" text-anchor="{anchor}"'
    yield f'<text class="mark-label mark-{mark.kind}" {words}>{escape(str(mark))}</text>'


def _percent(size: float, full: int) -> float:
    return 100 * size / full
