import dataclasses
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from registry import (
    COLBERT_V2,
    ChatModel,
    EmbeddingModel,
    EncoderModel,
    ModelFile,
    ModelInfo,
    ModelVariant,
    RerankerModel,
    RuntimeDefaults,
    SamplingDefaults,
    get_default_model,
)
from registry.records import __doc__ as module_doc

Record = dict[str, Any]
CLASSES = [ModelFile, ModelVariant, SamplingDefaults, RuntimeDefaults]
MODELS = [ModelInfo, EncoderModel, EmbeddingModel, RerankerModel, ChatModel]


@pytest.mark.parametrize("cls", [*CLASSES, *MODELS], ids=lambda cls: cls.__name__)
def test_class_documents_exactly_its_own_fields(cls: type) -> None:
    inherited = {
        field.name for base in cls.__mro__[1:] if dataclasses.is_dataclass(base) for field in dataclasses.fields(base)
    }
    own = [field.name for field in dataclasses.fields(cls) if field.name not in inherited]
    lines = inspect.cleandoc(cls.__doc__).partition("Attributes:\n")[2].splitlines()

    documented = [line.strip().partition(":")[0] for line in lines if line.startswith("    ") and line[4] != " "]

    assert documented == own


def test_models_form_one_family() -> None:
    parents = {cls: cls.__mro__[1] for cls in MODELS}

    assert parents == {
        ModelInfo: object,
        EncoderModel: ModelInfo,
        EmbeddingModel: EncoderModel,
        RerankerModel: EncoderModel,
        ChatModel: ModelInfo,
    }


def test_sampling_and_runtime_defaults_are_the_documented_ones() -> None:
    assert dataclasses.asdict(SamplingDefaults()) == {
        "temperature": 0.7,
        "max_tokens": 2000,
        "top_p": 0.9,
        "top_k": 40,
        "repeat_penalty": 1.1,
    }
    assert dataclasses.asdict(RuntimeDefaults()) == {
        "context_length": 4096,
        "gpu_layers": -1,
        "threads": None,
        "batch_size": 512,
    }


@pytest.mark.parametrize(("dims", "matryoshka"), [((), False), ((64, 128), True)])
def test_matryoshka_is_true_exactly_with_sizes(dims: tuple[int, ...], matryoshka: bool) -> None:
    assert dataclasses.replace(COLBERT_V2, matryoshka_dims=dims).matryoshka is matryoshka


def test_repr_of_a_model_is_short() -> None:
    assert repr(COLBERT_V2) == "<EmbeddingModel colbert-v2: colbert-ir/colbertv2.0>"


def test_repr_of_a_value_object_is_what_makes_it() -> None:
    file = ModelFile("a.gguf", "gguf", size_bytes=1)

    assert repr(file) == "ModelFile(name='a.gguf', role='gguf', sha256=None, size_bytes=1, url=None)"
    assert eval(repr(file)) == file


