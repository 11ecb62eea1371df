"""Two to four models side by side: which facts differ, and which are not known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from registry.server.web.addresses import compare_address, model_address
from registry.server.web.facts import GROUPS, shown_of
from registry.server.web.figures import size_text
from registry.server.web.views import fits_text, marks_of

if TYPE_CHECKING:
    from registry.catalog import CatalogModel
    from registry.records import ModelInfo
    from registry.server.web.this_machine import Seen

MOST_MODELS = 4
# Facts that tell every two models apart, and so say nothing about a difference that matters.
_ALWAYS_DIFFERENT = ("Repository", "Commit", "Other names")


class Cell(NamedTuple):
    """One value.

    Attributes:
        texts: The value, or the values of a list; empty: not known.
        applies: False where it means nothing to this model.
        kind: How it is set.
    """

    texts: tuple[str, ...]
    applies: bool = True
    kind: str = "text"


class Line(NamedTuple):
    """A fact of all models."""

    label: str
    cells: tuple[Cell, ...]
    differs: bool


class Compared(NamedTuple):
    """A column.

    Attributes:
        without: Address of the page without this model.
    """

    name: str
    title: str
    href: str
    without: str
    marks: tuple[tuple[str, str], ...]


class Comparison(NamedTuple):
    """The page.

    Attributes:
        groups: Name of a group and its facts; what none of the models knows is left out.
        differences: Number of facts that differ.
    """

    models: tuple[Compared, ...]
    groups: tuple[tuple[str, tuple[Line, ...]], ...]
    differences: int


def compared(models: Sequence[tuple[CatalogModel, ModelInfo | None]], seen: Seen) -> Comparison:
    """Put models side by side."""
    names = [model.name for model, _ in models]
    heads = tuple(
        Compared(
            model.name,
            model.display_name,
            model_address(model.name),
            compare_address(name for name in names if name != model.name),
            marks_of(model, record, seen),
        )
        for model, record in models
    )
    groups = [("On this machine", _machine_lines(models, seen))]
    groups += [(name, tuple(_lines(name, models))) for name in GROUPS]
    kept = tuple((name, lines) for name, lines in groups if lines)
    return Comparison(heads, kept, sum(line.differs for _, lines in kept for line in lines))


def _lines(group: str, models: Sequence[tuple[CatalogModel, ModelInfo | None]]) -> Sequence[Line]:
    found = []
    for fact in GROUPS[group]:
        shown = [shown_of(fact, model, record) for model, record in models]
        cells = tuple(Cell((), False) if one is None else Cell(one.texts, True, one.kind) for one in shown)
        if any(cell.texts for cell in cells):
            found.append(_line(fact.label, cells))
    return found


def _machine_lines(models: Sequence[tuple[CatalogModel, ModelInfo | None]], seen: Seen) -> tuple[Line, ...]:
    verdicts = [seen.verdict(model, record) for model, record in models]
    needs = [Cell(() if one.need_bytes is None else (size_text(one.need_bytes),)) for one in verdicts]
    fits = [Cell((text,) if (text := fits_text(one)) else ()) for one in verdicts]
    here = [Cell(("yes" if seen.path(record) else "no",)) for _, record in models]
    rows = (("Memory needed", needs), ("Fits", fits), ("Files are here", here))
    return tuple(_line(label, tuple(cells)) for label, cells in rows)


def _line(label: str, cells: tuple[Cell, ...]) -> Line:
    """Judge a line: lists are the same whatever their order, and what is not known differs from nothing."""
    values = {frozenset(cell.texts) for cell in cells if cell.texts}
    return Line(label, cells, len(values) > 1 and label not in _ALWAYS_DIFFERENT)
