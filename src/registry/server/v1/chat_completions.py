"""`/v1/chat/completions`: conversations, in the shape of OpenAI's API."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from registry.chat.messages import Message, check_messages
from registry.errors import InvalidOptionError, UnsupportedModelError
from registry.records import ChatModel
from registry.server.answers import json_answer, json_bytes
from registry.server.connected import while_connected
from registry.server.v1.answers import FAILURES, streamed
from registry.server.v1.chat_shapes import ChatCompletion, ChatRequest, Sampling
from registry.server.v1.requests import JsonRoute, client_of
from registry.server.v1.streaming import events, named, stream

if TYPE_CHECKING:
    from registry.loaders import Chat, ChatCompletionChunk
    from registry.records import ModelInfo
    from registry.server.services import Services
    from registry.server.v1.calls import Working

_LEAST_TOP_P = 1e-9  # OpenAI's API allows 0, which leaves the likeliest token, as this does


def router(services: Services) -> APIRouter:
    """Give the route."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI-compatible"], route_class=JsonRoute)

    @routes.post("/chat/completions", response_model=None, responses={**FAILURES, 200: streamed(ChatCompletion)})
    async def create_chat_completion(asked: ChatRequest, request: Request) -> Response:
        """Answer a conversation, whole or as server-sent events. A model that is not loaded is loaded first."""
        serving = services.names.serving(asked.model)
        record, work = chat_record(serving.record), _work(asked, serving.name)
        client = client_of(request, asked.user, asked.safety_identifier)
        if asked.stream:
            return await stream(request, services.desks.open(record, work, client, serving.adapter))
        body = await while_connected(request, services.desks.ask(record, work, client, serving.adapter))
        return json_answer(body)

    return routes


@dataclass(frozen=True)
class ChatWork:
    """One answer in a conversation: what a loaded chat model is to do, as a value that other processes can be sent.

    Attributes:
        model: Name of the model, as the answer says it.
        messages: The conversation, checked.
        options: Keywords of `Chat.stream`.
        streams: True to give events as they come, false to give the whole answer as one piece.
        with_usage: True to end a stream with the usage.
        only_first_call: True to leave out all calls of tools but the first.
    """

    model: str
    messages: tuple[Message, ...]
    options: Mapping[str, Any]
    streams: bool = False
    with_usage: bool = False
    only_first_call: bool = False

    def __call__(self, chat: Chat, call: Working) -> Generator[bytes, None, None]:
        """Give the answer as JSON, or as events."""
        with _named_as_asked(), chat.stream(self.messages, **self.options) as made:
            call.stop_with(made.close)
            chunks = named(_first_calls(made) if self.only_first_call else made, self.model)
            if self.streams:
                yield from events(chunks, with_usage=self.with_usage)
            else:
                yield json_bytes(_joined(chunks))


def chat_record(record: ModelInfo) -> ChatModel:
    """Give the record of a chat model.

    Raises:
        UnsupportedModelError: It is another kind of model.
    """
    if isinstance(record, ChatModel):
        return record
    reason = f"it is of type `{record.model_type}` and writes no text. Choose a chat model: `/v1/models` lists them."
    raise UnsupportedModelError(record.id, reason)


def sampling_options(asked: Sampling, max_tokens: int | None) -> dict[str, Any]:
    """Give what a request says about its answer, as options of the loaders."""
    if asked.stream_options is not None and not asked.stream:
        given = asked.stream_options.model_dump(exclude_none=True)
        raise InvalidOptionError("stream_options", "it to be left out without `stream`", given)
    options = {
        "temperature": asked.temperature,
        "top_p": None if asked.top_p is None else max(asked.top_p, _LEAST_TOP_P),
        "top_k": asked.top_k,
        "repeat_penalty": asked.repeat_penalty,
        "max_tokens": max_tokens,
        "stop": asked.stop,
        "seed": None if asked.seed is None else asked.seed % 2**64,
    }
    return {name: value for name, value in options.items() if value is not None}


def wants_usage(asked: Sampling) -> bool:
    """True when the usage shall be sent at the end of a stream."""
    return asked.stream_options is not None and bool(asked.stream_options.include_usage)


def _work(asked: ChatRequest, model: str) -> ChatWork:
    """Check what can be checked without the model, and give what is to be done with it."""
    given = [message.model_dump(exclude_none=True) for message in asked.messages]
    return ChatWork(
        model,
        check_messages(given),
        _options(asked),
        streams=bool(asked.stream),
        with_usage=wants_usage(asked),
        only_first_call=asked.parallel_tool_calls is False,
    )


@contextmanager
def _named_as_asked() -> Iterator[None]:
    """Name an option of the template as the request does: `chat_template_kwargs`, not `options`."""
    try:
        yield
    except InvalidOptionError as error:
        if not error.option.startswith("options["):
            raise
        option = f"chat_template_kwargs{error.option.removeprefix('options')}"
        raise InvalidOptionError(option, error.expected, error.got, error.remedy) from error


def _options(asked: ChatRequest) -> dict[str, Any]:
    limits = {asked.max_tokens, asked.max_completion_tokens} - {None}
    if len(limits) > 1:
        raise InvalidOptionError("max_tokens", "the same as `max_completion_tokens`, or neither", asked.max_tokens)
    options = sampling_options(asked, limits.pop() if limits else None)
    if asked.response_format is not None:
        options["response_format"] = asked.response_format.model_dump(by_alias=True, exclude_none=True)
    if asked.tools:
        options["tools"] = [tool.model_dump(exclude_none=True) for tool in asked.tools]
        options["tool_choice"] = asked.tool_choice or "auto"
    if asked.chat_template_kwargs:
        options["template_options"] = asked.chat_template_kwargs
    return options


def _first_calls(chunks: Iterable[ChatCompletionChunk]) -> Iterator[ChatCompletionChunk]:
    """Leave out all calls of tools but the first."""
    for chunk in chunks:
        delta = chunk["choices"][0]["delta"]
        if "tool_calls" in delta:
            delta["tool_calls"] = delta["tool_calls"][:1]
        yield chunk


def _joined(chunks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Join the chunks of an answer: only a stream can be stopped by another thread."""
    texts: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    last: dict[str, Any] = {}
    for chunk in chunks:
        last = {**chunk}
        delta = last["choices"][0]["delta"]
        for name, pieces in texts.items():
            pieces.append(delta.get(name, ""))
        if "tool_calls" in delta:
            message["tool_calls"] = [_without_index(call) for call in delta["tool_calls"]]
    content, thoughts = ("".join(pieces) for pieces in texts.values())
    message["content"] = content or (None if "tool_calls" in message else "")
    if thoughts:
        message["reasoning_content"] = thoughts
    choice = {"index": 0, "message": message, "finish_reason": last["choices"][0]["finish_reason"]}
    return {**last, "object": "chat.completion", "choices": [choice], "usage": last.get("usage")}


def _without_index(call: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in call.items() if name != "index"}
