"""What Ollama answers: lines of a chat as OpenAI's chunks, lines of a pull as progress."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from registry.chat.messages import ToolCall, call_id
from registry.hub.progress import Meter
from registry.loaders.completion import Answer
from registry.profiles.providers.lines import readable

if TYPE_CHECKING:
    from registry.hub.progress import OnProgress
    from registry.loaders import ChatCompletionChunk
    from registry.loaders.completion import FinishReason

# Why an answer ends. `load` and `unload` end one to a conversation without a message.
_REASONS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop"}


class ChatLines:
    """Makes chunks of the lines of an answer.

    Attributes:
        is_done: True when the last line was read.
        count: Pieces of the answer so far.
    """

    def __init__(self, model: str, first_call: int = 0) -> None:
        """Begin to read.

        Args:
            model: Name of the model, as chunks have it.
            first_call: Number of the first call of a tool, for the ids that Ollama gives none.
        """
        self._answer = Answer(model, 0)
        self._first_call = first_call
        self.is_done = False
        self.count = 0

    def read(self, line: Mapping[str, Any]) -> list[ChatCompletionChunk]:
        """Give what a line has. Tool calls wait for the last one.

        Raises:
            UnreadableError: The line is not one of Ollama's.
        """
        with readable(line):
            return list(self._read(line))

    def _read(self, line: Mapping[str, Any]) -> Iterator[ChatCompletionChunk]:
        message = line.get("message") or {}
        for kind, key in (("thinking", "reasoning_content"), ("content", "content")):
            if text := message.get(kind):
                yield from self._piece(key, text)
        for call in message.get("tool_calls") or ():
            self._answer.tool_calls += (self._call(call),)
        if line.get("done"):
            yield from self._last(line)

    def _piece(self, key: str, text: object) -> Iterator[ChatCompletionChunk]:
        if not isinstance(text, str):
            raise TypeError(f"expected text, got {text!r}")
        if not self.count:
            yield self._answer.chunk({"role": "assistant", "content": ""})
        self.count += 1
        yield self._answer.chunk({"content": text} if key == "content" else {"reasoning_content": text})

    def _call(self, call: Mapping[str, Any]) -> ToolCall:
        function = call["function"]
        arguments = function.get("arguments") or {}
        if not isinstance(arguments, Mapping):
            raise TypeError(f"expected arguments by name, got {arguments!r}")
        number = self._first_call + len(self._answer.tool_calls)
        return {
            "id": str(call.get("id") or call_id(number)),
            "type": "function",
            "function": {"name": str(function["name"]), "arguments": json.dumps(arguments, ensure_ascii=False)},
        }

    def _last(self, line: Mapping[str, Any]) -> Iterator[ChatCompletionChunk]:
        answer = self._answer
        answer.prompt_tokens = int(line.get("prompt_eval_count") or 0)  # none where the prompt was still in memory
        answer.completion_tokens = int(line.get("eval_count") or 0)
        answer.finish_reason = "tool_calls" if answer.tool_calls else _REASONS.get(str(line.get("done_reason")), "stop")
        if not self.count:
            yield answer.chunk({"role": "assistant", "content": ""})
        self.is_done = True
        yield answer.last_chunk()


class PullLines:
    """Makes progress of the lines of a pull.

    Attributes:
        is_done: True when the model is there.
        fetched_bytes: Bytes that came over the network, as far as the lines tell: not those of files that were there.
    """

    def __init__(self, model: str, callback: OnProgress | None) -> None:
        self._meter = Meter(model, callback)
        self._done: dict[str, int] = {}
        self._news: tuple[str, int, int] | None = None
        self.is_done = False
        self.fetched_bytes = 0

    def take(self, line: Mapping[str, Any]) -> None:
        """Count what a line tells.

        Raises:
            UnreadableError: The line is not one of Ollama's.
        """
        digest = line.get("digest")
        with readable(line):
            done, total = int(line.get("completed") or 0), int(line.get("total") or 0)
        self.is_done = line.get("status") == "success"
        self._news = (str(digest).removeprefix("sha256:")[:12], done, total) if digest and total else None
        if self._news is not None:
            # The first line of a file has what an earlier pull has left of it.
            self.fetched_bytes += max(0, done - self._done.setdefault(self._news[0], done))
            self._done[self._news[0]] = max(done, self._done[self._news[0]])

    def tell(self) -> None:
        """Call the callback with what was taken; what it raises is its own."""
        if self._news is not None:
            self._meter.downloading(*self._news)
        if self.is_done:
            self._meter.done()
