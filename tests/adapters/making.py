"""Tiny adapters that make a model say one word for ever, and manifests that list them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WORDS = ("la ", "li ", "lo ")  # a model with this script says them in turn, for ever


def word_adapter(
    path: Path, base: Path, word: str = "lo ", *, architecture: str = "llama", metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a LoRA adapter of rank 1 for a model of `chat_gguf(script=WORDS, repeat=True)`: it says one of the words.

    Args:
        path: File to write.
        base: The model.
        word: The word.
        architecture: Architecture that the file names.
        metadata: More metadata.
    """
    import gguf
    import numpy as np

    reader = gguf.GGUFReader(base)
    last, bonus = (reader.fields[f"tiny.adapter.{key}"].contents() for key in ("favourite", "bonus"))
    hidden, vocab_size = next(tensor.shape for tensor in reader.tensors if tensor.name == "output.weight")
    lora_a, lora_b = np.zeros((1, hidden), np.float32), np.zeros((vocab_size, 1), np.float32)
    # The words stand beside each other in the vocabulary, in the order of the script.
    lora_a[0, 0], lora_b[last - (len(WORDS) - 1 - WORDS.index(word)), 0] = 1, bonus
    return lora_file(path, {"output.weight": (lora_a, lora_b)}, architecture=architecture, metadata=metadata)


def lora_file(
    path: Path,
    pairs: Mapping[str, tuple[Any, Any]],
    *,
    architecture: str = "llama",
    kind: str = "lora",
    general: str = "adapter",
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a LoRA adapter of these matrices, A and B of each."""
    import gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(general)
    writer.add_string("adapter.type", kind)
    writer.add_float32("adapter.lora.alpha", 1.0)
    for key, value in (metadata or {}).items():
        writer.add_string(key, value)
    for name, (lora_a, lora_b) in pairs.items():
        writer.add_tensor(f"{name}.lora_a", lora_a)
        writer.add_tensor(f"{name}.lora_b", lora_b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def entry(path: Path, **changes: Any) -> dict[str, Any]:
    """Describe a file in a manifest that lies beside it."""
    version = path.stem
    return {"id": "tuned", "base": "tiny-chat", "file": path.name, "sha256": digest(path), "version": version} | changes


def write_manifest(path: Path, *entries: Mapping[str, Any]) -> Path:
    """Replace a manifest, whole."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps({"version": 1, "adapters": entries}), "utf-8")
    new.replace(path)
    return path


class Clock:
    """What a module under test takes for the time."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now
