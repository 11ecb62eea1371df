"""Answers that say who gave them, whole and in pieces."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypedDict, cast

from registry.errors import ProviderModelError
from registry.loaders.completion import ChatCompletion, ChatCompletionChunk, Stream

if TYPE_CHECKING:
    from registry.loaders.completion import AnswerMessage, ChunkChoice, Usage


class FailedAttempt(TypedDict):
    """One that was to serve a role, and did not.

    Attributes:
        provider: Name of the provider.
        model: Name of the model, as the role has it.
        error: Why it did not, in words.
    """

    provider: str
    model: str
    error: str


class ServedBy(TypedDict):
    """Who served a role.

    Attributes:
        provider: Name of the provider.
        model: Name of the model, as the role has it.
        role: The role.
        degraded: True when it was another than the role's first choice.
        attempts: The others that were tried or passed over on the way, in the order of the role.
    """

    provider: str
    model: str
    role: str
    degraded: bool
    attempts: list[FailedAttempt]


class RoleCompletion(ChatCompletion):
    """An answer in a conversation, and who gave it."""

    served_by: ServedBy


@dataclass
class Told:
    """What has been given of a streamed answer so far."""

    served_by: ServedBy | None = None
    parts: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Give the text so far."""
        return "".join(self.parts)

    def take(self, chunk: ChatCompletionChunk) -> None:
        """Keep the text of a chunk that is given to the caller."""
        for choice in chunk["choices"]:
            if (text := choice["delta"].get("content")) is not None:
                self.parts.append(text)


class RoleStream(Stream[ChatCompletionChunk]):
    """Chunks of an answer as they are made. Nobody is asked before the first one is wanted.

    The provider is busy from then until the end, or `close()`; leaving a `with` block closes too. Several threads may
    read it, each chunk goes to one of them; and any thread may close it.
    """

    def __init__(
        self, pieces: Generator[ChatCompletionChunk, None, None], cancelled: threading.Event, told: Told
    ) -> None:
        super().__init__(pieces, cancelled)
        self._told = told

    @property
    def served_by(self) -> ServedBy | None:
        """Who serves this; `None` before the first chunk."""
        return self._told.served_by

    @property
    def text(self) -> str:
        """What the answer says so far, without thoughts and tool calls."""
        return self._told.text()


class AsyncRoleStream:
    """Chunks of an answer as they are made, for `async for`. As `RoleStream`; `aclose()` stops early."""

    def __init__(self, pieces: AsyncGenerator[ChatCompletionChunk, None], told: Told) -> None:
        self._pieces = pieces
        self._told = told

    @property
    def served_by(self) -> ServedBy | None:
        """Who serves this; `None` before the first chunk."""
        return self._told.served_by

    @property
    def text(self) -> str:
        """What the answer says so far, without thoughts and tool calls. It may be ahead of what was read."""
        return self._told.text()

    async def aclose(self) -> None:
        """Stop, and free the provider at its next token."""
        await self._pieces.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        return await anext(self._pieces)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@dataclass(frozen=True)
class Opened:
    """An answer that has begun.

    Attributes:
        head: The chunks up to the first that has something to say.
        rest: Gives the others.
    """

    head: list[ChatCompletionChunk]
    rest: Generator[ChatCompletionChunk, None, None]


def open_stream(provider: str, model: str, chunks: Generator[ChatCompletionChunk, None, None]) -> Opened:
    """Read chunks until one has something to say. Until then, another provider may be asked instead.

    A chunk that has nothing but the role may come as soon as the request is read, long before a model is loaded.

    Raises:
        ProviderModelError: There is none.
    """
    head: list[ChatCompletionChunk] = []
    for chunk in chunks:
        head.append(chunk)
        if any(_says_something(choice) for choice in chunk["choices"]):
            return Opened(head, chunks)
    raise ProviderModelError(provider, model, "Its answer ended before it began.")


def collect(
    provider: str, model: str, chunks: Generator[ChatCompletionChunk, None, None], cancelled: threading.Event
) -> ChatCompletion:
    """Put chunks together to a whole answer; or to what there is of it by the time that it is cancelled.

    Raises:
        ProviderModelError: There is no answer.
    """
    opened = open_stream(provider, model, chunks)
    whole = _Whole()
    for chunk in itertools.chain(opened.head, opened.rest):
        whole.take(chunk)
        if cancelled.is_set():
            break
    return whole.completion(opened.head[0])


@dataclass
class _Whole:
    """An answer that is put together."""

    texts: dict[str, list[str]] = field(default_factory=lambda: {"content": [], "reasoning_content": []})
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    finish_reason: str = "stop"
    usage: Usage | None = None

    def take(self, chunk: ChatCompletionChunk) -> None:
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            self.finish_reason = choice["finish_reason"] or self.finish_reason
            delta = cast("dict[str, Any]", choice["delta"])
            for kind, texts in self.texts.items():
                texts.append(delta.get(kind) or "")
            for place, call in enumerate(delta.get("tool_calls") or ()):
                self._take_call(call.get("index", place), call)

    def _take_call(self, index: int, piece: dict[str, Any]) -> None:
        """Take a piece of a tool call: the first has its id and name, all have some of the arguments."""
        call = self.calls.setdefault(index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call["id"] = piece.get("id") or call["id"]
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""

    def completion(self, first: ChatCompletionChunk) -> ChatCompletion:
        content, reasoning = ("".join(texts) for texts in self.texts.values())
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if reasoning:
            message["reasoning_content"] = reasoning
        if self.calls:
            message["content"] = content or None
            message["tool_calls"] = [call for _, call in sorted(self.calls.items())]
        return {
            "id": first["id"],
            "object": "chat.completion",
            "created": first["created"],
            "model": first["model"],
            "choices": [
                {
                    "index": 0,
                    "message": cast("AnswerMessage", message),
                    "finish_reason": cast("Any", self.finish_reason),
                }
            ],
            "usage": self.usage or {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }


def _says_something(choice: ChunkChoice) -> bool:
    delta = choice["delta"]
    spoken = delta.get("content") or delta.get("reasoning_content") or delta.get("tool_calls")
    return bool(spoken) or choice["finish_reason"] is not None
