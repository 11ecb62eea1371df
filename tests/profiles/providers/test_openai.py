"""The provider `openai`, against a peer that speaks OpenAI's API over sockets."""

import json
import math
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import tiny
from ollama_server import Fault, swallowing, unused_port, vector
from openai_server import OpenAIServer
from waiting import until

from registry.errors import InvalidMessageError, ProviderError, ProviderModelError, ProviderTimeoutError
from registry.errors import ProviderUnavailableError as Unavailable
from registry.profiles import Availability, Ensured, Provider, Target
from registry.profiles.providers.openai import OpenAIProvider
from registry.profiles.providers.services import MissingModelError, ServiceBusyError

from ..peers import (
    ASKED,
    LONG_S,
    MODEL,
    SHORT_S,
    WHOLE,
    deltas,
    error_of,
    hasty_openai,
    nothing_of_the_user,
    openai,
    openai_server,
    without_time,
)

pytest.importorskip("openai")
np = pytest.importorskip("numpy")

__all__ = ["hasty_openai", "nothing_of_the_user", "openai", "openai_server"]  # fixtures

CHAT = "/v1/chat/completions"
START = "Start it, or set `OPENAI_BASE_URL` to where it runs."
LOG = "Look into its log: it may have been stopped, or have crashed."
SERVER_LOG = "Look into the log of the server."
OTHER = "Name the address of a service of this kind."


# Whether it is there


def test_provider_has_what_a_provider_has(openai: OpenAIProvider) -> None:
    typed: Provider = openai

    assert typed.name == "openai"


def test_available_without_an_address_says_how_to_set_one() -> None:
    assert OpenAIProvider().available() == Availability(
        "No address of a server is set.", "Set `OPENAI_BASE_URL` to an address that ends in `/v1`."
    )


def test_available_where_nothing_listens_says_so_and_imports_nothing(run_python: Callable[..., str]) -> None:
    code = (
        "import sys; from registry.profiles.providers.openai import OpenAIProvider\n"
        f"found = OpenAIProvider('http://127.0.0.1:{(port := unused_port())}/v1').available()\n"
        "print(found.reason, found.remedy, {'openai', 'httpx2', 'pydantic', 'numpy'} & sys.modules.keys())"
    )

    assert run_python(code) == f"Nothing listens at `http://127.0.0.1:{port}/v1`. {START} set()\n"


@pytest.mark.parametrize("lists", [True, False])
def test_available_where_a_server_answers_is_true(
    openai_server: OpenAIServer, openai: OpenAIProvider, lists: bool
) -> None:
    openai_server.lists = lists

    assert openai.available() == Availability()


def test_available_with_a_key_that_is_refused_says_so(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    openai_server.token = "secret"

    assert openai.available() == Availability(
        f"`{openai_server.base_url}` answered 401: Incorrect API key provided.",
        "Set `OPENAI_API_KEY` to a key that it takes.",
    )


def test_available_without_the_package_says_how_to_install_it(
    openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)

    assert OpenAIProvider(openai_server.base_url).available() == Availability(
        "Asking an OpenAI-compatible server needs `openai`, which is not installed.",
        'Install it with `pip install "typed-model-registry[openai]"`.',
    )


def test_address_that_is_none_says_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "ws://here/v1")

    assert OpenAIProvider().available() == Availability(
        "`ws://here/v1` is no address of a server: expected http:// or https://, got ws://.",
        "Correct `OPENAI_BASE_URL`.",
    )


