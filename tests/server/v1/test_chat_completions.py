"""Conversations, through the official client."""

import json
from dataclasses import replace
from typing import Any

import openai
import pytest
import tiny
from waiting import until

from registry.records import ModelFile
from server.v1.served import Serve

HELLO: Any = [{"role": "user", "content": "hello"}]
SCRIPT = ("Hel", "lo", " wor", "ld", ".")
TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {}}},
    }
]
TOOL_TEMPLATE = (
    "{%- if tools -%}<|im_start|>system\nTools: {{ tools | tojson }}<|im_end|>\n{% endif -%}"
    "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\n' }}{{ m.content or '' }}"
    "{%- for call in m.tool_calls or [] -%}{{ '<tool_call>' }}{{ call.function | tojson }}{{ '</tool_call>' }}"
    "{%- endfor -%}{{ '<|im_end|>\n' }}{%- endfor -%}<|im_start|>assistant\n"
)
CALL = ("Sure", ".", "<tool_call>", '{"name": "add",', ' "arguments"', ': {"a": 1}}', "</tool_call>")
TWO_CALLS = (*CALL, "\n<tool_call>", '{"name": "add", "arguments": {"a": 2}}', "</tool_call>\n")


def ask(served: Any, **options: Any) -> Any:
    return served.client.chat.completions.create(**{"model": "tiny-chat", "messages": HELLO} | options)


