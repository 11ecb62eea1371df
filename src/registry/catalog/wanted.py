"""What a search looks for, as the index of words and the tables are asked."""

from __future__ import annotations

from dataclasses import dataclass

from registry.catalog.filters import Filters
from registry.catalog.words import all_of


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
