"""The channels of OpenAI's harmony format, in which gpt-oss answers.

Read in openai/harmony docs/format.md: `<|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final
<|message|>...<|return|>`. The analysis channel holds thoughts, the final one the answer, the commentary channel tool
calls, whose header names the recipient (`to=functions.name`), and texts about them that are meant for the user.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from registry.chat.calls import parse_arguments
from registry.chat.messages import ToolCall, call_id
from registry.chat.partial import Tail

Found: TypeAlias = "list[tuple[Literal['content', 'reasoning'], str]]"

_MARKUP = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>", "<|return|>")
_PATTERN = re.compile("|".join(map(re.escape, _MARKUP)))
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*([a-z]+)")
_OPENINGS = (*_MARKUP, "to=")
_MAX_SPACE = 16


class ChannelSplitter:
    """Tells thoughts, answer and tool calls apart. Markup, and whatever stands in headers, is never given."""

    def __init__(self) -> None:
        self._tail = Tail(_MARKUP)
        self._held = ""
        self._state: Literal["begin", "header", "body"] = "begin"
        self._header: list[str] = []
        self._kind: Literal["content", "reasoning"] = "content"
        self._recipient: str | None = None
        self._call: list[str] = []
        self.tool_calls: list[ToolCall] = []

    def feed(self, text: str) -> Found:
        """Take a piece of text and give what it says."""
        found: Found = []
        held, place = self._held + text, 0
        if self._state == "begin" and not self._begin(held):
            self._held = held
            return found
        while match := _PATTERN.search(held, place):
            self._add(held[place : match.start()], found)
            self._turn(match[0], found)
            place = match.end()
        sure = self._tail.start(held, place)
        self._add(held[place:sure], found)
        self._held = held[sure:]
        return found

    def finish(self) -> Found:
        """End the answer and give what was held back."""
        found: Found = []
        if self._state == "begin" and not self._held.lstrip().startswith("<|"):
            self._state = "body"
        if self._state == "body":
            self._add(self._held, found)
        self._held = ""
        self._close(found)
        return found

    def _begin(self, held: str) -> bool:
        """Decide whether the answer has headers: one that a grammar has forced may have none."""
        body = held.lstrip()
        if len(held) - len(body) <= _MAX_SPACE:
            if any(len(opening) > len(body) and opening.startswith(body) for opening in _OPENINGS):
                return False
            if body.startswith(_OPENINGS):
                self._state = "header"
                return True
        self._state = "body"
        return True

    def _add(self, text: str, found: Found) -> None:
        if not text:
            return
        if self._state == "header":
            self._header.append(text)
        elif self._recipient is not None:
            self._call.append(text)
        else:
            found.append((self._kind, text))

    def _turn(self, markup: str, found: Found) -> None:
        """Follow one piece of markup."""
        if markup == "<|message|>" and self._state == "header":
            self._open()
            return
        if self._state == "header" and markup in ("<|channel|>", "<|constrain|>"):
            self._header.append(markup)
            return
        self._close(found)
        self._state = "header"
        self._header = [markup] if markup == "<|channel|>" else []

    def _open(self) -> None:
        header = "".join(self._header)
        recipient, channel = _RECIPIENT.search(header), _CHANNEL.search(header)
        self._recipient = recipient[1] if recipient else None
        self._kind = "reasoning" if channel and channel[1] == "analysis" else "content"
        self._state, self._header = "body", []

    def _close(self, found: Found) -> None:
        """End a message; a call whose arguments are no JSON object stays content."""
        if self._recipient is None or self._state != "body":
            return
        text, name = "".join(self._call), self._recipient.removeprefix("functions.")
        self._recipient, self._call = None, []
        arguments = parse_arguments(text)
        if arguments is None:
            if text:
                found.append(("content", text))
            return
        self.tool_calls.append(
            {
                "id": call_id(len(self.tool_calls)),
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
        )
