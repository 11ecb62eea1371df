"""What narrows the list and orders it: the values to choose from, and the conditions that hold. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from registry.server.web.addresses import FACETS, Asked
from registry.server.web.figures import license_text, size_text, type_text

if TYPE_CHECKING:
    from registry.catalog import ValueCount

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


def choices_of(values: Sequence[ValueCount]) -> Sequence[ValueCount]:
    """Give the values to choose from: all, or of very many those that most models have, one more than are shown."""
    if len(values) <= _MOST_CHOICES:
        return values
    return heapq.nsmallest(_MOST_CHOICES + 1, values, key=lambda value: (-value.models, value.value))


def facet_of(name: str, values: Sequence[ValueCount], asked: Asked) -> Facet:
    """Give a condition with the values to choose from, as `choices_of` gives them."""
    chosen: tuple[str, ...] = getattr(asked, name)
    folded = {value.casefold() for value in chosen}
    style: Literal["boxes", "menu", "field"] = (
        "boxes" if len(values) <= _MOST_BOXES else "menu" if len(values) <= _MOST_CHOICES else "field"
    )
    options = tuple(
        Option(value.value, _label(name, value.value), value.models, value.value.casefold() in folded)
        for value in values[:_MOST_CHOICES]
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


def _label(name: str, value: str) -> str:
    if name == "type":
        return type_text(value) or value
    return license_text(value) if name == "license" else value
