"""Provisioning as server-sent events, for as long as the client listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from starlette.responses import Response

from registry.server.answers import enveloped, json_bytes
from registry.server.connected import cancelled, gone
from registry.server.failures import failure_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from registry.server.admin.job import Job

IDLE_S = 15.0  # proxies close connections that are silent for a minute, some for half of one
_KEEP_ALIVE = b": keep-alive\n\n"


class JobEvents(Response):
    """What happens in a run, event by event; the last is `report`, or `error`. A client that leaves stops nothing."""

    media_type = "text/event-stream"

    def __init__(self, job: Job) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send the events as they come."""
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            await cancelled(leaving)
            await cancelled(sending)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": _KEEP_ALIVE, "more_body": True})  # it begins now
        async with aclosing(_events_of(self._job)) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _events_of(job: Job) -> AsyncGenerator[bytes]:
    async with aclosing(job.news(IDLE_S)) as news:
        async for each in news:
            yield _KEEP_ALIVE if each is None else _event(each.kind, json_bytes(each.facts))
    try:
        report = await job.report()
    except Exception as error:
        yield _event("error", json_bytes(failure_of(error).envelope()))
    else:
        yield _event("report", enveloped(json_bytes(report.to_dict())))


def _event(kind: str, data: bytes) -> bytes:
    """Write a server-sent event; JSON has no line breaks of its own."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)
