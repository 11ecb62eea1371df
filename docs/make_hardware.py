"""Write the generated part of docs/hardware.md, the tables of what fits where, from the data; `--check` only compares.

Every number is as if nothing was on this machine, and for a machine of eight cores without a GPU: the same everywhere.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any

from registry import get_model
from registry.hardware import Gpu, Machine, _estimate, estimate, probe, tiers
from registry.hardware.budget import RESERVED_BYTES
from registry.hardware.requirement import TEXT_TOKENS
from registry.records import ChatModel, ModelInfo

PAGE = Path(__file__).parent / "hardware.md"
BEGIN, END = "<!-- begin generated: docs/make_hardware.py -->", "<!-- end generated -->"
DIFF_LINES = 20
GB = 10**9

MACHINE = probe(ram_total_bytes=64 * GB, cpu_cores=8, gpus=(), disk_free_bytes=0)
GPU_MACHINE = probe(ram_total_bytes=64 * GB, cpu_cores=8, gpus=[Gpu(0, "GPU", 80 * GB, 80 * GB)], disk_free_bytes=0)

# What is asked of `select` -> the heading of its table.
QUESTIONS: dict[str, dict[str, Any]] = {
    "Qwen2.5-Coder": {"family": "Qwen2.5-Coder"},
    "Chat": {"role": "general"},
    "Embeddings, one vector a text": {"role": "embedding"},
    "Embeddings, one vector a token": {"type": "colbert"},
    "Sparse embeddings": {"type": "sparse"},
    "Rerankers": {"role": "reranking"},
}
# One record for each size.
CHAT = (
    "qwen3-0.6b-q8_0",
    "llama-3.2-1b-instruct-q4_k_m",
    "qwen3-1.7b-q8_0",
    "llama-3.2-3b-instruct-q4_k_m",
    "qwen3-4b-q4_k_m",
    "qwen3-8b-q4_k_m",
    "gemma-3-12b-it-q4_k_m",
    "qwen3-14b-q4_k_m",
    "gpt-oss-20b-mxfp4",
    "qwen3-30b-a3b-q4_k_m",
    "qwen3-32b-q4_k_m",
    "qwen2.5-72b-instruct-q4_k_m",
)
ENCODERS = (
    "all-minilm-l6-v2",
    "answerai-colbert-small-v1",
    "bge-base-en-v1.5",
    "colbert-v2",
    "bge-large-en-v1.5",
    "multilingual-e5-large",
    "qwen3-embedding-0.6b",
    "qwen3-embedding-4b",
    "qwen3-embedding-8b",
)
# Measured in docs/benchmarks.md; no other model of the registry has been.
SPEEDS = {"all-minilm-l6-v2": "66 texts/s on 2 cores: [benchmarks](benchmarks.md#embedding)"}
LONG_CONTEXT = 32_768


def main() -> int:
    """Write the page, or with `--check` say how it differs; 1: it differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 with a short diff where it is stale"
    )
    check: bool = parser.parse_args().check
    # As if no model was on this machine: estimates come from the records.
    _estimate.find_files = lambda model: None  # noqa: ARG005 - the name of the argument is part of the interface
    old = PAGE.read_text("utf-8")
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not before:
        print(f"error: docs/{PAGE.name} has no line `{BEGIN}`", file=sys.stderr)
        return 1
    new = f"{before}{BEGIN}\n\n{generated()}\n{END}{after}"
    if old == new:
        return 0
    if not check:
        PAGE.write_bytes(new.encode())
        return 0
    name = f"docs/{PAGE.name}"
    diff = list(unified_diff(old.splitlines(), new.splitlines(), name, "freshly generated", n=0, lineterm=""))
    print("\n".join(diff[:DIFF_LINES]), file=sys.stderr)
    print(f"error: {name} is stale\nhint: run `make docs`", file=sys.stderr)
    return 1


def generated() -> str:
    """Give the text between the markers."""
    return "\n".join((*_tiers(), *_resources()))


