"""`/v1/completions`: texts to go on with, in the shape of OpenAI's API."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter, Request, Response

from registry.server.answers import json_answer, json_bytes
from registry.server.v1.answers import FAILURES, streamed
from registry.server.v1.chat_completions import chat_record, sampling_options, wants_usage
from registry.server.v1.chat_shapes import CompletionRequest, TextCompletion
from registry.server.v1.requests import JsonRoute, client_of
from registry.server.v1.streaming import events, stream, while_connected

if TYPE_CHECKING:
    from registry.loaders import Chat
    from registry.loaders.completion import CompletionChunk
    from registry.server.services import Services
    from registry.server.v1.calls import Call, Work


def router(services: Services) -> APIRouter:
    """Give the route."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI-compatible"], route_class=JsonRoute)

    @routes.post("/completions", response_model=None, responses={**FAILURES, 200: streamed(TextCompletion)})
    async def create_completion(asked: CompletionRequest, request: Request) -> Response:
        """Go on with a text as it stands, whole or as server-sent events."""
        record = chat_record(services.names.find(asked.model))
        work, client = _work(asked), client_of(request, asked.user)
        if asked.stream:
            return await stream(request, services.desks.open(record, work, client))
        body = await while_connected(request, services.desks.ask(record, work, client))
        return json_answer(body)

    return routes


def _work(asked: CompletionRequest) -> Work[bytes]:
    prompt = asked.prompt if isinstance(asked.prompt, str) else asked.prompt[0]
    options = sampling_options(asked, asked.max_tokens)

    def go_on(chat: Chat, call: Call[bytes]) -> Generator[bytes, None, None]:
        with chat.stream_completion(prompt, **options) as made:
            call.stop_with(made.close)
            if asked.stream:
                yield from events(made, with_usage=wants_usage(asked))
            else:
                yield json_bytes(_joined(made))

    return go_on


def _joined(chunks: Iterable[CompletionChunk]) -> dict[str, Any]:
    texts: list[str] = []
    last: dict[str, Any] = {}
    for chunk in chunks:
        last = cast("dict[str, Any]", chunk)
        texts.append(last["choices"][0]["text"])
    choice = {**last["choices"][0], "text": "".join(texts)}
    return {**last, "choices": [choice], "usage": last.get("usage")}
