"""The bodies of requests: not longer than allowed, and not for ever under way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from registry.server.answers import refusal
from registry.server.failures import Failure

if TYPE_CHECKING:
    from starlette.types import Message, Receive

    from registry.server.options import ServerOptions

_CLOSE = {"Connection": "close"}  # what is still under way of the body is not read


def too_long(headers: Mapping[bytes, bytes], options: ServerOptions) -> Failure | None:
    """Say why a body is refused before it is read: its length is stated, and too long."""
    stated = headers.get(b"content-length", b"0")
    return _too_long(options.max_body_bytes) if stated.isdigit() and int(stated) > options.max_body_bytes else None


def limited(receive: Receive, options: ServerOptions) -> Receive:
    """Give a `receive` that stops at the longest body, and where the body takes longer than a request may.

    It raises what answers with 413 or 408.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + options.request_timeout_s
    left, whole = options.max_body_bytes, False

    async def inside() -> Message:
        nonlocal left, whole
        if whole:  # from here on it waits for the client to go away
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise refusal(_too_slow(options.request_timeout_s)) from None
        left -= len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if left < 0:
            raise refusal(_too_long(options.max_body_bytes))
        return message

    return inside


def _too_long(limit: int) -> Failure:
    problem = f"The body is too long: expected at most {limit} bytes."
    return Failure(413, "body_too_long", problem, "Send less at a time.", None, _CLOSE)


def _too_slow(limit_s: float) -> Failure:
    problem = f"The body did not arrive within {limit_s:g} s."
    return Failure(408, "body_too_slow", problem, "Send it again.", None, _CLOSE)
