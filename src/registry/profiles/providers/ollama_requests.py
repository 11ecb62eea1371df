"""Conversations and parameters as Ollama's API has them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from registry.chat import check_messages, check_tools
from registry.errors import InvalidMessageError, InvalidOptionError

if TYPE_CHECKING:
    from registry.chat import Messages
    from registry.profiles.protocol import Parameters

# Names of this library -> names of Ollama's options. The others are called the same, or are Ollama's own.
_OPTIONS = {"max_tokens": "num_predict", "context_length": "num_ctx"}
_TOP_LEVEL = ("keep_alive", "think")
_TRANSLATED = ("tools", "tool_choice", "response_format", "template_options", "reasoning_effort")
_EFFORTS: Mapping[str, bool | str] = {"none": False, "low": "low", "medium": "medium", "high": "high"}


def chat_body(name: str, messages: Messages, parameters: Parameters) -> dict[str, Any]:
    """Give the request for an answer in pieces.

    Raises:
        InvalidMessageError: The conversation is not one that a chat model can be given.
        InvalidOptionError: A parameter has a value that Ollama has no way to say.
    """
    body: dict[str, Any] = {"model": name, "messages": _messages(messages), "stream": True}
    body |= {key: parameters[key] for key in _TOP_LEVEL if parameters.get(key) is not None}
    if (think := _think(parameters)) is not None:
        body.setdefault("think", think)
    if tools := _tools(parameters):
        body["tools"] = tools
    if (form := _format(parameters.get("response_format"))) is not None:
        body["format"] = form
    if options := options_of(parameters):
        body["options"] = options
    return body


def options_of(parameters: Parameters) -> dict[str, Any]:
    """Give the options of the model; names that are not known here stay as they are."""
    left_out = (*_TOP_LEVEL, *_TRANSLATED, "dimensions", "truncate")
    options = {
        _OPTIONS.get(name, name): value
        for name, value in parameters.items()
        if value is not None and name not in left_out
    }
    if isinstance(stop := options.get("stop"), str | tuple):
        options["stop"] = [stop] if isinstance(stop, str) else list(stop)
    return options


def _messages(messages: Messages) -> list[dict[str, Any]]:
    texts, pictures = _split(messages)
    names: dict[str, str] = {}
    made = []
    for number, message in enumerate(check_messages(texts)):
        entry: dict[str, Any] = {"role": message["role"], "content": message.get("content") or ""}
        if number in pictures:
            entry["images"] = pictures[number]
        if thought := message.get("reasoning_content"):
            entry["thinking"] = thought
        for call in message.get("tool_calls", ()):
            function, names[call["id"]] = call["function"], call["function"]["name"]
            stated = {"name": function["name"], "arguments": json.loads(function["arguments"])}
            entry.setdefault("tool_calls", []).append({"id": call["id"], "function": stated})
        if called := message.get("tool_call_id"):
            # Ollama tells results apart by the name of the tool; newer versions by the id as well.
            entry |= {"tool_name": names[called], "tool_call_id": called}
        made.append(entry)
    return made


def _split(messages: Any) -> tuple[Any, dict[int, list[str]]]:
    """Take the pictures out of a conversation: the messages without them, and place -> pictures in base64."""
    if not isinstance(messages, list | tuple):
        return messages, {}
    texts: list[Any] = []
    pictures: dict[int, list[str]] = {}
    for number, message in enumerate(messages):
        parts = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(parts, list | tuple):
            texts.append(message)
            continue
        left = []
        for place, part in enumerate(parts):
            if isinstance(part, Mapping) and part.get("type") == "image_url":
                picture = _picture(f"messages[{number}].content[{place}].image_url", part.get("image_url"))
                pictures.setdefault(number, []).append(picture)
            else:
                left.append(part)
        texts.append({**message, "content": left})
    return texts, pictures


def _picture(place: str, stated: Any) -> str:
    """Give the base64 of a picture. The bytes must be in the message: Ollama fetches none."""
    url = stated.get("url") if isinstance(stated, Mapping) else stated
    head, comma, content = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        raise InvalidMessageError(place, "expected the picture itself, as `data:image/png;base64,...`, got none.")
    try:
        base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidMessageError(place, f"expected base64: {error}.") from None
    return content


def _tools(parameters: Parameters) -> list[Mapping[str, Any]]:
    choice = parameters.get("tool_choice") or "auto"
    if choice not in ("auto", "none"):
        raise InvalidOptionError("tool_choice", "`auto` or `none`", choice, "Ollama leaves it to the model.")
    tools = check_tools(parameters.get("tools"))
    return tools if choice == "auto" else []


def _think(parameters: Parameters) -> bool | str | None:
    """Give whether, or how much, to think: `reasoning_effort`, or what templates call `enable_thinking`."""
    if (effort := parameters.get("reasoning_effort")) is not None:
        if effort not in _EFFORTS:
            raise InvalidOptionError("reasoning_effort", f"one of {', '.join(_EFFORTS)}", effort)
        return _EFFORTS[effort]
    stated = (parameters.get("template_options") or {}).get("enable_thinking")
    return None if stated is None else bool(stated)


def _format(stated: Any) -> Any:
    """Give the format of the answer: `json`, or a JSON schema; `None` for any text."""
    kind = stated.get("type") if isinstance(stated, Mapping) else None
    if stated is None or kind == "text":
        return None
    if kind == "json_object":
        return "json"
    schema = (stated.get("json_schema") or {}).get("schema") if kind == "json_schema" else None
    if not isinstance(schema, Mapping):
        expected = '`{"type": "json_object"}`, or `{"type": "json_schema", "json_schema": {"schema": {...}}}`'
        raise InvalidOptionError("response_format", expected, stated)
    return schema
