"""The provider `ollama`: what it pulls, and the vectors that it gives."""

import math
from dataclasses import replace

import pytest
import tiny
from ollama_server import Fault, Ollama, vector
from waiting import within

from registry.errors import (
    DownloadError,
    InvalidInputError,
    ProviderModelError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from registry.hub.progress import Progress
from registry.profiles import Ensured, Target
from registry.profiles.providers.ollama import OllamaProvider

from ..peers import (
    MODEL,
    SHORT_S,
    error_of,
    hasty,
    nothing_of_the_user,
    ollama,
    provider,
)

pytest.importorskip("ollama")
np = pytest.importorskip("numpy")

__all__ = ["hasty", "nothing_of_the_user", "ollama", "provider"]  # fixtures

CUT = (
    "`{host}` cut the connection: peer closed connection without sending complete message body "
    "(incomplete chunked read)."
)


# Pulling


def test_ensure_pulls_what_is_missing_and_tells_of_it(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.publish("qwen3:4b", layers=(4000, 10))
    told: list[Progress] = []

    assert provider.ensure(Target("qwen3:4b"), progress=told.append) == Ensured("pulled", 4010)
    assert provider.has(Target("qwen3:4b"))
    files = list(dict.fromkeys(progress.file for progress in told))
    assert len(files) == 3
    assert [
        (progress.stage, progress.done_bytes, progress.total_bytes) for progress in told if progress.done_bytes
    ] == [
        ("downloading", 4000, 4000),
        ("downloading", 10, 10),
    ]
    assert told[-1] == Progress("qwen3:4b", "", "done")


def test_ensure_of_what_is_there_asks_for_no_pull(ollama: Ollama, provider: OllamaProvider) -> None:
    assert provider.ensure(MODEL) == Ensured("already_present")
    assert ollama.asked("/api/pull") == []


def test_ensure_by_force_pulls_what_is_there_and_says_that_nothing_came(
    ollama: Ollama, provider: OllamaProvider
) -> None:
    ollama.publish("qwen3", layers=(4000,))
    provider.ensure(Target("qwen3"))

    assert provider.ensure(Target("qwen3"), force=True) == Ensured("already_present", 0)
    assert len(ollama.asked("/api/pull")) == 2


def test_ensure_of_a_name_that_nobody_has_says_so(provider: OllamaProvider) -> None:
    error = error_of(lambda: provider.ensure(Target("nobody-has-this")))

    assert type(error) is ProviderModelError
    assert str(error) == (
        "`ollama`, asked for `nobody-has-this`: Ollama cannot fetch this model: pull model manifest: file does not "
        "exist. Correct the name of the model."
    )


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            Fault(cut_after=4),
            CUT,
        ),
        (Fault(cut_after=4, reset=True), "`{host}` cut the connection: Connection reset by peer."),
        (Fault(end_after=4), "Ollama ended the pull before it was complete."),
        (
            Fault(error_after=4, error="max retries exceeded: EOF"),
            "Ollama has failed: max retries exceeded: EOF.",
        ),
    ],
    ids=["cut", "reset", "ended", "error"],
)
def test_pull_that_does_not_come_to_its_end_is_a_failed_download_and_goes_on_later(
    ollama: Ollama, provider: OllamaProvider, fault: Fault, reason: str
) -> None:
    ollama.publish("qwen3", layers=(4000,))
    ollama.misbehave("/api/pull", fault)

    with pytest.raises(DownloadError) as caught:
        provider.ensure(Target("qwen3"))

    assert (caught.value.reason, caught.value.remedy) == (
        reason.format(host=ollama.host),
        "Try again: what was fetched is kept.",
    )
    again = provider.ensure(Target("qwen3"))
    assert again.action == "pulled"
    assert again.bytes is not None
    assert 0 < again.bytes < 4000


