"""`/v1/completions`: texts to go on with, in the shape of OpenAI's API."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from registry.server.answers import json_answer, json_bytes
from registry.server.connected import while_connected
from registry.server.v1.answers import FAILURES, streamed
from registry.server.v1.chat_completions import chat_record, sampling_options, wants_usage
from registry.server.v1.chat_shapes import CompletionRequest, TextCompletion
from registry.server.v1.requests import JsonRoute, client_of
from registry.server.v1.streaming import events, named, stream

if TYPE_CHECKING:
    from registry.loaders import Chat
    from registry.server.services import Services
    from registry.server.v1.calls import Working


def router(services: Services) -> APIRouter:
    """Give the route."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI-compatible"], route_class=JsonRoute)

    @routes.post("/completions", response_model=None, responses={**FAILURES, 200: streamed(TextCompletion)})
    async def create_completion(asked: CompletionRequest, request: Request) -> Response:
        """Go on with a text as it stands, whole or as server-sent events."""
        serving = services.names.serving(asked.model)
        record, work = chat_record(serving.record), _work(asked, serving.name)
        client = client_of(request, asked.user)
        if asked.stream:
            return await stream(request, services.desks.open(record, work, client, serving.adapter))
        body = await while_connected(request, services.desks.ask(record, work, client, serving.adapter))
        return json_answer(body)

    return routes


@dataclass(frozen=True)
class CompletionWork:
    """One text to go on with: what a loaded chat model is to do, as a value that other processes can be sent.

    Attributes:
        model: Name of the model, as the answer says it.
        prompt: The text.
        options: Keywords of `Chat.stream_completion`.
        streams: True to give events as they come, false to give the whole answer as one piece.
        with_usage: True to end a stream with the usage.
    """

    model: str
    prompt: str
    options: Mapping[str, Any]
    streams: bool = False
    with_usage: bool = False

    def __call__(self, chat: Chat, call: Working) -> Generator[bytes, None, None]:
        """Give the answer as JSON, or as events."""
        with chat.stream_completion(self.prompt, **self.options) as made:
            call.stop_with(made.close)
            chunks = named(made, self.model)
            if self.streams:
                yield from events(chunks, with_usage=self.with_usage)
            else:
                yield json_bytes(_joined(chunks))


def _work(asked: CompletionRequest, model: str) -> CompletionWork:
    prompt = asked.prompt if isinstance(asked.prompt, str) else asked.prompt[0]
    options = sampling_options(asked, asked.max_tokens)
    return CompletionWork(model, prompt, options, streams=bool(asked.stream), with_usage=wants_usage(asked))


def _joined(chunks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    texts: list[str] = []
    last: dict[str, Any] = {}
    for chunk in chunks:
        last = {**chunk}
        texts.append(last["choices"][0]["text"])
    choice = {**last["choices"][0], "text": "".join(texts)}
    return {**last, "choices": [choice], "usage": last.get("usage")}
