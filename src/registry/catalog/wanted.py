"""What a search looks for, as the index of words and the tables are asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from registry.catalog.fields import MAX_INTEGER
from registry.catalog.filters import Filters, Given, filters_of
from registry.catalog.words import all_of, words_query
from registry.errors import InvalidFieldError


@dataclass(frozen=True)
class Wanted:
    """A search that may find something.

    Attributes:
        words: Query for the text; `None`: no text.
        filters: The filters.
        max_ram_bytes: Limit of the memory needed, if any.
    """

    words: str | None
    filters: Filters
    max_ram_bytes: int | None

    @property
    def query(self) -> str | None:
        """What the index of words is asked for; `None`: for nothing, as every model passes."""
        return all_of(self.words, *self.filters.queries)


def wanted_of(
    connection: sqlite3.Connection, text: str, given: Mapping[str, Given], max_ram_bytes: int | None
) -> Wanted | None:
    """Give what is looked for, or `None` where nothing can be found.

    Raises:
        InvalidFieldError: The limit of memory is no size.
    """
    check_count("max_ram_bytes", max_ram_bytes)
    filters = filters_of(connection, given)
    words = words_query(connection, text) if text.strip() else None
    if filters is None or (words is None and text.strip()):
        return None
    return Wanted(words, filters, max_ram_bytes)


def check_count(name: str, number: int | None) -> None:
    """Refuse what is no number of things; `None` passes.

    Raises:
        InvalidFieldError: It is none.
    """
    if number is None:
        return
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_INTEGER:
        raise InvalidFieldError(name, f"a whole number from 0 to {MAX_INTEGER}", number)
