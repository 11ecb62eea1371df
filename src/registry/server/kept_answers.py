"""Answers that are kept in memory: a read is answered again from there until anything in the store changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from starlette.requests import Request

from registry.server.representation import Representation

_KEEP = "registry.keep"
_MAX_ANSWERS = 8192
_MAX_BYTES = 64 * 2**20
_OVERHEAD_BYTES = 2048  # of headers and objects, for each answer


class Key(NamedTuple):
    """What an answer depends on, beside the store.

    Attributes:
        path: Path that was asked for.
        query: Query, as it was sent.
        gzip: True where the client takes gzip.
    """

    path: str
    query: bytes
    gzip: bool


def keep(request: Request) -> None:
    """Say that the answer to a request depends on nothing but path, query, the store and the registry."""
    request.scope[_KEEP] = True


def is_to_keep(scope: Mapping[str, object]) -> bool:
    """Say whether a route has said so."""
    return _KEEP in scope


class KeptAnswers:
    """The answers of one revision of the store, the least recently used one dropped first."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._revision = ""
        self._answers: OrderedDict[Key, tuple[Representation, str]] = OrderedDict()

    def find(self, revision: str, key: Key) -> tuple[Representation, str] | None:
        """Give an answer, and the template of its route."""
        if revision != self._revision:
            self._clear(revision)
            return None
        if (found := self._answers.get(key)) is not None:
            self._answers.move_to_end(key)
        return found

    def put(self, revision: str, key: Key, answer: Representation, route: str) -> None:
        """Keep an answer that was made when the store had this revision, or a later one."""
        size = _size(key, answer)
        if revision != self._revision or size > self._max_bytes // 8 or key in self._answers:
            return
        self._answers[key] = answer, route
        self._bytes += size
        while self._bytes > self._max_bytes or len(self._answers) > _MAX_ANSWERS:
            oldest, (dropped, _) = self._answers.popitem(last=False)
            self._bytes -= _size(oldest, dropped)

    def _clear(self, revision: str) -> None:
        self._answers.clear()
        self._bytes = 0
        self._revision = revision


def _size(key: Key, answer: Representation) -> int:
    return len(answer.body) + len(key.path) + len(key.query) + _OVERHEAD_BYTES
