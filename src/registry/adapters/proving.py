"""Whether a file is a LoRA adapter of a model: from the headers of both, before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from registry.adapters.manifest import AdapterEntry
from registry.errors import AdapterError, ModelLoadError
from registry.hardware.gguf_header import GgufHeader, read_gguf

if TYPE_CHECKING:
    from registry.records import ChatModel

_PARTS = (".lora_a", ".lora_b")
_PASSED_OVER = "_norm.weight"  # llama.cpp does not apply them, and takes the rest
_MOST_TOLD = 3
_EMBEDDING = "token_embd.weight"
_WRONG_FILE = "Make it with `convert_lora_to_gguf.py` of llama.cpp, and put its new sha256 into the manifest."
_WRONG_BASE = "Correct `base` in the manifest, or use an adapter that was trained on this model."


class UnfitAdapterError(AdapterError):
    """These bytes can never be used for this model: to try again is no use."""


def check_file(entry: AdapterEntry, path: Path, record: ChatModel, base: Path) -> None:
    """Refuse a file that is no LoRA adapter of a model. Reads both headers, none of the weights.

    Args:
        entry: The adapter, for messages.
        path: Its file.
        record: The model.
        base: The model's GGUF file.

    Raises:
        UnfitAdapterError: It is none.
        ModelLoadError: The file of the model is damaged.
        MissingExtraError: `gguf` is not installed.
    """
    try:
        header = read_gguf(entry.id, path)
    except ModelLoadError as error:
        raise UnfitAdapterError(
            entry.id, entry.version, f"expected {error.expected}, got {error.got}.", _WRONG_FILE
        ) from error
    _check_kind(entry, header)
    model = read_gguf(record.id, base)
    if (found := header.metadata.get("general.architecture")) != (made := model.metadata.get("general.architecture")):
        problem = f"it was made for the architecture `{found}`, and `{record.id}` is of `{made}`."
        raise UnfitAdapterError(entry.id, entry.version, problem, _WRONG_BASE)
    _check_stated_base(entry, header, record)
    if problems := list(_misfits(header, model)):
        more = f", and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
        problem = f"it does not fit `{record.id}`: {'; '.join(problems[:_MOST_TOLD])}{more}."
        raise UnfitAdapterError(entry.id, entry.version, problem, _WRONG_BASE)


def _check_kind(entry: AdapterEntry, header: GgufHeader) -> None:
    for key, expected in (("general.type", "adapter"), ("adapter.type", "lora")):
        if (got := header.metadata.get(key)) != expected:
            problem = f"it is no LoRA adapter: expected `{key}` to be `{expected}`, got {_shown(got)}."
            raise UnfitAdapterError(entry.id, entry.version, problem, _WRONG_FILE)


def _check_stated_base(entry: AdapterEntry, header: GgufHeader, record: ChatModel) -> None:
    """Refuse an adapter whose file says that it was trained on another model; most say nothing.

    Copies and quantizations are called after their original, so it is enough that one name is in the other.
    """
    stated = list(_stated_bases(header))
    own = [record.base_model, record.huggingface_id, record.name, record.id]
    names = [_compact(name.rpartition("/")[2]) for name in own if name]
    if stated and not any(name in found or found in name for found in map(_compact, stated) for name in names):
        problem = (
            f"its file says that it was made for `{stated[0]}`, and `{record.id}` is {record.base_model or own[2]}."
        )
        raise UnfitAdapterError(entry.id, entry.version, problem, _WRONG_BASE)


def _stated_bases(header: GgufHeader) -> Iterator[str]:
    for key, value in header.metadata.items():
        if isinstance(value, str) and re.fullmatch(r"general\.base_model\.\d+\.(name|repo_url)", key):
            name = value.rstrip("/").rpartition("/")[2]
            if _compact(name):
                yield name


def _compact(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _misfits(header: GgufHeader, model: GgufHeader) -> Iterator[str]:
    """Say where an adapter and a model do not fit, by the rules of llama.cpp (`llama_adapter_lora_init_impl`).

    Shapes are as in the file, `(inputs, outputs)`. A is `(inputs, rank)`, and B is `(rank, outputs)`.
    """
    shapes = {tensor.name: tensor.shape for tensor in model.tensors}
    pairs: dict[str, dict[str, tuple[int, ...]]] = {}
    for tensor in header.tensors:
        part = tensor.name[-len(_PARTS[0]) :]
        if part in _PARTS:
            pairs.setdefault(tensor.name.removesuffix(part), {})[part] = tensor.shape
        elif not tensor.name.endswith(_PASSED_OVER):
            yield f"`{tensor.name}` is no part of a LoRA adapter"
    if not pairs:
        yield "it changes nothing"
    for name, pair in pairs.items():
        if len(pair) < len(_PARTS):
            yield f"`{name}` has only one of its two parts"
        elif name not in shapes:
            yield f"the model has no `{name}`"
        elif not _fits(name, shapes[name], *(pair[part] for part in _PARTS)):
            sizes = " and ".join(_size(pair[part]) for part in _PARTS)
            yield f"`{name}` is {_size(shapes[name])} in the model, and {sizes} here"


def _fits(name: str, of_model: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    if min(len(of_model), len(a), len(b)) < 2:
        return False
    if name == _EMBEDDING:  # llama.cpp looks rows up in it, and has both parts the other way round
        return (of_model[0], of_model[1], b[0]) == (b[1], a[1], a[0])
    return (of_model[0], of_model[1], a[1]) == (a[0], b[1], b[0])


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _shown(value: object) -> str:
    return "nothing" if value is None else f"`{str(value)[:100]}`"
