"""Conversations and parameters as Ollama's API has them."""

from typing import Any

import pytest

from registry.errors import InvalidMessageError, InvalidOptionError
from registry.profiles.providers.ollama_requests import chat_body, options_of

ASKED = [{"role": "user", "content": "How tall?"}]


def body(messages: Any = ASKED, **parameters: Any) -> dict[str, Any]:
    made = chat_body("m", messages, parameters)
    assert (made.pop("model"), made.pop("stream")) == ("m", True)
    return made


def test_parameters_become_options_by_ollamas_names() -> None:
    stated = {
        "temperature": 0.2,
        "top_p": 0.9,
        "top_k": 40,
        "repeat_penalty": 1.1,
        "max_tokens": 512,
        "stop": ("END", "STOP"),
        "seed": 7,
        "context_length": 8192,
        "mirostat": 2,
        "num_gpu": None,
    }

    assert body(**stated) == {
        "messages": ASKED,
        "options": {
            "temperature": 0.2,
            "top_p": 0.9,
            "top_k": 40,
            "repeat_penalty": 1.1,
            "num_predict": 512,
            "stop": ["END", "STOP"],
            "seed": 7,
            "num_ctx": 8192,
            "mirostat": 2,
        },
    }


def test_one_stop_becomes_a_list() -> None:
    assert options_of({"stop": "END"}) == {"stop": ["END"]}


def test_what_is_no_option_stands_beside_the_options() -> None:
    assert body(keep_alive="10m", think="high") == {"messages": ASKED, "keep_alive": "10m", "think": "high"}


@pytest.mark.parametrize(
    ("stated", "think"),
    [
        ({"template_options": {"enable_thinking": False}}, False),
        ({"template_options": {"enable_thinking": True}}, True),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "low"}, "low"),
        ({"reasoning_effort": "low", "think": True}, True),
    ],
)
def test_how_much_to_think_is_said_in_ollamas_way(stated: Any, think: Any) -> None:
    assert body(**stated) == {"messages": ASKED, "think": think}


@pytest.mark.parametrize(
    ("stated", "form"),
    [
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}, {"type": "array"}),
    ],
)
def test_response_format_becomes_a_format(stated: Any, form: Any) -> None:
    assert body(response_format=stated) == {"messages": ASKED, "format": form}


def test_response_format_of_text_is_none() -> None:
    assert body(response_format={"type": "text"}) == {"messages": ASKED}


@pytest.mark.parametrize("stated", ["json", {"type": "xml"}, {"type": "json_schema", "json_schema": {}}])
def test_response_format_that_is_none_is_refused(stated: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"^`response_format`: expected"):
        body(response_format=stated)


def test_tools_keep_the_whole_schema_of_their_parameters() -> None:
    person = {"type": "object", "properties": {"name": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
    tool = {
        "type": "function",
        "function": {"name": "f", "parameters": {"type": "object", "properties": {"p": person}}},
    }

    assert body(tools=[tool])["tools"] == [tool]
    assert body(tools=[tool], tool_choice="none") == {"messages": ASKED}


def test_choice_of_tools_that_ollama_cannot_be_told_is_refused() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        body(tools=[], tool_choice="required")

    assert str(caught.value) == (
        "`tool_choice`: expected `auto` or `none`, got 'required'. Ollama leaves it to the model."
    )


def test_effort_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match=r"^`reasoning_effort`: expected one of none, low, medium, high, got"):
        body(reasoning_effort="extreme")


def test_calls_and_their_results_are_told_apart_by_name_and_id() -> None:
    call = {"id": "a1", "type": "function", "function": {"name": "height", "arguments": '{"of": "Everest"}'}}
    messages = [
        *ASKED,
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "I look it up."},
        {"role": "tool", "tool_call_id": "a1", "content": "8849"},
    ]

    assert body(messages)["messages"] == [
        *ASKED,
        {
            "role": "assistant",
            "content": "",
            "thinking": "I look it up.",
            "tool_calls": [{"id": "a1", "function": {"name": "height", "arguments": {"of": "Everest"}}}],
        },
        {"role": "tool", "content": "8849", "tool_name": "height", "tool_call_id": "a1"},
    ]


def test_pictures_are_sent_apart_from_the_text() -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}},
    ]

    assert body([{"role": "user", "content": parts}])["messages"] == [
        {"role": "user", "content": "What is this?", "images": ["iVBORw0="]}
    ]


@pytest.mark.parametrize("url", ["https://example.com/a.png", "/etc/passwd", 5, "data:text/plain;base64,aGk="])
def test_picture_that_is_not_in_the_message_is_refused(url: Any) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        body([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])

    assert str(caught.value) == (
        "`messages[0].content[0].image_url`: expected the picture itself, as `data:image/png;base64,...`, got none."
    )


def test_picture_that_is_no_base64_is_refused() -> None:
    with pytest.raises(InvalidMessageError, match="expected base64"):
        body([{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,/etc/p*"}]}])
