"""Several clients at once, clients that go away, and servers that stop."""

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import openai
import pytest
import tiny
from waiting import WAIT_S, until

from server.v1.served import Serve, Served

HELLO: Any = [{"role": "user", "content": "hello"}]
SOON = 8_000  # tokens; an answer that nobody stops has twice as many
ENDLESS = {"model": "tiny-chat", "messages": HELLO}


@pytest.fixture
def together() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def ask(served: Served, **options: Any) -> Any:
    return served.client.chat.completions.create(**(ENDLESS | options))


def waiting(served: Served) -> int:
    return sum(desk.waiting for desk in served.services.desks.status())


def stopped(served: Served, tokens: list[int]) -> int:
    """Wait until nobody uses a model; give the tokens that were made, which must not be all that there are."""
    until(lambda: is_idle(served))
    assert len(tokens) < SOON
    return len(tokens)


def is_idle(served: Served) -> bool:
    return served.users() == 0 and not any(desk.is_busy or desk.waiting for desk in served.services.desks.status())


class Raw:
    """A request by a bare connection, which can be closed at any time, as another user or address."""

    def __init__(self, served: Served, path: str = "/v1/chat/completions", source: str = "127.0.0.1", **body: Any):
        port = int(served.url.rpartition(":")[2])
        self.connection = http.client.HTTPConnection("127.0.0.1", port, WAIT_S, source_address=(source, 0))
        self.connection.request("POST", path, json.dumps(ENDLESS | body))

    def answer(self) -> tuple[int, Any]:
        found = self.connection.getresponse()
        return found.status, json.loads(found.read())

    def close(self) -> None:
        self.connection.close()


# Clients that go away


def test_client_that_leaves_a_stream_frees_the_model_within_a_token(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless())
    with ask(served, stream=True) as stream:
        assert next(stream).choices[0].delta.role == "assistant"
        assert next(stream).choices[0].delta.content == "la "
    made = stopped(served, tokens)
    assert ask(served, max_tokens=3).choices[0].message.content == "la la li "
    assert len(tokens) == made + 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"stream": False}),
        ("/v1/chat/completions", {"stream": True}),
        ("/v1/completions", {"stream": False}),
        ("/v1/completions", {"stream": True}),
    ],
)
def test_client_that_leaves_while_an_answer_is_made_frees_the_model(
    path: str, body: Any, serve: Serve, tokens: list[int]
) -> None:
    served = serve(serve.endless())
    if path == "/v1/completions":
        body = {"model": "tiny-chat", "prompt": " the cat", **body}
        raw = _plain(served, path, body)
    else:
        raw = Raw(served, path, **body)
    until(lambda: len(tokens) > 3)
    assert served.users() == 1
    raw.close()
    made = stopped(served, tokens)
    assert ask(served, max_tokens=1).usage.completion_tokens == 1
    assert len(tokens) == made + 1


def _plain(served: Served, path: str, body: Any) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", int(served.url.rpartition(":")[2]), WAIT_S)
    connection.request("POST", path, json.dumps(body))
    return connection


def test_client_that_leaves_while_calls_of_tools_are_held_back_frees_the_model(serve: Serve, tokens: list[int]) -> None:
    template = "{%- if tools -%}{{ tools | tojson }}{% endif -%}" + tiny.CHATML
    script = ("<tool_call>", '{"name": ', '"add", ', "<tool_call>x")
    served = serve(serve.endless(script, record={"template": None}, template=template))
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    raw = Raw(served, stream=True, tools=[tool])
    until(lambda: len(tokens) > 3)
    raw.close()
    made = stopped(served, tokens)
    until(lambda: is_idle(served))
    assert len(tokens) == made


def test_client_that_leaves_the_queue_is_never_served(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless())
    with closing(Raw(served)) as first:
        until(lambda: len(tokens) > 1)
        second = Raw(served)
        until(lambda: waiting(served) == 1)
        second.close()
        until(lambda: waiting(served) == 0)
        assert served.users() == 1
        first.close()
    stopped(served, tokens)


# Full queues, time-outs and turns


def test_full_queue_is_429_with_the_time_to_come_again(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless(), queue_length=1)
    with closing(Raw(served)):
        until(lambda: len(tokens) > 1)
        with closing(Raw(served)):
            until(lambda: waiting(served) == 1)
            with pytest.raises(openai.RateLimitError) as caught:
                ask(served)
            body: Any = caught.value.body
            assert (body["type"], body["code"]) == ("rate_limit_error", "model_busy")
            assert body["message"].startswith("`tiny-chat` is busy: 1 request is waiting for it already. Try again in")
            assert int(caught.value.response.headers["Retry-After"]) >= 1
            for stream in (True, False):
                with pytest.raises(openai.RateLimitError):
                    ask(served, stream=stream)
    until(lambda: is_idle(served))


def test_request_that_waits_too_long_is_429(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless(), queue_timeout_s=0.1)
    with closing(Raw(served)):
        until(lambda: len(tokens) > 1)
        with pytest.raises(openai.RateLimitError, match=r"it was not ready within 0\.1 s") as caught:
            ask(served)
        assert int(caught.value.response.headers["Retry-After"]) >= 1
    until(lambda: is_idle(served))


