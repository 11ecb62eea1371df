"""Texts that come in: checked, counted, and put into batches of about the same number of tokens."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from registry.errors import InvalidInputError


class TruncationWarning(UserWarning):
    """Texts were longer than the model reads, and were cut."""


def check_texts(texts: Sequence[str], place: str = "texts") -> list[str]:
    """Give the texts as a list.

    Raises:
        InvalidInputError: It is one string, or one of them is no string or cannot be encoded as UTF-8.
    """
    if isinstance(texts, str | bytes | Mapping | AbstractSet) or not hasattr(texts, "__iter__"):
        raise InvalidInputError(place, f"expected a list of strings, got {_shown(texts)}. Write it as `[text]`.")
    checked = list(texts)
    for index, text in enumerate(checked):
        check_text(text, f"{place}[{index}]")
    return checked


def check_text(text: object, place: str) -> None:
    """Refuse what is no text.

    Raises:
        InvalidInputError: It is no string or cannot be encoded as UTF-8.
    """
    if not isinstance(text, str):
        raise InvalidInputError(place, f"expected a string, got {_shown(text)}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            place,
            f"expected text, got half of a surrogate pair ({text[error.start]!r}) at character {error.start}. "
            'Decode the source again, or replace it with `text.encode("utf-8", "replace").decode()`.',
        ) from None


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Put texts of like lengths together, longest first, so that no batch has more tokens than the budget.

    Padding counts: a batch has as many tokens as its longest text, times its texts. A text longer than the budget is a
    batch of its own.

    Yields:
        Positions of the texts of a batch.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def cut_texts(counts: Sequence[int], limit: int | None, model_id: str, what: str = "texts") -> tuple[int, ...]:
    """Give the positions of texts that do not fit, and warn about them."""
    cut = tuple(index for index, count in enumerate(counts) if limit is not None and count > limit)
    if cut:
        warnings.warn(
            f"{len(cut)} of {len(counts)} {what} are longer than the {limit} tokens that `{model_id}` reads and were "
            f"cut; the longest has {max(counts)}. Split them, or look at `.truncated` of the result.",
            TruncationWarning,
            stacklevel=_depth_of_caller(),
        )
    return cut


def _depth_of_caller() -> int:
    """Give the number of frames between `warnings.warn` and the first one outside this package."""
    import sys

    depth, frame = 1, sys._getframe(1)
    package = __name__.rpartition(".")[0]
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith((package, "contextlib")):
        depth, frame = depth + 1, frame.f_back
    return depth


def _shown(value: object) -> str:
    return "None" if value is None else f"one {type(value).__name__}" if isinstance(value, str | bytes) else repr(value)
