"""What a model writes, cleaned while it is written: stops, thoughts, role markers, channels and tool calls."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

from registry.chat.calls import OPENING, parse_tool_calls
from registry.chat.channels import ChannelSplitter
from registry.chat.messages import ToolCall
from registry.chat.partial import Tail
from registry.chat.prompt import Prompt
from registry.errors import InvalidOptionError

_SPACE = re.compile(r"\s*")
_MAX_SPACE = 16  # white space before a role marker; more is no such thing


class Delta(NamedTuple):
    """A stretch of the answer.

    Attributes:
        kind: `content` is the answer, `reasoning` what the model thought on the way.
        text: The text, never empty.
    """

    kind: Literal["content", "reasoning"]
    text: str


class OutputParser:
    """Takes the text of an answer as it comes, in any pieces, and gives what of it may be shown.

    Whatever the pieces are, the texts given are the same in the end. Text is held back only while it may be the
    beginning of a marker, and tool calls until the end. Time is linear in the length of the answer.

    Args:
        stops: Texts that end the answer, in thoughts too. Nothing at or after the first of them is given.
        reasoning: Markers round thoughts; `None` where there are none. Line ends next to the markers belong to them.
        reasoning_open: True when the answer begins with thoughts, because the prompt ends in their first marker.
        role_markers: Texts that are left out at the start of the answer, with the white space around them.
        channels: True for the channels of OpenAI's harmony format; `reasoning` is not looked at then.
        tools: True to take out tool calls; they are in `tool_calls` after `finish`. Content from a marker of calls
            on, or all of it if it begins with `{`, is held back until then. White space before content is left out.

    Raises:
        InvalidOptionError: A stop or a marker is empty.

    Example:
        >>> parser = OutputParser(["<|im_end|>"], reasoning=("<think>", "</think>"))
        >>> parser.feed("<think>Hm.</thi"), parser.feed("nk>42<|im"), parser.feed("_end|>x")
        ([Delta(kind='reasoning', text='Hm.')], [Delta(kind='content', text='42')], [])
        >>> parser.finish(), parser.stopped
        ([], True)
    """

    def __init__(
        self,
        stops: Iterable[str] = (),
        *,
        reasoning: tuple[str, str] | None = None,
        reasoning_open: bool = False,
        role_markers: Iterable[str] = (),
        channels: bool = False,
        tools: bool = False,
        first_call: int = 0,
    ) -> None:
        strip = _checked("role_markers", role_markers)
        if reasoning is not None:
            _checked("reasoning", reasoning)
            if reasoning_open:  # some models open them again
                strip = (*strip, reasoning[0])
        self._start = _StartStripper(strip)
        self._stops = _StopFilter(_checked("stops", stops))
        self._splitter: _ReasoningSplitter | ChannelSplitter = (
            ChannelSplitter() if channels else _ReasoningSplitter(reasoning, inside=reasoning_open)
        )
        self._calls = _CallHolder() if tools else None
        self._tool_calls: tuple[ToolCall, ...] = ()
        self._finished = False
        self._first_call = first_call

    @classmethod
    def for_prompt(cls, prompt: Prompt, stops: Iterable[str] = (), *, tools: bool = False, first_call: int = 0) -> Self:
        """Make the parser for the answer to a prompt.

        Args:
            prompt: The prompt.
            stops: Stops beside those of the prompt: of the record and of the caller.
            tools: True when the model was offered tools.
            first_call: Number of the first tool call.

        Raises:
            InvalidOptionError: A stop is empty.

        Example:
            >>> from registry.chat import compose
            >>> prompt = compose([{"role": "user", "content": "Hi"}], "chatml")
            >>> OutputParser.for_prompt(prompt, ["User:"]).feed("Hello! User: and what now?")
            [Delta(kind='content', text='Hello! ')]
        """
        return cls(
            (*prompt.stops, *_checked("stops", stops)),
            reasoning=prompt.reasoning,
            reasoning_open=prompt.reasoning_open,
            role_markers=prompt.role_markers,
            channels=prompt.channels,
            tools=tools,
            first_call=first_call,
        )

    @property
    def stopped(self) -> bool:
        """True when a stop has been seen: what comes after it changes nothing."""
        return self._stops.stopped

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the answer, complete after `finish`."""
        return self._tool_calls

    def feed(self, text: str) -> list[Delta]:
        """Take the next piece of the answer and give what may be shown now.

        Raises:
            ValueError: The answer has been finished.
        """
        if self._finished:
            raise ValueError("expected no text after `finish`. Make a parser for each answer.")
        if self.stopped:
            return []
        return self._give(self._splitter.feed(self._stops.feed(self._start.feed(text))))

    def finish(self) -> list[Delta]:
        """End the answer and give what was held back. A second call gives nothing."""
        if self._finished:
            return []
        self._finished = True
        rest = "" if self.stopped else self._stops.feed(self._start.finish())
        found = [*self._splitter.feed(rest + self._stops.finish()), *self._splitter.finish()]
        deltas = self._give(found)
        own = self._splitter.tool_calls
        if self._calls is not None:
            content, calls = self._calls.finish(first=self._first_call + len(own))
            own += calls
            deltas += [Delta("content", content)] if content else []
        self._tool_calls = tuple(own)
        return deltas

    def _give(self, found: list[tuple[Literal["content", "reasoning"], str]]) -> list[Delta]:
        """Give what was found as deltas, content without what may be a tool call."""
        deltas = []
        for kind, text in found:
            shown = self._calls.feed(text) if kind == "content" and self._calls is not None else text
            if shown:
                deltas.append(Delta(kind, shown))
        return deltas


def _checked(option: str, texts: Iterable[str]) -> tuple[str, ...]:
    if isinstance(texts, str):
        raise InvalidOptionError(option, "a list of strings", texts, f"Write `[{texts!r}]`.")
    found = tuple(texts)
    for text in found:
        if not isinstance(text, str) or not text:
            raise InvalidOptionError(option, "strings that are not empty", text)
    return found


class _StartStripper:
    """Leaves out role markers at the very start."""

    def __init__(self, markers: tuple[str, ...]) -> None:
        self._markers = sorted(set(markers), key=len, reverse=True)
        self._longest = max(map(len, markers), default=0)
        self._held = ""
        self._open = bool(markers)
        self._found = False

    def feed(self, text: str) -> str:
        if not self._open:
            return text
        self._held += text
        return self._pass(final=False)

    def finish(self) -> str:
        return self._pass(final=True) if self._open else ""

    def _pass(self, *, final: bool) -> str:
        held, place = self._held, 0
        while True:
            begin = _end_of_space(held, place)
            body = held[begin : begin + self._longest]
            spaced = not self._found and begin - place > _MAX_SPACE
            if not final and not spaced and self._may_go_on(body):
                self._held = held[begin if self._found else place :]  # white space after a marker belongs to it
                return ""
            marker = None if spaced else next((marker for marker in self._markers if body.startswith(marker)), None)
            if marker is None:
                break
            place, self._found = begin + len(marker), True
        self._open = False
        return held[begin if self._found else place :]

    def _may_go_on(self, body: str) -> bool:
        """Tell whether what is held may still become a marker, or a longer one."""
        return any(len(marker) > len(body) and marker.startswith(body) for marker in self._markers)


def _end_of_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


class _StopFilter:
    """Passes text on up to the first stop."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._pattern = re.compile("|".join(map(re.escape, stops)) or "(?!)")
        self._tail = Tail(stops)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        held = self._held + text
        sure = self._tail.start(held)
        match = self._pattern.search(held)
        if match and match.start() <= sure:
            self.stopped = True
            self._held = ""
            return held[: match.start()]
        self._held = held[sure:]  # may hold a whole stop, if a longer one may begin before it
        return held[:sure]

    def finish(self) -> str:
        match = self._pattern.search(self._held)
        self.stopped = self.stopped or match is not None
        rest, self._held = self._held[: match.start()] if match else self._held, ""
        return rest


class _ReasoningSplitter:
    """Tells thoughts from the answer."""

    def __init__(self, markers: tuple[str, str] | None, *, inside: bool) -> None:
        self._markers = markers or ("", "")
        self._tails = tuple(Tail((marker,) if marker else ()) for marker in self._markers)
        self._inside = inside and markers is not None
        self._held = ""
        self._skip = self._inside  # line ends after a marker
        self._line_ends = 0  # at the end of thoughts so far: they are given when more thoughts follow
        self.tool_calls: list[ToolCall] = []

    def feed(self, text: str) -> list[tuple[Literal["content", "reasoning"], str]]:
        found: list[tuple[Literal["content", "reasoning"], str]] = []
        held, place = self._held + text, 0
        while (marker := self._markers[self._inside]) and (at := held.find(marker, place)) >= 0:
            self._add(held[place:at], found)
            place = at + len(marker)
            self._inside = not self._inside
            self._skip, self._line_ends = True, 0
        sure = self._tails[self._inside].start(held, place)
        self._add(held[place:sure], found)
        self._held = held[sure:]
        return found

    def finish(self) -> list[tuple[Literal["content", "reasoning"], str]]:
        found: list[tuple[Literal["content", "reasoning"], str]] = []
        self._add(self._held, found)
        self._held = ""
        return found

    def _add(self, text: str, found: list[tuple[Literal["content", "reasoning"], str]]) -> None:
        if self._skip:
            text = text.lstrip("\n")
            self._skip = not text
        if not text:
            return
        if not self._inside:
            found.append(("content", text))
            return
        thought = text.rstrip("\n")
        if thought:
            found.append(("reasoning", "\n" * self._line_ends + thought))
            self._line_ends = 0
        self._line_ends += len(text) - len(thought)


class _CallHolder:
    """Holds content back from the first text on that may open a tool call."""

    def __init__(self) -> None:
        self._pattern = re.compile("|".join(map(re.escape, OPENING)))
        self._tail = Tail(OPENING)
        self._held = ""
        self._kept: list[str] = []
        self._begun = False  # something has been passed on

    def feed(self, text: str) -> str:
        if self._kept:
            self._kept.append(text)
            return ""
        held = self._held + text
        if not self._begun:
            held = held.lstrip()  # or it would depend on the pieces whether spaces before a call are given
        match = self._pattern.search(held)
        opened = not self._begun and held.startswith("{")
        sure = 0 if opened else match.start() if match else self._tail.start(held)
        self._kept, self._held = ([held[sure:]], "") if opened or match else ([], held[sure:])
        self._begun = self._begun or sure > 0
        return held[:sure]

    def finish(self, *, first: int) -> tuple[str, list[ToolCall]]:
        return parse_tool_calls("".join(self._kept) or self._held, first=first)
