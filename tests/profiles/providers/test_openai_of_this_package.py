"""The provider `openai`, with this package's own server on the other side."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny
from loaders import conftest as fixtures
from waiting import until

from registry.profiles import Target
from registry.profiles.providers.openai import OpenAIProvider

from ..peers import ASKED, nothing_of_the_user

if any(find_spec(package) is None for package in ("fastapi", "uvicorn", "openai", "llama_cpp", "gguf")):
    pytest.skip("needs fastapi, uvicorn, openai, llama-cpp-python and gguf", allow_module_level=True)
from server.v1.served import Serve

home, made = fixtures.home, fixtures.made
__all__ = ["home", "made", "nothing_of_the_user"]  # fixtures

CHAT = Target("tiny-chat")
EVERY_PARAMETER: dict[str, Any] = {
    "temperature": 0.0,
    "top_p": 0.9,
    "top_k": 40,
    "repeat_penalty": 1.1,
    "max_tokens": 3,
    "stop": ("END",),
    "seed": 7,
    "context_length": 256,
}


@pytest.fixture
def serve(home: Path, made: Callable[..., Path]) -> Iterator[Serve]:
    with ExitStack() as stack:
        yield Serve(home, made, stack)


@pytest.fixture
def provider() -> Iterator[Callable[[str], OpenAIProvider]]:
    with ExitStack() as stack:

        def make(url: str) -> OpenAIProvider:
            made = OpenAIProvider(f"{url}/v1")
            stack.callback(made.close)
            return made

        yield make


def test_chat_with_every_parameter_is_answered(serve: Serve, provider: Callable[[str], OpenAIProvider]) -> None:
    asked = provider(serve(serve.chat()).url)

    answer: Any = asked.chat(CHAT, ASKED, EVERY_PARAMETER)

    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hello wor"}, "finish_reason": "length"}
    ]
    assert answer["usage"]["completion_tokens"] == 3


def test_server_is_there_and_has_the_models_that_it_lists(
    serve: Serve, provider: Callable[[str], OpenAIProvider]
) -> None:
    asked = provider(serve(serve.chat()).url)

    assert (bool(asked.available()), asked.has(CHAT), asked.has(Target("other"))) == (True, True, False)


def test_closing_a_stream_frees_the_model_of_the_server(
    serve: Serve, provider: Callable[[str], OpenAIProvider]
) -> None:
    served = serve(serve.endless())
    chunks = provider(served.url).stream(CHAT, ASKED, {})
    next(chunks)
    next(chunks)

    chunks.close()

    until(lambda: served.users() == 0)


def test_embed_gives_the_vectors_of_the_loader(serve: Serve, provider: Callable[[str], OpenAIProvider]) -> None:
    np = pytest.importorskip("numpy")
    record = serve.encoder(tiny.dense, tiny.dense_record(query_prompt="query: "))
    asked = provider(serve(record).url)

    found = asked.embed(Target(record.id, record), ["one text"], {}, kind="query")

    from registry.loaders import load

    any_record: Any = record
    with load(any_record) as encoder:
        assert np.allclose(found, encoder.encode_query(["one text"]), atol=1e-5)