def test_has_looks_into_the_list_of_the_server(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    assert openai.has(MODEL)
    assert not openai.has(Target("other"))

    openai_server.lists = False
    assert openai.has(Target("other"))


def test_ensure_of_a_model_that_is_not_listed_names_those_that_are(
    openai_server: OpenAIServer, openai: OpenAIProvider
) -> None:
    assert openai.ensure(MODEL, force=True) == Ensured("already_present")

    error = error_of(lambda: openai.ensure(Target("other")))

    assert type(error) is ProviderModelError
    assert (error.problem, error.remedy) == (
        f"The server at `{openai_server.base_url}` does not have it; it lists `llama3.2`.",
        "Have it loaded there, or name one of these.",
    )


# Keys


def test_key_of_the_settings_goes_to_the_address_of_the_settings(
    openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    provider = OpenAIProvider()

    provider.has(MODEL)

    provider.close()
    assert openai_server.requests[-1].headers["authorization"] == "Bearer secret"


def test_key_of_the_settings_goes_to_no_other_address(
    openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "secret")
    provider = OpenAIProvider(openai_server.base_url)

    provider.has(MODEL)
    provider.chat(MODEL, ASKED, {"repeat_penalty": 1.1})
    provider.embed(MODEL, ["a"], {})

    provider.close()
    assert ["authorization" in request.headers for request in openai_server.requests] == [False] * 4


def test_key_of_the_caller_is_sent(openai_server: OpenAIServer) -> None:
    openai_server.token = "mine"
    provider = OpenAIProvider(openai_server.base_url, "mine")

    assert without_time(provider.chat(MODEL, ASKED, {})) == WHOLE
    provider.close()


def test_key_with_the_end_of_a_line_is_sent_without_it(openai_server: OpenAIServer) -> None:
    openai_server.token = "secret"
    provider = OpenAIProvider(openai_server.base_url, "secret\n")

    assert provider.has(MODEL)
    provider.close()


def test_key_that_no_header_can_have_is_refused_without_showing_it(openai_server: OpenAIServer) -> None:
    error = error_of(lambda: OpenAIProvider(openai_server.base_url, "sec\nret").has(MODEL))

    assert error.problem == "Its client cannot be made: the key has a character in it that no header can have."
    assert openai_server.requests == []


def test_key_does_not_follow_a_redirect(openai_server: OpenAIServer) -> None:
    provider = OpenAIProvider(openai_server.base_url, "mine")
    with OpenAIServer() as other:
        openai_server.misbehave(CHAT, Fault(status=307, headers={"Location": f"{other.host}{CHAT}"}))
        error = error_of(lambda: provider.chat(MODEL, ASKED, {}))

    provider.close()
    assert error.remedy == "Name the address that it redirects to instead."
    assert other.requests == []


# Answers


def test_chat_gives_the_whole_answer(openai: OpenAIProvider) -> None:
    assert without_time(openai.chat(MODEL, ASKED, {})) == WHOLE


def test_stream_gives_the_role_with_the_first_piece_and_the_usage_with_the_last(openai: OpenAIProvider) -> None:
    chunks = list(openai.stream(MODEL, ASKED, {}))

    assert deltas(chunks) == [
        {"role": "assistant", "content": ""},
        {"content": "Hello"},
        {"content": " there"},
        {"content": "!"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, None, "stop"]
    assert ["usage" in chunk for chunk in chunks] == [False, False, False, False, True]
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-1"}


def test_chat_of_a_server_that_marks_no_end_is_complete_with_its_reason(
    openai_server: OpenAIServer, openai: OpenAIProvider
) -> None:
    openai_server.ends_with_done = False

    answer = openai.chat(MODEL, ASKED, {})

    assert answer["choices"] == WHOLE["choices"]
    assert answer["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def test_chat_without_a_word_is_an_empty_answer(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    openai_server.add("llama3.2", [])
    openai_server.models["llama3.2"].tool_calls = ()

    assert openai.chat(MODEL, ASKED, {})["choices"][0]["message"] == {"role": "assistant", "content": ""}


def test_chat_keeps_thoughts_apart(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    openai_server.add("llama3.2", ["8849 m"], thinking=["Let me", " see."])

    message = openai.chat(MODEL, ASKED, {})["choices"][0]["message"]

    assert message == {"role": "assistant", "content": "8849 m", "reasoning_content": "Let me see."}


def test_chat_with_tools_puts_calls_together(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    openai_server.add("llama3.2", tool_calls=[("height", {"of": "Everest"}), ("now", {})])
    tools = [{"type": "function", "function": {"name": "height"}}]

    choice = openai.chat(MODEL, ASKED, {"tools": tools})["choices"][0]

    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call-0",
                "type": "function",
                "function": {"name": "height", "arguments": '{"of": "Everest"}'},
            },
            {"id": "call-1", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        ],
    }


def test_chat_in_packets_that_cut_characters_is_read_whole(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    openai_server.add("llama3.2", ["Grüße, ", "\u0085 \u2028 \r\n", "😀"])
    openai_server.misbehave(CHAT, Fault(packet_bytes=3))

    assert openai.chat(MODEL, ASKED, {})["choices"][0]["message"]["content"] == "Grüße, \u0085 \u2028 \r\n😀"


def test_chats_of_many_threads_share_connections(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: without_time(openai.chat(MODEL, ASKED, {})), range(40)))

    assert answers == [WHOLE] * 40
    assert openai_server.connections <= 8


def test_chats_one_after_another_use_one_connection(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    for _ in range(3):
        openai.chat(MODEL, ASKED, {})

    assert openai_server.connections == 1


def test_proxy_of_the_environment_is_not_used_for_this_machine(
    openai: OpenAIProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")

    assert without_time(openai.chat(MODEL, ASKED, {})) == WHOLE


def test_faults_of_the_caller_are_raised_without_a_request(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    with pytest.raises(InvalidMessageError):
        openai.chat(MODEL, [], {})

    assert openai_server.requests == []


@pytest.mark.parametrize(
    ("owner", "name"),
    [("vllm", "repetition_penalty"), ("sglang", "repetition_penalty"), ("llamacpp", "repeat_penalty")],
)
def test_penalty_is_called_as_the_server_calls_it(
    openai_server: OpenAIServer, openai: OpenAIProvider, owner: str, name: str
) -> None:
    openai_server.owner = owner

    for _ in range(2):
        openai.chat(MODEL, ASKED, {"repeat_penalty": 1.1})

    assert [request.body[name] for request in openai_server.asked(CHAT)] == [1.1, 1.1]
    assert len(openai_server.asked("/v1/models")) == 1


# Faults


@pytest.mark.parametrize(
    ("fault", "kind", "problem", "remedy"),
    [
        (
            Fault(status=404, body=b'{"error": {"message": "The model `m` does not exist.", "code": "x"}}'),
            MissingModelError,
            "`{url}` answered 404: The model `m` does not exist.",
            "Name a model that it lists, and an address that ends in `/v1`; it lists them at `/v1/models`.",
        ),
        (
            Fault(status=503, body=b'{"error": {"message": "Loading model"}}'),
            Unavailable,
            "`{url}` answered 503: Loading model.",
            "Try again later: it is busy, or is being started.",
        ),
        (
            Fault(status=429, error="slow down"),
            Unavailable,
            "`{url}` answered 429: slow down.",
            "Try again later: it is busy, or is being started.",
        ),
        (
            Fault(status=400, body=b'{"error": {"message": "too long", "code": "context_length_exceeded"}}'),
            ProviderError,
            "`{url}` answered 400: too long.",
            "Change the request.",
        ),
        (
            Fault(status=422, body=b'{"detail": "no such field"}'),
            ProviderError,
            "`{url}` answered 422: no such field.",
            "Change the request.",
        ),
        (Fault(status=500, body=b"oops"), ProviderModelError, "`{url}` answered 500: oops.", "Look into its log."),
        (
            Fault(error_after=0, error="out of memory"),
            ProviderModelError,
            "`{url}` has failed: out of memory.",
            SERVER_LOG,
        ),
        (
            Fault(raw_after=0, raw=b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'),
            Unavailable,
            "`{url}` answered 503: overloaded.",
            "Try again later: it is busy, or is being started.",
        ),
        (
            Fault(hang_up=True),
            Unavailable,
            "`{url}` cut the connection: Server disconnected without sending a response.",
            LOG,
        ),
        (Fault(hang_up=True, reset=True), Unavailable, "`{url}` cut the connection: Connection reset by peer.", LOG),
        (Fault(cut_after=3, reset=True), Unavailable, "`{url}` cut the connection: Connection reset by peer.", LOG),
        (Fault(end_after=4), Unavailable, "The answer ended after 2 pieces, without its last one.", SERVER_LOG),
        (
            Fault(raw_after=2, raw=b"data: oops\n\n"),
            Unavailable,
            "`{url}` does not answer as expected: oops.",
            OTHER,
        ),
        (
            Fault(raw_after=2, raw=b'data: {"choices": 5}\n\n'),
            Unavailable,
            "`{url}` does not answer as expected: {{'choices': 5}}.",
            OTHER,
        ),
        (
            Fault(raw_after=2, raw=b'data: {"usage": {"prompt_tokens": Infinity}}\n\n'),
            Unavailable,
            "`{url}` does not answer as expected: {{'usage': {{'prompt_tokens': inf}}}}.",
            OTHER,
        ),
        (
            Fault(raw_after=2, raw=b'data: {"choices": [{"delta": {"tool_calls": [{"index": [1]}]}}]}\n\n'),
            Unavailable,
            "`{url}` does not answer as expected: {{'choices': [{{'delta': {{'tool_calls': [{{'index': [1]}}]}}}}]}}.",
            OTHER,
        ),
        (
            Fault(headers={"Content-Encoding": "gzip"}),
            Unavailable,
            "`{url}` does not answer as expected: Error -3 while decompressing data: incorrect header check.",
            OTHER,
        ),
        (
            Fault(status=500, body=b"oops", headers={"Content-Encoding": "gzip"}),
            Unavailable,
            "`{url}` does not answer as expected: Error -3 while decompressing data: incorrect header check.",
            OTHER,
        ),
    ],
    ids=lambda value: (
        ",".join(f"{k}={v}" for k, v in vars(value).items() if v != getattr(Fault(), k))
        if isinstance(value, Fault)
        else ""
    ),
)
def test_chat_ends_with_an_error_that_says_what_to_do(
    openai_server: OpenAIServer, openai: OpenAIProvider, fault: Fault, kind: type[Exception], problem: str, remedy: str
) -> None:
    openai_server.misbehave(CHAT, fault)

    error = error_of(lambda: openai.chat(MODEL, ASKED, {}))

    assert (type(error), error.model) == (kind, "llama3.2")
    assert (error.problem, error.remedy) == (problem.format(url=openai_server.base_url), remedy)


def test_server_that_says_when_to_come_again_is_heard(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    openai_server.misbehave(CHAT, Fault(status=429, error="slow down", headers={"Retry-After": "7"}))

    error = error_of(lambda: openai.chat(MODEL, ASKED, {}))

    assert isinstance(error, ServiceBusyError)
    assert (isinstance(error, Unavailable), error.retry_after_s) == (True, 7.0)
    assert pickle.loads(pickle.dumps(error)).args == error.args


def test_server_that_is_down_is_said_to_be(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    openai_server.stop()

    error = error_of(lambda: openai.chat(MODEL, ASKED, {}))

    assert (type(error), error.problem) == (Unavailable, f"Nothing listens at `{openai_server.base_url}`.")


# Time-outs and stopping


@pytest.mark.parametrize(
    "fault",
    [
        Fault(before_headers_s=math.inf),
        Fault(before_first_s=math.inf),
        Fault(between_bytes_s=SHORT_S / 20),
        Fault(between_s=math.inf),
    ],
    ids=["no headers", "no first line", "a first line byte by byte", "nothing but the role"],
)
def test_first_token_that_does_not_come_in_time_is_a_timeout(
    openai_server: OpenAIServer, hasty_openai: OpenAIProvider, fault: Fault
) -> None:
    openai_server.misbehave(CHAT, fault)

    error = error_of(lambda: hasty_openai.chat(MODEL, ASKED, {}))

    assert (type(error), error.problem) == (ProviderTimeoutError, f"It gave no first token within {SHORT_S} s.")
    assert openai_server.requests[-1].left.wait(10)


def test_comments_that_keep_a_connection_alive_do_not_put_the_first_token_off(
    openai_server: OpenAIServer, hasty_openai: OpenAIProvider
) -> None:
    openai_server.add("llama3.2", [""] * 1000)
    openai_server.misbehave(CHAT, Fault(between_s=SHORT_S / 10))

    error = error_of(lambda: hasty_openai.chat(MODEL, ASKED, {}))

    assert error.problem == f"It gave no first token within {SHORT_S} s."


def test_pause_between_tokens_that_is_too_long_is_a_timeout(openai_server: OpenAIServer) -> None:
    openai_server.misbehave(CHAT, Fault(between_s=0.5))
    provider = OpenAIProvider(openai_server.base_url, first_token_timeout_s=LONG_S, between_tokens_timeout_s=SHORT_S)
    provider.has(MODEL)

    error = error_of(lambda: provider.chat(MODEL, ASKED, {}))

    provider.close()
    assert error.problem == f"It gave no further token after 1 within {SHORT_S} s."


def test_host_that_swallows_packets_costs_the_time_to_connect() -> None:
    with swallowing() as host:
        lost = OpenAIProvider(f"{host}/v1", connect_timeout_s=SHORT_S)
        error = error_of(lambda: lost.chat(MODEL, ASKED, {}))
        lost.close()

    assert (type(error), error.problem) == (
        ProviderTimeoutError,
        f"No connection to `{host}/v1` within {SHORT_S} s.",
    )


def test_closing_a_stream_closes_the_connection(openai_server: OpenAIServer, openai: OpenAIProvider) -> None:
    openai_server.add("llama3.2", ["word "] * 1000)
    openai_server.misbehave(CHAT, Fault(between_s=0.02))
    chunks = openai.stream(MODEL, ASKED, {})
    next(chunks)

    chunks.close()

    assert openai_server.requests[-1].left.wait(10)
    assert list(chunks) == []


def test_closing_a_stream_from_another_thread_ends_the_waiting(
    openai_server: OpenAIServer, openai: OpenAIProvider
) -> None:
    openai_server.misbehave(CHAT, Fault(before_headers_s=math.inf))
    chunks = openai.stream(MODEL, ASKED, {})
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.append(list(chunks)), daemon=True)
    reader.start()
    until(lambda: bool(openai_server.asked(CHAT)))

    chunks.close()

    reader.join(10)
    assert found == [[]]
    assert openai_server.requests[-1].left.wait(10)


# Vectors


def test_embed_gives_the_vectors_in_the_order_of_the_texts(openai: OpenAIProvider) -> None:
    texts = [f"text {number}" for number in range(40)]

    found = openai.embed(MODEL, texts, {})

    assert (found.dtype, found.shape) == (np.float32, (40, 8))
    assert np.array_equal(found, np.array([vector(text, 8) for text in texts], np.float32))


def test_embed_asks_for_numbers_with_prompts_and_dimensions(
    openai_server: OpenAIServer, openai: OpenAIProvider
) -> None:
    target = MODEL._replace(record=tiny.dense_record(query_prompt="query: "))

    assert openai.embed(target, ["text"], {"dimensions": 4, "temperature": 0.1}, kind="query").shape == (1, 4)
    assert openai_server.requests[-1].body == {
        "model": "llama3.2",
        "input": ["query: text"],
        "encoding_format": "float",
        "dimensions": 4,
    }


def test_embed_of_a_server_that_cannot_cut_vectors_is_an_error(
    openai_server: OpenAIServer, openai: OpenAIProvider
) -> None:
    openai_server.misbehave("/v1/embeddings", Fault(status=200, body=b'{"data": [{"index": 0, "embedding": [1, 2]}]}'))

    error = error_of(lambda: openai.embed(MODEL, ["text"], {"dimensions": 4}))

    assert error.problem == "It gives wrong vectors: expected vectors of 4 components, got 2."


WRONG = "It gives wrong vectors: expected lists of numbers, got others."


@pytest.mark.parametrize(
    ("data", "kind", "problem"),
    [
        ([{"index": 0, "embedding": ["a"]}], ProviderModelError, WRONG),
        ([{"index": 0, "embedding": "AAAA"}], ProviderModelError, WRONG),
        ([{"index": 0, "embedding": [[1.0]]}], ProviderModelError, WRONG),
        ([{"index": 0, "embedding": 5}], ProviderModelError, WRONG),
        ([{"index": 0}], ProviderModelError, WRONG),
        ([{"index": 0, "embedding": [10**400]}], Unavailable, "`{url}` does not answer as expected: {shape}"),
        ([5], Unavailable, "`{url}` does not answer as expected: {shape}"),
    ],
)
def test_embed_that_gives_no_vectors_is_an_error(
    openai_server: OpenAIServer, openai: OpenAIProvider, data: Any, kind: type[Exception], problem: str
) -> None:
    openai_server.misbehave("/v1/embeddings", Fault(status=200, body=json.dumps({"data": data}).encode()))

    error = error_of(lambda: openai.embed(MODEL, ["a"], {}))

    expected = problem.format(url=openai_server.base_url, shape="It has another shape.")
    assert (type(error), error.problem) == (kind, expected)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"null", "It has another shape."),
        (b"[]", "It has another shape."),
        (b'{"data": [5]}', "It has another shape."),
        (b"<html>", "Expecting value: line 1 column 1 (char 0)."),
    ],
)
def test_list_of_models_that_is_none_says_so(
    openai_server: OpenAIServer, openai: OpenAIProvider, body: bytes, said: str
) -> None:
    openai_server.misbehave("/v1/models", *[Fault(status=200, body=body)] * 2)

    problem = f"`{openai_server.base_url}` does not answer as expected: {said}"
    assert openai.available() == Availability(problem, OTHER)
    assert error_of(lambda: openai.has(MODEL)).problem == problem


def test_chat_of_a_server_whose_list_of_models_is_none_is_answered(
    openai_server: OpenAIServer, openai: OpenAIProvider
) -> None:
    openai_server.misbehave("/v1/models", Fault(status=200, body=b"null"))

    assert without_time(openai.chat(MODEL, ASKED, {"repeat_penalty": 1.1})) == WHOLE