def _tiers() -> Iterator[str]:
    yield "### From memory to model\n"
    yield (
        "What `select` chooses on a machine with this much memory or more, up to the next row. 2 GB of it are left to\n"
        "the system. Needs are *stated* in the record (`ram_required_mb`) or *estimated*: for the context that the\n"
        f"record is loaded with, or, of encoders, for texts of {TEXT_TOKENS} tokens on eight cores. Below the first\n"
        "row nothing that is recommended fits.\n"
    )
    for title, asked in QUESTIONS.items():
        given = ", ".join(f'{name}="{value}"' for name, value in asked.items())
        yield f"#### {title}\n\n`select({given})`\n"
        rows = (
            (
                _gigabytes(tier.available_bytes),
                f"`{tier.model.id}`",
                tier.model.parameters or "not stated",
                f"{_gigabytes(tier.need.total_bytes)}, {'stated' if tier.need.source == 'record' else 'estimated'}",
                tier.model.license or "not known",
            )
            for tier in tiers(reserve_bytes=RESERVED_BYTES, machine=MACHINE, **asked)
        )
        yield _table(("memory from", "model", "parameters", "it needs", "licence"), rows)


def _resources() -> Iterator[str]:
    yield "### What models of each size take\n"
    yield (
        "Estimated from the records. Main memory is without a GPU; GPU memory is with all layers there, at the\n"
        "record's own context. Speed depends on the machine: where none is given it was not measured.\n"
    )
    yield "#### Chat models\n"
    longer = f"at {LONG_CONTEXT:,} tokens"
    titles = ("parameters", "model", "file", "context", "main memory", longer, "GPU memory", "speed")
    yield _table(titles, (_chat_row(get_model(name)) for name in CHAT))
    yield "#### Encoders\n"
    yield (
        f"In float32, on eight cores, for texts of at most {TEXT_TOKENS} tokens. torch and sentence-transformers take\n"
        "about 450 MB of main memory more, once in a process.\n"
    )
    titles = ("parameters", "model", "type", "main memory", "GPU memory", "speed")
    yield _table(titles, (_encoder_row(get_model(name)) for name in ENCODERS))


def _chat_row(model: ModelInfo) -> tuple[str, ...]:
    assert isinstance(model, ChatModel)
    usual = min(model.runtime.context_length, model.context_length or model.runtime.context_length)
    long = "" if (model.context_length or 0) < LONG_CONTEXT else _taken(model, MACHINE, LONG_CONTEXT, "cpu")
    return (
        model.parameters or "not stated",
        f"`{model.id}`",
        _gigabytes(model.file.size_bytes),
        f"{usual:,}",
        _taken(model, MACHINE, usual, "cpu"),
        long or "beyond its maximum",
        _taken(model, GPU_MACHINE, usual, "gpu:0"),
        SPEEDS.get(model.id, "not measured"),
    )


def _encoder_row(model: ModelInfo) -> tuple[str, ...]:
    return (
        model.parameters or "not stated",
        f"`{model.id}`",
        str(model.model_type),
        _taken(model, MACHINE, TEXT_TOKENS, "cpu"),
        _taken(model, GPU_MACHINE, TEXT_TOKENS, "gpu:0"),
        SPEEDS.get(model.id, "not measured"),
    )


def _taken(model: ModelInfo, machine: Machine, context_length: int, device: str) -> str:
    """Give what a model takes of a device."""
    length = min(context_length, model.context_length or context_length)
    found = estimate(model, context_length=length, gpu_layers=-1 if machine.gpus else 0, machine=machine)
    if found.total_bytes is None:
        return "cannot be told"
    return _gigabytes(sum(part.total_bytes for part in found.devices if part.device == device))


def _gigabytes(size: int | None) -> str:
    """Write a size, rounded up to a tenth of a GB: whoever has that much has enough."""
    return "not known" if size is None else f"{math.ceil(size / GB * 10) / 10:g} GB"


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (titles, ("---",) * len(titles), *rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