def refused(served: Any, **options: Any) -> tuple[str | None, str | None, str]:
    """Give parameter, code and message of the answer that a wrong request gets."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask(served, **options)
    body: Any = caught.value.body
    assert body["type"] == "invalid_request_error"
    return body["param"], body["code"], body["message"]


# Answers


def test_answer_is_that_of_the_loader(serve: Serve) -> None:
    served = serve(serve.chat())
    answer = ask(served)
    assert answer.to_dict() == {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": "tiny-chat",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello world."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 24, "completion_tokens": 5, "total_tokens": 29},
    }


def test_stream_is_that_of_the_loader_and_usage_comes_when_asked_for(serve: Serve) -> None:
    served = serve(serve.chat())
    for options in ({}, {"stream_options": {"include_usage": False}}):
        chunks = [chunk.to_dict() for chunk in ask(served, stream=True, **options)]
        assert [chunk["choices"] for chunk in chunks] == [
            [{"index": 0, "delta": delta, "finish_reason": None}]
            for delta in ({"role": "assistant", "content": ""}, *({"content": piece} for piece in SCRIPT))
        ] + [[{"index": 0, "delta": {}, "finish_reason": "stop"}]]
        assert not any("usage" in chunk for chunk in chunks)
    chunks = [chunk.to_dict() for chunk in ask(served, stream=True, stream_options={"include_usage": True})]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 7
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == (
        [],
        {"prompt_tokens": 24, "completion_tokens": 5, "total_tokens": 29},
    )
    assert len({(chunk["id"], chunk["created"], chunk["object"]) for chunk in chunks}) == 1


def test_stream_of_the_clients_own_helper_adds_up(serve: Serve) -> None:
    served = serve(serve.chat())
    with served.client.chat.completions.stream(model="tiny-chat", messages=HELLO) as stream:
        stream.until_done()
        assert stream.get_final_completion().choices[0].message.content == "Hello world."


def test_model_is_found_by_alias_and_role_in_any_case_and_answers_by_its_id(serve: Serve) -> None:
    served = serve(serve.chat(record={"aliases": ("little",)}), roles={"chatting": "little"})
    assert {ask(served, model=name).model for name in ("LITTLE", "Chatting", "Tiny-Chat")} == {"tiny-chat"}


def test_thoughts_are_apart_from_the_answer(serve: Serve) -> None:
    script = ("<think>", "\nhm", " so", "\n", "</think>", "\n\n", "Hel", "lo")
    served = serve(serve.chat(script, template=tiny.CHATML + "{# <think> #}"))
    message = ask(served).choices[0].message
    assert (message.content, message.reasoning_content) == ("Hello", "hm so")
    deltas = [chunk.choices[0].delta.to_dict() for chunk in ask(served, stream=True)]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "hm so"


def test_text_of_any_script_arrives_whole(serve: Serve) -> None:
    script = tuple(f"<0x{byte:02X}>" for byte in "é日🎉".encode())
    served = serve(serve.chat(script))
    assert ask(served).choices[0].message.content == "é日🎉"
    assert [chunk.choices[0].delta.content for chunk in ask(served, stream=True)][1:4] == ["é", "日", "🎉"]


# What may be said about an answer


@pytest.mark.parametrize(
    ("options", "content", "reason"),
    [
        ({"stop": " wor"}, "Hello", "stop"),
        ({"stop": ["nowhere", "lo"]}, "Hel", "stop"),
        ({"stop": []}, "Hello world.", "stop"),
        ({"max_tokens": 2}, "Hello", "length"),
        ({"max_completion_tokens": 3}, "Hello wor", "length"),
        ({"max_completion_tokens": 1, "max_tokens": 1}, "Hel", "length"),
        ({"temperature": 0, "top_p": 0, "seed": -1}, "Hello world.", "stop"),
        ({"extra_body": {"top_k": 1, "repeat_penalty": 1.0}}, "Hello world.", "stop"),
    ],
)
def test_option_is_honoured(options: dict[str, Any], content: str, reason: str, serve: Serve) -> None:
    choice = ask(serve(serve.chat()), **options).choices[0]
    assert (choice.message.content, choice.finish_reason) == (content, reason)


def test_seed_gives_the_same_answer(serve: Serve) -> None:
    served = serve(serve.chat(None))
    options: dict[str, Any] = {"temperature": 1.5, "top_p": 1, "max_tokens": 12}
    for seed in (0, 7, -7, 2**63 - 1):
        assert len({ask(served, seed=seed, **options).choices[0].message.content for _ in range(2)}) == 1
    assert len({ask(served, seed=seed, **options).choices[0].message.content for seed in range(6)}) > 2


@pytest.mark.parametrize(
    "options",
    [
        {"user": "me", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "safety_identifier": "x"},
        {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "prediction": {"type": "content", "content": "x"}},
        {"n": 1, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "logprobs": False},
        {"n": None, "temperature": None, "stop": None, "seed": None, "response_format": None, "tools": None},
        {"modalities": ["text"], "verbosity": "medium", "function_call": "none", "top_logprobs": 0, "audio": None},
        {"response_format": {"type": "text"}, "tool_choice": "auto", "tools": [], "parallel_tool_calls": True},
    ],
)
def test_parameters_that_change_no_answer_are_accepted(options: Any, serve: Serve) -> None:
    assert ask(serve(serve.chat()), **options).choices[0].message.content == "Hello world."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("n", True),
        ("frequency_penalty", 0.5),
        ("presence_penalty", -1),
        ("logit_bias", {"5": 100}),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "x", "format": "wav"}),
        ("functions", [{"name": "add"}]),
        ("reasoning_effort", "low"),
        ("verbosity", "high"),
        ("web_search_options", {}),
        ("moderation", {"model": "x"}),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "add"}}),
    ],
)
def test_parameter_that_cannot_be_honoured_is_named(name: str, value: Any, serve: Serve) -> None:
    param, code, message = refused(serve(serve.chat()), **{name: value})
    assert (param, code) == (name, "invalid_request")
    assert message.startswith(f"`{name}`: expected it to be left out")
    assert "this server cannot honour it" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extra_body": {"temprature": 1}}, "`temprature`: there is no such parameter."),
        ({"temperature": "1"}, '`temperature`: Input should be a valid number, got "1".'),
        ({"temperature": 3}, "`temperature`: Input should be less than or equal to 2, got 3."),
        ({"max_tokens": 0}, "`max_tokens`: Input should be greater than or equal to 1, got 0."),
        ({"max_tokens": 1.5}, "`max_tokens`: Input should be a valid integer, got 1.5."),
        ({"stream": "yes"}, '`stream`: Input should be a valid boolean, got "yes".'),
        ({"stop": ""}, '`stop`: String should have at least 1 character, got "".'),
        ({"stop": ["a", 5]}, "`stop[1]`: Input should be a valid string, got 5."),
        ({"messages": []}, "`messages`: List should have at least 1 item after validation, not 0."),
        ({"messages": "hello"}, '`messages`: Input should be a valid list, got "hello".'),
        (
            {"tools": [{"type": "custom", "custom": {}}]},
            "`tools[0].type`: Input should be 'function', got \"custom\"; ",
        ),
        ({"stream_options": {}}, "`stream_options`: expected it to be left out without `stream`, got {}."),
        (
            {"extra_body": {"chat_template_kwargs": {"x": 1}}},
            "`chat_template_kwargs['x']`: expected an option of the template `chatml`, got 1. It has none.",
        ),
        (
            {"max_tokens": 1, "max_completion_tokens": 2},
            "`max_tokens`: expected the same as `max_completion_tokens`, or neither, got 1.",
        ),
    ],
)
def test_parameter_that_is_wrong_is_told(options: Any, message: str, serve: Serve) -> None:
    assert refused(serve(serve.chat()), **options)[2].startswith(message)


# Conversations


def test_conversation_of_all_roles_and_parts_is_read(serve: Serve) -> None:
    served = serve(serve.chat())
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": " brief."}]},
        {"role": "user", "content": "hello", "name": "me"},
        {"role": "assistant", "content": "hello", "refusal": None, "annotations": [], "audio": None},
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
    ]
    plain = [{"role": "system", "content": "Be brief."}, *HELLO, {"role": "assistant", "content": "hello"}, *HELLO]
    usages = {ask(served, messages=each).usage.prompt_tokens for each in (messages, plain)}
    assert len(usages) == 1


@pytest.mark.parametrize(
    ("messages", "place", "told"),
    [
        ([{"role": "nobody", "content": "x"}], "messages[0].role", "Input should be 'system', 'developer', 'user'"),
        ([*HELLO, {"role": "user"}], "messages[1].content", "expected a string, or a list of text parts, got nothing"),
        ([{"role": "user", "content": 5}], "messages[0].content", "Input should be a valid string, got 5"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
            "messages[0].content[0].type",
            "Input should be 'text', got \"image_url\"",
        ),
        ([*HELLO, {"role": "system", "content": "x"}], "messages[1].role", "expected the system message at the start"),
        ([{"role": "tool", "content": "x", "tool_call_id": "y"}], "messages[0].role", "expected an assistant message"),
    ],
)
def test_conversation_that_is_none_is_told_by_place(messages: Any, place: str, told: str, serve: Serve) -> None:
    param, _, message = refused(serve(serve.chat()), messages=messages)
    assert param == place
    assert message.startswith(f"`{place}`: {told}")


def test_prompt_that_does_not_fit_is_told(serve: Serve) -> None:
    param, code, message = refused(serve(serve.chat()), messages=[{"role": "user", "content": "x" * 600}])
    assert (param, code) == (None, "context_length_exceeded")
    assert message.startswith("The prompt does not fit into the context of `tiny-chat`: expected fewer than 512 tokens")


def test_stream_that_cannot_begin_has_the_status_of_its_error(serve: Serve) -> None:
    served = serve(serve.chat())
    assert refused(served, stream=True, messages=[{"role": "user", "content": "x" * 600}])[1] == (
        "context_length_exceeded"
    )


# JSON


def test_json_mode_gives_an_object_of_a_model_that_babbles(serve: Serve) -> None:
    served = serve(serve.chat(None))
    answers = [
        ask(served, response_format={"type": "json_object"}, seed=seed, temperature=2, max_tokens=40).choices[0]
        for seed in range(4)
    ]
    whole = [json.loads(answer.message.content) for answer in answers if answer.finish_reason == "stop"]
    assert whole
    assert all(isinstance(value, dict) for value in whole)


def test_json_schema_is_followed_in_answer_and_stream(serve: Serve) -> None:
    served = serve(serve.chat(None))
    form = {"type": "json_schema", "json_schema": {"name": "it", "strict": True, "schema": {"enum": ["yes", "no"]}}}
    assert ask(served, response_format=form).choices[0].message.content in ('"yes"', '"no"')
    said = "".join(chunk.choices[0].delta.content or "" for chunk in ask(served, response_format=form, stream=True))
    assert said in ('"yes"', '"no"')


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"type": "json_schema", "json_schema": {"name": "it", "schema": {"type": "nonsense"}}}, "response_format"),
        ({"type": "json_schema", "json_schema": {"name": "it"}}, "response_format.json_schema.schema"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "xml"}, "response_format"),
        ({}, "response_format"),
    ],
)
def test_format_that_cannot_be_followed_is_refused(form: Any, param: str, serve: Serve) -> None:
    assert refused(serve(serve.chat()), response_format=form)[0] == param


# Tools


def test_calls_of_tools_come_and_their_results_go_back(serve: Serve) -> None:
    served = serve(serve.chat(CALL, template=TOOL_TEMPLATE, record={"template": None}))
    choice = ask(served, tools=TOOLS).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Sure.")
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name, call.function.arguments) == ("function", "add", '{"a": 1}')
    result = {"role": "tool", "tool_call_id": call.id, "content": "2"}
    again = ask(served, messages=[*HELLO, choice.message, result], tools=TOOLS)
    assert again.choices[0].finish_reason == "tool_calls"


def test_calls_of_tools_in_a_stream_have_an_index(serve: Serve) -> None:
    served = serve(serve.chat(CALL, template=TOOL_TEMPLATE, record={"template": None}))
    last = [chunk.choices[0] for chunk in ask(served, tools=TOOLS, stream=True)][-1]
    assert last.finish_reason == "tool_calls"
    assert [(call.index, call.function.arguments) for call in last.delta.tool_calls] == [(0, '{"a": 1}')]


@pytest.mark.parametrize(("parallel", "calls"), [(None, 2), (True, 2), (False, 1)])
def test_parallel_calls_are_left_out_when_they_are_not_wanted(parallel: Any, calls: int, serve: Serve) -> None:
    record = {"template": None, "hidden_dim": 128, "heads": 4, "kv_heads": 4}
    served = serve(serve.chat(TWO_CALLS, template=TOOL_TEMPLATE, record=record, hidden=128))
    assert len(ask(served, tools=TOOLS, parallel_tool_calls=parallel).choices[0].message.tool_calls) == calls


def test_tools_are_not_offered_where_the_choice_is_none(serve: Serve) -> None:
    served = serve(serve.chat(CALL, template=TOOL_TEMPLATE, record={"template": None}))
    choice = ask(served, tools=TOOLS, tool_choice="none").choices[0]
    assert (choice.finish_reason, choice.message.tool_calls) == ("stop", None)


def test_tools_for_a_template_without_them_are_refused(serve: Serve) -> None:
    _, code, message = refused(serve(serve.chat()), tools=TOOLS)
    assert code == "template_cannot"
    assert "has no way to offer tools" in message


def test_options_of_the_template_reach_it(serve: Serve) -> None:
    source = tiny.CHATML + "{% if enable_thinking %}the cat{% endif %}"
    served = serve(serve.chat(template=source, record={"template": None}))
    thinking = {"chat_template_kwargs": {"enable_thinking": True}}
    assert ask(served, extra_body=thinking).usage.prompt_tokens > ask(served).usage.prompt_tokens


# Models


def test_model_of_another_kind_is_refused(serve: Serve) -> None:
    served = serve(tiny.dense_record())
    assert refused(served, model="tiny-dense")[1:] == (
        "unsupported_model",
        "`tiny-dense`: it is of type `dense` and writes no text. Choose a chat model: `/v1/models` lists them.",
    )


def test_model_without_files_says_how_to_get_them(serve: Serve) -> None:
    record = serve.chat()
    served = serve(replace(record, id="away", file=ModelFile("away.gguf", "gguf", "0" * 64)))
    with pytest.raises(openai.NotFoundError) as caught:
        ask(served, model="away")
    body: Any = caught.value.body
    assert (body["code"], body["type"]) == ("model_not_downloaded", "not_found_error")
    assert "`registry download away`" in body["message"]


def test_model_that_is_unknown_is_told_with_close_matches(serve: Serve) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(serve(serve.chat()), model="tiny-chatt")
    body: Any = caught.value.body
    assert body == {
        "message": "Model `tiny-chatt` is not in the registry. Did you mean `tiny-chat`?",
        "type": "not_found_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_model_is_given_back_after_answer_stream_and_error(serve: Serve) -> None:
    served = serve(serve.chat())
    ask(served)
    list(ask(served, stream=True))
    refused(served, tools=TOOLS)
    until(lambda: served.users() == 0)
    assert served.services.manager.loaded == ("tiny-chat",)
