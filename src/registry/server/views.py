"""What the list of models shows: store, records and machine in, plain values for the template out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from registry.server.addresses import FACETS, PAGE_SIZE, Asked, model_address
from registry.server.figures import count_text, license_text, parameters_text, size_text, type_text

if TYPE_CHECKING:
    from registry.catalog import CatalogModel, ValueCount
    from registry.records import ModelInfo
    from registry.server.this_machine import Seen, State, Verdict

# Up to so many values a facet is a list of boxes, up to so many a menu, and beyond that a field with suggestions.
_MOST_BOXES = 12
_MOST_CHOICES = 300
_FACET_LABELS = {
    "type": "Type",
    "family": "Family",
    "capability": "Capability",
    "tag": "Tag",
    "language": "Language",
    "license": "Licence",
}
_ALL_OF = ("capability", "tag", "language")
_SIZES = ("1GB", "2GB", "4GB", "8GB", "16GB", "24GB", "32GB", "64GB", "128GB")
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


class Option(NamedTuple):
    """A value that can be chosen.

    Attributes:
        value: As the address has it.
        label: As people read it.
        models: How many models have it; `None`: not counted.
        chosen: True where it is asked for.
    """

    value: str
    label: str
    models: int | None
    chosen: bool


class Facet(NamedTuple):
    """A condition that can be chosen.

    Attributes:
        name: As the address has it.
        label: As people read it.
        style: `boxes`, `menu` or `field`, by the number of values.
        rule: How several values count: `any of`, or `all of`.
        options: The values.
        chosen: Those that are asked for, listed or not.
    """

    name: str
    label: str
    style: Literal["boxes", "menu", "field"]
    rule: str
    options: tuple[Option, ...]
    chosen: tuple[str, ...]


class Chip(NamedTuple):
    """A condition that holds, and the address of the list without it."""

    label: str
    href: str


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
# Orders of the menu: name of the order of the store -> how it is called, and how with the largest first.
_SORTS = {
    "name": ("Name", ""),
    "parameters": ("Parameters, fewest first", "Parameters, most first"),
    "context": ("Context, shortest first", "Context, longest first"),
    "dim": ("Dimension, smallest first", "Dimension, largest first"),
    "size": ("Size, smallest first", "Size, largest first"),
    "released": ("Release, oldest first", "Release, newest first"),
    "created": ("Added, oldest first", "Added, newest first"),
    "updated": ("Changed, oldest first", "Changed, newest first"),
}


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
        marks=marks_of(record, seen),
    )


def size_of(model: CatalogModel) -> str | None:
    """Give the number of parameters as it is published, else as it is counted."""
    return model.model_size or (None if model.parameters is None else parameters_text(model.parameters))


def fits_text(verdict: Verdict) -> str:
    """Say in a few words whether a model fits."""
    return "" if verdict.state == "unknown" and verdict.need_bytes is None else STATES[verdict.state]


def marks_of(record: ModelInfo | None, seen: Seen) -> tuple[tuple[str, str], ...]:
    """Give what is said beside a model's name: kind and words."""
    said = (
        ("recommended", "Recommended", record is not None and record.recommended),
        ("deprecated", "Deprecated", record is not None and record.deprecated),
        ("successor", "Has a successor", record is not None and record.superseded_by is not None),
        ("here", "On this machine", seen.path(record) is not None),
        ("own", "Your own", record is None),
    )
    return tuple((kind, words) for kind, words, holds in said if holds)


def facet_of(name: str, values: Sequence[ValueCount], asked: Asked) -> Facet:
    """Give a condition with the values that models have; of very many those that most models have."""
    chosen: tuple[str, ...] = getattr(asked, name)
    folded = {value.casefold() for value in chosen}
    style: Literal["boxes", "menu", "field"] = (
        "boxes" if len(values) <= _MOST_BOXES else "menu" if len(values) <= _MOST_CHOICES else "field"
    )
    if style == "field":
        values = sorted(values, key=lambda value: (-value.models, value.value))[:_MOST_CHOICES]
    options = tuple(
        Option(value.value, _label(name, value.value), value.models, value.value.casefold() in folded)
        for value in values
    )
    if style != "field":
        options = tuple(sorted(options, key=lambda option: option.label.casefold()))
    rule = "all of" if name in _ALL_OF else "any of"
    return Facet(name, _FACET_LABELS[name], style, rule, options, chosen)


def sizes_of(asked: Asked) -> tuple[Option, ...]:
    """Give the amounts of memory to choose from, with the one that is asked for."""
    listed = [Option(size, f"at most {size.replace('GB', ' GB')}", None, size == asked.max_ram) for size in _SIZES]
    if asked.max_ram and asked.max_ram not in _SIZES:
        listed.append(Option(asked.max_ram, f"at most {size_text(asked.max_ram_bytes or 0)}", None, True))
    return tuple(listed)


def sorts_of(asked: Asked, sorts: Iterable[str]) -> tuple[Option, ...]:
    """Give the orders to choose from, with the one that holds."""
    orders = {"": "Best match" if asked.search else "Name"}
    for name, (first, second) in _SORTS.items():
        if name in sorts:
            orders |= {f"-{name}": second} if second else {}
            orders |= {name: first} if name != "name" or asked.search else {}
    orders.setdefault(
        asked.sort, f"{asked.sort.removeprefix('-').capitalize()}{', Z to A' * asked.sort.startswith('-')}"
    )
    return tuple(Option(value, label, None, value == asked.sort) for value, label in orders.items())


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


def chips_of(asked: Asked) -> tuple[Chip, ...]:
    """Give what narrows the list, each with the address of the list without it."""
    found = [Chip(f"“{asked.search}”", asked.without("search", asked.search))] if asked.search else []
    for name in FACETS:
        values = getattr(asked, name)
        found += [Chip(f"{_FACET_LABELS[name]}: {_label(name, one)}", asked.without(name, one)) for one in values]
    if asked.max_ram_bytes is not None:
        found.append(Chip(f"Memory: at most {size_text(asked.max_ram_bytes)}", asked.without("max_ram", asked.max_ram)))
    for name, label in (("fits", "Fits this machine"), ("here", "On this machine")):
        if getattr(asked, name):
            found.append(Chip(label, asked.without(name, "")))
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


def _label(name: str, value: str) -> str:
    if name == "type":
        return type_text(value) or value
    return license_text(value) if name == "license" else value


def _written(text: Any, value: Any) -> str:
    return "" if value is None else text(value)
