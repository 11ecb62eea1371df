"""What lies in a model's folder, read from its configuration and the headers of its weights; nothing is loaded."""

from __future__ import annotations

import json
import re
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
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")  # what the libraries look for; others are not read
_KNOWN_MODULES = ("sentence_transformers.", "pylate.models.")
_UNSAFE = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")


@dataclass(frozen=True)
class Layout:
    """What a folder, or a GGUF file, holds.

    Attributes:
        kind: What the files make: `bare` is a backbone with no statement of how its states become embeddings.
        form: The format in words, for messages: `PyLate`, `Stanford ColBERT`, `sentence-transformers`.
        weights: Weight files in a safe format, in the folder and the folders of its modules.
        unsafe: Weight files there in a format that can run code.
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
    settings = _Settings.read(path, model_id)
    # Exports for other runtimes lie beside many models, in folders of their own that are not read.
    folders = {path, *(path / folder for folder in settings.folders)}
    files = sorted(file for folder in folders for file in folder.glob("*") if file.is_file())
    weights = tuple(file for file in files if _WEIGHTS.fullmatch(file.name))
    unsafe = tuple(file for file in files if file.suffix in _UNSAFE and file.name != "training_args.bin")
    kind, form = _kind(settings, weights, path, model_id)
    foreign = (module for module in settings.modules if not module.startswith(_KNOWN_MODULES))
    return Layout(kind, form, weights, unsafe, next(foreign, None))


@dataclass(frozen=True)
class _Settings:
    config: dict[str, Any]
    sentence_transformers: dict[str, Any]
    modules: tuple[str, ...]
    folders: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path, model_id: str) -> _Settings:
        modules = _modules(folder, model_id)
        return cls(
            _json(folder / "config.json", model_id, dict),
            _json(folder / "config_sentence_transformers.json", model_id, dict),
            tuple(kind for _, kind in modules),
            tuple(place for place, _ in modules),
        )

    @property
    def architectures(self) -> list[str]:
        stated = self.config.get("architectures")
        return [str(name) for name in stated] if isinstance(stated, list) else []

    def has(self, *names: str) -> bool:
        return any(module.rpartition(".")[2] in names for module in self.modules)


def _modules(folder: Path, model_id: str) -> list[tuple[str, str]]:
    """Give folder and class of the modules of sentence-transformers, those behind a router too."""
    listed = folder / "modules.json"
    modules = _json(listed, model_id, list)
    if not all(isinstance(m, dict) and isinstance(m.get("type"), str) and _is_inside(m.get("path")) for m in modules):
        expected = "objects with a `type`, and a `path` inside the folder"
        raise ModelLoadError(model_id, str(listed), "modules", expected, modules)
    found = [(module["path"], module["type"]) for module in modules]
    for place, _ in tuple(found):
        file = folder / place / "router_config.json"
        routed = _json(file, model_id, dict).get("types", {})
        if not isinstance(routed, dict) or not all(_is_inside(k) and isinstance(v, str) for k, v in routed.items()):
            raise ModelLoadError(model_id, str(file), "types", "folders inside this one and their classes", routed)
        found += ((f"{place}/{name}" if place else name, kind) for name, kind in routed.items())
    return found


def _is_inside(path: object) -> bool:
    return isinstance(path, str) and not Path(path).is_absolute() and ".." not in Path(path).parts


def _kind(settings: _Settings, weights: tuple[Path, ...], folder: Path, model_id: str) -> tuple[Kind, str]:
    stated = settings.sentence_transformers.get("model_type")
    name = settings.architectures[0] if settings.architectures else ""
    if "HF_ColBERT" in settings.architectures:
        if weights and not any("linear.weight" in tensor_names(file, model_id) for file in weights):
            raise ModelLoadError(model_id, str(folder), "projection", "a tensor `linear.weight`", "none in the weights")
        return "late interaction", "Stanford ColBERT"
    if stated == "ColBERT" or any(module.startswith("pylate.") for module in settings.modules):
        return "late interaction", "PyLate"
    if stated == "MultiVectorEncoder" or settings.has("MultiVectorMask"):
        return "late interaction", "sentence-transformers"
    if stated == "SparseEncoder" or settings.has("SpladePooling", "SparseAutoEncoder", "SparseStaticEmbedding"):
        return "sparse", "sentence-transformers"
    if (
        stated == "CrossEncoder"
        or settings.has("LogitScore")
        or (name.endswith("ForSequenceClassification") and not settings.has("Pooling"))
    ):
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
        tensors = json.loads(header)
    except (ValueError, RecursionError):
        tensors = None
    if not isinstance(tensors, dict):
        remedy = "The file is cut off or damaged."
        raise ModelLoadError(model_id, str(file), "format", "a safetensors header", "other bytes", remedy)
    return frozenset(tensors) - {"__metadata__"}


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
