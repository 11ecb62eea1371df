"""Bytes as they come over a connection, cut into lines and into server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from registry.profiles.providers.services import UnreadableError


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut bytes at line feeds, and at nothing else: text may contain what Unicode takes for the end of a line.

    Gives empty lines too; the last line need not end.
    """
    rest: list[bytes] = []
    for piece in pieces:
        *whole, last = piece.split(b"\n")
        for line in whole:
            yield b"".join([*rest, line]).removesuffix(b"\r")
            rest = []
        rest.append(last)
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
