"""`/v1/embeddings`: texts to vectors, in the shape of OpenAI's API."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import to_json

from registry.errors import InvalidInputError, UnsupportedModelError
from registry.loaders.options import check_truncation
from registry.records import DenseModel
from registry.server.answers import json_answer
from registry.server.connected import while_connected
from registry.server.v1.answers import FAILURES
from registry.server.v1.requests import AtLeast1, JsonRoute, Name, Shape, Text, client_of, items, kind_of, no_tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.loaders import DenseEncoder
    from registry.records import ModelInfo
    from registry.server.services import Services
    from registry.server.v1.calls import Working

    Vectors: TypeAlias = NDArray[Any]

_MOST_TEXTS = 2048  # as OpenAI's API
_AT_ONCE = 256  # texts that are encoded before it is looked whether the client is still there
_DIGITS = 9  # significant decimal digits that tell any two float32 apart
_SMALLEST_SHORT = 1e-13  # below, or above the next, powers of ten are not exact in float64
_LARGEST_SHORT = 1e9
_KINDS: Mapping[str | None, Literal["query", "document"] | None] = {
    None: None,
    "query": "query",
    "document": "document",
    "search_query": "query",
    "search_document": "document",
}
_UNIT = 1e-3  # how far from 1 the length of a vector may be that a model has scaled to it


Texts: TypeAlias = Annotated[
    Annotated[Text, Tag("<text>")]
    | Annotated[
        Annotated[list[Text], *items(_MOST_TEXTS), Field(min_length=1), BeforeValidator(no_tokens)], Tag("<list>")
    ],
    Discriminator(kind_of),
]


class EmbeddingRequest(Shape):
    """Texts to be encoded."""

    model: Name = Field(description="Id, alias or role of a dense embedding model; case does not matter.")
    input: Texts = Field(description="A text, or texts; none is empty.")
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="`base64`: little-endian float32, a third of the size and much faster to read."
    )
    dimensions: AtLeast1 | None = Field(None, description="Size to cut the vectors to, one that the model has.")
    input_type: Literal["query", "document", "search_query", "search_document"] | None = Field(
        None, description="Which prompt of the model goes in front. Left out: none. Not OpenAI's."
    )
    truncate: bool | None = Field(
        None, description="False: refuse texts that are longer than the model reads, instead of cutting. Not OpenAI's."
    )
    user: str | None = Field(None, description="Who asks: users of one address take turns at a model.")


class Embedding(BaseModel):
    """The vector of one text."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens that were read, with prompts and special tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The vectors, in the order of the texts."""

    object: Literal["list"]
    model: str
    data: list[Embedding]
    usage: EmbeddingUsage
    truncated: list[int] = Field(description="Positions of texts that were cut to what the model reads. Not OpenAI's.")


class Encoded(NamedTuple):
    """What a model gives.

    Attributes:
        vectors: float32 of shape (texts, dim).
        token_counts: Tokens of each text with prompt and special tokens, before anything was cut.
        truncated: Positions of texts that were cut.
        limit: Tokens that the model reads of a text; `None` for no limit.
    """

    vectors: Vectors
    token_counts: tuple[int, ...]
    truncated: tuple[int, ...]
    limit: int | None

    @property
    def tokens(self) -> int:
        """Tokens that were read."""
        return sum(min(count, self.limit or count) for count in self.token_counts)

    def part(self, start: int, stop: int) -> Encoded:
        """Give the texts from one position to another, as if they had been encoded alone."""
        truncated = tuple(index - start for index in self.truncated if start <= index < stop)
        return Encoded(self.vectors[start:stop], self.token_counts[start:stop], truncated, self.limit)

    def refuse_cut(self, place: int = 0) -> None:
        """Refuse that a text was cut.

        Args:
            place: Position of the first of these texts in the request.

        Raises:
            InvalidInputError: One was.
        """
        if self.truncated:
            first = self.truncated[0]
            limits = f"expected at most {self.limit} tokens, got {self.token_counts[first]}."
            raise InvalidInputError(f"input[{place + first}]", f"{limits} Split it, or leave `truncate` out.")


