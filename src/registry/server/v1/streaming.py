"""Answers that take their time: sent as they are made, and stopped when the client is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import Request
from starlette.responses import Response

from registry.server.answers import json_bytes
from registry.server.connected import cancelled, gone, while_connected
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
    return EventStream(first, call)


class EventStream(Response):
    """Server-sent events of a call, which is cancelled in the end, however that comes.

    The model is not slowed by a client that reads slowly: what is made meanwhile is kept, as long as an answer can be.
    """

    media_type = "text/event-stream"

    def __init__(self, first: list[bytes], call: Answering[bytes]) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._call = call
        self._is_broken = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send the events as they come."""
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            self._call.cancel()
            await cancelled(leaving)
            await cancelled(sending)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        pieces = self._first
        while pieces:
            await send({"type": "http.response.body", "body": b"".join(pieces), "more_body": True})
            pieces = await self._more()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _more(self) -> list[bytes]:
        """Give the next events; a failure is the last one, because the status was sent long ago."""
        if self._is_broken:
            return []
        try:
            return await self._call.more()
        except Exception as error:
            failure = failure_of(error)
            if failure.is_for_the_log:
                _LOG.exception("An answer of `%s` broke off", self._call.model_id)
            self._is_broken = True
            return [event(failure.openai())]