EVERY_EMBEDDING = {
    "id": "every-field",
    "model_type": "multimodal-colbert",
    "name": "Every Field",
    "huggingface_id": "org/every-field",
    "organization": "Organization",
    "description": "All there is to say.",
    "release_date": "2024-05-31",
    "license": "Apache-2.0 OR MIT",
    "license_url": "https://example.org/license",
    "parameters": "110.5M",
    "parameter_count": 110500001,
    "context_length": 8192,
    "hidden_dim": 768,
    "vocab_size": 30522,
    "layers": 12,
    "heads": 12,
    "architecture_type": "bert",
    "architecture_variant": "bert-base",
    "languages": ("en", "zh-Hans"),
    "modalities": ("text", "image"),
    "capabilities": ("retrieval", "reranking"),
    "revision": "0123456789abcdef0123456789abcdef01234567",
    "family": "Fields",
    "tags": ("late-interaction", "multilingual"),
    "aliases": ("every", "every.field"),
    "recommended": True,
    "deprecated": True,
    "superseded_by": "plain",
    "version": "v1.5",
    "changelog": "Longer input.",
    "requires_remote_code": False,
    "max_position_embeddings": 8194,
    "intermediate_dim": 3072,
    "has_projection": True,
    "projection_dims": 128,
    "files": (
        ModelFile("config.json", "config"),
        ModelFile("tokenizer.json", "tokenizer", "0123456789abcdef" * 4, 711396),
        ModelFile("model-00001-of-00002.safetensors", "safetensors", "0123456789abcdef" * 4, 1),
        ModelFile("model-00002-of-00002.safetensors", "safetensors"),
        ModelFile("model.gguf", "gguf"),
        ModelFile("onnx/model.onnx", "onnx"),
        ModelFile("pytorch_model.bin", "pytorch"),
    ),
    "quantizations": ("fp32", "fp16"),
    "variants": (
        ModelVariant("int8", "int8", ModelFile("onnx/model_int8.onnx", "onnx", "0123456789abcdef" * 4, 2)),
        ModelVariant("f16", "fp16", ModelFile("model-f16.gguf", "gguf")),
    ),
    "query_prompt": "query: ",
    "document_prompt": "",
    "beir_avg": 0.5,
    "beir_datasets": 13,
    "ms_marco_mrr10": 0.397,
    "tokenizer_model": "org/tokenizer",
    "requires_projection": True,
    "batch_size_optimal": 32,
    "memory_mb_per_batch": 512.5,
    "gpu_recommended": False,
    "embedding_dim": 128,
    "multi_vector": True,
    "matryoshka_dims": (32, 64, 128),
    "similarity": "maxsim",
    "pooling": "mean",
    "normalize": True,
    "query_length": 32,
    "document_length": 300,
}
EVERY_CHAT = {
    "id": "every-chat-q4_k_m",
    "model_type": "chat",
    "name": "Every Chat",
    "huggingface_id": "org/every-chat-gguf",
    "organization": "Organization",
    "description": "All there is to say.",
    "release_date": "2025-02",
    "license": "LicenseRef-Vendor",
    "license_url": "https://example.org/license",
    "parameters": "3.2B",
    "parameter_count": 3212749888,
    "context_length": 131072,
    "hidden_dim": 3072,
    "vocab_size": 128256,
    "layers": 28,
    "heads": 24,
    "architecture_type": "llama",
    "architecture_variant": "llama-3",
    "languages": ("en", "pt-BR"),
    "modalities": ("text",),
    "capabilities": ("chat", "code"),
    "revision": "0123456789abcdef0123456789abcdef01234567",
    "family": "Fields",
    "tags": ("small",),
    "aliases": ("every-chat", "every.chat"),
    "recommended": True,
    "deprecated": False,
    "superseded_by": None,
    "version": "2",
    "changelog": "https://example.org/changes",
    "requires_remote_code": False,
    "file": ModelFile(
        "every-chat.Q4_K_M.gguf", "gguf", "0123456789abcdef" * 4, 2019377696, "https://example.org/every-chat.gguf"
    ),
    "quantization": "Q4_K_M",
    "base_model": "org/every-chat",
    "kv_heads": 8,
    "head_dim": 128,
    "sliding_window": 4096,
    "ram_required_mb": 4000,
    "template": "llama3",
    "stop_sequences": ("<|eot_id|>", "\n\n"),
    "default": True,
    "defaults": SamplingDefaults(0.0, 1, 1, 0, 1.0),
    "runtime": RuntimeDefaults(8192, 0, 4, 256),
}


def _values(record: object) -> Record:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def test_embedding_record_with_every_field_has_every_value(generate: Callable[..., ModuleType]) -> None:
    import json
    from pathlib import Path

    case = Path(__file__).parent / "build" / "cases" / "every_field_embedding" / "models.json"
    module = generate(*json.loads(case.read_text("utf-8"))["models"])

    assert _values(module.EVERY_FIELD) == EVERY_EMBEDDING


def test_chat_record_with_every_field_has_every_value(generate: Callable[..., ModuleType], chat: Record) -> None:
    assert _values(generate(chat).EVERY_CHAT_Q4_K_M) == EVERY_CHAT


def test_record_of_silent_data_has_the_defaults_of_its_class(
    generate: Callable[..., ModuleType], chat: Record, put: Callable[..., Record]
) -> None:
    silent = put(chat, "runtime", {"threads": 2})
    for path in (
        "sources",
        "defaults",
        "tags",
        "ram_required_mb",
        "template",
        "stop_sequences",
        "recommended",
        "aliases",
        "revision",
    ):
        silent = put(silent, path, ...)

    record = generate(silent).EVERY_CHAT_Q4_K_M

    assert record.defaults == SamplingDefaults()
    assert record.runtime == RuntimeDefaults(threads=2)
    assert (record.ram_required_mb, record.template, record.stop_sequences) == (None, None, ())
    assert (record.recommended, record.aliases, record.revision, record.tags) == (False, (), None, ())


def test_record_of_an_empty_sampling_default_keeps_the_others(
    generate: Callable[..., ModuleType], chat: Record, put: Callable[..., Record]
) -> None:
    record = generate(put(chat, "defaults", {"top_k": 0, "temperature": 0})).get_model("every-chat")

    assert record.defaults == SamplingDefaults(temperature=0, top_k=0)


def test_default_record_is_a_chat_model() -> None:
    assert isinstance(get_default_model(), ChatModel)
    assert get_default_model().default is True


def test_module_says_what_none_means() -> None:
    assert "`None`" in module_doc
