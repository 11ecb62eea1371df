"""Answers in pieces: put together, and ended from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    from registry.loaders import ChatCompletion, ChatCompletionChunk
    from registry.loaders.completion import AnswerMessage, Usage

Chunked: TypeAlias = Generator["ChatCompletionChunk", None, None]

_NO_USAGE: Usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


class Chunks(Generator["ChatCompletionChunk", None, None]):
    """An answer in pieces. Any thread may close it, also while another one waits for the next piece.

    Args:
        pieces: The pieces.
        stop: Ends the work behind them, and the waiting for a piece. Called by `close`, from any thread.
    """

    def __init__(self, pieces: Chunked, stop: Callable[[], None]) -> None:
        self._pieces = pieces
        self._stop = stop
        self._reading = threading.Lock()

    def send(self, value: None) -> ChatCompletionChunk:
        """Give the next piece."""
        with self._reading:
            return self._pieces.send(value)

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> ChatCompletionChunk:
        """Raise an error where the next piece would be made."""
        with self._reading:
            return self._pieces.throw(cast("Any", typ), val, tb) if val or tb else self._pieces.throw(cast("Any", typ))

    def close(self) -> None:
        """Stop: now, or as soon as the thread that waits for a piece has seen it."""
        self._stop()
        if self._reading.acquire(blocking=False):
            try:
                self._pieces.close()
            finally:
                self._reading.release()


def is_empty(chunk: ChatCompletionChunk) -> bool:
    """True for a piece that tells nothing of the answer yet: its role, or a word that the connection is alive."""
    if "usage" in chunk:
        return False
    for choice in chunk["choices"]:
        delta = choice["delta"]
        if choice["finish_reason"] or any(delta.get(name) for name in ("content", "reasoning_content", "tool_calls")):
            return False
    return True


def joined(chunks: Iterator[ChatCompletionChunk]) -> ChatCompletion:
    """Put the pieces of an answer together. There is at least one."""
    texts: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    calls: dict[int, dict[str, Any]] = {}
    reason, usage, last = None, _NO_USAGE, None
    for last in chunks:
        usage = last.get("usage") or usage
        for choice in last["choices"]:
            delta: Any = choice["delta"]
            for kind, found in texts.items():
                found.append(delta.get(kind) or "")
            for call in delta.get("tool_calls") or ():
                _add_call(calls, call)
            reason = choice["finish_reason"] or reason
    assert last is not None, "no provider ends an answer before it has begun"
    return {
        "id": last["id"],
        "object": "chat.completion",
        "created": last["created"],
        "model": last["model"],
        "choices": [{"index": 0, "message": _message(texts, calls), "finish_reason": reason or "stop"}],
        "usage": usage,
    }


def _add_call(calls: dict[int, dict[str, Any]], delta: dict[str, Any]) -> None:
    """Go on with a call: its name comes in the first piece, its arguments in any number of them."""
    call = calls.setdefault(delta.get("index") or 0, {"id": "", "type": "function"})
    function = call.setdefault("function", {"name": "", "arguments": ""})
    call["id"] = delta.get("id") or call["id"]
    stated = delta.get("function") or {}
    function["name"] += stated.get("name") or ""
    function["arguments"] += stated.get("arguments") or ""


def _message(texts: dict[str, list[str]], calls: dict[int, dict[str, Any]]) -> AnswerMessage:
    content, reasoning = ("".join(texts[kind]) for kind in ("content", "reasoning_content"))
    message: AnswerMessage = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [cast("Any", calls[index]) for index in sorted(calls)]
        message["content"] = content or None
    return message
