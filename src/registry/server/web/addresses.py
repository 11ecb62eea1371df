"""The list of models as its address says: what is asked for, and the addresses of what else could be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from registry._settings import parse_size

if TYPE_CHECKING:
    from collections.abc import Sequence

# Those that name a field of the store, in the order of the page.
FACETS = ("type", "family", "capability", "tag", "language", "license")
PAGE_SIZE = 50
_LONGEST_TEXT = 200
_MOST_VALUES = 20
_MOST_PAGES = 10**6
_LONGEST_SIZE = 20
_MOST_BYTES = 2**62  # more than SQLite can compare with means the same


@dataclass(frozen=True)
class Asked:
    """What the address of the list asks for.

    Attributes:
        search: Words.
        type: Types, any of them.
        family: Families, any of them.
        capability: Capabilities, all of them.
        tag: Tags, all of them.
        language: Languages, all of them.
        license: Licences, any of them.
        max_ram: Most memory that a model may need, as it was written: `8GB`.
        fits: True for what fits this machine now.
        here: True for what is on this machine.
        sort: How to sort, `-` in front for descending; empty: as the store does by itself.
        page: Number of the page, from 1.
    """

    search: str = ""
    type: tuple[str, ...] = ()
    family: tuple[str, ...] = ()
    capability: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    license: tuple[str, ...] = ()
    max_ram: str = ""
    fits: bool = False
    here: bool = False
    sort: str = ""
    page: int = 1

    @property
    def max_ram_bytes(self) -> int | None:
        """Most memory in bytes; `None` where nothing is asked for."""
        return _size(self.max_ram)

    @property
    def needs_machine(self) -> bool:
        """True where this machine decides, not the store alone."""
        return self.fits or self.here or self.max_ram_bytes is not None

    @property
    def is_narrowed(self) -> bool:
        """True where anything leaves models out."""
        return replace(self, sort="", page=1) != Asked()

    def address(self, **changes: Any) -> str:
        """Give the address of the list with these changes. Another question begins at its first page."""
        asked = replace(self, **({"page": 1} | changes))
        pairs = [(field.name, text) for field in fields(asked) for text in _written(getattr(asked, field.name))]
        return f"/?{urlencode(pairs)}" if pairs else "/"

    def without(self, name: str, value: str) -> str:
        """Give the address of the same list with one condition less."""
        given = getattr(self, name)
        if isinstance(given, tuple):
            return self.address(**{name: tuple(one for one in given if one != value)})
        return self.address(**{name: type(given)()})


def asked_of(pairs: Iterable[tuple[str, str]], sorts: Sequence[str]) -> Asked:
    """Read what an address asks for. What cannot be is passed over: an address is typed, cut and pasted by people.

    Args:
        pairs: Names and values, in the order of the address.
        sorts: How can be sorted.
    """
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        given.setdefault(name, []).append(text.strip())
    facets = {name: tuple(dict.fromkeys(filter(None, given.get(name, ()))))[:_MOST_VALUES] for name in FACETS}
    sort, max_ram = _last(given, "sort"), _last(given, "max_ram")
    return Asked(
        search=_last(given, "search")[:_LONGEST_TEXT],
        max_ram=max_ram if _size(max_ram) is not None else "",
        fits=_last(given, "fits") == "1",
        here=_last(given, "here") == "1",
        sort=sort if sort.removeprefix("-") in sorts else "",
        page=_page(_last(given, "page")),
        **facets,
    )


def is_tidy(pairs: Iterable[tuple[str, str]]) -> bool:
    """True unless an address holds what an untouched field of a form leaves there."""
    return all(text.strip() for _, text in pairs)


def model_address(name: str) -> str:
    """Give the address of a model's page."""
    return f"/models/{quote(name, safe='')}"


def compare_address(names: Iterable[str], **more: str) -> str:
    """Give the address of the page that has these models side by side."""
    pairs = [("model", name) for name in names] + [(name, text) for name, text in more.items() if text]
    return f"/compare?{urlencode(pairs)}" if pairs else "/compare"


def _last(given: Mapping[str, list[str]], name: str) -> str:
    return given.get(name, [""])[-1]


def _page(text: str) -> int:
    return min(max(int(text), 1), _MOST_PAGES) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def _size(text: str) -> int | None:
    size = parse_size(text) if len(text) <= _LONGEST_SIZE else None  # a longer one may be more than a float holds
    return None if size is None else min(size, _MOST_BYTES)


def _written(value: Any) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("1",) if value else ()
    if isinstance(value, int):
        return (str(value),) if value > 1 else ()
    return value if isinstance(value, tuple) else (value,) if value else ()
