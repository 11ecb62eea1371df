"""Conversations in OpenAI's shape: the types, and one check that says what is wrong and where."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, cast

from registry.errors import InvalidMessageError


class TextPart(TypedDict):
    """One part of a content in parts."""

    type: Literal["text"]
    text: str


class FunctionCall(TypedDict):
    """The function that a model calls; `arguments` is a JSON object as a string."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """One call in a message of the assistant."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class Message(TypedDict):
    """One message of a conversation, in OpenAI's shape.

    `content` may be left out, or `None`, where the assistant calls tools. `developer` is another word for `system`.
    `reasoning_content` is what a reasoning model thought; templates use it as their vendors do, mostly not at all.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: NotRequired[str | list[TextPart] | None]
    name: NotRequired[str]
    tool_calls: NotRequired[list[ToolCall]]
    tool_call_id: NotRequired[str]
    reasoning_content: NotRequired[str]


Messages: TypeAlias = Sequence[Mapping[str, object]]
"""A conversation as callers give it: a list of `Message`s, or of any dicts of that shape."""

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_LONGEST_SHOWN = 200  # characters of a wrong value in a message
_PLAIN = ("user", "assistant", "system")  # a tuple, because a role may be of any type, hashable or not
_TEXT_FIELDS = ("name", "reasoning_content", "tool_call_id")


def check_messages(messages: Messages) -> tuple[Message, ...]:
    """Give a conversation in one form: known keys only, content as one string, `developer` as `system`.

    A content in parts is joined without anything between them. `None` stays where the assistant only calls tools.
    A conversation may end with any role.

    Raises:
        InvalidMessageError: There is no message, or one that no chat model can be given.

    Example:
        >>> check_messages([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}])
        ({'role': 'user', 'content': 'Hi'},)
    """
    return cast("tuple[Message, ...]", tuple(dict(message) for message in checked(messages)))


def checked(messages: Messages) -> list[Mapping[str, Any]]:
    """Do what `check_messages` does, without copies: messages that are in that form already are the caller's own."""
    if type(messages) is not list and (isinstance(messages, str | bytes) or not isinstance(messages, Sequence)):
        raise InvalidMessageError("messages", f"expected a list of messages, got {_kind(messages)}.")
    if not messages:
        raise InvalidMessageError("messages", "expected at least one message, got none. Add a user message.")
    # Nearly all messages are of the kind that is asked for here, and a long conversation is checked for every answer.
    found: list[Mapping[str, Any]] = [
        message
        if type(message) is dict
        and len(message) == 2
        and type(content := message.get("content")) is str
        and (content.isascii() or _is_encodable(content))
        and message.get("role") in _PLAIN
        else _message(index, message)
        for index, message in enumerate(messages)
    ]
    roles = [message["role"] for message in found]
    if "system" in roles[1:]:
        _refuse_system(roles.index("system", 1), first=roles[0])
    if "tool" in roles:
        _check_results(found)
    return found


def _message(index: int, message: Any) -> dict[str, Any]:
    if type(message) is not dict and not isinstance(message, Mapping):
        raise InvalidMessageError(f"messages[{index}]", f"expected a dict with role and content, got {_kind(message)}.")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        got = "none" if "role" not in message else repr(role)
        known = ", ".join(map(repr, _ROLES))
        raise InvalidMessageError(f"messages[{index}].role", f"expected one of {known}, got {got}.")
    role = _ROLES[role]
    content = message.get("content")
    if type(content) is not str:
        content = _content(f"messages[{index}]", role, message)
    else:
        _check_text(f"messages[{index}].content", content)
    made = {"role": role, "content": content}
    if len(message) > 2 or content is None or role == "tool":
        _add_rest(f"messages[{index}]", message, made)
    return made


def _content(place: str, role: str, message: Mapping[str, Any]) -> str | None:
    content = message.get("content")
    if content is None and role == "assistant" and message.get("tool_calls"):
        return None
    place += ".content"
    if isinstance(content, str):
        _check_text(place, content)
        return str(content)
    if not isinstance(content, list | tuple):
        got = "nothing" if "content" not in message else _kind(content)
        calls = " Only an assistant message with `tool_calls` needs none." if role == "assistant" else ""
        raise InvalidMessageError(place, f"expected a string, or a list of text parts, got {got}.{calls}")
    return "".join(_part(f"{place}[{number}]", part) for number, part in enumerate(content))


