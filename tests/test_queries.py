"""Several registries joined into one. What one registry answers: test_lookup.py."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from registry import (
    COLBERT_V2,
    MODEL_REGISTRY,
    ModelNotFoundError,
    ModelRegistry,
    NameCollisionError,
    NoDefaultModelError,
    ProfileNotFoundError,
    combine,
)

Record = dict[str, Any]


@pytest.fixture
def own(generate: Callable[..., ModuleType], embedding: Record, chat: Record, put: Callable[..., Record]) -> ModuleType:
    return generate(put(embedding, "sources", {"license": "card"}) | {"aliases": ["newest"]}, chat)


@pytest.fixture
def both(own: ModuleType) -> ModelRegistry[Any]:
    return combine(MODEL_REGISTRY, own.MODEL_REGISTRY)


def test_combined_registry_holds_the_records_of_all_in_order(both: ModelRegistry[Any], own: ModuleType) -> None:
    assert list(both) == [*MODEL_REGISTRY, "new-model", "every-chat-q4_k_m"]
    assert len(both) == len(MODEL_REGISTRY) + 2
    assert both["new-model"] is own.NEW_MODEL
    assert both.get_model("newest") is own.NEW_MODEL
    assert both.lookup_model("colbert-v2") is COLBERT_V2


def test_combined_registry_contains_names_of_all(both: ModelRegistry[Any]) -> None:
    assert "newest" in both
    assert "colbert-small" in both
    assert "nothing" not in both
    assert 7 not in both


def test_combined_registry_queries_all(both: ModelRegistry[Any], own: ModuleType) -> None:
    assert both.models_by_type("colbert") == (*MODEL_REGISTRY.models_by_type("colbert"), own.NEW_MODEL)
    assert both.models_by_max_embedding_dim(128)[-1] is own.NEW_MODEL
    assert both.models_with_matryoshka() == MODEL_REGISTRY.models_with_matryoshka()
    assert both.find_models(organization="Organization", type="chat") == (own.EVERY_CHAT_Q4_K_M,)
    assert both.find_models() == tuple(both.values())


def test_combined_registry_has_the_default_of_the_first_that_has_one(
    own: ModuleType, generate: Callable[..., ModuleType], embedding: Record
) -> None:
    silent = generate(embedding | {"id": "other"})

    assert combine(silent.MODEL_REGISTRY, own.MODEL_REGISTRY).get_default_model() is own.EVERY_CHAT_Q4_K_M


def test_combined_registry_without_chat_records_has_no_default(
    generate: Callable[..., ModuleType], embedding: Record
) -> None:
    first, second = generate(embedding), generate(embedding | {"id": "other"})

    with pytest.raises(NoDefaultModelError) as caught:
        combine(first.MODEL_REGISTRY, second.MODEL_REGISTRY).get_default_model()

    assert caught.value.registry == f"{first.__name__} + {second.__name__}"


def test_combined_registry_gives_the_sources_of_each(both: ModelRegistry[Any], own: ModuleType) -> None:
    assert both.get_sources("newest") == {"license": ("card",)}
    assert both.get_sources(own.NEW_MODEL) == {"license": ("card",)}
    assert both.get_sources(COLBERT_V2) == MODEL_REGISTRY.get_sources(COLBERT_V2)


def test_combined_registry_raises_for_an_unknown_name_and_names_close_ones(
    both: ModelRegistry[Any], own: ModuleType
) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        both.get_model("new-modle")

    assert caught.value.close_matches[0] == "new-model"
    assert caught.value.registry == f"registry._registry + {own.__name__}"


def test_combined_registry_can_be_combined_again(
    both: ModelRegistry[Any], generate: Callable[..., ModuleType], embedding: Record
) -> None:
    more = combine(both, generate(embedding | {"id": "other"}).MODEL_REGISTRY)

    assert len(more) == len(both) + 1
    assert more.get_model("other").id == "other"


def test_combine_of_one_registry_answers_as_it_does() -> None:
    alone = combine(MODEL_REGISTRY)

    assert tuple(alone.values()) == tuple(MODEL_REGISTRY.values())
    assert alone.find_models(type="colbert") == MODEL_REGISTRY.find_models(type="colbert")


@pytest.mark.parametrize("change", [{}, {"id": "other", "aliases": ["new-model"]}, {"id": "newest"}])
def test_combine_of_registries_that_share_a_name_is_refused(
    change: Record, own: ModuleType, generate: Callable[..., ModuleType], embedding: Record
) -> None:
    second = generate(embedding | change)

    with pytest.raises(NameCollisionError) as caught:
        combine(own.MODEL_REGISTRY, second.MODEL_REGISTRY)

    name = "newest" if change == {"id": "newest"} else "new-model"
    assert (caught.value.name, caught.value.first, caught.value.second) == (name, own.__name__, second.__name__)


def test_combine_of_a_registry_with_itself_is_refused() -> None:
    with pytest.raises(NameCollisionError):
        combine(MODEL_REGISTRY, MODEL_REGISTRY)


# Profiles


def _profile(name: str) -> Record:
    return {name: {"models": {"general": "anything"}}}


def test_combined_registry_holds_the_profiles_of_all_by_name(
    generate: Callable[..., ModuleType], embedding: Record
) -> None:
    first = generate(embedding, profiles=_profile("zeta"))
    second = generate(embedding | {"id": "other"}, profiles=_profile("default") | _profile("alpha"))

    both = combine(first.MODEL_REGISTRY, second.MODEL_REGISTRY)

    assert list(both.profiles) == ["alpha", "default", "zeta"]
    assert both.list_profiles() == tuple(both.profiles.values())
    assert both.get_profile("zeta") is first.get_profile("zeta")
    assert both.default_profile is second.DEFAULT_PROFILE


def test_combined_registry_without_profiles_has_no_default_one(own: ModuleType) -> None:
    assert combine(own.MODEL_REGISTRY).default_profile is None


def test_combined_registry_raises_for_an_unknown_profile(both: ModelRegistry[Any], own: ModuleType) -> None:
    with pytest.raises(ProfileNotFoundError) as caught:
        both.get_profile("defualt")

    assert caught.value.args == ("defualt", ("default",), ("default",), f"registry._registry + {own.__name__}", "")


def test_combined_registry_has_the_profile_of_the_first_registry_where_two_share_a_name(
    generate: Callable[..., ModuleType], embedding: Record
) -> None:
    first = generate(embedding, profiles=_profile("default"))
    second = generate(embedding | {"id": "other"}, profiles=_profile("default"))

    both = combine(first.MODEL_REGISTRY, second.MODEL_REGISTRY)

    assert both.default_profile is first.DEFAULT_PROFILE
    assert both.list_profiles() == (first.DEFAULT_PROFILE,)
