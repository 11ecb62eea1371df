import dataclasses
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from registry import (
    COLBERT_V2,
    MODEL_REGISTRY,
    ChatModel,
    DenseModel,
    EmbeddingModel,
    EncoderModel,
    LoraAdapter,
    ModelFile,
    ModelInfo,
    ModelVariant,
    MultiVectorModel,
    Profile,
    RerankerModel,
    RoleModel,
    RuntimeDefaults,
    SamplingDefaults,
    SparseModel,
    get_default_model,
)
from registry.records import __doc__ as module_doc

Record = dict[str, Any]
CLASSES = [ModelFile, ModelVariant, SamplingDefaults, RuntimeDefaults, LoraAdapter, RoleModel, Profile]
EMBEDDING = [DenseModel, MultiVectorModel, SparseModel]
MODELS = [ModelInfo, EncoderModel, EmbeddingModel, *EMBEDDING, RerankerModel, ChatModel]


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
        DenseModel: EmbeddingModel,
        MultiVectorModel: EmbeddingModel,
        SparseModel: EmbeddingModel,
        RerankerModel: EncoderModel,
        ChatModel: ModelInfo,
    }


@pytest.mark.parametrize("cls", EMBEDDING, ids=lambda cls: cls.__name__)
def test_embedding_classes_have_the_fields_of_their_base(cls: type) -> None:
    assert _names(cls) == _names(EmbeddingModel)


@pytest.mark.parametrize("cls", [EmbeddingModel, *EMBEDDING], ids=lambda cls: cls.__name__)
def test_embedding_classes_construct_and_differ_from_each_other(cls: type) -> None:
    values = {name: getattr(COLBERT_V2, name) for name in _names(cls)}

    made = cls(**values)

    assert isinstance(made, EmbeddingModel)
    assert _values(made) == values
    assert repr(made) == f"<{cls.__name__} colbert-v2: colbert-ir/colbertv2.0>"
    assert (made == COLBERT_V2) is (cls is MultiVectorModel)


def test_class_of_an_embedding_record_follows_from_type_and_multi_vector() -> None:
    models = [model for model in MODEL_REGISTRY.values() if isinstance(model, EmbeddingModel)]

    assert [type(model) for model in models] == [
        SparseModel if model.model_type == "sparse" else MultiVectorModel if model.multi_vector else DenseModel
        for model in models
    ]


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
    assert repr(COLBERT_V2) == "<MultiVectorModel colbert-v2: colbert-ir/colbertv2.0>"


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
    "adapters": (
        LoraAdapter(
            id="every-adapter",
            file=ModelFile(
                "every-adapter.gguf", "gguf", "0123456789abcdef" * 4, 6848864, "https://example.org/every-adapter.gguf"
            ),
            base_model="org/every-chat",
            version="1.1",
            description="All there is to say.",
            huggingface_id="org/every-adapter-gguf",
            revision="0123456789abcdef0123456789abcdef01234567",
            license="CC-BY-4.0",
        ),
        LoraAdapter("every-chat", ModelFile("by-alias.gguf", "gguf", "0123456789abcdef" * 4), "every-chat-q4_k_m"),
    ),
}


def _names(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _values(record: object) -> Record:
    return {name: getattr(record, name) for name in _names(type(record))}


def _case(name: str) -> Record:
    return json.loads((Path(__file__).parent / "build" / "cases" / name / "models.json").read_text("utf-8"))


def test_embedding_record_with_every_field_has_every_value(generate: Callable[..., ModuleType]) -> None:
    module = generate(*_case("every_field_embedding")["models"])

    assert _values(module.EVERY_FIELD) == EVERY_EMBEDDING


def test_chat_record_with_every_field_has_every_value(generate: Callable[..., ModuleType]) -> None:
    data = _case("every_field_chat")
    module = generate(*data["models"], adapters=data["adapters"])

    assert _values(module.EVERY_CHAT_Q4_K_M) == EVERY_CHAT
    assert module.SILENT_CHAT.adapters == (
        LoraAdapter("silent-adapter", ModelFile("silent-adapter.gguf", "gguf"), "silent-chat"),
    )


def test_adapter_has_a_licence_of_the_vocabulary_that_no_record_needs(
    generate: Callable[..., ModuleType], chat: Record
) -> None:
    adapter = {"id": "a", "base_model": "every-chat", "file": "a.gguf", "license": "CC0-1.0"}

    module = generate(chat, adapters=[adapter])

    assert module.get_default_model().adapters[0].license is module.License.CC0_1_0
    assert module.models_by_license("CC0-1.0") == ()


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
