"""The provider `ollama`, against a peer that speaks Ollama's API over sockets: is it there, and what it answers."""

import math
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ollama_server import Fault, Ollama, swallowing, unused_port
from waiting import within

from registry.errors import (
    InvalidMessageError,
    InvalidOptionError,
    ProviderModelError,
    ProviderUnavailableError,
)
from registry.profiles import Availability, Provider, Target
from registry.profiles.providers.ollama import OllamaProvider

from ..peers import (
    ASKED,
    MODEL,
    SHORT_S,
    WHOLE,
    deltas,
    error_of,
    hasty,
    nothing_of_the_user,
    ollama,
    provider,
    without_time,
)

pytest.importorskip("ollama")

__all__ = ["hasty", "nothing_of_the_user", "ollama", "provider"]  # fixtures

START = "Start it with `ollama serve`, or set `OLLAMA_HOST` to where it runs."


# Whether it is there


def test_provider_has_what_a_provider_has(provider: OllamaProvider) -> None:
    typed: Provider = provider

    assert typed.name == "ollama"


def test_available_where_nothing_listens_says_so_and_imports_nothing(run_python: Callable[..., str]) -> None:
    code = (
        "import sys; from registry.profiles.providers.ollama import OllamaProvider\n"
        f"found = OllamaProvider('127.0.0.1:{(port := unused_port())}').available()\n"
        "print(found.reason, found.remedy, {'ollama', 'httpx', 'pydantic', 'numpy'} & sys.modules.keys())"
    )

    assert run_python(code) == f"Nothing listens at `http://127.0.0.1:{port}`. {START} set()\n"


def test_chat_where_nothing_listens_says_so_and_imports_nothing(run_python: Callable[..., str]) -> None:
    code = (
        "import sys; from registry.profiles import OllamaProvider, Target\n"
        f"provider = OllamaProvider('127.0.0.1:{unused_port()}')\n"
        "try: provider.chat(Target('m'), [{'role': 'user', 'content': 'Hi'}], {})\n"
        "except ConnectionError as error: print(type(error).__name__, {'ollama', 'httpx'} & sys.modules.keys())"
    )

    assert run_python(code) == "ProviderUnavailableError set()\n"


def test_available_where_ollama_answers_is_true(provider: OllamaProvider) -> None:
    assert provider.available() == Availability()


def test_available_where_packets_are_swallowed_ends_with_the_time_to_connect() -> None:
    with swallowing() as host:
        found = within(OllamaProvider(host, connect_timeout_s=SHORT_S).available)

    assert found == Availability(f"No connection to `{host}` within {SHORT_S} s.", START)


def test_available_where_connections_are_taken_and_nothing_is_said_is_false(ollama: Ollama) -> None:
    ollama.misbehave("/api/version", Fault(before_headers_s=math.inf))

    found = within(OllamaProvider(ollama.host, connect_timeout_s=SHORT_S).available)

    assert found.reason == f"It gave no answer within {SHORT_S} s."


def test_available_where_something_else_listens_is_false(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.misbehave("/api/version", Fault(status=404, body=b"<h1>Not here</h1>"))

    found = provider.available()

    assert found.reason == f"`{ollama.host}` answered 404: <h1>Not here</h1>."


def test_available_without_the_package_says_how_to_install_it(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ollama", None)

    assert OllamaProvider(ollama.host).available() == Availability(
        "Asking Ollama needs `ollama`, which is not installed.",
        'Install it with `pip install "typed-model-registry[ollama]"`.',
    )


def test_available_with_an_address_that_is_none_says_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "ftp://here")

    assert OllamaProvider().available() == Availability(
        "`ftp://here` is no address of an Ollama server: expected http:// or https://, got ftp://.",
        "Correct `OLLAMA_HOST`.",
    )


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("http://proxy:99999", "No connection to `http://far:80`: the system has `http://proxy:99999` as its proxy:"),
        ("http://me:pw@proxy:99999", "No connection to `http://far:80`: the system has `http://***@proxy:99999` as"),
        ("gopher://127.0.0.1:{port}", "Its client cannot be made: "),
    ],
)
def test_available_with_a_proxy_that_is_none_says_so(
    ollama: Ollama, monkeypatch: pytest.MonkeyPatch, proxy: str, reason: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy.format(port=ollama.port))

    found = OllamaProvider("http://far").available()

    assert (found.reason or "").startswith(reason)


def test_host_left_out_is_the_one_of_the_settings(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", ollama.host.removeprefix("http://"))
    provider = OllamaProvider()

    assert provider.has(MODEL)
    provider.close()


@pytest.mark.parametrize("name", ["connect", "first_token", "between_tokens"])
@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, "2", True])
def test_timeout_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidOptionError, match=f"`{name}_timeout_s`: expected a positive number of seconds, got"):
        OllamaProvider(**{f"{name}_timeout_s": value})


@pytest.mark.parametrize(
    ("there", "asked", "has"),
    [
        ("llama3.2", "llama3.2", True),
        ("llama3.2", "llama3.2:latest", True),
        ("llama3.2:1b", "llama3.2:1b", True),
        ("llama3.2:1b", "llama3.2", False),
        ("llama3.2", "library/llama3.2", True),
        ("llama3.2", "registry.ollama.ai/library/llama3.2:latest", True),
        ("hf.co/org/Model-GGUF:Q4_K_M", "hf.co/org/model-gguf:q4_k_m", True),
        ("llama3.2", "llama3", False),
    ],
)
def test_has_tells_models_apart_as_ollama_does(
    ollama: Ollama, provider: OllamaProvider, there: str, asked: str, has: bool
) -> None:
    ollama.models.clear()
    ollama.add(there)

    assert provider.has(Target(asked)) is has


