"""The headers of safetensors files: which types the weights are stored in, read without the weights."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from registry.errors import ModelLoadError

_LONGEST_HEADER = 100 * 2**20  # the format's own limit
_BITS = {"F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "U16": 16}
_BITS |= {"F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I8": 8, "U8": 8, "BOOL": 8, "C64": 64}


def read_safetensors(model_id: str, folder: Path) -> Counter[str]:
    """Count the numbers that the weights in a folder have, by the type that they are stored in.

    Args:
        model_id: The model, for messages.
        folder: Folder of the model; modules of sentence-transformers lie in folders of their own.

    Returns:
        Type, such as `F32`, and count. Empty where there are no such files.

    Raises:
        ModelLoadError: A header is damaged.
    """
    found: Counter[str] = Counter()
    for path in (*sorted(folder.glob("*.safetensors")), *sorted(folder.glob("[0-9]_*/*.safetensors"))):
        found += _read(model_id, path)
    return found


def stored_bytes(counts: Counter[str]) -> int:
    """Give the bytes that numbers of these types take as they are stored."""
    return sum(count * _BITS[kind] // 8 for kind, count in counts.items())


def _read(model_id: str, path: Path) -> Counter[str]:
    try:
        return _counted(*_header(path))
    except OSError as error:
        got = error.strerror or str(error)
    except (ValueError, RecursionError) as error:
        got = str(error)
    remedy = "The file is cut off or damaged. Fetch it again."
    raise ModelLoadError(model_id, str(path), "header", "that of a safetensors file", got, remedy)


def _header(path: Path) -> tuple[Any, int]:
    """Give what the header holds, and the size of the file."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER):
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        return json.loads(file.read(length)), size


def _counted(header: Any, file_size: int) -> Counter[str]:
    if not isinstance(header, dict):
        raise ValueError(f"a {type(header).__name__}")  # noqa: TRY004 - the type of what is in a file, not of an argument
    counts: Counter[str] = Counter()
    for name, entry in header.items():
        if name != "__metadata__":
            kind, count = _entry(entry)
            if kind is None or count * _BITS[kind] // 8 > file_size:
                raise ValueError(f"tensor `{name}`: {str(entry)[:100]}")
            counts[kind] += count
    return counts


def _entry(entry: Any) -> tuple[str | None, int]:
    """Give type and count of a tensor; no type where they cannot be."""
    if not isinstance(entry, dict) or entry.get("dtype") not in _BITS or not isinstance(entry.get("shape"), list):
        return None, 0
    shape = entry["shape"]
    if len(shape) > 8 or not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        return None, 0
    return str(entry["dtype"]), math.prod(shape)
