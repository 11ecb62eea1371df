"""`/v1/rerank`: documents ordered by how well they answer a query, in the shape of Jina's and Cohere's APIs."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Discriminator, Field, Tag

from registry.errors import UnsupportedModelError
from registry.records import DenseModel, MultiVectorModel, RerankerModel
from registry.server.answers import json_answer, json_bytes
from registry.server.connected import while_connected
from registry.server.v1.answers import FAILURES
from registry.server.v1.requests import AtLeast1, JsonRoute, Name, Shape, Text, client_of, items

if TYPE_CHECKING:
    from registry.loaders import DenseEncoder, LateInteractionEncoder, Reranker
    from registry.records import ModelInfo
    from registry.server.services import Services
    from registry.server.v1.calls import Working

_MOST_DOCUMENTS = 2048
_AT_ONCE = 64  # documents that are read before it is looked whether the client is still there


class Document(Shape):
    """A document as an object."""

    text: str


def _kind(value: object) -> str:
    return "<text>" if isinstance(value, str) else "<object>"


Documents: TypeAlias = list[
    Annotated[Annotated[str, Tag("<text>")] | Annotated[Document, Tag("<object>")], Discriminator(_kind)]
]


class RerankRequest(Shape):
    """A query, and documents that may answer it."""

    model: Name = Field(description="Id, alias or role of a reranker, a late-interaction model or a dense one.")
    query: Text
    documents: Annotated[Documents, *items(_MOST_DOCUMENTS)] = Field(
        min_length=1, description='Texts, or `{"text": ...}`.'
    )
    top_n: AtLeast1 | None = Field(None, description="Give the best so many only.")
    return_documents: bool | None = Field(None, description="Give the texts back with the results.")
    user: str | None = Field(None, description="Who asks: users of one address take turns at a model.")


class Result(BaseModel):
    """One document."""

    index: int = Field(description="Position in the request.")
    relevance_score: float = Field(
        description="The higher the better; compare scores of one model only: a reranker's, MaxSim or a similarity."
    )
    document: Document | None = None


class RerankUsage(BaseModel):
    """Tokens of the query and of each document, counted once, with special tokens."""

    prompt_tokens: int
    total_tokens: int


class RerankAnswer(BaseModel):
    """The documents, the best first; equal scores in the order of the request."""

    object: str
    model: str
    results: list[Result]
    usage: RerankUsage


class Scored(NamedTuple):
    """What a model gives: the score of each document, and the tokens that were read."""

    scores: list[float]
    tokens: int


def router(services: Services) -> APIRouter:
    """Give the route."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI-compatible"], route_class=JsonRoute)
    answers: dict[int | str, dict[str, Any]] = {200: {"model": RerankAnswer, "description": "The results."}}

    @routes.post("/rerank", response_model=None, responses=FAILURES | answers)
    async def rerank(asked: RerankRequest, request: Request) -> Response:
        """Order documents by how well they answer a query. A model that is not loaded is loaded first."""
        serving = services.names.serving(asked.model)
        record = serving.record
        texts = [document if isinstance(document, str) else document.text for document in asked.documents]
        work, client = _work(record, asked.query, texts), client_of(request, asked.user)
        scored = await while_connected(request, services.desks.ask(record, work, client, serving.adapter))
        return json_answer(json_bytes(_answer(scored, record.id, texts, asked)))

    return routes


@dataclass(frozen=True)
class RerankWork:
    """Documents to score: what a loaded model is to do, as a value that other processes can be sent.

    Attributes:
        query: The query.
        texts: The documents.
        by_pairs: True for a model that reads query and document together; false for one that compares their vectors.
    """

    query: str
    texts: tuple[str, ...]
    by_pairs: bool

    def __call__(self, model: Any, call: Working) -> Generator[Scored, None, None]:
        """Give the scores as one piece."""
        return _by_pairs(self, model, call) if self.by_pairs else _by_vectors(self, model, call)


def _work(record: ModelInfo, query: str, texts: list[str]) -> RerankWork:
    if isinstance(record, RerankerModel | DenseModel | MultiVectorModel):
        return RerankWork(query, tuple(texts), by_pairs=isinstance(record, RerankerModel))
    reason = f"it is of type `{record.model_type}` and orders no documents. Choose a reranker, or an embedding model."
    raise UnsupportedModelError(record.id, reason)


def _by_pairs(work: RerankWork, reranker: Reranker, call: Working) -> Generator[Scored, None, None]:
    scores: list[float] = []
    for start in range(0, len(work.texts), _AT_ONCE):
        if call.is_cancelled:
            return
        scores += reranker.score(work.query, work.texts[start : start + _AT_ONCE]).tolist()
    yield Scored(scores, sum(reranker.count_tokens([work.query, *work.texts])))


def _by_vectors(
    work: RerankWork, encoder: DenseEncoder | LateInteractionEncoder, call: Working
) -> Generator[Scored, None, None]:
    asked: Any = encoder.encode_query([work.query])
    scores, tokens = [], sum(asked.token_counts)
    for start in range(0, len(work.texts), _AT_ONCE):
        if call.is_cancelled:
            return
        part: Any = encoder.encode_document(work.texts[start : start + _AT_ONCE])
        scores += encoder.similarity(asked, part)[0].tolist()
        tokens += sum(part.token_counts)
    yield Scored(scores, tokens)


def _answer(scored: Scored, model_id: str, texts: list[str], asked: RerankRequest) -> dict[str, Any]:
    best = sorted(range(len(texts)), key=lambda index: -scored.scores[index])[: asked.top_n]
    results: list[dict[str, Any]] = [{"index": index, "relevance_score": scored.scores[index]} for index in best]
    if asked.return_documents:
        for result in results:
            result["document"] = {"text": texts[result["index"]]}
    usage = {"prompt_tokens": scored.tokens, "total_tokens": scored.tokens}
    return {"object": "list", "model": model_id, "results": results, "usage": usage}