def test_pull_without_a_word_for_too_long_is_a_failed_download(
    ollama: Ollama, hasty: OllamaProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.profiles.providers.ollama._PULL_S", SHORT_S)
    ollama.publish("qwen3")
    ollama.misbehave("/api/pull", Fault(between_s=math.inf))

    with pytest.raises(DownloadError) as caught:
        within(lambda: hasty.ensure(Target("qwen3")))

    assert caught.value.reason == f"It gave no progress within {SHORT_S} s."
    assert ollama.requests[-1].left.wait(10)


def test_pull_from_an_ollama_that_is_down_is_no_failed_download(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.publish("qwen3")
    ollama.misbehave("/api/pull", Fault(hang_up=True))

    assert type(error_of(lambda: provider.ensure(Target("qwen3")))) is ProviderUnavailableError


def test_progress_that_raises_ends_the_pull(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.publish("qwen3")
    ollama.misbehave("/api/pull", Fault(between_s=0.05))

    def refuse(progress: Progress) -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match=r"^enough$"):
        provider.ensure(Target("qwen3"), progress=refuse)
    assert ollama.requests[-1].left.wait(10)


# Vectors


def test_embed_gives_the_vectors_in_the_order_of_the_texts(provider: OllamaProvider) -> None:
    texts = [f"text {number}" for number in range(70)]

    found = provider.embed(MODEL, texts, {})

    assert (found.dtype, found.shape) == (np.float32, (70, 8))
    assert np.array_equal(found, np.array([vector(text, 8) for text in texts], np.float32))


def test_embed_asks_in_batches(ollama: Ollama, provider: OllamaProvider) -> None:
    provider.embed(MODEL, ["text"] * 70, {"keep_alive": "5m", "context_length": 512, "truncate": False})

    bodies = [request.body for request in ollama.asked("/api/embed")]
    assert [len(body.pop("input")) for body in bodies] == [32, 32, 6]
    assert bodies == [{"model": "llama3.2", "keep_alive": "5m", "truncate": False, "options": {"num_ctx": 512}}] * 3


def test_embed_with_dimensions_asks_for_them(provider: OllamaProvider) -> None:
    assert provider.embed(MODEL, ["text"], {"dimensions": 4}).shape == (1, 4)


def test_embed_puts_the_prompt_of_the_record_in_front(ollama: Ollama, provider: OllamaProvider) -> None:
    record = tiny.dense_record(query_prompt="query: ", document_prompt=None)
    target = MODEL._replace(record=record)

    for kind in ("query", "document", None):
        provider.embed(target, ["text"], {}, kind=kind)

    assert [request.body["input"] for request in ollama.asked("/api/embed")] == [["query: text"], ["text"], ["text"]]


def test_embed_of_no_texts_asks_nothing(ollama: Ollama, provider: OllamaProvider) -> None:
    record = replace(tiny.dense_record(), embedding_dim=32)

    assert provider.embed(MODEL._replace(record=record), [], {}).shape == (0, 32)
    assert ollama.requests == []


def test_embed_of_one_text_in_place_of_a_list_is_refused(provider: OllamaProvider) -> None:
    with pytest.raises(InvalidInputError, match=r"^`texts`: expected a list of strings, got one str\."):
        provider.embed(MODEL, "text", {})


def test_embed_of_text_that_cannot_be_sent_is_the_callers_fault(provider: OllamaProvider) -> None:
    with pytest.raises(InvalidInputError, match=r"^`texts\[1\]`: expected text, got half of a surrogate pair"):
        provider.embed(MODEL, ["a", "\ud800"], {})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"embeddings": [[1.0]]}', "It gives wrong vectors: expected 2 vectors, got 1."),
        (b'{"embeddings": [[1.0], [1.0, 2.0]]}', "It gives wrong vectors: expected vectors of one size, got 1, 2."),
        (b'{"embeddings": [[1.0], [NaN]]}', "It gives wrong vectors: expected finite numbers, got others."),
        (b'{"embeddings": [[1.0], [1e300]]}', "It gives wrong vectors: expected finite numbers, got others."),
        (b'{"embeddings": [[], []]}', "It gives wrong vectors: expected lists of numbers, got others."),
    ],
)
def test_embed_that_gives_other_vectors_is_an_error(
    ollama: Ollama, provider: OllamaProvider, body: bytes, problem: str
) -> None:
    ollama.misbehave("/api/embed", Fault(status=200, body=body))

    error = error_of(lambda: provider.embed(MODEL, ["a", "b"], {}))

    assert (type(error), error.problem) == (ProviderModelError, problem)


@pytest.mark.parametrize("body", [b"not json", b"[]", b"{}", b'{"embeddings": "x"}'])
def test_embed_that_is_answered_in_another_language_is_an_error(
    ollama: Ollama, provider: OllamaProvider, body: bytes
) -> None:
    ollama.misbehave("/api/embed", Fault(status=200, body=body))

    error = error_of(lambda: provider.embed(MODEL, ["a"], {}))

    assert type(error) is ProviderUnavailableError
    assert error.problem.startswith(f"`{ollama.host}` does not answer as expected: ")


def test_embed_that_takes_too_long_is_a_timeout(ollama: Ollama, hasty: OllamaProvider) -> None:
    ollama.misbehave("/api/embed", Fault(before_headers_s=math.inf))

    error = error_of(lambda: hasty.embed(MODEL, ["a"], {}))

    assert (type(error), error.problem) == (ProviderTimeoutError, f"It gave no vectors within {SHORT_S} s.")


def test_embed_with_a_model_that_does_not_passes_on(ollama: Ollama, provider: OllamaProvider) -> None:
    ollama.misbehave("/api/embed", Fault(status=400, error="this model does not support embeddings"))

    assert type(error_of(lambda: provider.embed(MODEL, ["a"], {}))) is ProviderModelError
