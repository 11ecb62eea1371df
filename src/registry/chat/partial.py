"""Markers in a text: where they are, and how much of its end may be the beginning of one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any


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


@lru_cache(maxsize=8)
def pattern_of(markers: tuple[str, ...]) -> re.Pattern[str]:
    """Make a pattern that finds the longest of many markers; of none, one that finds nothing.

    It is written as a tree: in a list of alternatives each `<` of a text would be held to thousands of them.
    """
    tree: dict[str, Any] = {}
    for text in filter(None, markers):
        branch = tree
        for character in text:
            branch = branch.setdefault(character, {})
        branch[""] = {}
    return re.compile(_alternatives(tree) or "(?!)")


def _alternatives(tree: dict[str, Any]) -> str:
    ways = [re.escape(character) + _alternatives(branch) for character, branch in tree.items() if character]
    if not ways:
        return ""
    return f"(?:{'|'.join(ways)})" + "?" * ("" in tree)
