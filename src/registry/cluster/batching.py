"""Texts of several requests encoded together: which go together, and whose vectors are whose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from registry.server.v1.embeddings import EmbeddingWork, Encoded

if TYPE_CHECKING:
    from typing import TypeAlias

    Encode: TypeAlias = Callable[[EmbeddingWork], Awaitable[Encoded]]


class Part(NamedTuple):
    """What a replica sends of an answer.

    Attributes:
        pieces: Pieces of the answer, in order. None: the replica has taken the request, and nothing is made yet.
        error: What ended the answer. Sent as a value, because Ray would wrap an error that is raised.
        lacks_adapter: True where this replica does not have the adapter of the request: another one may.
    """

    pieces: Sequence[Any] = ()
    error: Exception | None = None
    lacks_adapter: bool = False


async def encode_together(works: Sequence[EmbeddingWork], encode: Encode) -> list[Part]:
    """Encode the texts of several requests, those with the same prompt in one go, and give each its own.

    A request that cannot be answered does not take the others with it: where a go fails, each of it is done alone.

    Args:
        works: The requests.
        encode: Encodes texts.

    Returns:
        One part with one piece, or an error, for each request.
    """
    groups: defaultdict[str | None, list[int]] = defaultdict(list)
    for number, work in enumerate(works):
        groups[work.kind].append(number)
    parts: dict[int, Part] = {}
    for numbers in groups.values():
        parts |= zip(numbers, await _encode_group([works[number] for number in numbers], encode), strict=True)
    return [parts[number] for number in range(len(works))]


async def _encode_group(works: list[EmbeddingWork], encode: Encode) -> list[Part]:
    if len(works) == 1:
        return [await _encode_alone(works[0], encode)]
    joined = EmbeddingWork(tuple(text for work in works for text in work.texts), works[0].kind)
    try:
        encoded = await encode(joined)
    except Exception:  # whose fault it is, and what it is, shows when each is done alone
        return [await _encode_alone(work, encode) for work in works]
    return list(_taken_apart(works, encoded))


async def _encode_alone(work: EmbeddingWork, encode: Encode) -> Part:
    try:
        return Part((await encode(work),))
    except Exception as error:  # it is told to who asked
        return Part(error=error)


def _taken_apart(works: Iterable[EmbeddingWork], encoded: Encoded) -> Iterable[Part]:
    start = 0
    for work in works:
        stop = start + len(work.texts)
        own = encoded.part(start, stop)
        start = stop
        try:
            if not work.cuts:
                own.refuse_cut()
        except Exception as error:
            yield Part(error=error)
        else:
            yield Part((own,))
