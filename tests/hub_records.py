"""Records for the tests of `registry.hub`."""

from __future__ import annotations

from typing import Any

from registry.records import ChatModel, DenseModel, LoraAdapter, ModelFile

REPOSITORY = "org/model"
_COMMON = {"name": "", "organization": "", "description": "", "huggingface_id": REPOSITORY}


def chat_record(sha256: str | None = None, size_bytes: int | None = None, **changes: Any) -> ChatModel:
    """A chat model in one GGUF file."""
    file = ModelFile("chat-q4.gguf", "gguf", sha256, size_bytes)
    given = {"id": "a-chat", "model_type": "chat", "quantization": "Q4_K_M", "file": file, **_COMMON}
    return ChatModel(**(given | changes))


def dense_record(*files: ModelFile, **changes: Any) -> DenseModel:
    """A dense embedding model."""
    given = {"id": "a-dense", "model_type": "dense", "embedding_dim": 8, "multi_vector": False, "files": files}
    return DenseModel(**(given | _COMMON | changes))


def adapter_record(**changes: Any) -> LoraAdapter:
    """A LoRA adapter in one GGUF file."""
    given = {"id": "an-adapter", "file": ModelFile("adapter.gguf", "gguf"), "base_model": "org/base"}
    return LoraAdapter(**(given | changes))
