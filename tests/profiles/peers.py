"""What tests of providers share that ask a service: peers on loopback, and providers that are closed at the end."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ollama_server import Ollama
from openai_server import OpenAIServer
from waiting import within

from registry.errors import ProviderError
from registry.profiles import Target
from registry.profiles.providers.ollama import OllamaProvider
from registry.profiles.providers.openai import OpenAIProvider

ASKED = [{"role": "user", "content": "How tall is Mount Everest?"}]
MODEL = Target("llama3.2")
SHORT_S, LONG_S = 0.15, 30.0
WHOLE = {
    "object": "chat.completion",
    "model": "llama3.2",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there!"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}
_USERS = ("OLLAMA_HOST", "OLLAMA_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def nothing_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*_USERS, *_PROXIES, *(name.upper() for name in _PROXIES)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ollama() -> Iterator[Ollama]:
    """An Ollama with one model."""
    with Ollama() as peer:
        peer.add(MODEL.name)
        yield peer


@pytest.fixture
def provider(ollama: Ollama) -> Iterator[OllamaProvider]:
    """A provider that asks it, and is patient enough for a busy machine."""
    made = OllamaProvider(ollama.host, connect_timeout_s=LONG_S)
    yield made
    made.close()


@pytest.fixture
def hasty(ollama: Ollama) -> Iterator[OllamaProvider]:
    """One that waits for a short time only."""
    made = OllamaProvider(ollama.host, first_token_timeout_s=SHORT_S, between_tokens_timeout_s=SHORT_S)
    made.has(MODEL)  # imports what is imported once, which takes longer
    yield made
    made.close()


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    """A server with one model."""
    with OpenAIServer() as peer:
        peer.add(MODEL.name)
        yield peer


@pytest.fixture
def openai(openai_server: OpenAIServer) -> Iterator[OpenAIProvider]:
    """A provider that asks it."""
    made = OpenAIProvider(openai_server.base_url, connect_timeout_s=LONG_S)
    yield made
    made.close()


@pytest.fixture
def hasty_openai(openai_server: OpenAIServer) -> Iterator[OpenAIProvider]:
    """One that waits for a short time only."""
    made = OpenAIProvider(openai_server.base_url, first_token_timeout_s=SHORT_S, between_tokens_timeout_s=SHORT_S)
    made.has(MODEL)
    yield made
    made.close()


def error_of(call: Callable[[], Any]) -> Any:
    with pytest.raises(ProviderError) as caught:
        within(call)
    return caught.value


def without_time(answer: Any) -> Any:
    """Give an answer without what differs from call to call."""
    return {key: value for key, value in answer.items() if key not in ("id", "created")}


def deltas(chunks: Any) -> list[Any]:
    """Give what is new in each chunk."""
    return [chunk["choices"][0]["delta"] for chunk in chunks]
