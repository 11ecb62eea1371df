"""Bytes as they come over a connection, cut into lines and into server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from registry.profiles.providers.services import UnreadableError

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A line is one token, or one whole answer with its pictures: what goes on for longer would fill the memory."""

_WRONG_SHAPE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


@contextmanager
def readable(shown: object = None) -> Iterator[None]:
    """Turn what reading an answer of another shape raises into an `UnreadableError`.

    Args:
        shown: What is read. Left out: a text says itself why it is no JSON, and anything else is of another shape.
    """
    try:
        yield
    except _WRONG_SHAPE as error:
        stated = shown if shown is not None else error if isinstance(error, ValueError) else "It has another shape."
        raise UnreadableError(str(stated)) from error


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut bytes at line feeds, and at nothing else: text may contain what Unicode takes for the end of a line.

    Gives empty lines too; the last line need not end.

    Raises:
        UnreadableError: A line is longer than `MAX_LINE_BYTES`.
    """
    rest: list[bytes] = []
    rest_bytes = 0
    for piece in pieces:
        *whole, last = piece.split(b"\n")
        for line in whole:
            yield b"".join([*rest, line]).removesuffix(b"\r")
            rest, rest_bytes = [], 0
        rest.append(last)
        rest_bytes += len(last)
        if rest_bytes > MAX_LINE_BYTES:
            raise UnreadableError(f"a line of more than {MAX_LINE_BYTES} bytes")
    if last_line := b"".join(rest):
        yield last_line


def events_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the data of server-sent events; comments and other fields are passed over."""
    data: list[bytes] = []
    for line in lines_of(pieces):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data)
            data = []
    if data:  # the end of the answer ends an event for nearly every client but browsers
        yield b"\n".join(data)


def object_of(text: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UnreadableError: It is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UnreadableError(text.decode("utf-8", "replace"))
    return value
