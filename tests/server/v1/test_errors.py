"""Failures under /v1: OpenAI's body whatever goes wrong, and bodies that are read whatever they say they are."""

import http.client
import json
from typing import Any

import openai
import pytest
import tiny

from server.v1.served import Serve, Served

HELLO = {"model": "tiny-chat", "messages": [{"role": "user", "content": "hello"}]}
TWICE = '{"model": "tiny-chat", "model": "tiny-chat"}'
KEY = "a-key-of-more-than-16-characters"


def send(
    served: Served, method: str, path: str, body: bytes | str | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, Any]:
    """Send a request with exactly these headers; give status, headers and the JSON of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", int(served.url.rpartition(":")[2]), timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def error(answer: Any) -> Any:
    assert list(answer) == ["error"]
    assert list(answer["error"]) == ["message", "type", "param", "code"]
    return answer["error"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content_Type": "application/x-www-form-urlencoded"}, {"Content_Type": "text/plain"}, {"Content_Type": "?"}],
    ids=str,
)
def test_body_is_read_as_json_whatever_it_says_it_is(headers: dict[str, str], serve: Serve) -> None:
    status, _, answer = send(serve(serve.chat()), "POST", "/v1/chat/completions", json.dumps(HELLO), **headers)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "Hello world.")


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "nonsense",
        "[" * 100_000,
        b"\xff",
        '{"model": NaN}',
        f'{{"seed": {"9" * 5000}}}',
        f'"{"x" * 100_000}',
        "",
        TWICE,
    ],
    ids=["cut", "word", "deep", "bytes", "nan", "number", "long", "empty", "twice"],
)
def test_body_that_is_no_json_is_a_bad_request(body: Any, serve: Serve) -> None:
    status, _, answer = send(serve(serve.chat()), "POST", "/v1/chat/completions", body)
    assert (status, error(answer)["type"], error(answer)["code"]) == (400, "invalid_request_error", "invalid_json")


@pytest.mark.parametrize("body", ["[]", "null", "5", '"text"'])
@pytest.mark.parametrize("path", ["chat/completions", "completions", "embeddings", "rerank"])
def test_body_that_is_no_object_is_a_bad_request(path: str, body: str, serve: Serve) -> None:
    status, _, answer = send(serve(serve.chat()), "POST", f"/v1/{path}", body)
    assert (status, error(answer)["code"]) == (400, "invalid_request")
    assert error(answer)["message"].startswith("The body: ")


def test_half_of_a_surrogate_pair_is_a_bad_request(serve: Serve) -> None:
    body = json.dumps(HELLO | {"messages": [{"role": "user", "content": "\ud800"}]})
    status, _, answer = send(serve(serve.chat()), "POST", "/v1/chat/completions", body)
    assert (status, error(answer)["param"]) == (400, "messages[0].content")


def test_first_few_of_many_problems_are_told(serve: Serve) -> None:
    body = json.dumps(HELLO | {f"wrong_{number}": 1 for number in range(9)})
    _, _, answer = send(serve(serve.chat()), "POST", "/v1/chat/completions", body)
    message = error(answer)["message"]
    assert (message.count("there is no such parameter"), "; and 4 more problems" in message) == (5, True)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("chat/completions", "messages"),
        ("chat/completions", "tools"),
        ("chat/completions", "stop"),
        ("rerank", "documents"),
    ],
)
@pytest.mark.parametrize("length", [3, 100_000])
def test_list_of_wrong_items_is_told_once_however_long_it_is(path: str, field: str, length: int, serve: Serve) -> None:
    body = json.dumps({"model": "tiny-chat", field: [1] * length})
    _, _, answer = send(serve(serve.chat()), "POST", f"/v1/{path}", body)
    assert (error(answer)["message"].count(f"`{field}"), "more problems" in error(answer)["message"]) == (1, False)


def test_object_of_very_many_members_is_no_json_that_is_read(serve: Serve) -> None:
    body = json.dumps(HELLO | {f"wrong_{number}": 1 for number in range(20_000)})
    _, _, answer = send(serve(serve.chat()), "POST", "/v1/chat/completions", body)
    assert error(answer)["message"].startswith(
        "The body is not JSON: an object has 20002 members, expected at most 10000."
    )


def test_name_of_a_model_that_is_very_long_is_not_looked_for(serve: Serve) -> None:
    _, _, answer = send(serve(serve.chat()), "POST", "/v1/chat/completions", json.dumps(HELLO | {"model": "x" * 10**5}))
    assert (error(answer)["code"], len(error(answer)["message"]) < 300) == ("invalid_request", True)


def test_long_body_is_read_and_one_that_is_too_long_is_refused(serve: Serve) -> None:
    served = serve(serve.chat(), max_body_bytes=200_000)
    for size, expected in ((100_000, 400), (300_000, 413)):
        body = json.dumps(HELLO | {"messages": [{"role": "user", "content": "x" * size}]})
        status, _, answer = send(served, "POST", "/v1/chat/completions", body)
        assert (status, error(answer)["type"]) == (expected, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/models", 405)],
)
def test_address_or_method_that_is_not_there_has_openais_body(
    method: str, path: str, status: int, serve: Serve
) -> None:
    found, headers, answer = send(serve(serve.chat()), method, path)
    assert (found, error(answer)["param"]) == (status, None)
    assert (headers["Allow"] is not None) == (status == 405)


def test_key_is_asked_for_where_one_is_set(serve: Serve) -> None:
    served = serve(serve.chat(), api_key=KEY)
    with pytest.raises(openai.AuthenticationError) as caught:
        served.client.chat.completions.create(**HELLO)  # type: ignore[call-overload]
    body: Any = caught.value.body
    assert body["type"] == "authentication_error"
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY, max_retries=0) as client:
        assert client.chat.completions.create(**HELLO).choices  # type: ignore[call-overload]
        assert client.models.retrieve("tiny-chat").id == "tiny-chat"


def test_page_of_another_site_is_refused_and_one_of_this_is_not(serve: Serve) -> None:
    served = serve(serve.chat())
    body = json.dumps(HELLO)
    status, _, answer = send(served, "POST", "/v1/chat/completions", body, Origin="https://elsewhere.example")
    assert (status, error(answer)["code"]) == (403, "cross_site")
    assert send(served, "POST", "/v1/chat/completions", body, Origin=served.url)[0] == 200


def test_files_of_another_model_are_an_error_of_the_server(serve: Serve) -> None:
    served = serve(serve.chat(record={"hidden_dim": 128}))
    with pytest.raises(openai.InternalServerError) as caught:
        served.client.chat.completions.create(**HELLO)  # type: ignore[call-overload]
    body: Any = caught.value.body
    assert body["type"] == "server_error"
    assert "hidden_dim: expected 128, got 64" in body["message"]


def test_missing_files_are_fetched_where_that_is_allowed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def locate(record: Any, path: Any, *, download: bool) -> Any:
        asked.append(download)
        raise FileNotFoundError(record.id)

    monkeypatch.setattr("registry.loaders.manager.locate", locate)
    served = serve(tiny.dense_record(), allow_download=True)
    with pytest.raises(openai.InternalServerError):
        served.client.embeddings.create(model="tiny-dense", input="hello")
    assert asked == [True]
