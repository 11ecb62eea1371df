"""What the list of models shows: store, records and machine in, plain values for the template out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from registry.server.web.addresses import PAGE_SIZE, Asked, model_address
from registry.server.web.figures import count_text, license_text, parameters_text, size_text, type_text

if TYPE_CHECKING:
    from registry.catalog import CatalogModel
    from registry.records import ModelInfo
    from registry.server.web.narrowing import Chip, Facet, Option
    from registry.server.web.this_machine import Seen, State, Verdict

STATES: Mapping[State, str] = {
    "fits": "fits",
    "tight": "fits if memory is freed",
    "large": "too large",
    "unknown": "not known",
}


class Row(NamedTuple):
    """One model of the list; texts are empty where something is not known.

    Attributes:
        state: Whether it fits this machine.
        fits: The same in words.
        reason: The same as a sentence.
        marks: What is said beside its name: kind and words.
    """

    name: str
    title: str
    href: str
    publisher: str
    type: str
    parameters: str
    context: str
    dim: str
    size: str
    memory: str
    license: str
    state: State
    fits: str
    reason: str
    marks: tuple[tuple[str, str], ...]


class Column(NamedTuple):
    """A column of the list.

    Attributes:
        key: Name of the values.
        label: Heading.
        number: True where it holds numbers.
        href: Address of the list sorted by it; empty where it cannot be.
        order: `ascending`, `descending` or `none`, as `aria-sort` has it.
    """

    key: str
    label: str
    number: bool
    href: str = ""
    order: str = "none"


class PageLink(NamedTuple):
    """A page of the list; number 0 is a gap."""

    number: int
    href: str
    here: bool


class ListView(NamedTuple):
    """The page with the list.

    Attributes:
        total: Models that are like this, on all pages.
        first: Place of the first one shown, from 1; 0 where there is none.
        note: What has to be known of how they were found.
    """

    asked: Asked
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    facets: tuple[Facet, ...]
    sizes: tuple[Option, ...]
    sorts: tuple[Option, ...]
    chips: tuple[Chip, ...]
    pages: tuple[PageLink, ...]
    total: int
    first: int
    all_models: int
    machine: str
    note: str = ""

    @property
    def last(self) -> int:
        """Place of the last one shown."""
        return max(self.first - 1, 0) + len(self.rows)

    @property
    def last_page(self) -> int:
        """Number of the last page, from 1."""
        return max(1, -(-self.total // PAGE_SIZE))


# Column -> heading, name of the order of the store, and whether it holds numbers, which are sorted the largest first.
_COLUMNS = (
    ("model", "Model", "name", False),
    ("type", "Type", "type", False),
    ("parameters", "Params", "parameters", True),
    ("context", "Context", "context", True),
    ("dim", "Dim", "dim", True),
    ("size", "Size", "size", True),
    ("memory", "Memory", "", True),
    ("license", "Licence", "license", False),
)


def row_of(model: CatalogModel, record: ModelInfo | None, seen: Seen) -> Row:
    """Give the row of a model."""
    verdict = seen.verdict(model, record)
    return Row(
        name=model.name,
        title=model.display_name,
        href=model_address(model.name),
        publisher=model.organization or "",
        type=type_text(model.type) or "",
        parameters=size_of(model) or "",
        context=_written(count_text, model.context_length),
        dim=_written(count_text, model.embedding_dim),
        size=_written(size_text, model.file_size_bytes),
        memory=_written(size_text, verdict.need_bytes),
        license=_written(license_text, model.license),
        state=verdict.state,
        fits=fits_text(verdict),
        reason=verdict.reason,
        marks=marks_of(model, record, seen),
    )


def size_of(model: CatalogModel) -> str | None:
    """Give the number of parameters as it is published, else as it is counted."""
    return model.model_size or (None if model.parameters is None else parameters_text(model.parameters))


def fits_text(verdict: Verdict) -> str:
    """Say in a few words whether a model fits."""
    return "" if verdict.state == "unknown" and verdict.need_bytes is None else STATES[verdict.state]


def marks_of(model: CatalogModel, record: ModelInfo | None, seen: Seen) -> tuple[tuple[str, str], ...]:
    """Give what is said beside a model's name: kind and words."""
    said = (
        ("recommended", "Recommended", record is not None and record.recommended),
        ("deprecated", "Deprecated", record is not None and record.deprecated),
        ("successor", "Has a successor", record is not None and record.superseded_by is not None),
        ("here", "On this machine", seen.path(record) is not None),
        ("own", "Your own", model.source == "user"),
    )
    return tuple((kind, words) for kind, words, holds in said if holds)


def columns_of(asked: Asked, sorts: Sequence[str]) -> tuple[Column, ...]:
    """Give the columns; a heading sorts by its column, and the other way round when it does already."""
    found = []
    for key, label, sort, number in _COLUMNS:
        if sort not in sorts:
            found.append(Column(key, label, number))
            continue
        first, second = (f"-{sort}", sort) if number else (sort, f"-{sort}")
        order = {sort: "ascending", f"-{sort}": "descending"}.get(asked.sort, "none")
        href = asked.address(sort=second if asked.sort == first else first)
        found.append(Column(key, label, number, href, order))
    return tuple(found)


def pages_of(asked: Asked, total: int) -> tuple[PageLink, ...]:
    """Give the pages: the first, the last and those around the one that is shown."""
    last = max(1, -(-total // PAGE_SIZE))
    if last == 1 and asked.page == 1:
        return ()
    wanted = sorted({1, last, *range(max(1, asked.page - 1), min(last, asked.page + 1) + 1)})
    found: list[PageLink] = []
    for number in wanted:
        if found and number > found[-1].number + 1:
            found.append(PageLink(0, "", False))
        found.append(PageLink(number, asked.address(page=number), number == asked.page))
    return tuple(found)


def machine_text(seen: Seen) -> str:
    """Say in a line what memory this machine has."""
    machine = seen.machine
    if machine.ram_total_bytes is None or machine.ram_available_bytes is None:
        return "does not tell its memory"
    gpus = "".join(f", {gpu.name}" for gpu in machine.gpus)
    return f"{size_text(machine.ram_available_bytes)} of {size_text(machine.ram_total_bytes)} memory available{gpus}"


def _written(text: Any, value: Any) -> str:
    return "" if value is None else text(value)
