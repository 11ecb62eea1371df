"""Answers that take their time: sent as they are made, and stopped when the client is gone."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import Request
from starlette.responses import Response

from registry.server.answers import json_bytes
from registry.server.connected import EventStream, while_connected
from registry.server.failures import failure_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from registry.server.v1.contract import Answering

DONE = b"data: [DONE]\n\n"
_LOG = logging.getLogger("registry.server")


def event(value: object) -> bytes:
    """Write a value as a server-sent event."""
    return b"data: " + json_bytes(value) + b"\n\n"


def events(chunks: Iterable[Mapping[str, Any]], *, with_usage: bool) -> Iterator[bytes]:
    """Write the chunks of an answer as OpenAI's API does: the usage in a chunk of its own, and only where asked for.

    Args:
        chunks: Chunks of a stream of the loaders; the last has the usage.
        with_usage: Whether it was asked for.
    """
    for chunk in chunks:
        usage = chunk.get("usage")
        plain = {key: value for key, value in chunk.items() if key != "usage"}
        yield event(plain | {"usage": None} if with_usage else plain)
        if with_usage and usage is not None:
            yield event(plain | {"choices": [], "usage": usage})
    yield DONE


def named(chunks: Iterable[Mapping[str, Any]], model: str) -> Iterator[dict[str, Any]]:
    """Name the model of an answer as `/v1/models` does: that of an adapter, not that of the record below it."""
    for chunk in chunks:
        yield {**chunk, "model": model}


async def stream(request: Request, call: Answering[bytes]) -> Response:
    """Answer with what a call gives, event by event. What fails before the first is raised, with a status of its own.

    Raises:
        HTTPException: The client is gone, or the request took too long.
        Exception: What the call raises.
    """
    try:
        first = await while_connected(request, call.more())
    except BaseException:
        call.cancel()
        raise
    return _AnswerStream(first, call)


class _AnswerStream(EventStream):
    """The events of a call, which is cancelled in the end, however that comes.

    The model is not slowed by a client that reads slowly: what is made meanwhile is kept, as long as an answer can be.
    """

    def __init__(self, first: list[bytes], call: Answering[bytes]) -> None:
        super().__init__(_pieces(first, call))
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._call.cancel()


async def _pieces(first: list[bytes], call: Answering[bytes]) -> AsyncGenerator[bytes]:
    """Give the events; a failure is the last one, because the status was sent long ago."""
    events = first
    while events:
        yield b"".join(events)
        try:
            events = await call.more()
        except Exception as error:
            failure = failure_of(error)
            if failure.is_for_the_log:
                _LOG.exception("An answer of `%s` broke off", call.model_id)
            yield event(failure.openai())
            return
