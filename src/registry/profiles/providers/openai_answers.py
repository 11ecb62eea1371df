"""What servers answer that speak OpenAI's API: chunks of a chat, in the one form that this library has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from registry.loaders.completion import Answer
from registry.profiles.providers.lines import readable

if TYPE_CHECKING:
    from registry.loaders import ChatCompletionChunk
    from registry.loaders.completion import AnswerDelta, FinishReason

_REASONS: Mapping[str, FinishReason] = {"length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls"}
_THOUGHTS = ("reasoning_content", "reasoning")  # the latter is newer vLLM's, and OpenRouter's


class ChatChunks:
    """Makes chunks of those of a server: the first has the role, the last the finish reason and the usage.

    Attributes:
        has_ended: True when the server has said why the answer ended. Its usage may still come.
        is_done: True when the last piece was given.
        count: Pieces of the answer so far.
    """

    def __init__(self, model: str) -> None:
        self._answer = Answer(model, 0)
        self.has_ended = self.is_done = False
        self.count = 0

    def read(self, chunk: Mapping[str, Any]) -> list[ChatCompletionChunk]:
        """Give what a chunk has to say; nothing of one that only keeps a connection alive.

        Raises:
            UnreadableError: It is no chunk.
        """
        with readable(chunk):
            return self._read(chunk)

    def last(self) -> list[ChatCompletionChunk]:
        """Give the piece that ends the answer; the only one where there was nothing to say."""
        self.is_done = True
        first = [] if self.count else [self._answer.chunk({"role": "assistant", "content": ""})]
        return [*first, self._answer.last_chunk()]

    def _read(self, chunk: Mapping[str, Any]) -> list[ChatCompletionChunk]:
        answer = self._answer
        if not self.count:
            answer.id, answer.created = str(chunk.get("id") or answer.id), int(chunk.get("created") or answer.created)
        if usage := chunk.get("usage"):
            answer.prompt_tokens = int(usage.get("prompt_tokens") or 0)
            answer.completion_tokens = int(usage.get("completion_tokens") or 0)
        pieces: list[ChatCompletionChunk] = []
        for choice in chunk.get("choices") or ():
            if choice.get("index"):  # only one answer is asked for
                continue
            pieces += [answer.chunk(delta) for delta in _deltas(choice.get("delta") or {})]
            if reason := choice.get("finish_reason"):
                answer.finish_reason, self.has_ended = _REASONS.get(str(reason), "stop"), True
        first = [answer.chunk({"role": "assistant", "content": ""})] if pieces and not self.count else []
        self.count += len(pieces)
        return [*first, *pieces]


def _deltas(delta: Mapping[str, Any]) -> list[AnswerDelta]:
    """Give what is new, each kind of it apart."""
    found: list[AnswerDelta] = []
    if thought := next(filter(None, map(delta.get, _THOUGHTS)), None):
        found.append({"reasoning_content": _text(thought)})
    if content := delta.get("content"):
        found.append({"content": _text(content)})
    if calls := delta.get("tool_calls"):
        found.append({"tool_calls": [_call(number, call) for number, call in enumerate(calls)]})
    return found


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _call(number: int, call: Mapping[str, Any]) -> dict[str, Any]:
    """Give a piece of a call; servers that give calls in one piece may leave the index out."""
    function = cast("Mapping[str, Any]", call.get("function") or {})
    made: dict[str, Any] = {"index": number if call.get("index") is None else int(call["index"])}
    if call.get("id"):
        made |= {"id": str(call["id"]), "type": "function"}
    return made | {"function": {key: _text(value) for key, value in function.items() if value is not None}}