def test_has_where_nothing_listens_raises() -> None:
    provider = OllamaProvider(f"127.0.0.1:{(port := unused_port())}")

    error = error_of(lambda: provider.has(MODEL))

    assert type(error) is ProviderUnavailableError
    assert str(error) == f"`ollama`, asked for `llama3.2`: Nothing listens at `http://127.0.0.1:{port}`. {START}"


# Answers


def test_chat_gives_the_whole_answer(provider: OllamaProvider) -> None:
    assert without_time(provider.chat(MODEL, ASKED, {})) == WHOLE


def test_stream_gives_the_role_then_the_pieces_then_the_usage(provider: OllamaProvider) -> None:
    chunks = list(provider.stream(MODEL, ASKED, {}))

    assert deltas(chunks) == [
        {"role": "assistant", "content": ""},
        {"content": "Hello"},
        {"content": " there"},
        {"content": "!"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, None, "stop"]
    assert ["usage" in chunk for chunk in chunks] == [False, False, False, False, True]
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_chat_that_reaches_its_limit_ends_for_its_length(provider: OllamaProvider) -> None:
    choice = provider.chat(MODEL, ASKED, {"max_tokens": 2})["choices"][0]

    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello there", "length")


def test_chat_keeps_thoughts_apart(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.add("qwen3", ["8849 m"], thinking=["Let me", " see."])

    message = provider.chat(Target("qwen3"), ASKED, {})["choices"][0]["message"]

    assert message == {"role": "assistant", "content": "8849 m", "reasoning_content": "Let me see."}


def test_chat_with_tools_gives_calls_in_openais_shape(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.add("llama3.2", tool_calls=[("height", {"of": "Everest"}), ("height", {"of": "Øst"})])
    tools = [{"type": "function", "function": {"name": "height", "parameters": {"type": "object"}}}]

    choice = provider.chat(MODEL, ASKED, {"tools": tools})["choices"][0]

    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call00000",
                "type": "function",
                "function": {"name": "height", "arguments": '{"of": "Everest"}'},
            },
            {"id": "call00001", "type": "function", "function": {"name": "height", "arguments": '{"of": "Øst"}'}},
        ],
    }


def test_chat_in_packets_that_cut_characters_is_read_whole(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.add("llama3.2", ["Grüße, ", "\u0085 \u2028 \r\n", "😀"])
    ollama.misbehave("/api/chat", Fault(packet_bytes=3))

    assert provider.chat(MODEL, ASKED, {})["choices"][0]["message"]["content"] == "Grüße, \u0085 \u2028 \r\n😀"


def test_chats_of_many_threads_share_connections(ollama: Ollama, provider: OllamaProvider) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: without_time(provider.chat(MODEL, ASKED, {})), range(40)))

    assert answers == [WHOLE] * 40
    assert ollama.connections <= 8


def test_chats_one_after_another_use_one_connection(ollama: Ollama, provider: OllamaProvider) -> None:
    for _ in range(3):
        provider.chat(MODEL, ASKED, {})

    assert ollama.connections == 1


def test_provider_that_was_closed_can_be_used_again(provider: OllamaProvider) -> None:
    provider.chat(MODEL, ASKED, {})
    provider.close()

    assert without_time(provider.chat(MODEL, ASKED, {})) == WHOLE


def test_proxy_of_the_environment_is_not_used_for_this_machine(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    provider = OllamaProvider(ollama.host)

    assert provider.available()
    assert without_time(provider.chat(MODEL, ASKED, {})) == WHOLE
    provider.close()


def test_proxy_is_asked_for_another_host(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", ollama.host)
    provider = OllamaProvider("http://ollama.invalid:11434")
    ollama.misbehave("http://ollama.invalid:11434/api/tags", Fault(status=418, error="the proxy was asked"))

    error = error_of(lambda: provider.has(MODEL))

    provider.close()
    assert error.problem == "`http://ollama.invalid:11434` answered 418: the proxy was asked."


def test_key_of_the_environment_is_sent(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    ollama.token = "secret"
    provider = OllamaProvider(ollama.host)

    assert provider.has(MODEL)
    provider.close()


def test_key_with_the_end_of_a_line_is_sent_without_it(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret\n")
    ollama.token = "secret"
    provider = OllamaProvider(ollama.host)

    assert provider.has(MODEL)
    provider.close()


def test_redirect_is_not_followed(ollama: Ollama, provider: OllamaProvider) -> None:
    with Ollama() as other:
        other.add(MODEL.name)
        ollama.misbehave("/api/chat", Fault(status=307, headers={"Location": f"{other.host}/api/chat"}))
        error = error_of(lambda: provider.chat(MODEL, ASKED, {}))

    assert error.remedy == "Name the address that it redirects to instead."
    assert other.requests == []


@pytest.mark.parametrize(
    ("messages", "parameters", "error"),
    [
        ([], {}, InvalidMessageError),
        ([{"role": "user"}], {}, InvalidMessageError),
        (ASKED, {"tool_choice": "required"}, InvalidOptionError),
    ],
)
def test_faults_of_the_caller_are_raised_without_a_request(
    ollama: Ollama, provider: OllamaProvider, messages: Any, parameters: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        provider.chat(MODEL, messages, parameters)

    assert ollama.requests == []


# The real one


@pytest.mark.skipif(shutil.which("ollama") is None, reason="needs Ollama itself")
def test_real_ollama_lists_its_models_and_misses_others() -> None:
    provider = OllamaProvider()
    if not provider.available():
        pytest.skip("Ollama is installed, and does not run")

    assert not provider.has(Target("no-such-model-of-anybody"))
    with pytest.raises(ProviderModelError, match="not found"):
        provider.chat(Target("no-such-model-of-anybody"), ASKED, {})
    provider.close()