def router(services: Services) -> APIRouter:
    """Give the route."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI-compatible"], route_class=JsonRoute)
    answers: dict[int | str, dict[str, Any]] = {200: {"model": EmbeddingList, "description": "The vectors."}}

    @routes.post("/embeddings", response_model=None, responses=FAILURES | answers)
    async def create_embeddings(asked: EmbeddingRequest, request: Request) -> Response:
        """Encode texts. A model that is not loaded is loaded first."""
        serving = services.names.serving(asked.model)
        record = _dense_record(serving.record)
        check_truncation(record, asked.dimensions)
        client = client_of(request, asked.user)
        encoded = await while_connected(request, services.desks.ask(record, _work(asked), client, serving.adapter))
        # The next request has the model already while this one's vectors are written.
        body = await asyncio.to_thread(_written, encoded, record.id, asked)
        return json_answer(body)

    return routes


def _dense_record(record: ModelInfo) -> DenseModel:
    if isinstance(record, DenseModel):
        return record
    reason = f"it is of type `{record.model_type}` and does not give one vector for a text. Choose a dense model."
    raise UnsupportedModelError(record.id, reason)


@dataclass(frozen=True)
class EmbeddingWork:
    """Texts to encode: what a loaded encoder is to do, as a value that other processes can be sent.

    Attributes:
        texts: The texts.
        kind: Which prompt of the model goes in front of each.
        cuts: False to refuse a text that is longer than the model reads.
    """

    texts: tuple[str, ...]
    kind: Literal["query", "document"] | None = None
    cuts: bool = True

    def __call__(self, encoder: DenseEncoder, call: Working) -> Generator[Encoded, None, None]:
        """Give the vectors as one piece."""
        import numpy as np

        by_kind = {None: encoder.encode, "query": encoder.encode_query, "document": encoder.encode_document}
        parts: list[Encoded] = []
        for start in range(0, len(self.texts), _AT_ONCE):
            if call.is_cancelled:
                return
            made = by_kind[self.kind](self.texts[start : start + _AT_ONCE])
            parts.append(Encoded(np.asarray(made), made.token_counts, made.truncated, encoder.max_tokens))
            if not self.cuts:
                parts[-1].refuse_cut(start)
        yield _joined(parts)


def _work(asked: EmbeddingRequest) -> EmbeddingWork:
    texts = (asked.input,) if isinstance(asked.input, str) else tuple(asked.input)
    return EmbeddingWork(texts, _KINDS[asked.input_type], cuts=asked.truncate is not False)


def _joined(parts: list[Encoded]) -> Encoded:
    import numpy as np

    if len(parts) == 1:
        return parts[0]
    counts = tuple(count for part in parts for count in part.token_counts)
    cut = tuple(number * _AT_ONCE + index for number, part in enumerate(parts) for index in part.truncated)
    return Encoded(np.concatenate([part.vectors for part in parts]), counts, cut, parts[0].limit)


def _written(encoded: Encoded, model_id: str, asked: EmbeddingRequest) -> bytes:
    """Write the answer as JSON."""
    vectors = _shortened(encoded.vectors, asked.dimensions)
    rows: list[Any]
    if asked.encoding_format == "base64":
        rows = [b64encode(row.tobytes()).decode() for row in vectors.astype("<f4")]
    else:
        rows = _decimals(vectors).tolist()
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    usage = {"prompt_tokens": encoded.tokens, "total_tokens": encoded.tokens}
    answer = {"object": "list", "model": model_id, "data": data, "usage": usage, "truncated": list(encoded.truncated)}
    return to_json(answer)


def _shortened(vectors: Vectors, dim: int | None) -> Vectors:
    """Cut vectors to their first components; those of length 1 are scaled to it again, as a loader does that cuts."""
    import numpy as np

    from registry.loaders.dense import normalized

    if dim is None or dim == vectors.shape[1]:
        return vectors
    lengths = np.linalg.norm(vectors, axis=1)
    cut = vectors[:, :dim]
    return normalized(cut) if np.all(np.abs(lengths - 1) < _UNIT) else cut


def _decimals(vectors: Vectors) -> Vectors:
    """Give float64 that are written with as few digits as tell float32 apart: a third less to send and to read."""
    import numpy as np

    exact = vectors.astype(np.float64)
    sizes = np.abs(exact)
    is_plain = (sizes > _SMALLEST_SHORT) & (sizes < _LARGEST_SHORT)
    powers = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(np.where(is_plain, sizes, 1.0))))
    return np.where(is_plain, np.rint(exact * powers) / powers, exact)
