"""Facts that must hold for the data that ship."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import registry
from registry import (
    DEFAULT_PROFILE,
    MODEL_REGISTRY,
    Profile,
    Role,
    get_default_model,
    get_model,
    list_profiles,
    models_by_type,
)

Record = dict[str, Any]
DATA = json.loads((Path(__file__).parents[1] / "models.json").read_text("utf-8"))
MODELS: list[Record] = DATA["models"]


def test_data_hold_enough_records_of_each_sort() -> None:
    chat = [record for record in MODELS if record["type"] == "chat"]

    assert len(MODELS) >= 170
    assert len(MODELS) - len(chat) >= 100
    assert len(chat) >= 70


def test_data_have_no_problem_and_no_warning() -> None:
    from registry_build import load

    assert load(Path(__file__).parents[1] / "models.json")[1] == ()


@pytest.mark.parametrize("kind", ["colbert", "dense", "sparse", "reranker", "multimodal-colbert", "chat"])
def test_data_have_records_of_every_type(kind: str) -> None:
    assert models_by_type(kind) != ()


@pytest.mark.parametrize(
    "constant",
    ["COLBERT_V2", "JINA_COLBERT_V2", "ALL_MINILM_L6_V2", "ALL_MPNET_BASE_V2", "QWEN2_5_CODER_7B_Q5_K_M"],
)
def test_data_give_constants_that_read_as_people_say_them(constant: str) -> None:
    assert isinstance(getattr(registry, constant), registry.ModelInfo)


@pytest.mark.parametrize(
    "name",
    [
        "qwen2.5-coder-3b-q4",
        "qwen2.5-coder-7b-q5",
        "qwen2.5-coder-14b-q5",
        "mistral-7b-instruct-v0.3-q4",
        "llama-3.2-3b-instruct-q4_k_m",
        "dolphin3",
        "colbert-small",
        "jina-colbert-v2",
        "colbert-v2",
    ],
)
def test_data_have_every_name_that_users_already_type(name: str) -> None:
    record = get_model(name)

    assert name in (record.id, *record.aliases)


@pytest.mark.parametrize(
    "repository",
    [
        "colbert-ir/colbertv2.0",
        "answerdotai/answerai-colbert-small-v1",
        "jinaai/jina-colbert-v2",
        "lightonai/GTE-ModernColBERT-v1",
        "sentence-transformers/all-MiniLM-L6-v2",
        "sentence-transformers/all-mpnet-base-v2",
        "google/embeddinggemma-300m",
    ],
)
def test_data_have_the_embedders_that_must_be_there(repository: str) -> None:
    assert repository in {record["huggingface_id"] for record in MODELS}


@pytest.mark.parametrize(
    "part",
    [
        "mxbai-edge-colbert",
        "bge-",
        "multilingual-e5",
        "e5-",
        "gte-",
        "nomic-embed",
        "mxbai-embed",
        "arctic-embed",
        "jina-embeddings-v2",
        "jina-embeddings-v3",
        "qwen3-embedding",
        "granite-embedding",
        "splade",
        "opensearch-neural-sparse",
        "qwen3-0.6b",
        "qwen3-30b-a3b",
        "qwen3-coder-30b-a3b",
        "1m",
        "llama-3.2-1b",
        "gemma-3-270m",
        "gemma-3-1b",
        "gemma-3-4b",
        "gemma-3-12b",
        "phi-4-mini",
        "smollm2",
        "smollm3",
        "tinyllama",
        "jan-",
        "openthinker",
        "magistral-small",
        "ernie-4.5-21b",
        "dolphin3",
        "deepseek-r1-distill",
        "gpt-oss-20b",
    ],
)
def test_data_have_the_lines_of_models_that_must_be_there(part: str) -> None:
    assert any(part in record["id"] for record in MODELS)


@pytest.mark.parametrize("size", ["3b", "7b", "14b"])
@pytest.mark.parametrize("quantization", ["q4_k_m", "q5_k_m", "q8_0"])
def test_data_have_qwen_coder_in_every_size_and_format(size: str, quantization: str) -> None:
    assert get_model(f"qwen2.5-coder-{size}-{quantization}").quantization == quantization.upper()


def test_minilm_is_pinned_to_the_attested_bytes() -> None:
    record = get_model("all-minilm-l6-v2")
    weights = next(file for file in record.files if file.role == "safetensors")

    assert record.revision == "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
    assert (weights.name, weights.sha256, weights.size_bytes) == (
        "model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        90_868_376,
    )


@pytest.mark.parametrize(
    ("name", "memory"),
    [
        ("qwen2.5-coder-3b-q4", 4000),
        ("qwen2.5-coder-7b-q5", 10_000),
        ("qwen2.5-coder-14b-q5", 18_000),
        ("qwen2.5-coder-14b-q8_0", 22_145),
    ],
)
def test_coder_models_ask_for_the_memory_that_users_know(name: str, memory: int) -> None:
    record = get_model(name)

    assert (record.ram_required_mb, record.recommended) == (memory, True)


def test_default_record_is_llama() -> None:
    assert get_default_model().id == "llama-3.2-3b-instruct-q4_k_m"


def test_default_profile_has_a_model_for_the_roles_that_users_know() -> None:
    assert {role: model.name for role, model in DEFAULT_PROFILE.models.items()} == {
        Role.CODING: "qwen2.5-coder-7b-q5",
        Role.EMBEDDING: "all-minilm-l6-v2",
        Role.GENERAL: "dolphin3",
        Role.RERANKING: "ms-marco-minilm-l6-v2",
    }


def test_role_that_ollama_serves_falls_back_to_the_default_record() -> None:
    general = DEFAULT_PROFILE.models[Role.GENERAL]

    assert (general.provider, general.fallback[0]) == ("ollama", get_default_model().id)


@pytest.mark.parametrize("profile", list_profiles(), ids=lambda profile: profile.name)
def test_every_role_can_be_served_by_a_record(profile: Profile) -> None:
    served = {
        role: [name for name in (model.name, *model.fallback) if name in MODEL_REGISTRY]
        for role, model in profile.models.items()
    }

    assert [role for role, names in served.items() if not names] == []


def test_jina_colbert_may_be_cut_to_three_sizes() -> None:
    assert get_model("jina-colbert-v2").matryoshka_dims == (64, 96, 128)


def test_colbert_v2_has_the_values_that_the_readme_shows() -> None:
    record = get_model("colbert-v2")

    assert (record.embedding_dim, record.context_length, record.license) == (128, 512, "MIT")


# What a record says of itself, and not of the model: its names, texts and labels, and what follows from its class.
UNSOURCED = {
    "id",
    "type",
    "name",
    "huggingface_id",
    "organization",
    "family",
    "description",
    "tags",
    "aliases",
    "recommended",
    "default",
    "capabilities",
    "superseded_by",
    "deprecated",
    "sources",
}


def _stated(value: Any, path: str = "") -> Iterator[str]:
    """Give the path of every value that is known."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _stated(inner, f"{path}.{key}" if path else key)
    elif value is not None:
        yield path


@pytest.mark.parametrize("record", MODELS, ids=lambda record: record["id"])
def test_every_value_of_a_record_names_its_source(record: Record) -> None:
    sources = tuple(record["sources"])
    values = [path for path in _stated(record) if path.partition(".")[0] not in UNSOURCED]
    if record["capabilities"]["languages"]:
        values.append("capabilities.languages")

    assert [path for path in values if not f"{path}.".startswith(tuple(f"{source}." for source in sources))] == []
