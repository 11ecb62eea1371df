"""In which order models are tried for a role, and who is asked for each."""

import pytest

from registry.profiles.order import chain
from registry.profiles.protocol import Target
from registry.records import RoleModel

from .small import chat_record, dense_record, registry_of

_TALK = chat_record("talk", aliases=("talks",))
_SEE = dense_record("see")
_REGISTRY = registry_of(_TALK, _SEE)


def _chain(name: str, *fallback: str, provider: str | None = None) -> list[tuple[str, str]]:
    found = chain(RoleModel("general", name, provider, fallback=fallback), _REGISTRY)
    return [(asked, target.name) for asked, target in found]


@pytest.mark.parametrize(
    ("provider", "name", "expected"),
    [
        (None, "talk", "local"),
        (None, "talks", "local"),
        (None, "dolphin3", "ollama"),
        (None, "openai:gpt-oss", "ollama"),
        ("openai", "talk", "openai"),
        ("transformers", "see", "transformers"),
        ("vllm", "any", "vllm"),
    ],
)
def test_chain_asks_the_stated_provider_else_local_for_records_and_ollama_for_the_rest(
    provider: str | None, name: str, expected: str
) -> None:
    assert _chain(name, provider=provider) == [(expected, name)]


@pytest.mark.parametrize(
    ("provider", "fallback", "expected"),
    [
        ("ollama", "talk", ("local", "talk")),
        ("ollama", "qwen3:8b", ("ollama", "qwen3:8b")),
        ("ollama", "openai:gpt-oss", ("openai", "gpt-oss")),
        ("ollama", "openai:gpt-oss:20b", ("openai", "gpt-oss:20b")),
        ("ollama", "local:talk", ("local", "talk")),
        ("ollama", "vllm:x", ("ollama", "vllm:x")),
        ("ollama", "openai:", ("ollama", "openai:")),
        ("openai", "gpt-oss", ("openai", "gpt-oss")),
        ("openai", "talk", ("local", "talk")),
        ("local", "dolphin3", ("ollama", "dolphin3")),
        ("transformers", "see", ("transformers", "see")),
        ("transformers", "talk", ("local", "talk")),
        ("transformers", "org/model", ("transformers", "org/model")),
        ("vllm", "any", ("vllm", "any")),
    ],
)
def test_chain_asks_for_what_a_role_falls_back_on(provider: str, fallback: str, expected: tuple[str, str]) -> None:
    assert _chain("first", fallback, provider=provider) == [(provider, "first"), expected]


def test_chain_has_the_records_of_ids_and_aliases() -> None:
    found = chain(RoleModel("general", "dolphin3", fallback=("talks",)), _REGISTRY)

    assert found == (("ollama", Target("dolphin3")), ("local", Target("talks", _TALK)))


def test_chain_has_each_model_of_a_provider_once() -> None:
    assert _chain("talk", "talks", "dolphin3", "ollama:dolphin3", "openai:talk") == [
        ("local", "talk"),
        ("ollama", "dolphin3"),
        ("openai", "talk"),
    ]


def test_chain_keeps_both_names_of_a_record_for_a_provider_that_knows_it_by_name() -> None:
    assert _chain("talk", "ollama:talks", provider="ollama") == [("ollama", "talk"), ("ollama", "talks")]


def test_chain_takes_a_prefix_for_a_provider_that_is_known_only() -> None:
    role_model = RoleModel("general", "a", fallback=("vllm:b",))

    assert chain(role_model, _REGISTRY, ("vllm",))[1] == ("vllm", Target("b"))
