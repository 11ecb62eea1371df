"""Which texts are encoded together, and whose vectors are whose."""

import asyncio

import numpy as np
import pytest

from registry.cluster.batching import Part, encode_together
from registry.errors import InvalidInputError
from registry.server.v1.embeddings import EmbeddingWork, Encoded

LIMIT = 3


class Encoder:
    """Gives each text its length as its vector, reads three letters of it, and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[EmbeddingWork] = []

    async def __call__(self, work: EmbeddingWork) -> Encoded:
        self.asked.append(work)
        if "bad" in work.texts:
            raise InvalidInputError("texts", "expected another text.")
        counts = tuple(map(len, work.texts))
        cut = tuple(place for place, count in enumerate(counts) if count > LIMIT)
        return Encoded(np.array([[float(count)] for count in counts]), counts, cut, LIMIT)


def together(encode: Encoder, *works: EmbeddingWork) -> list[Part]:
    return asyncio.run(encode_together(works, encode))


def rows(part: Part) -> list[float]:
    (encoded,) = part.pieces
    return encoded.vectors[:, 0].tolist()


def test_texts_of_one_prompt_are_encoded_in_one_go_and_each_request_gets_its_own() -> None:
    encode = Encoder()
    parts = together(encode, EmbeddingWork(("a", "bb")), EmbeddingWork(("ccc",), "query"), EmbeddingWork(("d",)))

    assert encode.asked == [EmbeddingWork(("a", "bb", "d")), EmbeddingWork(("ccc",), "query")]
    assert [rows(part) for part in parts] == [[1, 2], [3], [1]]


def test_positions_of_cut_texts_are_those_within_the_request() -> None:
    first, second = together(Encoder(), EmbeddingWork(("a", "long")), EmbeddingWork(("b", "c", "longer")))

    assert (first.pieces[0].truncated, second.pieces[0].truncated) == ((1,), (2,))
    assert (first.pieces[0].tokens, second.pieces[0].tokens) == (1 + LIMIT, 2 + LIMIT)


def test_text_that_must_not_be_cut_fails_its_own_request_only() -> None:
    first, second = together(Encoder(), EmbeddingWork(("a", "long"), cuts=False), EmbeddingWork(("longer",)))

    expected = "`input[1]`: expected at most 3 tokens, got 4. Split it, or leave `truncate` out."
    assert (str(first.error), first.pieces) == (expected, ())
    assert rows(second) == [6]


def test_go_that_fails_is_done_again_request_by_request() -> None:
    encode = Encoder()
    first, second = together(encode, EmbeddingWork(("a",)), EmbeddingWork(("bad",)))

    assert rows(first) == [1]
    assert isinstance(second.error, InvalidInputError)
    assert [work.texts for work in encode.asked] == [("a", "bad"), ("a",), ("bad",)]


def test_request_that_came_alone_is_encoded_as_it_is() -> None:
    encode = Encoder()
    (part,) = together(encode, EmbeddingWork(("long",), "query", cuts=False))

    assert encode.asked == [EmbeddingWork(("long",), "query", cuts=False)]
    assert rows(part) == [4]


@pytest.mark.parametrize("count", [1, 5])
def test_parts_come_in_the_order_of_the_requests(count: int) -> None:
    works = [EmbeddingWork(("x" * number,), ("query", None)[number % 2]) for number in range(1, count + 1)]

    assert [rows(part) for part in together(Encoder(), *works)] == [[number] for number in range(1, count + 1)]
