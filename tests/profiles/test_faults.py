"""What a fault concerns, and how it is told."""

import pytest

from registry.errors import (
    DownloadError,
    InsufficientMemoryError,
    MissingExtraError,
    ModelBusyError,
    ModelNotDownloadedError,
    ProviderError,
    ProviderModelError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    StreamBrokenError,
)
from registry.profiles.faults import problem_of, scope_of, words_of


class ConnectTimeout(Exception):  # noqa: N818 - as the HTTP clients call theirs
    pass


def timed_out_while(cause: Exception) -> ProviderTimeoutError:
    error = ProviderTimeoutError("ollama", "qwen3", "It gave no answer in time.")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "scope"),
    [
        (ProviderUnavailableError("ollama", "qwen3", "Nothing listens."), "provider"),
        (ProviderTimeoutError("ollama", "qwen3", "No first token."), "model"),
        (timed_out_while(ConnectTimeout()), "provider"),
        (timed_out_while(TimeoutError()), "model"),
        (ProviderModelError("ollama", "qwen3", "No such model."), "model"),
        (StreamBrokenError("ollama", "qwen3", "It broke off."), "model"),
        (MissingExtraError("llama_cpp", "chat", "Loading GGUF models"), "model"),
        (InsufficientMemoryError("qwen3", "It needs 8 GB."), "model"),
        (ModelNotDownloadedError("qwen3", (), "Fetch it."), "model"),
        (ModelBusyError("qwen3", "Its queue is full.", 3), "model"),
        (DownloadError("qwen3", "The hub is away.", "Try again."), "model"),
        (ConnectionRefusedError(), "provider"),
        (TimeoutError(), "model"),
    ],
)
def test_scope_of_a_fault_is_all_models_only_where_none_can_be_had(error: Exception, scope: str) -> None:
    assert scope_of(error) == scope


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ProviderUnavailableError("ollama", "qwen3", "Nothing listens.", "Start it."), "Nothing listens. Start it."),
        (ProviderUnavailableError("ollama", "qwen3", "Nothing listens."), "Nothing listens."),
        (
            ModelNotDownloadedError("qwen3", ("/a", "/b"), "Fetch it."),
            "The files of `qwen3` are not on this machine. Looked in: /a /b Fetch it.",
        ),
        (ConnectionResetError("reset by peer"), "ConnectionResetError: reset by peer."),
        (MemoryError(), "MemoryError."),
    ],
)
def test_words_of_a_fault_are_one_line(error: Exception, words: str) -> None:
    assert words_of(error) == words


def test_problem_of_a_fault_leaves_out_what_to_do() -> None:
    assert problem_of(ProviderError("ollama", "qwen3", "It refuses.", "Ask otherwise.")) == "It refuses."
