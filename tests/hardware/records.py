"""Records made by hand, a registry of them, and an estimate that can be worked out in the head."""

from collections.abc import Iterator
from typing import Any

from registry.hardware import DeviceEstimate, Estimate
from registry.queries import ModelRegistry
from registry.records import ChatModel, DenseModel, ModelFile, ModelInfo

GB = 10**9
MB = 10**6
TOKEN = 10**5  # bytes of KV cache that a token takes in `estimate`


class Records(ModelRegistry[ModelInfo]):
    """A registry that is not generated."""

    _name = "records"

    def __init__(self, *models: ModelInfo) -> None:
        self._models = {model.id: model for model in models}

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def find_model(self, text: str) -> ModelInfo | None:
        return self._models.get(text)

    def _names(self) -> list[tuple[str, str]]:
        return [(name, name) for name in self._models]


_COMMON: dict[str, Any] = {"organization": "acme", "description": "A model."}


def chat(model_id: str, size: int | None = 1 * GB, **changes: Any) -> ChatModel:
    """A chat record whose file has this size; its estimate is the file and `TOKEN` bytes a token."""
    facts: dict[str, Any] = {"parameter_count": 1 * GB, "context_length": 8192, "layers": 9, "capabilities": ("chat",)}
    return ChatModel(
        id=model_id,
        model_type="chat",
        name=model_id,
        huggingface_id=f"acme/{model_id}",
        file=ModelFile(f"{model_id}.gguf", "gguf", size_bytes=size),
        quantization=changes.pop("quantization", "Q4_K_M"),
        **_COMMON | facts | changes,
    )


def dense(model_id: str, **changes: Any) -> DenseModel:
    """An encoder; its estimate is 4 bytes a parameter."""
    facts: dict[str, Any] = {"parameter_count": 100 * MB, "context_length": 512, "capabilities": ("embedding",)}
    return DenseModel(
        id=model_id,
        model_type="dense",
        name=model_id,
        huggingface_id=f"acme/{model_id}",
        embedding_dim=8,
        multi_vector=False,
        **_COMMON | facts | changes,
    )


def estimate(
    model: ModelInfo, *, context_length: int | None = None, gpu_layers: int | None = None, machine: object = None
) -> Estimate:
    """Stand in for the estimate: weights and cache, spread over main memory and the first GPU by layers."""
    if isinstance(model, ChatModel):
        weights, layers, usual = model.file.size_bytes, model.layers, min(4096, model.context_length or 4096)
    else:
        weights, layers, usual = (model.parameter_count or 0) * 4 or None, None, model.context_length
    tokens = usual if context_length is None else context_length
    if weights is None:
        return Estimate(model.id, (), None, None, None, "by hand", "unknown", tokens, missing=("size_bytes",))
    cache = tokens * TOKEN if layers and tokens else 0
    slots = (layers or 0) + 1  # the output layer counts as one more
    away = (slots if gpu_layers == -1 else min(gpu_layers or 0, slots)) / slots
    parts = [("cpu", 1 - away), ("gpu:0", away)]
    devices = tuple(
        DeviceEstimate.of(name, round(weights * part), round(cache * part))
        for name, part in parts
        if part or name == "cpu"
    )
    total = sum(device.total_bytes for device in devices)
    return Estimate(model.id, devices, total, total, 0, "by hand", "record", tokens)
