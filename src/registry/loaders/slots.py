"""The book that a manager keeps of each model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from registry.loaders._load import LoadedModel
    from registry.loaders.options import LoadOptions
    from registry.records import ModelInfo


class Wanted(NamedTuple):
    """What a caller asks for."""

    record: ModelInfo
    options: LoadOptions
    path: Path | None


@dataclass(eq=False)
class Slot:
    """A model that is loaded, or that somebody is loading.

    Attributes:
        stands_in_for: Larger models that this one is lent for.
        has_room: True when the limits of the manager count it: from before it is loaded.
        in_need_since: When it began to wait for room, while it does.
        leaving: True while it is being closed.
        holders: Threads that use it, and how often.
    """

    wanted: Wanted
    requested_id: str
    stands_in_for: list[Wanted] = field(default_factory=list)
    handle: LoadedModel | None = None
    has_room: bool = False
    bytes: int = 0
    in_need_since: float | None = None
    leaving: bool = False
    holders: Counter[int] = field(default_factory=Counter)
    last_used: int = 0

    @property
    def is_ready(self) -> bool:
        """True when it can be lent."""
        return self.handle is not None and not self.leaving

    @property
    def is_idle(self) -> bool:
        """True when nobody uses it."""
        return self.is_ready and not self.holders.total()

    @property
    def ids(self) -> set[str]:
        """Ids of the records that it is lent for."""
        return {self.wanted.record.id, *(wanted.record.id for wanted in self.stands_in_for)}
