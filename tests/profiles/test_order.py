"""In which order models are tried for a role, and who is asked for each."""

import pytest

from registry.errors import InvalidOptionError
from registry.profiles.order import chain, identity, pinned
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


_COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_pinned_model_has_what_its_parameters_say_of_which_files_are_meant() -> None:
    parameters = {"revision": _COMMIT, "allow_unpinned": True, "seed": 7}

    assert pinned("transformers", Target("org/a"), parameters) == Target("org/a", None, _COMMIT, True)
    assert pinned("vllm", Target("org/a"), {"revision": "main"}) == Target("org/a", None, "main")


@pytest.mark.parametrize("provider", ["local", "ollama", "openai"])
def test_pinned_model_of_who_has_no_commits_stays_as_it_is(provider: str) -> None:
    assert pinned(provider, Target("talk", _TALK), {"revision": _COMMIT}) == Target("talk", _TALK)


def test_pinned_model_stays_pinned_where_its_parameters_say_nothing() -> None:
    target = Target("org/a", None, _COMMIT, True)

    assert pinned("transformers", target, {}) == target


def test_pinned_refuses_a_commit_that_is_no_text() -> None:
    with pytest.raises(InvalidOptionError) as refused:
        pinned("transformers", Target("org/a"), {"revision": 7})

    assert str(refused.value) == "`revision`: expected a commit, 40 hexadecimal digits, got 7."


def test_two_commits_of_a_repository_are_two_models() -> None:
    made = [Target("org/a", None, revision) for revision in (None, "a" * 40, "b" * 40)]
    made.append(Target("org/a", allow_unpinned=True))

    assert len({identity("transformers", target) for target in made}) == 4