def _part(place: str, part: Any) -> str:
    if not isinstance(part, Mapping):
        raise InvalidMessageError(place, f'expected a part such as {{"type": "text", "text": ...}}, got {_kind(part)}.')
    if part.get("type") != "text":
        raise InvalidMessageError(
            f"{place}.type", f"expected 'text', got {part.get('type')!r}. Chat models of this library read text only."
        )
    text = part.get("text")
    if not isinstance(text, str):
        raise InvalidMessageError(f"{place}.text", f"expected a string, got {_kind(text)}.")
    _check_text(f"{place}.text", text)
    return text


def _add_rest(place: str, message: Mapping[str, Any], made: dict[str, Any]) -> None:
    """Check and take over the other keys that are known; OpenAI's clients add some that nobody reads."""
    for field in _TEXT_FIELDS:
        value = message.get(field)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidMessageError(f"{place}.{field}", f"expected a string, got {_kind(value)}.")
        _check_text(f"{place}.{field}", value)
        made[field] = value
    calls = message.get("tool_calls")
    if calls:
        if made["role"] != "assistant":
            raise InvalidMessageError(
                f"{place}.tool_calls", f"expected calls in assistant messages only, got them in role {made['role']!r}."
            )
        made["tool_calls"] = _tool_calls(f"{place}.tool_calls", calls)


def _tool_calls(place: str, calls: Any) -> list[ToolCall]:
    if not isinstance(calls, list | tuple):
        raise InvalidMessageError(place, f"expected a list of tool calls, got {_kind(calls)}.")
    return [_tool_call(f"{place}[{number}]", number, call) for number, call in enumerate(calls)]


def _tool_call(place: str, number: int, call: Any) -> ToolCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        shape = '{"id": ..., "type": "function", "function": {"name": ..., "arguments": ...}}'
        raise InvalidMessageError(place, f"expected a call such as {shape}, got {call!r}.")
    name, identity = function.get("name"), call.get("id")
    if not isinstance(name, str) or not name:
        raise InvalidMessageError(f"{place}.function.name", f"expected the name of a function, got {name!r}.")
    if identity is not None and not isinstance(identity, str):
        raise InvalidMessageError(f"{place}.id", f"expected a string, got {_kind(identity)}.")
    arguments = _arguments(f"{place}.function.arguments", function.get("arguments"))
    _check_text(f"{place}.function", name + arguments)
    return {
        "id": identity or call_id(number),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _arguments(place: str, arguments: Any) -> str:
    if arguments is None:
        return "{}"
    try:
        if isinstance(arguments, Mapping):
            return json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False)
        if isinstance(arguments, str) and isinstance(json.loads(arguments), dict):
            return arguments
    except (TypeError, ValueError, RecursionError):
        pass  # said below, with what is no object
    shown = repr(arguments)
    shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
    raise InvalidMessageError(place, f"expected a JSON object as a string, got {shown}.")


def call_id(number: int) -> str:
    """Give the id of a call that has none: nine letters and digits, because Mistral's templates take nothing else."""
    return f"call{number:05d}"


def _refuse_system(index: int, *, first: str) -> None:
    if first == "system":
        problem = "expected at most one system message, got a second one (the first is messages[0]). Join their texts."
    else:
        problem = "expected the system message at the start of the conversation, got it later. Move it to messages[0]."
    raise InvalidMessageError(f"messages[{index}].role", problem)


def _check_results(found: list[Mapping[str, Any]]) -> None:
    """Refuse results of tools that nobody has called."""
    ids: tuple[str, ...] = ()
    for index, message in enumerate(found):
        if message["role"] != "tool":
            ids = tuple(call["id"] for call in message.get("tool_calls", ()))
            continue
        if not ids:
            raise InvalidMessageError(
                f"messages[{index}].role", "expected an assistant message with `tool_calls` before a result, got none."
            )
        if (got := message.get("tool_call_id")) not in ids:
            raise InvalidMessageError(
                f"messages[{index}].tool_call_id",
                f"expected the id of a call before it, {' or '.join(map(repr, ids))}, got {got!r}.",
            )


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_text(place: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        lone = f"the lone surrogate {text[error.start]!r} at character {error.start}"
        raise InvalidMessageError(place, f"expected text that UTF-8 can encode, got {lone}.") from None


def _kind(value: object) -> str:
    return "None" if value is None else f"`{type(value).__name__}`"
