"""Conversations and parameters as servers have them that speak OpenAI's API."""

from typing import Any

import pytest

from registry.errors import InvalidMessageError, InvalidOptionError
from registry.profiles.providers.openai_requests import chat_body, dialect_of

ASKED = [{"role": "user", "content": "How tall?"}]
STATED: dict[str, Any] = {
    "temperature": 0.2,
    "top_k": 40,
    "repeat_penalty": 1.1,
    "max_tokens": 512,
    "stop": ("END",),
    "seed": 7,
    "context_length": 8192,
    "template_options": {"enable_thinking": False},
    "user": None,
}


@pytest.mark.parametrize(
    ("host", "owners", "dialect"),
    [
        ("api.openai.com", [], "openai"),
        ("mine.openai.azure.com", ["vllm"], "openai"),
        ("127.0.0.1", ["me", "vllm"], "vllm"),
        ("127.0.0.1", ["llamacpp"], ""),
        ("127.0.0.1", [], ""),
    ],
)
def test_dialect_is_told_by_the_host_or_the_owner_of_models(host: str, owners: list[str], dialect: str) -> None:
    assert dialect_of(host, owners) == dialect


def test_parameters_are_sent_by_their_names_but_for_the_context() -> None:
    assert chat_body(ASKED, STATED, "") == {
        "messages": ASKED,
        "temperature": 0.2,
        "top_k": 40,
        "repeat_penalty": 1.1,
        "max_tokens": 512,
        "stop": ["END"],
        "seed": 7,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_openais_own_service_is_not_sent_what_it_refuses() -> None:
    assert chat_body(ASKED, STATED, "openai") == {
        "messages": ASKED,
        "temperature": 0.2,
        "max_completion_tokens": 512,
        "stop": ["END"],
        "seed": 7,
    }


def test_thoughts_go_to_servers_that_read_them() -> None:
    messages = [*ASKED, {"role": "assistant", "content": "8849", "reasoning_content": "Hm."}, *ASKED]

    assert chat_body(messages, {}, "")["messages"] == messages
    assert chat_body(messages, {}, "openai")["messages"][1] == {"role": "assistant", "content": "8849"}


def test_pictures_stay_where_they_are() -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "https://x/a.png"}}]
    messages = [{"role": "user", "content": parts}]

    assert chat_body(messages, {}, "")["messages"] == messages


def test_message_with_a_picture_is_checked() -> None:
    parts = [{"type": "text"}, {"type": "image_url", "image_url": {"url": "https://x/a.png"}}]

    with pytest.raises(
        InvalidMessageError, match=r"^`messages\[0\]\.content\[0\]\.text`: expected a string, got None\.$"
    ):
        chat_body([{"role": "user", "content": parts}], {}, "")


@pytest.mark.parametrize("name", ["model", "messages", "stream", "stream_options"])
def test_parameter_that_the_request_says_itself_is_refused(name: str) -> None:
    with pytest.raises(InvalidOptionError) as refused:
        chat_body(ASKED, {name: "x"}, "")

    assert (
        str(refused.value) == f"`{name}`: expected to be left out, got 'x'. The request for an answer says it itself."
    )


def test_tools_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidOptionError, match=r"^`tools\[0\]`: expected a tool"):
        chat_body(ASKED, {"tools": [{"name": "f"}]}, "")
