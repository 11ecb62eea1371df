"""The header of a GGUF file: metadata and the list of tensors, read without the weights.

`gguf.GGUFReader` is not used: it makes a NumPy array of every token of the vocabulary, which for 150,000 tokens takes
seconds and hundreds of megabytes, and it believes every count that a damaged file states. Numbers of types, and how
many bytes a block of a type has, are those of the package.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from registry._extras import require
from registry.errors import ModelLoadError

Value: TypeAlias = "int | float | bool | str | tuple[int | float | bool, ...] | Strings"


@dataclass(frozen=True)
class Strings:
    """A list of strings, of which only the size is kept: the vocabulary, its merges.

    Attributes:
        count: How many.
        size_bytes: Their length together.
    """

    count: int
    size_bytes: int


class Tensor(NamedTuple):
    """One tensor of the list.

    Attributes:
        name: Its name, such as `blk.0.attn_q.weight`.
        shape: Sizes, the fastest first: `(inputs, outputs)` of a matrix.
        type: Name of its type, such as `Q4_K`.
        size_bytes: Its data.
        offset: Where the data begin, counted from those of the first tensor.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    size_bytes: int
    offset: int = 0


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says about itself.

    Attributes:
        path: The file.
        size_bytes: Its size.
        metadata: The keys and values. Lists of strings are kept as their sizes.
        tensors: The tensors, in the file's order.
    """

    path: Path
    size_bytes: int
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]

    def integer(self, key: str) -> int | None:
        """Give a whole number of the metadata that is not negative, else `None`."""
        value = self.metadata.get(key)
        return value if type(value) is int and value >= 0 else None


_FIRST_READ = 4 * 2**20  # of a vocabulary of 32,000 tokens; more is read where that is not all
_LONGEST_HEADER = 2**28  # those of the largest vocabularies have 20 MB
_MOST_VALUES = 2**16  # of keys, and of tensors: models have hundreds of the one and thousands of the other
_MOST_ITEMS = 2**22  # of a list: the largest vocabularies have 300,000
_KEPT_ITEMS = 2**14  # of a list that is kept: one item a layer


class _CutOffError(Exception):
    """There is less than the header says."""


class _DamagedError(Exception):
    """What is there makes no header."""


class _Types(NamedTuple):
    """What the package `gguf` says about types."""

    values: Mapping[int, struct.Struct]
    string: int
    array: int
    boolean: int
    tensors: Mapping[int, tuple[str, int, int]]  # name, items of a block, bytes of a block


def read_gguf(model_id: str, path: Path) -> GgufHeader:
    """Read the header of a GGUF file. Of its weights nothing is read.

    Args:
        model_id: The model, for messages.
        path: The file.

    Raises:
        MissingExtraError: `gguf` is not installed.
        ModelLoadError: The file cannot be read, is no GGUF file, or its header is damaged.
    """
    types = _types()
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            metadata, tensors = _parse(file, size, types)
    except OSError as error:
        raise _unreadable(model_id, path, f"{error.strerror or error}") from error
    except _CutOffError as error:
        raise _unreadable(model_id, path, "a file that ends within its header") from error
    except _DamagedError as error:
        raise _unreadable(model_id, path, str(error)) from error
    return GgufHeader(path, size, metadata, tensors)


def _unreadable(model_id: str, path: Path, got: str) -> ModelLoadError:
    remedy = "The file is cut off or damaged. Fetch it again."
    return ModelLoadError(model_id, str(path), "header", "a GGUF file of version 2 or 3", got, remedy)


def _parse(file: BinaryIO, size: int, types: _Types) -> tuple[dict[str, Value], tuple[Tensor, ...]]:
    """Read as much of the file as the header has: a part, and more where that is not enough."""
    part = _FIRST_READ
    while True:
        file.seek(0)
        read = file.read(min(part, _LONGEST_HEADER))
        try:
            return _Cursor(read, size, types).header()
        except (_CutOffError, struct.error):
            if part >= min(size, _LONGEST_HEADER):
                raise _CutOffError from None
            part *= 4


class _Cursor:
    """A place in the bytes of a header."""

    def __init__(self, data: bytes, file_size: int, types: _Types) -> None:
        self.data, self.at, self.file_size, self.types = data, 0, file_size, types

    def header(self) -> tuple[dict[str, Value], tuple[Tensor, ...]]:
        if self.data[:4] != b"GGUF":
            raise _DamagedError("a file that does not begin with `GGUF`")
        self.at = 4
        if (version := self.number("<I")) not in (2, 3):
            raise _DamagedError(f"version {version}" if version < 2**16 else "a file for big-endian machines")
        tensor_count, value_count = self.number("<Q"), self.number("<Q")
        if tensor_count > _MOST_VALUES or value_count > _MOST_VALUES:
            raise _DamagedError(f"{tensor_count} tensors and {value_count} values")
        metadata: dict[str, Value] = {}
        for _ in range(value_count):
            key = self.string()
            metadata[key] = self.value(self.number("<I"))
        return metadata, tuple(self.tensor() for _ in range(tensor_count))

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def string(self) -> str:
        length = self.number("<Q")
        if length > self.file_size:
            raise _DamagedError(f"a text of {length} bytes")
        text = self.data[self.at : self.at + length]
        if len(text) < length:
            raise _CutOffError
        self.at += length
        return text.decode("utf-8", "replace")

    def value(self, kind: int) -> Value:
        if kind == self.types.string:
            return self.string()
        if kind == self.types.array:
            return self.array()
        if (form := self.types.values.get(kind)) is None:
            raise _DamagedError(f"a value of type {kind}")
        (value,) = form.unpack_from(self.data, self.at)
        self.at += form.size
        return bool(value) if kind == self.types.boolean else value

    def array(self) -> Value:
        kind, count = self.number("<I"), self.number("<Q")
        if count > _MOST_ITEMS:
            raise _DamagedError(f"a list of {count} items")
        if kind == self.types.string:
            return self.strings(count)
        if (form := self.types.values.get(kind)) is None:
            raise _DamagedError(f"a list of type {kind}")
        if self.at + count * form.size > len(self.data):
            raise _CutOffError
        if count > _KEPT_ITEMS:  # scores of tokens and the like
            self.at += count * form.size
            return ()
        begin, self.at = self.at, self.at + count * form.size
        items = struct.unpack_from(f"<{count}{form.format[-1]}", self.data, begin)
        return tuple(map(bool, items)) if kind == self.types.boolean else items

    def strings(self, count: int) -> Strings:
        read: Callable[..., tuple[Any, ...]] = struct.Struct("<Q").unpack_from
        data, at, total = self.data, self.at, 0
        end = len(data)
        for _ in range(count):
            (length,) = read(data, at)
            at += 8 + length
            if at > end:
                if length > self.file_size:
                    raise _DamagedError(f"a text of {length} bytes")
                raise _CutOffError
            total += length
        self.at = at
        return Strings(count, total)

    def tensor(self) -> Tensor:
        name = self.string()
        if (dimensions := self.number("<I")) > 4:
            raise _DamagedError(f"a tensor of {dimensions} dimensions")
        shape = tuple(self.number("<Q") for _ in range(dimensions))
        kind, offset = self.number("<I"), self.number("<Q")
        if kind not in self.types.tensors:
            raise _DamagedError(f"a tensor of type {kind}, which this version of `gguf` does not know")
        type_name, items, block = self.types.tensors[kind]
        count = 1
        for size in shape:
            count *= size
        size_bytes = count * block // items
        if size_bytes + offset > self.file_size:
            raise _DamagedError(f"tensor `{name}` of {size_bytes} bytes beyond the end of the file")
        return Tensor(name, shape, type_name, size_bytes, offset)


@lru_cache(maxsize=1)
def _types() -> _Types:
    gguf = require("gguf", extra="hardware", purpose="Reading the header of a GGUF file")
    kinds = gguf.GGUFValueType
    forms = {"UINT8": "B", "INT8": "b", "UINT16": "H", "INT16": "h", "UINT32": "I", "INT32": "i", "FLOAT32": "f"}
    forms |= {"BOOL": "?", "UINT64": "Q", "INT64": "q", "FLOAT64": "d"}
    return _Types(
        values={int(kinds[name]): struct.Struct(f"<{form}") for name, form in forms.items()},
        string=int(kinds.STRING),
        array=int(kinds.ARRAY),
        boolean=int(kinds.BOOL),
        tensors={int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()},
    )


def block_size(type_name: str) -> tuple[int, int]:
    """Give the items of a block of a type, such as `Q8_0`, and the bytes that a block takes.

    Raises:
        MissingExtraError: `gguf` is not installed.
        KeyError: There is no such type.
    """
    return {name: (items, size) for name, items, size in _types().tensors.values()}[type_name]
