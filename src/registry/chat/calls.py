"""Tools: the check of those that are offered, and the calls in what a model has written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from registry.chat.messages import ToolCall, call_id
from registry.errors import InvalidOptionError

Tools: TypeAlias = Sequence[Mapping[str, object]]
"""Tools that a model is offered, in OpenAI's shape: `{"type": "function", "function": {"name": ..., ...}}`."""

# Texts after which a call may follow, and those that close it.
OPENING = ("<tool_call>", "[TOOL_CALLS]", "<|tool_call|>", "<|python_tag|>")
_CLOSING = {"<tool_call>": "</tool_call>", "<|tool_call|>": "<|/tool_call|>"}
_OPENING = re.compile("|".join(map(re.escape, OPENING)))
_SPACE = re.compile(r"[\s;]*")
# A text can be made that fails to be JSON only at its end, and begins anew at every marker: so failures are counted.
_FAILURES = 16


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def check_options(options: Mapping[str, Any] | None) -> None:
    """Refuse options of a template that have no names.

    Raises:
        InvalidOptionError: They are no mapping.
    """
    if options is not None and not isinstance(options, Mapping):
        raise InvalidOptionError("options", "a mapping of names to values", options)


def check_tools(tools: Tools | None) -> list[Mapping[str, Any]]:
    """Give the tools that a model is offered as a list, empty where there are none.

    Raises:
        InvalidOptionError: One is not in OpenAI's shape.

    Example:
        >>> check_tools(None)
        []
    """
    if tools is None:
        return []
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Sequence):
        raise InvalidOptionError("tools", "a list of tools", tools)
    for number, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping):
            shape = '{"type": "function", "function": {"name": ..., "parameters": ...}}'
            raise InvalidOptionError(f"tools[{number}]", f"a tool such as {shape}", tool)
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise InvalidOptionError(f"tools[{number}].function.name", "the name of a function", name)
        try:
            json.dumps(tool, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidOptionError(f"tools[{number}]", "what JSON can hold", tool, f"{error}.") from error
    return list(tools)


def parse_tool_calls(text: str, *, first: int = 0) -> tuple[str, list[ToolCall]]:
    """Take the tool calls out of an answer.

    These forms are known: `<tool_call>{...}</tool_call>` (Hermes, Qwen, Falcon), `[TOOL_CALLS][...]`
    (Mistral), `<|tool_call|>[...]<|/tool_call|>` (Phi-4-mini, Granite), and an answer that is nothing but
    `{"name": ..., "parameters": ...}`, after `<|python_tag|>` or not (Llama 3.1). What is no valid call stays content.

    Args:
        text: The whole answer, without reasoning.
        first: Number of the first call. Calls that the model has given no id are named `call00000`, `call00001`, ...
            in order; the number of calls so far in a conversation keeps them distinct.

    Returns:
        The content without the calls, and the calls in OpenAI's shape. Content beside calls is stripped of spaces.

    Example:
        >>> content, calls = parse_tool_calls('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>')
        >>> calls[0]["function"]
        {'name': 'add', 'arguments': '{"a": 1}'}
    """
    found = list(_bare(text))
    if found:
        return "", _numbered(found, first)
    kept, found = _marked(text)
    if not found:
        return text, []
    return kept.strip(), _numbered(found, first)


def _numbered(found: list[dict[str, str]], first: int) -> list[ToolCall]:
    return [
        {
            "id": call.get("id") or call_id(first + number),
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for number, call in enumerate(found)
    ]


def _bare(text: str) -> Iterator[dict[str, str]]:
    """Give the calls of an answer that is nothing but objects; none where anything else is in it."""
    text = text.strip().removeprefix("<|python_tag|>").strip()
    found = []
    place = 0
    while place < len(text):
        if text[place] != "{" or (decoded := _decode(text, place)) is None:
            return
        value, place = decoded
        call = _call(value, whole=True)
        if call is None:
            return
        found.append(call)
        place = _end(_SPACE, text, place)
    yield from found


def _marked(text: str) -> tuple[str, list[dict[str, str]]]:
    """Take out what follows the markers and is a call."""
    kept, found, place, failures = [], [], 0, 0
    while failures < _FAILURES and (match := _OPENING.search(text, place)):
        decoded = _decode(text, _end(_SPACE, text, match.end()))
        calls = [] if decoded is None else _calls(decoded[0])
        if not calls:
            failures += 1
            kept.append(text[place : match.end()])
            place = match.end()
            continue
        kept.append(text[place : match.start()])
        found += calls
        place = decoded[1] if decoded else match.end()
        closing = _CLOSING.get(match[0])
        after = _end(_SPACE, text, place)
        if closing and text.startswith(closing, after):
            place = after + len(closing)
    return "".join((*kept, text[place:])), found


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    match = pattern.match(text, place)
    return match.end() if match else place


def _decode(text: str, place: int) -> tuple[Any, int] | None:
    try:
        return _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError):
        return None


def _calls(value: Any) -> list[dict[str, str]]:
    """Give the calls in a decoded value, which is one call or a list of them; none where one is not a call."""
    calls = [_call(item) for item in (value if isinstance(value, list) else [value])]
    return [call for call in calls if call] if all(calls) else []


def _call(value: Any, *, whole: bool = False) -> dict[str, str] | None:
    """Give one call in one form; `whole` asks for arguments, without which any object with a name would be a call."""
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):
        value = {**value, **value["function"]}
    arguments = value.get("arguments", value.get("parameters", None if whole else {}))
    written = parse_arguments(arguments) if isinstance(arguments, str) else _dump(arguments)
    name, identity = value.get("name"), value.get("id")
    if not isinstance(name, str) or not name or written is None:
        return None
    call = {"name": name, "arguments": written}
    return {**call, "id": identity} if isinstance(identity, str) else call


def parse_arguments(text: str) -> str | None:
    """Give the JSON object that a text is, written anew; `None` where it is none."""
    text = text.strip()
    decoded = _decode(text, 0)
    return _dump(decoded[0]) if decoded and decoded[1] == len(text) else None


def _dump(arguments: Any) -> str | None:
    if not isinstance(arguments, dict):
        return None
    text = json.dumps(arguments, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a model can write half of a surrogate pair as an escape
        return json.dumps(arguments)
    return text
