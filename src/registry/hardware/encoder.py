"""How much memory an encoder takes in sentence-transformers: weights by type, and what a batch computes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.hardware.cpu import local_features, usable_cores
from registry.hardware.need import DeviceEstimate, Estimate
from registry.hardware.safetensors_header import read_safetensors, stored_bytes
from registry.records import EncoderModel, SparseModel

if TYPE_CHECKING:
    from registry.hardware.asked import Asked
    from registry.hardware.machine import Machine

_BATCH_TOKENS = {"cpu": 1024, "gpu": 32768}  # as the loaders have it
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0"})
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_NOTES = (
    "torch and sentence-transformers themselves take about 450 MB more, once in a process.",
    "All token embeddings count, though only those of tokens that occur are read.",
)
_BASE_BYTES = 16 * 2**20  # tokenizer, modules and torch's caches, beside the libraries themselves


@dataclass(frozen=True)
class EncoderShape:
    """What is known of an encoder; `None` is not known.

    Attributes:
        weights_bytes: Its weights in the type that they are computed in.
        hidden_dim: Size of the hidden states in components.
        ffn_dim: Size of the feed-forward layer.
        vocab_size: Entries of the vocabulary, where there is a logit for each; else 0.
        stored_bytes: Its weights as they are stored; 0 where the files are not there.
    """

    weights_bytes: int | None
    hidden_dim: int | None
    ffn_dim: int | None
    vocab_size: int | None
    stored_bytes: int

    @property
    def missing(self) -> tuple[str, ...]:
        """What would have to be known, by the record's names."""
        facts = {"parameter_count": self.weights_bytes, "hidden_dim": self.hidden_dim, "vocab_size": self.vocab_size}
        return tuple(name for name, value in facts.items() if value is None)


def encoder_shape(model: EncoderModel, dtype: str, folder: Path | None) -> EncoderShape:
    """Put together what files and record say; files win.

    Args:
        model: The record.
        dtype: Type that is computed in: `float32`, `float16` or `bfloat16`.
        folder: Folder of the model, where it is there.

    Raises:
        ModelLoadError: A header is damaged.
    """
    counts = read_safetensors(model.id, folder) if folder is not None else Counter[str]()
    config = _config(folder)
    hidden = _number(config, "hidden_size", "dim", "d_model") or model.hidden_dim
    return EncoderShape(
        weights_bytes=_loaded(counts, dtype) if counts else _stated(model, dtype),
        hidden_dim=hidden,
        ffn_dim=_number(config, "intermediate_size", "hidden_dim") or model.intermediate_dim or (hidden and 4 * hidden),
        vocab_size=(_number(config, "vocab_size") or model.vocab_size) if isinstance(model, SparseModel) else 0,
        stored_bytes=stored_bytes(counts),
    )


def activation_bytes(shape: EncoderShape, batch_tokens: int, dtype: str) -> int:
    """Give what one batch takes while it is computed.

    For each token six states and three more round the feed-forward layer, and both sides of that, all of it twice: the
    allocator keeps what one layer has freed while the next one computes. Or, where that is more, the logits with two
    copies of them. Scores of attention are computed in tiles. Factors from three encoders of random weights.
    """
    hidden, wide = shape.hidden_dim or 0, shape.ffn_dim or 0
    return _BYTES[dtype] * batch_tokens * max(2 * (9 * hidden + 2 * wide), 3 * (shape.vocab_size or 0))


def _loaded(counts: Counter[str], dtype: str) -> int:
    """Numbers with a point are turned into the type that is computed in; others stay."""
    floats = sum(count for kind, count in counts.items() if kind in _FLOATS)
    others = Counter({kind: count for kind, count in counts.items() if kind not in _FLOATS})
    return floats * _BYTES[dtype] + stored_bytes(others)


def _stated(model: EncoderModel, dtype: str) -> int | None:
    return None if model.parameter_count is None else model.parameter_count * _BYTES[dtype]


def _config(folder: Path | None) -> dict[str, Any]:
    """Read config.json; nothing where it cannot be read, which loading will say better."""
    if folder is None:
        return {}
    for path in (folder / "config.json", folder / "0_Transformer" / "config.json"):
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        return found if isinstance(found, dict) else {}
    return {}


def _number(config: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = config.get(name)
        if type(value) is int and 0 < value < 2**31:
            return value
    return None


def estimate_encoder(model: EncoderModel, asked: Asked, folder: Path | None, machine: Machine | None) -> Estimate:
    """Estimate an encoder that is run by sentence-transformers.

    Raises:
        ModelLoadError: A header is damaged.
    """
    dtype = _dtype(asked.dtype, machine)
    shape = encoder_shape(model, dtype, folder)
    length = asked.context_length or model.context_length
    missing = shape.missing if length is not None else (*shape.missing, "context_length")
    if missing or length is None or shape.weights_bytes is None:
        return _unknown(model, length, missing)
    device = _device(machine)
    tokens = max(length, asked.batch_size or _BATCH_TOKENS[device.partition(":")[0]])
    workers = usable_cores() if machine is None else machine.cpu.usable_cores
    batches = max(1, workers if device == "cpu" else 1)
    found = DeviceEstimate.of(
        device,
        weights=shape.weights_bytes,
        compute=batches * activation_bytes(shape, tokens, dtype),
        overhead=_BASE_BYTES,
    )
    # Turned into another type, or copied to a GPU, weights are for a while there twice: the file stays mapped.
    copied = shape.stored_bytes and (device != "cpu" or shape.stored_bytes != shape.weights_bytes)
    loading = shape.stored_bytes + (found.weights_bytes + _BASE_BYTES if device == "cpu" else 0) if copied else 0
    resident = max(found.total_bytes if device == "cpu" else 0, loading)
    return Estimate(
        model_id=model.id,
        devices=(found,),
        total_bytes=found.total_bytes,
        resident_bytes=resident,
        reserved_bytes=0,
        droppable_bytes=max(0, resident - found.total_bytes) if device == "cpu" else resident,
        method=f"weights as {dtype} and the states of {batches} x {tokens} tokens",
        confidence="header" if shape.stored_bytes else "record",
        context_length=length,
        fill=tokens,
        notes=_NOTES,
    )


def _unknown(model: EncoderModel, length: int | None, missing: tuple[str, ...]) -> Estimate:
    return Estimate(model.id, (), None, None, None, "none: too little is known", "unknown", length, missing=missing)


def _device(machine: Machine | None) -> str:
    """Give the device that loaders take: a GPU if there is one."""
    gpus = machine.gpus if machine is not None else ()
    return f"gpu:{gpus[0].index}" if gpus else "cpu"


def _dtype(stated: str, machine: Machine | None) -> str:
    """Give the type that loaders compute in: with `auto` half precision where the processor computes in it."""
    if stated != "auto":
        return stated
    if machine is not None and machine.gpus:
        return "bfloat16"
    features = machine.cpu.features if machine is not None else local_features()
    return "bfloat16" if {"AVX512-BF16", "AMX-BF16", "BF16"} & set(features) else "float32"
