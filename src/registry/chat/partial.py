"""The end of a text that may be the beginning of a marker."""

from __future__ import annotations

from collections.abc import Iterable


class Tail:
    """Finds how much of a text's end must be held back, because what comes next may make a marker of it."""

    def __init__(self, markers: Iterable[str]) -> None:
        self._beginnings = frozenset(marker[:length] for marker in markers for length in range(1, len(marker)))
        self._longest = max(map(len, self._beginnings), default=0)

    def start(self, text: str, place: int = 0) -> int:
        """Give the place from `place` on where the longest such end begins; the length of the text if there is none."""
        end = len(text)
        for begin in range(max(place, end - self._longest), end):
            if text[begin:] in self._beginnings:
                return begin
        return end
