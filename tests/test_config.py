import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from registry import COLBERT_V2, ModelConfig, ModelNotFoundError, UnsupportedDimensionError, get_default_model


def test_config_holds_three_facts_and_is_frozen() -> None:
    config = ModelConfig("org/model", 128, 512)

    assert dataclasses.astuple(config) == ("org/model", 128, 512)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.embedding_dim = 64


def test_config_context_length_may_be_unknown() -> None:
    assert ModelConfig("org/model", 128).context_length is None


@pytest.mark.parametrize(
    ("make", "config"),
    [
        (ModelConfig.colbert_v2, ModelConfig("colbert-ir/colbertv2.0", 128, 512)),
        (ModelConfig.colbert_small, ModelConfig("answerdotai/answerai-colbert-small-v1", 96, 512)),
        (ModelConfig.jina_colbert_v2, ModelConfig("jinaai/jina-colbert-v2", 128, 8192)),
        (lambda: ModelConfig.jina_colbert_v2(64), ModelConfig("jinaai/jina-colbert-v2", 64, 8192)),
        (lambda: ModelConfig.from_registry("jina-colbert-v2"), ModelConfig("jinaai/jina-colbert-v2", 128, 8192)),
    ],
)
def test_config_by_name_has_the_facts_of_the_record(make: Callable[[], ModelConfig], config: ModelConfig) -> None:
    assert make() == config


def test_config_of_minilm_has_384_components() -> None:
    config = ModelConfig.all_minilm_l6_v2()

    assert (config.huggingface_id, config.embedding_dim) == ("sentence-transformers/all-MiniLM-L6-v2", 384)


def test_config_of_a_record_is_that_of_its_id() -> None:
    assert ModelConfig.from_registry(COLBERT_V2) == ModelConfig.colbert_v2()


@pytest.mark.parametrize("size", [128, 96, 64])
def test_config_with_a_matryoshka_size_takes_it(size: int) -> None:
    assert ModelConfig.from_registry("jina-colbert-v2", embedding_dim=size).embedding_dim == size


@pytest.mark.parametrize("size", [0, 1, 100, 129, -64])
def test_config_with_another_size_is_refused(size: int) -> None:
    with pytest.raises(UnsupportedDimensionError) as caught:
        ModelConfig.from_registry("jina-colbert-v2", embedding_dim=size)

    assert vars(caught.value) == {"model_id": "jina-colbert-v2", "embedding_dim": size, "supported": (128, 96, 64)}


def test_config_of_a_model_without_matryoshka_takes_its_full_size_only() -> None:
    assert ModelConfig.from_registry("colbert-v2", embedding_dim=128) == ModelConfig.colbert_v2()
    with pytest.raises(UnsupportedDimensionError):
        ModelConfig.from_registry("colbert-v2", embedding_dim=64)


def test_config_of_a_chat_model_is_refused() -> None:
    with pytest.raises(UnsupportedDimensionError) as caught:
        ModelConfig.from_registry(get_default_model())

    assert caught.value.supported == ()


def test_config_of_an_unknown_name_names_close_ones() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        ModelConfig.from_registry("jina-colbert-v3")

    assert caught.value.close_matches[0] == "jina-colbert-v2"


def test_config_of_a_record_of_another_registry_works(
    generate: Callable[..., ModuleType], embedding: dict[str, Any]
) -> None:
    record = generate(embedding).get_model("new-model")

    assert ModelConfig.from_registry(record) == ModelConfig("org/new-model", 128, 512)


def test_config_of_a_reranker_without_embeddings_is_refused(
    generate: Callable[..., ModuleType], reranker: dict[str, Any]
) -> None:
    with pytest.raises(UnsupportedDimensionError):
        ModelConfig.from_registry(generate(reranker).get_model("plain-reranker"))
