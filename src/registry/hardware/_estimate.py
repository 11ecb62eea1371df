"""How much memory a model needs, before it is loaded and even before it is fetched."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from registry._places import find_files, gguf_file
from registry.errors import InvalidOptionError
from registry.hardware.asked import Asked
from registry.hardware.cpu import local_features
from registry.hardware.decoder import missing_in, other_memory, shape_of_header, shape_of_record
from registry.hardware.encoder import estimate_encoder
from registry.hardware.gguf_header import GgufHeader, read_gguf
from registry.hardware.llama import Run, footprint
from registry.hardware.need import Estimate
from registry.records import ChatModel, EncoderModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.hardware.asked import CacheType, Dtype
    from registry.hardware.machine import Machine
    from registry.hardware.shape import Shape
    from registry.records import ModelInfo

_EMBEDDER_TOKENS = 2048  # what embedders in llama.cpp are given at once, at least
_RECORD_NOTE = "The record does not say how wide the feed-forward layers are: 4 x `hidden_dim` stands for it."


def estimate(
    model: ModelInfo | str,
    *,
    context_length: int | None = None,
    gpu_layers: int | None = None,
    kv_dtype: CacheType = "f16",
    value_dtype: CacheType | None = None,
    batch_size: int | None = None,
    parallel: int = 1,
    flash_attention: bool = False,
    full_window_cache: bool = True,
    fill: int | None = None,
    dtype: Dtype = "float32",
    use_mmap: bool = True,
    path: str | os.PathLike[str] | None = None,
    machine: Machine | None = None,
) -> Estimate:
    """Estimate the memory that a model takes once it is loaded, at its peak, device by device.

    Facts come from the header of the file where it is on this machine, else from the record. Of the file nothing but
    the header is read; the network is not used. What is not known stays unknown: `total_bytes` is `None` then.

    What the libraries take once in a process when they are imported is no part of it: some 60 MB for llama.cpp, some
    450 MB for torch and sentence-transformers.

    Args:
        model: The record, or the id of one of the shipped registry.
        context_length: Tokens of context; for encoders, of the longest text. Left out: as the model is loaded by
            default.
        gpu_layers: Layers on GPUs, -1 for all; the output layer counts as one more, and goes there first. Left out:
            what the record says if `machine` has a GPU, else none.
        kv_dtype: Type of the keys in the cache.
        value_dtype: Type of the values. Left out: that of the keys. Quantized ones need `flash_attention`.
        batch_size: Tokens evaluated at once: of a prompt, or of all texts of a batch with their padding.
        parallel: Sequences that are kept apart and share the context.
        flash_attention: Whether attention is computed in tiles.
        full_window_cache: Whether layers with a sliding window keep the whole context, as they do by default.
        fill: Tokens that the context really holds. Left out: all. Memory that is set aside and never written is not
            taken by a process.
        dtype: Type that an encoder computes in.
        use_mmap: Whether a GGUF file is mapped instead of read.
        path: The GGUF file or the folder, in place of where the record's files are found.
        machine: The machine, from `probe()`: its GPUs, and what its processor can do.

    Raises:
        MissingExtraError: A GGUF header is to be read, and `gguf` is not installed.
        ModelLoadError: The header of the file is damaged.
        InvalidOptionError: A value cannot be.
        ModelNotFoundError: No record has this id.

    Example:
        >>> from registry import QWEN2_5_CODER_7B_Q5_K_M
        >>> found = estimate(QWEN2_5_CODER_7B_Q5_K_M, context_length=4096)
        >>> found.total_bytes is None or found.total_bytes > 5 * 10**9
        True
    """
    record = _record(model)
    asked = Asked(
        context_length=context_length,
        gpu_layers=gpu_layers,
        key_type=kv_dtype,
        value_type=value_dtype or kv_dtype,
        batch_size=batch_size,
        parallel=parallel,
        flash_attention=flash_attention,
        full_window_cache=full_window_cache,
        fill=fill,
        dtype=dtype,
        use_mmap=use_mmap,
    )
    place = Path(path).expanduser() if path is not None else find_files(record)
    if isinstance(record, EncoderModel) and not _is_gguf(record, place):
        return estimate_encoder(record, asked, place, machine)
    return _estimate_llama(record, asked, place, machine)


def _record(model: ModelInfo | str) -> ModelInfo:
    if not isinstance(model, str):
        return model
    from registry._registry import lookup_model

    return lookup_model(model)


def _is_gguf(record: EncoderModel, place: Path | None) -> bool:
    """True where an encoder runs in llama.cpp: the file is one, or the record has no other."""
    if place is not None:
        return place.suffix == ".gguf"
    return gguf_file(record) is not None and all(file.role != "safetensors" for file in record.files)


def _estimate_llama(record: ModelInfo, asked: Asked, place: Path | None, machine: Machine | None) -> Estimate:
    if place is None:
        missing = missing_in(record) if isinstance(record, ChatModel) else ("the file",)
        if missing or not isinstance(record, ChatModel):
            return _unknown(record, asked, missing)
        shape, source, notes = shape_of_record(record), "record", [_RECORD_NOTE]
    else:
        header = _header(record.id, place)
        if missing := other_memory(header):
            return _unknown(record, asked, missing)
        features = machine.cpu.features if machine is not None else local_features()
        shape, source, notes = shape_of_header(record.id, header, features), "header", []
    run = _run(record, asked)
    layers, gpus = _gpus(record, shape, asked, machine)
    found = footprint(shape, run, layers, gpus)
    if found.droppable_bytes:
        notes.append("Part of the file stays mapped beside copies of it: the system drops that when memory is short.")
    if gpus and layers:
        notes.append("What GPUs take is computed from llama.cpp's code, and was not measured.")
    total = sum(device.total_bytes for device in found.devices)
    return Estimate(
        model_id=record.id,
        devices=found.devices,
        total_bytes=total,
        resident_bytes=found.devices[0].total_bytes + found.droppable_bytes,
        reserved_bytes=found.reserved_bytes,
        method=f"llama.cpp's buffers, from the {'GGUF header' if source == 'header' else 'record'}",
        confidence="header" if source == "header" else "record",
        context_length=run.context_length,
        droppable_bytes=found.droppable_bytes,
        fill=run.fill,
        notes=tuple(notes),
    )


def _unknown(record: ModelInfo, asked: Asked, missing: tuple[str, ...]) -> Estimate:
    """Say that it cannot be told: nothing is put in place of what is not known."""
    return Estimate(
        model_id=record.id,
        devices=(),
        total_bytes=None,
        resident_bytes=None,
        reserved_bytes=None,
        method="none: too little is known",
        confidence="unknown",
        context_length=asked.context_length,
        missing=missing,
    )


def _run(record: ModelInfo, asked: Asked) -> Run:
    if isinstance(record, ChatModel):
        context = asked.context_length or record.runtime.context_length
        batch, largest = min(asked.batch_size or record.runtime.batch_size, context), 512
    else:
        context = max(asked.context_length or record.context_length or 512, asked.batch_size or _EMBEDDER_TOKENS)
        batch = largest = context
    fill = context if asked.fill is None else asked.fill
    if fill > context:
        raise InvalidOptionError("fill", f"at most {context}, the context", fill)
    return Run(
        context_length=context,
        batch_size=batch,
        parallel=asked.parallel,
        fill=fill,
        key_type=asked.key_type,
        value_type=asked.value_type,
        flash=asked.flash_attention,
        full_window_cache=asked.full_window_cache,
        use_mmap=asked.use_mmap,
        largest_graph=largest,
        embeds=not isinstance(record, ChatModel),
    )


def _gpus(
    record: ModelInfo, shape: Shape, asked: Asked, machine: Machine | None
) -> tuple[int, Sequence[tuple[int, int]]]:
    """Give how many layers go to GPUs, and index and free memory of these."""
    gpus = [(gpu.index, gpu.memory_free_bytes or 0) for gpu in (machine.gpus if machine is not None else ())]
    layers = asked.gpu_layers
    if layers is None:
        layers = (record.runtime.gpu_layers if isinstance(record, ChatModel) else -1) if gpus else 0
    if layers and not gpus and machine is None:
        gpus = [(0, 0)]
    return (len(shape.layers) + 1 if layers < 0 else layers), gpus


def _header(model_id: str, path: Path) -> GgufHeader:
    """Read a header, or give the one of this file that was read before."""
    try:
        seen = path.stat()
    except OSError:
        return read_gguf(model_id, path)
    return _read_once(model_id, path, seen.st_mtime_ns, seen.st_size)


@lru_cache(maxsize=32)
def _read_once(model_id: str, path: Path, modified: int, size: int) -> GgufHeader:  # noqa: ARG001 - they tell files apart
    return read_gguf(model_id, path)
