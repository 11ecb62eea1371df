"""GGUF files of a few kilobytes, written number by number: sound ones, and ones that lie."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_FORMS = {int: (4, "<I"), float: (6, "<f"), bool: (7, "<?")}
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144)}


def text(value: str) -> bytes:
    """A string as the format has it."""
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value(item: Any) -> bytes:
    """A value with its type before it."""
    if isinstance(item, str):
        return struct.pack("<I", 8) + text(item)
    if isinstance(item, list):
        kind = struct.unpack("<I", value(item[0])[:4])[0] if item else 4
        return struct.pack("<IIQ", 9, kind, len(item)) + b"".join(value(each)[4:] for each in item)
    kind, form = _FORMS[type(item)]
    return struct.pack("<I", kind) + struct.pack(form, item)


def tensor(name: str, shape: Sequence[int], kind: int, offset: int) -> bytes:
    """An entry of the list of tensors; shapes have the fastest size first."""
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def header(values: Mapping[str, Any], tensors: Sequence[bytes] = (), *, version: int = 3, counts: Any = None) -> bytes:
    """A header; `counts` lies about how many tensors and values there are."""
    said = counts or (len(tensors), len(values))
    pairs = b"".join(text(key) + value(item) for key, item in values.items())
    return b"GGUF" + struct.pack("<IQQ", version, *said) + pairs + b"".join(tensors)


LLAMA = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 128,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.attention.key_length": 32,
    "llama.attention.value_length": 32,
    "tokenizer.ggml.tokens": ["a", "b", "cc"],
}


def model(
    path: Path,
    values: Mapping[str, Any] | None = None,
    *,
    quantization: str = "F16",
    tied: bool = False,
    vocab_size: int = 96,
    more: Sequence[tuple[str, tuple[int, ...]]] = (),
) -> Path:
    """Write the header of a llama of two layers, and a hole where its weights would be."""
    facts = LLAMA | dict(values or {})
    architecture = facts["general.architecture"]
    facts = {key.replace("llama.", f"{architecture}.", 1): item for key, item in facts.items() if item is not None}
    hidden, query, key, ffn = 64, 128, 64, 128
    shapes: list[tuple[str, tuple[int, ...]]] = [("token_embd.weight", (hidden, vocab_size))]
    for layer in range(2):
        block = {"attn_q": query, "attn_k": key, "attn_v": key, "ffn_gate": ffn, "ffn_up": ffn}
        shapes += [(f"blk.{layer}.{name}.weight", (hidden, rows)) for name, rows in block.items()]
        shapes += [
            (f"blk.{layer}.attn_output.weight", (query, hidden)),
            (f"blk.{layer}.ffn_down.weight", (ffn, hidden)),
        ]
    shapes += [*more, *([] if tied else [("output.weight", (hidden, vocab_size))])]
    kind, items, size = TYPES[quantization]
    entries, offset = [], 0
    for name, shape in shapes:
        entries.append(tensor(name, shape, kind, offset))
        count = 1
        for each in shape:
            count *= each
        offset += count * size // items
    with path.open("wb") as file:
        written = file.write(header(facts, entries))
        file.truncate(written + offset + 64)
    return path
