"""What a bar chart shows. How it is drawn is the business of `chart_text` and `chart_svg`."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from registry.catalog.metric_types import Better, value_with_unit

NOTHING = "Nothing was measured."


class Bar(NamedTuple):
    """A bar with its label.

    Attributes:
        label: What was measured, such as the name of a model.
        value: The value. What is not above 0, or not finite, has no bar and is written out only.
        note: What else is to be said, in a few words.
    """

    label: str
    value: float
    note: str = ""


class Group(NamedTuple):
    """Bars under a heading, such as the hardware that they hold for.

    Attributes:
        name: The heading; empty for none.
        bars: The bars, from above.
    """

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Bars of one kind of measurement, all to one scale that begins at 0.

    Texts may come from anywhere: whoever draws them escapes them.

    Attributes:
        title: What was measured.
        unit: Unit of the values.
        groups: The bars.
        better: Which values are better; `None` says nothing of it.
    """

    title: str
    unit: str
    groups: tuple[Group, ...]
    better: Better | None = None

    @cached_property
    def bars(self) -> tuple[Bar, ...]:
        """The bars of all groups."""
        return tuple(bar for group in self.groups for bar in group.bars)

    @property
    def heading(self) -> str:
        """Title, and which way is better."""
        return f"{self.title}, {self.better} is better" if self.better else self.title

    def value_text(self, bar: Bar) -> str:
        """Write the value of a bar with its unit."""
        return value_with_unit(bar.value, self.unit)

    def share(self, bar: Bar) -> float:
        """Give the length of a bar, 0 to 1; that of the longest is 1."""
        return bar.value / self._longest if 0 < bar.value <= self._longest else 0.0

    @cached_property
    def _longest(self) -> float:
        return max((bar.value for bar in self.bars if math.isfinite(bar.value)), default=0.0)


def shown(text: str) -> str:
    """Escape what a terminal would obey and XML does not allow: control characters, and halves of surrogate pairs."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)


def columns(text: str) -> int:
    """Give the columns that a text takes on a terminal: East Asian letters take two, marks over letters none."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )
