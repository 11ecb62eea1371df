"""Templates in Jinja, as model files carry them: rendered in a sandbox, because they come from strangers."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from registry._extras import require
from registry.chat.calls import Tools, check_options, check_tools
from registry.chat.messages import Messages, call_id, checked
from registry.chat.partial import pattern_of
from registry.chat.prompt import Piece, Prompt
from registry.errors import InvalidOptionError, TemplateError

if TYPE_CHECKING:
    from types import ModuleType

MAX_SOURCE_CHARS: Final = 500_000  # the longest template that vendors have published has about 20,000
MAX_PROMPT_CHARS: Final = 100_000_000

_THINK = ("<think>", "</think>")
_VARIABLES = ("messages", "tools", "add_generation_prompt", "bos_token", "eos_token")
_PROBE = "probe zqx of what this template keeps"


class JinjaTemplate:
    """A chat template in Jinja, compiled once; safe to use from several threads.

    It is given what Hugging Face's transformers gives: `messages`, `tools`, `documents`, `add_generation_prompt`,
    `bos_token`, `eos_token`, and the options of the caller; `raise_exception`, `strftime_now`, `tojson`,
    `{% generation %}`, `{% break %}` and `{% continue %}` are known. It cannot reach files, modules or the inside of
    Python objects, change what it is given, or loop without end.

    Args:
        source: Text of the template.
        bos_token: Text of the token at the beginning of a sequence.
        eos_token: Text of the token at the end of an answer.
        name: What errors call it.

    Raises:
        MissingExtraError: Jinja2 is not installed.
        TemplateError: The template is no valid Jinja, or too long.

    Example:
        >>> template = JinjaTemplate("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
        >>> template.compose([{"role": "user", "content": "Hi"}]).text
        '<user>Hi'
    """

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "", name: str = "gguf") -> None:
        if not isinstance(source, str):
            raise TypeError(f"expected the text of a template, got {source!r}")
        if len(source) > MAX_SOURCE_CHARS:
            raise TemplateError(name, f"expected at most {MAX_SOURCE_CHARS} characters, got {len(source)}.")
        self.source = source
        self.bos_token = bos_token
        self.eos_token = eos_token
        self.name = name
        self._sandbox = _sandbox()
        self._template, self._variables = self._compile()

    def __repr__(self) -> str:
        return f"<JinjaTemplate {self.name}: {len(self.source)} characters>"

    @property
    def supports_tools(self) -> bool:
        """True when the template looks at the tools that it is given."""
        return "tools" in self._variables

    @cached_property
    def supports_system(self) -> bool:
        """True when the text of a system message comes out again; found by trying."""
        return self._keeps([{"role": "system", "content": _PROBE}, {"role": "user", "content": "Hi"}])

    def compose(
        self,
        messages: Messages,
        *,
        markers: Sequence[str] = (),
        add_generation_prompt: bool = True,
        tools: Tools | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Prompt:
        """Write a conversation as the prompt that the template makes of it.

        Args:
            messages: The conversation.
            markers: Texts of the vocabulary's control tokens. Where a message contains one, it becomes a piece of its
                own that is no markup, so that it stays text. Thoughts of earlier answers keep their markers, because
                templates look for them.
            add_generation_prompt: False to end after the last message.
            tools: Tools that the model is offered, in OpenAI's shape.
            options: More variables for the template, such as `enable_thinking`.

        Raises:
            InvalidMessageError: The conversation is not one that a chat model can be given.
            InvalidOptionError: `tools` are not in OpenAI's shape, or an option has the name of a variable that is set.
            TemplateError: The template refuses the conversation, fails, or has no way to write what was asked of it.
        """
        check_options(options)
        found = checked(messages)
        given = {"documents": None, **(options or {}), "tools": check_tools(tools) or None}
        self._refuse_what_is_lost(found, given["tools"], options or {})
        conversation = self._given(found)
        hider = _Hider(tuple(markers))
        if markers:
            conversation, given = hider.hide_conversation(conversation), hider.hide(given)
        text = self._render(conversation, given, ask=add_generation_prompt)
        pieces = hider.split(text, self.name)
        return self._prompt(pieces, add_generation_prompt=add_generation_prompt)

    def _prompt(self, pieces: tuple[Piece, ...], *, add_generation_prompt: bool) -> Prompt:
        ends_in = pieces[-1].text[-100:].rstrip() if pieces and pieces[-1].markup else ""
        opened = ends_in.endswith(_THINK[0])
        starts_with_bos = bool(self.bos_token) and bool(pieces) and pieces[0].text.startswith(self.bos_token)
        return Prompt(
            pieces=pieces,
            template=self.name,
            stops=(self.eos_token,) if self.eos_token else (),
            bos=self.bos_token if starts_with_bos else "",
            reasoning_open=add_generation_prompt and opened,
            reasoning=_THINK if self._thinks or opened else None,
            role_markers=self._role_markers,
            channels=self._has_channels,
        )

    @cached_property
    def _has_channels(self) -> bool:
        return "<|channel|>" in self.source

    @cached_property
    def _thinks(self) -> bool:
        return not self._has_channels and any(marker in self.source for marker in _THINK)

    @cached_property
    def _role_markers(self) -> tuple[str, ...]:
        """What the template adds to ask for an answer, without what opens the thoughts."""
        asked, plain = (self._try([{"role": "user", "content": "Hi"}], ask=ask) for ask in (True, False))
        if asked is None or plain is None or not asked.startswith(plain):
            return ()
        opening = asked[len(plain) :].partition(_THINK[0])[0]
        return tuple(dict.fromkeys(marker for marker in (opening, opening.strip()) if opening.strip()))

    def _refuse_what_is_lost(
        self, messages: list[Mapping[str, Any]], tools: list[Any] | None, options: Mapping[str, Any]
    ) -> None:
        for option in options:
            if option in _VARIABLES:
                raise InvalidOptionError(f"options[{option!r}]", "a name that is not set already", option)
        if messages[0]["role"] == "system" and not self.supports_system and self._takes_a_question:
            raise TemplateError(
                self.name, "it has no system role. Put the text of the system message into the first user message."
            )
        if tools and not self.supports_tools:
            raise TemplateError(self.name, "it has no way to offer tools. Choose a model whose template has one.")
        if {*map(len, messages)} != {2} and any(map(_has_calls, messages)) and not self._keeps_calls:
            raise TemplateError(
                self.name, "it has no way to write tool calls and their results. Choose a model whose template has one."
            )

    @cached_property
    def _takes_a_question(self) -> bool:
        """True when the simplest conversation works: only then does a failure with more in it say something."""
        return self._try([{"role": "user", "content": "Hi"}]) is not None

    @cached_property
    def _keeps_calls(self) -> bool:
        """True unless calls or results are lost; a template that refuses the probe speaks for itself later."""
        texts = [self._try(_calls_probe(content)) for content in (None, "")]
        return all(text is None for text in texts) or any(text and text.count(_PROBE) >= 2 for text in texts)

    @cached_property
    def _null_content(self) -> bool:
        """True when an assistant message that only calls tools may have no content at all."""
        return self._try(_calls_probe(None)) is not None or self._try(_calls_probe("")) is None

    def _keeps(self, messages: list[dict[str, Any]]) -> bool:
        text = self._try(messages)
        return text is not None and _PROBE in text

    def _try(self, messages: list[dict[str, Any]], *, ask: bool = True) -> str | None:
        try:
            return self._render(messages, {"documents": None, "tools": None}, ask=ask)
        except TemplateError:
            return None

    def _given(self, messages: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Give the conversation as templates expect it. Messages of role and content are as they expect them."""
        return [message if len(message) == 2 else self._message(message) for message in messages]

    def _message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Give a message as templates expect it: arguments as objects, thoughts under both of their names."""
        made = dict(message)
        if "tool_calls" in made:
            made["tool_calls"] = [
                {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
                for call in made["tool_calls"]
            ]
            if made["content"] is None and not self._null_content:
                made["content"] = ""
        if "reasoning_content" in made:
            made["thinking"] = made["reasoning_content"]
        return made

    def _compile(self) -> tuple[Any, frozenset[str]]:
        sandbox = self._sandbox
        try:
            found: tuple[Any, frozenset[str]] = sandbox.compile_template(self.source)
        except sandbox.TemplateError as error:
            reason = f"it is no valid Jinja{self._line(error)}: {str(error.message).rstrip('.')}."
            raise TemplateError(self.name, reason) from error
        except RecursionError as error:
            raise TemplateError(self.name, "it is nested too deeply.") from error
        return found

    def _render(self, messages: Sequence[Mapping[str, Any]], given: Mapping[str, Any], *, ask: bool) -> str:
        sandbox = self._sandbox
        variables = {
            **given,
            "messages": messages,
            "add_generation_prompt": ask,
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
        }
        try:
            text: str = sandbox.render_template(self._template, variables)
        except sandbox.RefusedError as error:
            raise TemplateError(self.name, f"it refuses the conversation: {error}") from error
        except Exception as error:  # a template is a program of somebody else, and can fail in any way
            raise TemplateError(self.name, f"it fails{self._line(error)}: {type(error).__name__}: {error}") from error
        if len(text) > MAX_PROMPT_CHARS:
            raise TemplateError(
                self.name, f"expected a prompt of at most {MAX_PROMPT_CHARS} characters, got {len(text)}."
            )
        return text

    def _line(self, error: BaseException) -> str:
        line = self._sandbox.line_of(error)
        return "" if line is None else f" in line {line}"


def _sandbox() -> ModuleType:
    require("jinja2", extra="chat", purpose="The template in a model's file")
    from registry.chat import _sandbox as module

    return module


def _has_calls(message: Mapping[str, Any]) -> bool:
    return message["role"] == "tool" or "tool_calls" in message


def _calls_probe(content: str | None) -> list[dict[str, Any]]:
    call = {"id": call_id(0), "type": "function", "function": {"name": "probe", "arguments": {"what": _PROBE}}}
    return [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "content": _PROBE, "tool_call_id": call_id(0), "name": "probe"},
    ]


class _Hider:
    """Puts something that nobody can guess in the place of control tokens in messages, and takes it out again.

    Digits only, because templates write contents as JSON, trim them, and change their case.
    """

    def __init__(self, markers: tuple[str, ...]) -> None:
        self._pattern = pattern_of(markers)
        self._firsts = {marker[0] for marker in markers if marker}
        self._secret = ""
        self._hidden: dict[str, str] = {}

    def hide_conversation(self, messages: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Hide markers in messages. Most conversations have nothing that may be one, which is quickly seen."""
        if {*map(len, messages)} == {2}:
            text = "\n".join([message["content"] for message in messages])
            if not any(first in text for first in self._firsts):
                return messages
        return [self._hide_message(message) for message in messages]

    def _hide_message(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Hide markers in a message, but in answers not those of thoughts: templates look for them to drop thoughts."""
        kept = _THINK if message["role"] == "assistant" else ()
        return {key: value if key == "role" else self.hide(value, kept) for key, value in message.items()}

    def hide(self, value: Any, kept: tuple[str, ...] = ()) -> Any:
        """Hide markers in all strings of a value."""
        if isinstance(value, str):
            return self._pattern.sub(lambda found: self._stand_in(found[0], kept), value)
        if isinstance(value, Mapping):
            return {self.hide(key, kept): self.hide(item, kept) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(item, kept) for item in value]
        return value

    def _stand_in(self, marker: str, kept: tuple[str, ...]) -> str:
        if marker in kept:
            return marker
        if not self._secret:
            self._secret = str(10**37 + secrets.randbelow(9 * 10**37))
        number = self._hidden.setdefault(marker, f"{len(self._hidden):06d}")
        return self._secret + number

    def split(self, text: str, name: str) -> tuple[Piece, ...]:
        """Give the pieces of a rendered text, with the markers back in their places."""
        if not self._hidden:
            return (Piece(text, markup=True),) if text else ()
        shown = {number: marker for marker, number in self._hidden.items()}
        parts = re.split(f"{self._secret}([0-9]{{6}})", text)
        if any(self._secret[:12] in part or self._secret[-12:] in part for part in parts[::2]):
            raise TemplateError(name, "it takes message texts apart, so control tokens in them cannot be kept out.")
        texts = (shown[part] if at % 2 else part for at, part in enumerate(parts))
        return tuple(Piece(text, markup=at % 2 == 0) for at, text in enumerate(texts) if text)
