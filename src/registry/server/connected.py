"""Whether who has asked is still there: for answers that take their time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from registry.server.answers import refusal
from registry.server.failures import Failure

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive

T = TypeVar("T")

_GONE = Failure(499, "client_gone", "The client has closed the connection.")  # as nginx calls it in its log


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Wait for work, and cancel it when the client goes away. The body must have been read before.

    Raises:
        HTTPException: The client is gone (499); nobody will read it, but for the log.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(gone(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise refusal(_GONE)
        return working.result()
    finally:
        await cancelled(leaving)
        await cancelled(working)


async def gone(receive: Receive) -> None:
    """Wait until the client goes away. The body must have been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cancelled(task: asyncio.Future[Any]) -> None:
    """End a task, and wait until it has ended."""
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # told already, or nobody is there to be told
