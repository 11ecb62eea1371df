"""Answers in the shape of OpenAI's API, and what may be asked for."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, NotRequired, Self, TypeAlias, TypedDict, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

    from registry.chat import ToolCall, Tools

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls"]


class CompleteKeywords(TypedDict, total=False):
    """What a caller may say about any answer.

    Attributes:
        temperature: 0 to 2; left out, as for the next four: what the record says.
        max_tokens: Longest answer in tokens.
        top_p: Probability mass that is sampled from.
        top_k: Number of likeliest tokens that are sampled from; 0 keeps all.
        repeat_penalty: Factor against tokens that were just used; 1 is none.
        stop: Text, or texts, that end the answer beside those of the record and the template.
        seed: Seed of the sampler: the same seed and prompt give the same answer on the same machine, for which the
            prompt is read anew every time. Left out: the seed that the model was loaded with, else a random one.
        response_format: `{"type": "json_object"}`, or `{"type": "json_schema", "json_schema": {"schema": {...}}}`: the
            answer is such JSON, unless `max_tokens` cuts it.
    """

    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    top_k: int | None
    repeat_penalty: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    response_format: Mapping[str, Any] | None


class ReplyKeywords(CompleteKeywords, total=False):
    """What a caller may say about an answer in a conversation.

    Attributes:
        tools: Tools that the model is offered, in OpenAI's shape.
        tool_choice: `auto`, or `none` to offer them not.
        template_options: Options of the template, such as `enable_thinking`.
    """

    tools: Tools | None
    tool_choice: Literal["auto", "none"]
    template_options: Mapping[str, Any] | None


class Usage(TypedDict):
    """Tokens of a prompt and its answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(TypedDict):
    """The answer. `reasoning_content` is there when the model thought, `tool_calls` when it calls tools."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCall]]


class Choice(TypedDict):
    """One answer; there is always exactly one."""

    index: int
    message: AnswerMessage
    finish_reason: FinishReason


class ChatCompletion(TypedDict):
    """An answer in a conversation."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class AnswerDelta(TypedDict, total=False):
    """What is new in a chunk."""

    role: Literal["assistant"]
    content: str
    reasoning_content: str
    tool_calls: list[dict[str, Any]]


class ChunkChoice(TypedDict):
    """The answer so far goes on with `delta`; the last chunk has the reason why it ended."""

    index: int
    delta: AnswerDelta
    finish_reason: FinishReason | None


class ChatCompletionChunk(TypedDict):
    """A piece of an answer. The last one has the usage."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[Usage]


class TextChoice(TypedDict):
    """One continuation; there is always exactly one."""

    index: int
    text: str
    finish_reason: FinishReason


class Completion(TypedDict):
    """The continuation of a text."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage


class TextChunkChoice(TypedDict):
    """The continuation so far goes on with `text`; the last chunk has the reason why it ended."""

    index: int
    text: str
    finish_reason: FinishReason | None


class CompletionChunk(TypedDict):
    """A piece of the continuation of a text. The last one has the usage."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChunkChoice]
    usage: NotRequired[Usage]


@dataclass
class Answer:
    """An answer that is being made."""

    model_id: str
    prompt_tokens: int
    prefix: str = "chatcmpl"
    completion_tokens: int = 0
    finish_reason: FinishReason = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.id = f"{self.prefix}-{uuid.uuid4().hex}"

    def usage(self) -> Usage:
        """Give the tokens so far."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    def completion(self, content: str, reasoning: str) -> ChatCompletion:
        """Give the whole answer."""
        message: AnswerMessage = {"role": "assistant", "content": content}
        if reasoning:
            message["reasoning_content"] = reasoning
        if self.tool_calls:
            message["tool_calls"] = list(self.tool_calls)
            message["content"] = content or None
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model_id,
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}],
            "usage": self.usage(),
        }

    def chunk(self, delta: AnswerDelta, finish_reason: FinishReason | None = None) -> ChatCompletionChunk:
        """Give a piece of the answer."""
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model_id,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        }

    def last_chunk(self) -> ChatCompletionChunk:
        """Give the piece that ends the answer, with its tool calls and usage."""
        calls: AnswerDelta = {}
        if self.tool_calls:
            calls = {"tool_calls": [{"index": index, **call} for index, call in enumerate(self.tool_calls)]}
        return {**self.chunk(calls, self.finish_reason), "usage": self.usage()}

    def text(self, text: str) -> Completion:
        """Give the continuation of a text."""
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model_id,
            "choices": [{"index": 0, "text": text, "finish_reason": self.finish_reason}],
            "usage": self.usage(),
        }

    def text_chunk(self, text: str, finish_reason: FinishReason | None = None) -> CompletionChunk:
        """Give a piece of the continuation of a text."""
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model_id,
            "choices": [{"index": 0, "text": text, "finish_reason": finish_reason}],
        }

    def last_text_chunk(self) -> CompletionChunk:
        """Give the piece that ends the continuation of a text, with its usage."""
        return {**self.text_chunk("", self.finish_reason), "usage": self.usage()}


T = TypeVar("T")


class Stream(Iterator[T], Generic[T]):
    """Pieces of an answer as they are made. The model is busy from the first one until the end, or `close()`.

    Several threads may read it, each piece goes to one of them; and any thread may close it.
    """

    def __init__(self, pieces: Generator[T, None, None], cancelled: threading.Event) -> None:
        self._pieces = pieces
        self._cancelled = cancelled
        self._reading = threading.Lock()

    def __next__(self) -> T:
        with self._reading:
            return next(self._pieces)

    def close(self) -> None:
        """Stop, and free the model for other calls: now, or at the next token where another thread is reading."""
        self._cancelled.set()
        if self._reading.acquire(blocking=False):
            try:
                self._pieces.close()
            finally:
                self._reading.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
