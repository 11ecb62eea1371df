"""Conversations and parameters as servers have them that speak OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from registry.chat import check_messages, check_tools
from registry.errors import InvalidOptionError
from registry.profiles.parameters import CANONICAL

if TYPE_CHECKING:
    from registry.chat import Messages
    from registry.profiles.protocol import Parameters

# How servers call the penalty that llama.cpp, and our own server, call `repeat_penalty`; by who owns their models.
_PENALTIES = {"vllm": "repetition_penalty", "sglang": "repetition_penalty", "tgi": "repetition_penalty"}
_OPENAI = "openai"
# What OpenAI's own service refuses, and others know.
_NOT_OPENAI = ("top_k", "repeat_penalty", "min_p", "template_options")


# What a request says of itself; said by a role, it would say something else than what is read of the answer.
_OWN = ("model", "messages", "stream", "stream_options")

KNOWN_TO_OPENAI = frozenset(
    (
        *CANONICAL,
        *("dimensions", "min_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"),
        *("response_format", "tools", "tool_choice", "parallel_tool_calls", "template_options", "reasoning_effort"),
        *("metadata", "prediction", "service_tier", "store", "user", "verbosity"),
    )
)
"""Names that servers of this kind know. Some know more, but some refuse a request with a name that they do not know."""


def dialect_of(host: str, owners: Sequence[str]) -> str:
    """Say which dialect of the API a server speaks: `openai`, or the name by which it calls itself in its models.

    Args:
        host: Name of its host.
        owners: Who owns its models, as it lists them.
    """
    if host == "api.openai.com" or host.endswith(".openai.azure.com"):
        return _OPENAI
    return next((owner for owner in owners if owner in _PENALTIES), "")


def chat_body(messages: Messages, parameters: Parameters, dialect: str) -> dict[str, Any]:
    """Give what a request says of an answer, but for the model.

    The length of the context cannot be chosen in a request, and is left out.

    Raises:
        InvalidMessageError: The conversation is not one that a chat model can be given.
        InvalidOptionError: The tools are not in OpenAI's shape, or a parameter is what the request says itself.
    """
    for name in _OWN:
        if name in parameters:
            raise InvalidOptionError(
                name, "to be left out", parameters[name], "The request for an answer says it itself."
            )
    stated = {name: value for name, value in parameters.items() if value is not None and name != "context_length"}
    if dialect == _OPENAI:
        stated = {name: value for name, value in stated.items() if name not in _NOT_OPENAI}
        if "max_tokens" in stated:  # which its reasoning models refuse
            stated["max_completion_tokens"] = stated.pop("max_tokens")
    if "repeat_penalty" in stated:
        stated[_PENALTIES.get(dialect, "repeat_penalty")] = stated.pop("repeat_penalty")
    if "template_options" in stated:
        stated["chat_template_kwargs"] = dict(stated.pop("template_options"))
    if isinstance(stated.get("stop"), tuple):
        stated["stop"] = list(stated["stop"])
    if "tools" in stated:
        stated["tools"] = check_tools(stated["tools"])
    return {**stated, "messages": _messages(messages, keeps_thoughts=dialect != _OPENAI)}


def _messages(messages: Any, *, keeps_thoughts: bool) -> list[dict[str, Any]]:
    """Give a conversation in the one form that this library has; one with pictures only without them is checked."""
    pictures: dict[int, Any] = {}
    texts: Any = messages
    if isinstance(messages, list | tuple):
        texts = []
        for number, message in enumerate(messages):
            parts = message.get("content") if isinstance(message, Mapping) else None
            if isinstance(parts, list | tuple) and any(_is_other(part) for part in parts):
                pictures[number] = list(parts)
                message = {**message, "content": [part for part in parts if not _is_other(part)]}
            texts.append(message)
    made: list[dict[str, Any]] = [dict(message) for message in check_messages(texts)]
    for number, message in enumerate(made):
        if number in pictures:
            message["content"] = pictures[number]
        if not keeps_thoughts:
            message.pop("reasoning_content", None)
    return made


def _is_other(part: object) -> bool:
    """True for a part that is no text: a picture, say, which the server may read or refuse."""
    return isinstance(part, Mapping) and isinstance(part.get("type"), str) and part["type"] != "text"
