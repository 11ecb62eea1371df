"""What lies in a model's folder, read from its configuration and the headers of its weights; nothing is loaded."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from registry.errors import ModelLoadError

Kind: TypeAlias = Literal[
    "dense", "late interaction", "sparse", "reranker", "bare", "bare masked language model", "gguf"
]

# The header of a safetensors file is JSON; a longer one than this is not read. The format's own limit is 100 MB.
_LONGEST_HEADER = 100_000_000
_KNOWN_MODULES = ("sentence_transformers.", "pylate.models.")
_UNSAFE = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")


@dataclass(frozen=True)
class Layout:
    """What a folder, or a GGUF file, holds.

    Attributes:
        kind: What the files make: `bare` is a backbone with no statement of how its states become embeddings.
        form: The format in words, for messages: `PyLate`, `Stanford ColBERT`, `sentence-transformers`.
        weights: Weight files in a safe format, in the folder and the folders of its modules.
        unsafe: Weight files in a format that can run code.
        remote_code: A module that is no part of sentence-transformers, so that its code would have to be run.
    """

    kind: Kind
    form: str
    weights: tuple[Path, ...]
    unsafe: tuple[Path, ...]
    remote_code: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} ({self.form})"


def inspect(path: Path, model_id: str) -> Layout:
    """Read what lies at a path.

    Args:
        path: A GGUF file, or a folder as the model's repository has it.
        model_id: The model, for messages.

    Raises:
        ModelLoadError: It is neither, or its configuration cannot be read.
    """
    if path.is_file():
        if _start(path) != b"GGUF":
            raise ModelLoadError(model_id, str(path), "format", "a GGUF file or a folder", "a file without GGUF's mark")
        return Layout("gguf", "GGUF", (path,), ())
    files = sorted(file for pattern in ("*", "*/*") for file in path.glob(pattern) if file.is_file())
    weights = tuple(file for file in files if file.suffix == ".safetensors")
    unsafe = tuple(file for file in files if file.suffix in _UNSAFE and file.name != "training_args.bin")
    settings = _Settings.read(path, model_id)
    kind, form = _kind(settings, weights, path, model_id)
    foreign = (module for module in settings.modules if not module.startswith(_KNOWN_MODULES))
    return Layout(kind, form, weights, unsafe, next(foreign, None))


@dataclass(frozen=True)
class _Settings:
    config: dict[str, Any]
    sentence_transformers: dict[str, Any]
    modules: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path, model_id: str) -> _Settings:
        modules = _json(folder / "modules.json", model_id, list)
        if not all(isinstance(module, dict) and isinstance(module.get("type"), str) for module in modules):
            raise ModelLoadError(model_id, str(folder / "modules.json"), "modules", "objects with a `type`", modules)
        return cls(
            _json(folder / "config.json", model_id, dict),
            _json(folder / "config_sentence_transformers.json", model_id, dict),
            tuple(module["type"] for module in modules),
        )

    def has(self, *names: str) -> bool:
        return any(module.rpartition(".")[2] in names for module in self.modules)


def _kind(settings: _Settings, weights: tuple[Path, ...], folder: Path, model_id: str) -> tuple[Kind, str]:
    stated = settings.sentence_transformers.get("model_type")
    architectures = settings.config.get("architectures") or [""]
    name = str(architectures[0])
    if "HF_ColBERT" in architectures:
        if not any("linear.weight" in tensor_names(file, model_id) for file in weights):
            raise ModelLoadError(model_id, str(folder), "projection", "a tensor `linear.weight`", "none in the weights")
        return "late interaction", "Stanford ColBERT"
    if stated == "ColBERT" or any(module.startswith("pylate.") for module in settings.modules):
        return "late interaction", "PyLate"
    if stated == "MultiVectorEncoder" or settings.has("MultiVectorMask"):
        return "late interaction", "sentence-transformers"
    if stated == "SparseEncoder" or settings.has("SpladePooling", "SparseAutoEncoder", "SparseStaticEmbedding"):
        return "sparse", "sentence-transformers"
    if stated == "CrossEncoder" or settings.has("LogitScore") or name.endswith("ForSequenceClassification"):
        return "reranker", "sentence-transformers" if settings.modules else name
    if settings.modules:
        return "dense", "sentence-transformers"
    if name.endswith("ForMaskedLM"):
        return "bare masked language model", name
    if not settings.config:
        raise ModelLoadError(model_id, str(folder), "layout", "config.json or modules.json", "neither")
    return "bare", name or "no architecture stated"


def tensor_names(file: Path, model_id: str) -> frozenset[str]:
    """Give the names of the tensors of a safetensors file; reads its header only.

    Raises:
        ModelLoadError: The file is cut off or is no safetensors file.
    """
    with file.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        header = opened.read(length) if 0 < length <= _LONGEST_HEADER else b""
    try:
        return frozenset(json.loads(header)) - {"__metadata__"}
    except (ValueError, RecursionError):
        raise ModelLoadError(
            model_id, str(file), "format", "a safetensors header", "other bytes", "The file is cut off or damaged."
        ) from None


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _json(path: Path, model_id: str, kind: type) -> Any:
    """Read a JSON file; an empty value of the kind where there is none."""
    if not path.is_file():
        return kind()
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(model_id, str(path), "format", "JSON", str(error)) from error
    if not isinstance(value, kind):
        raise ModelLoadError(model_id, str(path), "format", f"a JSON {kind.__name__}", type(value).__name__)
    return value
