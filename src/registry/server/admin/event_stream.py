"""Provisioning as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from registry.server.answers import enveloped, json_bytes
from registry.server.failures import failure_of

if TYPE_CHECKING:
    from registry.server.admin.job import Job

IDLE_S = 15.0  # proxies close connections that are silent for a minute, some for half of one
_KEEP_ALIVE = b": keep-alive\n\n"


async def events_of(job: Job) -> AsyncGenerator[bytes]:
    """Give what happens in a run, event by event; the last is `report`, or `error`. Who leaves stops nothing."""
    yield _KEEP_ALIVE  # the answer begins now
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