def test_answer_that_takes_too_long_is_504_and_frees_the_model(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless(), request_timeout_s=0.5)
    with pytest.raises(openai.InternalServerError) as caught:
        ask(served)
    body: Any = caught.value.body
    assert (caught.value.status_code, body["code"]) == (504, "timeout")
    stopped(served, tokens)


def test_stream_that_takes_too_long_ends_with_an_error(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless(), request_timeout_s=0.5)
    with pytest.raises(openai.APIError, match=r"was not done with the request after 0\.5 s") as caught:
        list(ask(served, stream=True))
    assert not isinstance(caught.value, openai.APIStatusError)
    stopped(served, tokens)


def test_client_who_floods_does_not_keep_others_waiting(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless(), queue_length=4)
    flood = [Raw(served)]
    until(lambda: len(tokens) > 1)
    flood += [Raw(served, max_tokens=1) for _ in range(4)]
    until(lambda: waiting(served) == 4)
    other = Raw(served, source="127.0.0.2", max_tokens=1)
    (displaced,) = _answered(served, flood[1:], 1)
    assert (displaced[0], displaced[1]["error"]["code"]) == (429, "model_busy")
    flood[0].close()
    assert other.answer()[0] == 200
    for raw in (*flood, other):
        raw.close()
    until(lambda: is_idle(served))


def _answered(served: Served, raws: list[Raw], count: int) -> list[tuple[int, Any]]:
    """Wait for the first answers of any of these."""
    import select

    sockets = {raw.connection.sock: raw for raw in raws}
    ready = select.select(list(sockets), [], [], WAIT_S)[0]
    assert len(ready) == count
    return [sockets[found].answer() for found in ready]


def test_users_of_one_address_take_turns(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless())
    first = Raw(served)
    until(lambda: len(tokens) > 1)
    order: list[str] = []
    raws = [(name, Raw(served, max_tokens=1, user=name)) for name in ("a", "a", "a", "b")]
    until(lambda: waiting(served) == 4)
    threads = [
        threading.Thread(target=lambda raw=raw, name=name: (raw.answer(), order.append(name))) for name, raw in raws
    ]
    for thread in threads:
        thread.start()
    first.close()
    for thread in threads:
        thread.join(WAIT_S)
    for _, raw in raws:
        raw.close()
    assert order.index("b") < 3


# Many at once


def test_many_clients_share_one_model(serve: Serve, together: ThreadPoolExecutor) -> None:
    served = serve(serve.chat())

    def one(number: int) -> str:
        if number % 2:
            return "".join(chunk.choices[0].delta.content or "" for chunk in ask(served, stream=True))
        content: str = ask(served).choices[0].message.content
        return content

    assert set(together.map(one, range(24))) == {"Hello world."}
    until(lambda: is_idle(served))


def test_models_are_loaded_while_another_streams(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless(), serve.chat(("a", "b"), record={"id": "other"}))
    with ask(served, stream=True) as stream:
        next(stream)
        assert ask(served, model="other").choices[0].message.content == "ab"
        made = len(tokens)
        until(lambda: len(tokens) > made)
        assert next(stream).choices[0].delta.content
    until(lambda: is_idle(served))


def test_more_models_than_may_be_loaded_take_turns(serve: Serve, together: ThreadPoolExecutor) -> None:
    records = [serve.chat((letter, "!"), record={"id": f"model-{letter}"}) for letter in "abc"]
    served = serve(*records, max_models=1)

    def one(number: int) -> bool:
        letter = "abc"[number % 3]
        return bool(ask(served, model=f"model-{letter}").choices[0].message.content == f"{letter}!")

    assert all(together.map(one, range(12)))
    assert len(served.services.manager.loaded) == 1


def test_slow_reader_holds_no_model(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless())
    with closing(Raw(served, stream=True, max_tokens=8000)):  # which reads nothing
        until(lambda: len(tokens) == 8000)
        until(lambda: served.users() == 0)
        assert ask(served, max_tokens=1).usage.completion_tokens == 1


def test_embeddings_go_on_while_a_chat_streams(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless(), serve.encoder(tiny.dense, tiny.dense_record()))

    def embed() -> int:
        return len(served.client.embeddings.create(model="tiny-dense", input=["hello"] * 32).data)

    embed()  # torch is imported, which takes longer than the chat
    with ask(served, stream=True) as stream:
        next(stream)
        assert embed() == 32
        made = len(tokens)
        until(lambda: len(tokens) > made)


# Stopping


def test_stopping_lets_answers_in_flight_finish(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless(), shutdown_timeout_s=WAIT_S)
    with closing(Raw(served, max_tokens=2000)) as raw:
        until(lambda: len(tokens) > 1)
        served.server.should_exit = True
        status, answer = raw.answer()
    assert (status, answer["usage"]["completion_tokens"]) == (200, 2000)
    served.stop()


def test_stopping_cuts_what_takes_longer_and_frees_the_model(serve: Serve, tokens: list[int]) -> None:
    served = serve(serve.endless(), shutdown_timeout_s=0.1)
    with ask(served, stream=True) as stream:
        next(stream)
        second = Raw(served)
        until(lambda: waiting(served) == 1)
        served.stop()
    second.close()
    stopped(served, tokens)
