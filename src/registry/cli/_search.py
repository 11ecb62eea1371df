"""Models that have all words of a query, the best match first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.records import ModelInfo

# What a word counts where it is found: as the whole, at the beginning of a word, within one.
_WHOLE, _BEGINS, _WITHIN = 4, 2, 1
# Where it is looked for, and what that place counts.
_ID, _NAME, _GROUP, _TAGS, _DESCRIPTION = 16, 8, 6, 4, 1


def ranked(records: Iterable[ModelInfo], query: str) -> list[ModelInfo]:
    """Give the records that have every word of a query, best match first; equal ones in their order."""
    words = query.casefold().split()
    scored = [(record, _score(record, words)) for record in records]
    return [record for record, score in sorted(scored, key=lambda each: -each[1]) if score]


def _score(record: ModelInfo, words: list[str]) -> int:
    places = (
        (" ".join((record.id, *record.aliases)), _ID),
        (f"{record.name} {record.huggingface_id}", _NAME),
        (f"{record.family or ''} {record.organization} {record.model_type}", _GROUP),
        (" ".join((*record.tags, *record.capabilities, *record.languages)), _TAGS),
        (record.description, _DESCRIPTION),
    )
    folded = [(text.casefold(), weight) for text, weight in places]
    scores = [max(weight * _match(word, text) for text, weight in folded) for word in words]
    return sum(scores) if all(scores) else 0


def _match(word: str, text: str) -> int:
    if word not in text:
        return 0
    if word in text.split():
        return _WHOLE
    parts = text.replace("-", " ").replace("_", " ").replace("/", " ").split()
    if any(part.startswith(word) for part in parts) or any(part.startswith(word) for part in text.split()):
        return _BEGINS
    return _WITHIN
