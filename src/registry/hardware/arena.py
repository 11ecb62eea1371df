"""Where llama.cpp puts intermediate results in its compute buffer: the allocator of ggml-alloc.c, step by step.

The buffer is laid out once, for the largest batch and a full context. Later, smaller graphs keep those places and
fill less of each: what is never written stays untouched, and takes no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_ALIGNMENT = 32
_PAGE = 4096
_ENDLESS = 2**62


@dataclass
class Result:
    """One intermediate result, or an input.

    What others see through a view counts as the result itself.

    Attributes:
        size: Its bytes.
        sources: The results that it is computed from.
        in_place: True where it may be written over the first of its sources that nobody else needs.
        is_input: True where it is put there before anything is computed.
        written: False for an input that is set aside and never used.
        kept: True where its place is never given to another.
    """

    size: int
    sources: tuple[Result, ...] = ()
    in_place: bool = False
    is_input: bool = False
    written: bool = True
    kept: bool = False
    readers: int = field(default=0, repr=False)
    offset: int = field(default=-1, repr=False)
    owned: bool = field(default=True, repr=False)


class _Free:
    """The free blocks of the buffer, by address; the last one has no end."""

    def __init__(self) -> None:
        self.blocks: list[list[int]] = [[0, _ENDLESS]]
        self.size = 0

    def take(self, size: int) -> int:
        """Take the smallest block that is large enough, of equal ones the last; the end only if there is none."""
        fitting = [block for block in self.blocks[:-1] if block[1] >= size]
        best = min(reversed(fitting), key=lambda block: block[1]) if fitting else self.blocks[-1]
        offset = best[0]
        best[0] += size
        best[1] -= size
        if not best[1]:
            self.blocks.remove(best)
        self.size = max(self.size, offset + size)
        return offset

    def give(self, offset: int, size: int) -> None:
        """Give a block back, and join it with its neighbours."""
        place = next((i for i, block in enumerate(self.blocks) if block[0] > offset), len(self.blocks))
        self.blocks.insert(place, [offset, size])
        for i in (place, place - 1):
            if 0 <= i < len(self.blocks) - 1 and sum(self.blocks[i]) == self.blocks[i + 1][0]:
                self.blocks[i][1] += self.blocks.pop(i + 1)[1]


def lay_out(results: Sequence[Result]) -> int:
    """Give each result its place, in the order in which they are computed.

    Returns:
        Size of the buffer.
    """
    free = _Free()
    for result in results:
        for source in result.sources:
            source.readers += 1
    for result in results:
        if result.is_input:
            result.offset = free.take(_padded(result.size))
    for result in results:
        if not result.is_input:
            result.offset = _place(result, free)
            for source in result.sources:
                _release(source, free)
    return free.size


def touched(results: Sequence[Result], sizes: Sequence[int]) -> int:
    """Give the bytes of the pages that get written when the results have these sizes instead of the largest."""
    spans = sorted(
        (result.offset // _PAGE, -(-(result.offset + size) // _PAGE))
        for result, size in zip(results, sizes, strict=True)
        if result.written and size
    )
    pages = end = 0
    for begin, stop in spans:
        pages += max(0, stop - max(begin, end))
        end = max(end, stop)
    return pages * _PAGE


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _place(result: Result, free: _Free) -> int:
    if result.in_place:
        for source in result.sources:
            if source.readers == 1 and source.owned and source.size == result.size and not source.kept:
                source.owned = False
                return source.offset
    return free.take(_padded(result.size))


def _release(source: Result, free: _Free) -> None:
    source.readers -= 1
    if not source.readers and source.owned and not source.kept:
        free.give(source.offset, _padded(source.size))
