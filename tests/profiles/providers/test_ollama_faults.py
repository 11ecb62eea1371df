"""The provider `ollama`, with a peer that fails, takes its time, or is stopped."""

import math
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub.conftest import certificate
from ollama_server import Fault, Ollama, swallowing
from waiting import until

from registry.errors import (
    ProviderError,
    ProviderModelError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from registry.profiles.faults import scope_of
from registry.profiles.providers.ollama import OllamaProvider
from registry.profiles.providers.services import MissingModelError

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

__all__ = ["certificate", "hasty", "nothing_of_the_user", "ollama", "provider"]  # fixtures

LOG = "Look into its log: it may have been stopped, or have crashed."
CUT = (
    "`{host}` cut the connection: peer closed connection without sending complete message body "
    "(incomplete chunked read)."
)


# Faults


@pytest.mark.parametrize(
    ("fault", "kind", "problem", "remedy"),
    [
        (
            Fault(status=404, error="model 'llama3.2' not found"),
            MissingModelError,
            "`{host}` answered 404: model 'llama3.2' not found.",
            "Fetch it with `ollama pull llama3.2`, or with `registry provision`.",
        ),
        (
            Fault(status=500, error="open /blobs/sha256-1: file does not exist"),
            MissingModelError,
            "Ollama has failed: open /blobs/sha256-1: file does not exist.",
            "Fetch it with `ollama pull llama3.2`, or with `registry provision`.",
        ),
        (
            Fault(status=503, error="server busy, please try again"),
            ProviderUnavailableError,
            "`{host}` answered 503: server busy, please try again.",
            "Try again later: it is busy, or is being started.",
        ),
        (
            Fault(status=502, body=b""),
            ProviderUnavailableError,
            "`{host}` answered 502: nothing more.",
            "Try again later: it is busy, or is being started.",
        ),
        (
            Fault(status=401, error="unauthorized"),
            ProviderUnavailableError,
            "`{host}` answered 401: unauthorized.",
            "Set `OLLAMA_API_KEY` to a key that it takes.",
        ),
        (
            Fault(status=400, error="invalid format"),
            ProviderError,
            "`{host}` answered 400: invalid format.",
            "Change the request.",
        ),
        (
            Fault(status=400, error='"all-minilm" does not support chat'),
            ProviderModelError,
            'Ollama cannot use this model for that: "all-minilm" does not support chat.',
            "Choose another model for the role.",
        ),
        (
            Fault(status=400, error='"gemma" does not support tools'),
            ProviderError,
            '`{host}` answered 400: "gemma" does not support tools.',
            "Change the request.",
        ),
        (
            Fault(status=500, error="model requires more system memory (9.1 GiB) than is available (3.2 GiB)"),
            ProviderModelError,
            "Ollama has failed: model requires more system memory (9.1 GiB) than is available (3.2 GiB).",
            "Choose a smaller model, or free memory.",
        ),
        (
            Fault(status=500, error="llama runner process has terminated: exit status 2"),
            ProviderModelError,
            "Ollama has failed: llama runner process has terminated: exit status 2.",
            "Look into the log of Ollama.",
        ),
        (
            Fault(status=500, body=b'["x"]'),
            ProviderModelError,
            'Ollama has failed: ["x"].',
            "Look into the log of Ollama.",
        ),
        (
            Fault(error_after=0, error="unable to load model"),
            ProviderModelError,
            "Ollama has failed: unable to load model.",
            "Look into the log of Ollama.",
        ),
        (
            Fault(error_after=2, error="an error was encountered while running the model"),
            ProviderModelError,
            "Ollama has failed: an error was encountered while running the model.",
            "Look into the log of Ollama.",
        ),
        (
            Fault(hang_up=True),
            ProviderUnavailableError,
            "`{host}` cut the connection: Server disconnected without sending a response.",
            LOG,
        ),
        (
            Fault(hang_up=True, reset=True),
            ProviderUnavailableError,
            "`{host}` cut the connection: Connection reset by peer.",
            LOG,
        ),
        (
            Fault(cut_after=2),
            ProviderUnavailableError,
            CUT,
            LOG,
        ),
        (
            Fault(cut_after=2, reset=True),
            ProviderUnavailableError,
            "`{host}` cut the connection: Connection reset by peer.",
            LOG,
        ),
        (
            Fault(end_after=2),
            ProviderUnavailableError,
            "The answer ended after 2 pieces, without its last line.",
            "Look into the log of Ollama.",
        ),
        (
            Fault(raw_after=1, raw=b"<html>\n"),
            ProviderUnavailableError,
            "`{host}` does not answer as expected: <html>.",
            "Name the address of a service of this kind.",
        ),
        (
            Fault(raw_after=1, raw=b'{"message": {"content": 5}}\n'),
            ProviderUnavailableError,
            "`{host}` does not answer as expected: {{'message': {{'content': 5}}}}.",
            "Name the address of a service of this kind.",
        ),
        (
            Fault(raw_after=1, raw=b'{"done": true, "eval_count": 1e999}\n'),
            ProviderUnavailableError,
            "`{host}` does not answer as expected: {{'done': True, 'eval_count': inf}}.",
            "Name the address of a service of this kind.",
        ),
        (
            Fault(headers={"Content-Encoding": "gzip"}),
            ProviderUnavailableError,
            "`{host}` does not answer as expected: Error -3 while decompressing data: incorrect header check.",
            "Name the address of a service of this kind.",
        ),
        (
            Fault(status=500, body=b"oops", headers={"Content-Encoding": "gzip"}),
            ProviderUnavailableError,
            "`{host}` does not answer as expected: Error -3 while decompressing data: incorrect header check.",
            "Name the address of a service of this kind.",
        ),
    ],
    ids=lambda value: (
        ",".join(f"{k}={v}" for k, v in vars(value).items() if v != getattr(Fault(), k))
        if isinstance(value, Fault)
        else ""
    ),
)
def test_chat_ends_with_an_error_that_says_what_to_do(
    ollama: Ollama, provider: OllamaProvider, fault: Fault, kind: type[Exception], problem: str, remedy: str
) -> None:
    ollama.misbehave("/api/chat", fault)

    error = error_of(lambda: provider.chat(MODEL, ASKED, {}))

    assert (type(error), error.model) == (kind, "llama3.2")
    assert (error.problem, error.remedy) == (problem.format(host=ollama.host), remedy)


def test_stream_that_breaks_gives_what_came_before(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.misbehave("/api/chat", Fault(cut_after=2))
    chunks = provider.stream(MODEL, ASKED, {})

    found = [next(chunks), next(chunks), next(chunks)]

    assert deltas(found) == [{"role": "assistant", "content": ""}, {"content": "Hello"}, {"content": " there"}]
    with pytest.raises(ProviderUnavailableError):
        next(chunks)


def test_chat_after_a_fault_goes_well(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.misbehave("/api/chat", Fault(cut_after=1))
    error_of(lambda: provider.chat(MODEL, ASKED, {}))

    assert without_time(provider.chat(MODEL, ASKED, {})) == WHOLE


def test_chat_after_a_restart_of_ollama_goes_well(ollama: Ollama, provider: OllamaProvider) -> None:
    provider.chat(MODEL, ASKED, {})
    ollama.stop()
    down = error_of(lambda: provider.chat(MODEL, ASKED, {}))
    ollama.start()

    assert type(down) is ProviderUnavailableError
    assert without_time(provider.chat(MODEL, ASKED, {})) == WHOLE


# Https


@pytest.fixture
def secure(certificate: Path) -> Iterator[Ollama]:
    """An Ollama over https, with a certificate that nobody trusts."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(certificate)
    with Ollama(tls=settings) as peer:
        peer.add(MODEL.name)
        yield peer


def test_certificate_that_nobody_trusts_is_no_connection(secure: Ollama) -> None:
    provider = OllamaProvider(secure.host)

    error = error_of(lambda: provider.chat(MODEL, ASKED, {}))

    provider.close()
    assert type(error) is ProviderUnavailableError
    assert error.problem.startswith(f"No connection to `{secure.host}`: [SSL: CERTIFICATE_VERIFY_FAILED]")
    assert secure.requests == []


def test_certificate_that_the_system_trusts_is_good(
    secure: Ollama, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    provider = OllamaProvider(secure.host)

    assert without_time(provider.chat(MODEL, ASKED, {})) == WHOLE
    provider.close()


# Time-outs


@pytest.mark.parametrize(
    "fault",
    [Fault(before_headers_s=math.inf), Fault(before_first_s=math.inf), Fault(between_bytes_s=SHORT_S / 20)],
    ids=["no headers", "no first line", "a first line byte by byte"],
)
def test_first_token_that_does_not_come_in_time_is_a_timeout(
    ollama: Ollama, hasty: OllamaProvider, fault: Fault
) -> None:
    ollama.misbehave("/api/chat", fault)

    error = error_of(lambda: hasty.chat(MODEL, ASKED, {}))

    assert type(error) is ProviderTimeoutError
    assert error.problem == f"It gave no first token within {SHORT_S} s."
    assert ollama.requests[-1].left.wait(10)


def test_lines_that_say_nothing_do_not_put_the_first_token_off(ollama: Ollama, hasty: OllamaProvider) -> None:
    ollama.add("llama3.2", [""] * 1000)
    ollama.misbehave("/api/chat", Fault(between_s=SHORT_S / 10))

    assert error_of(lambda: hasty.chat(MODEL, ASKED, {})).problem == f"It gave no first token within {SHORT_S} s."


def test_pause_between_tokens_that_is_too_long_is_a_timeout(ollama: Ollama, hasty: OllamaProvider) -> None:
    ollama.misbehave("/api/chat", Fault(between_s=math.inf))

    error = error_of(lambda: hasty.chat(MODEL, ASKED, {}))

    assert type(error) is ProviderTimeoutError
    assert error.problem == f"It gave no further token after 1 within {SHORT_S} s."
    assert ollama.requests[-1].left.wait(10)


def test_answer_that_takes_longer_than_any_pause_may_is_given(ollama: Ollama) -> None:
    ollama.add("llama3.2", ["word "] * 10)
    ollama.misbehave("/api/chat", Fault(between_s=0.03))
    provider = OllamaProvider(ollama.host, between_tokens_timeout_s=0.25)
    provider.has(MODEL)

    assert provider.chat(MODEL, ASKED, {})["usage"]["completion_tokens"] == 10
    provider.close()


def test_model_that_is_loaded_first_has_the_time_to_the_first_token(ollama: Ollama) -> None:
    ollama.misbehave("/api/chat", Fault(before_headers_s=0.2))
    provider = OllamaProvider(ollama.host, between_tokens_timeout_s=0.1)
    provider.has(MODEL)

    assert without_time(provider.chat(MODEL, ASKED, {})) == WHOLE
    provider.close()


def test_pause_with_tools_may_be_as_long_as_that_before_the_first_token(ollama: Ollama) -> None:
    ollama.misbehave("/api/chat", Fault(between_s=0.2))
    provider = OllamaProvider(ollama.host, between_tokens_timeout_s=0.1)
    tools = [{"type": "function", "function": {"name": "height"}}]

    assert without_time(provider.chat(MODEL, ASKED, {"tools": tools})) == WHOLE
    provider.close()


def test_host_that_swallows_packets_costs_the_time_to_connect() -> None:
    with swallowing() as host:
        lost = OllamaProvider(host, connect_timeout_s=SHORT_S)
        error = error_of(lambda: lost.chat(MODEL, ASKED, {}))
        lost.close()

    assert type(error) is ProviderTimeoutError
    assert error.problem == f"No connection to `{host}` within {SHORT_S} s."
    assert scope_of(error) == "provider"


# Stopping


def test_stream_that_is_not_read_asks_nothing(ollama: Ollama, provider: OllamaProvider) -> None:
    provider.stream(MODEL, ASKED, {}).close()

    assert ollama.requests == []


def test_closing_a_stream_closes_the_connection(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.misbehave("/api/chat", Fault(between_s=math.inf))
    chunks = provider.stream(MODEL, ASKED, {})
    next(chunks)
    next(chunks)

    chunks.close()

    assert ollama.requests[-1].left.wait(10)
    assert list(chunks) == []


def test_stream_that_is_forgotten_closes_the_connection(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.misbehave("/api/chat", Fault(between_s=math.inf))
    chunks = provider.stream(MODEL, ASKED, {})
    next(chunks)

    del chunks

    assert ollama.requests[-1].left.wait(10)


@pytest.mark.parametrize("fault", [Fault(before_headers_s=math.inf), Fault(before_first_s=math.inf)])
def test_closing_a_stream_from_another_thread_ends_the_waiting(
    ollama: Ollama, provider: OllamaProvider, fault: Fault
) -> None:
    ollama.misbehave("/api/chat", fault)
    chunks = provider.stream(MODEL, ASKED, {})
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.append(list(chunks)), daemon=True)
    reader.start()
    until(lambda: bool(ollama.asked("/api/chat")))

    chunks.close()

    reader.join(10)
    assert found == [[]]
    assert ollama.requests[-1].left.wait(10)


def test_closing_a_stream_after_its_end_leaves_the_connection_to_others(
    ollama: Ollama, provider: OllamaProvider
) -> None:
    chunks = provider.stream(MODEL, ASKED, {})
    list(chunks)
    chunks.close()

    provider.chat(MODEL, ASKED, {})

    assert ollama.connections == 1
