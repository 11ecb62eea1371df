"""Texts to go on with, through the official client."""

from typing import Any

import openai
import pytest

from server.v1.served import Serve


def ask(served: Any, **options: Any) -> Any:
    return served.client.completions.create(**{"model": "tiny-chat", "prompt": " the cat"} | options)


def test_continuation_is_that_of_the_loader(serve: Serve) -> None:
    answer = ask(serve(serve.chat()))
    assert answer.to_dict() == {
        "id": answer.id,
        "object": "text_completion",
        "created": answer.created,
        "model": "tiny-chat",
        "choices": [{"index": 0, "text": "Hello world.", "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    }
    assert answer.id.startswith("cmpl-")


def test_stream_has_a_chunk_a_token_and_usage_when_asked_for(serve: Serve) -> None:
    served = serve(serve.chat())
    chunks = [chunk.to_dict() for chunk in ask(served, stream=True, stream_options={"include_usage": True})]
    assert [(chunk["choices"][0]["text"], chunk["choices"][0]["finish_reason"]) for chunk in chunks[:-1]] == [
        *((piece, None) for piece in ("Hel", "lo", " wor", "ld", ".")),
        ("", "stop"),
    ]
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 8)
    assert not any("usage" in chunk.to_dict() for chunk in ask(served, stream=True))


@pytest.mark.parametrize(
    ("options", "text", "reason"),
    [
        ({"prompt": [" the cat"]}, "Hello world.", "stop"),
        ({"stop": [" wor"]}, "Hello", "stop"),
        ({"max_tokens": 1, "seed": 3, "temperature": 0}, "Hel", "length"),
        ({"echo": False, "n": 1, "best_of": 1, "logprobs": None, "suffix": None, "user": "me"}, "Hello world.", "stop"),
    ],
)
def test_option_is_honoured(options: Any, text: str, reason: str, serve: Serve) -> None:
    choice = ask(serve(serve.chat()), **options).choices[0]
    assert (choice.text, choice.finish_reason) == (text, reason)


@pytest.mark.parametrize(
    ("name", "value"),
    [("echo", True), ("suffix", "x"), ("logprobs", 0), ("best_of", 2), ("n", 2), ("logit_bias", {"1": 1})],
)
def test_parameter_that_cannot_be_honoured_is_named(name: str, value: Any, serve: Serve) -> None:
    with pytest.raises(openai.BadRequestError, match=f"`{name}`: expected it to be left out") as caught:
        ask(serve(serve.chat()), **{name: value})
    body: Any = caught.value.body
    assert (body["param"], body["type"]) == (name, "invalid_request_error")


@pytest.mark.parametrize(
    ("prompt", "place", "told"),
    [
        ("", "prompt", "String should have at least 1 character"),
        ([], "prompt", "List should have at least 1 item"),
        (["a", "b"], "prompt", "List should have at most 1 item"),
        ([1, 2], "prompt", "expected texts, got token ids"),
        ([[1, 2]], "prompt", "expected texts, got token ids"),
        (5, "prompt", "Input should be a valid string, got 5"),
    ],
)
def test_prompt_that_is_none_is_refused(prompt: Any, place: str, told: str, serve: Serve) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(serve(serve.chat()), prompt=prompt)
    body: Any = caught.value.body
    assert body["param"] == place
    assert body["message"].startswith(f"`{place}`: {told}")
