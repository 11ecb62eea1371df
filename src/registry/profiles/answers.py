"""Answers that say who gave them, whole and in pieces."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self, TypedDict

from registry.errors import ProviderModelError
from registry.loaders.completion import ChatCompletion, ChatCompletionChunk, Stream
from registry.profiles.chunks import Chunked, is_empty


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

    def __init__(self, pieces: Chunked, cancelled: threading.Event, told: Told) -> None:
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


class Cancellation(threading.Event):
    """Set when nobody wants an answer any more. Setting it ends the provider's work, from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: Chunked | None = None

    def ends(self, chunks: Chunked) -> None:
        """Say what setting it is to end."""
        self._chunks = chunks
        if self.is_set():
            self._end()

    def set(self) -> None:
        """Set it. A thread that waits for the next chunk is woken where the provider can do that."""
        super().set()
        self._end()

    def _end(self) -> None:
        if (chunks := self._chunks) is not None:
            end(chunks)


@dataclass(frozen=True)
class Opened:
    """An answer that has begun.

    Attributes:
        head: The chunks up to the first that has something to say.
        rest: Gives the others.
    """

    head: list[ChatCompletionChunk]
    rest: Chunked

    def __iter__(self) -> Iterator[ChatCompletionChunk]:
        return itertools.chain(self.head, self.rest)

    def close(self) -> None:
        """End it."""
        end(self.rest)


def end(chunks: Chunked) -> None:
    """Close a generator, unless another thread runs it, which then sees for itself that nobody wants more of it."""
    with suppress(ValueError):  # generator already executing
        chunks.close()


def open_stream(provider: str, model: str, chunks: Chunked) -> Opened:
    """Read chunks until one has something to say. Until then, another provider may be asked instead.

    A chunk that has nothing but the role may come as soon as the request is read, long before a model is loaded.

    Raises:
        ProviderModelError: There is none.
    """
    head: list[ChatCompletionChunk] = []
    for chunk in chunks:
        head.append(chunk)
        if not is_empty(chunk):
            return Opened(head, chunks)
    raise ProviderModelError(provider, model, "Its answer ended before it began.")


def until_set(cancelled: threading.Event, chunks: Iterable[ChatCompletionChunk]) -> Iterator[ChatCompletionChunk]:
    """Give chunks for as long as somebody wants them."""
    for chunk in chunks:
        if cancelled.is_set():
            return
        yield chunk
