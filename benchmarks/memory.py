"""The estimate of memory against what llama.cpp takes at its peak, in a fresh process for each run.

What is measured: `VmHWM` after a prompt of `fill` tokens was evaluated, less `VmRSS` before the file was opened, when
llama-cpp-python and NumPy had been imported and the peak had been set back (`/proc/self/clear_refs`). The settings are
those of `registry.loaders.llama`. No constant of the estimate was fitted to the files that are used here. Memory that
is reserved and never written is the growth of `VmSize` less what is resident; stacks of threads and the allocator's
arenas, some 90 MB whatever the model, are not estimated.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import ROOT
from benchmarks.measure import Line, Table, missing, run
from benchmarks.random_gguf import Decoder, write
from benchmarks.workspace import Workspace

if TYPE_CHECKING:
    from registry.hardware import Estimate

FLOOR_BYTES = 32 * 10**6
TARGET = "at most 5 % or 32 MB off"
CONTEXTS = (2048, 8192, 32_768)
FILLS = (400, 1800)
DECODERS = (
    Decoder("one key head per head, F16", "llama", 10, 2048, 16, 16, 128, 5632, 32_000, "F16"),
    Decoder("grouped-query attention, Q8_0", "qwen2", 8, 2560, 20, 4, 128, 9728, 151_936, "Q8_0", merges=151_000),
    Decoder(
        "sliding windows, tied, F16",
        "gemma3",
        12,
        1536,
        8,
        4,
        256,
        6144,
        262_144,
        "F16",
        sliding_window=1024,
        tied=True,
    ),
)
_CODE = """\
import json, sys
import llama_cpp, numpy
def memory():
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return {{name: int(lines[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS", "VmSize")}}
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
before = memory()
llama = llama_cpp.Llama({path!r}, verbose=False, **{settings!r})
llama.eval(numpy.random.default_rng(0).integers(300, llama.n_vocab() - 1, {fill}).tolist())
after = memory()
print(json.dumps([after["VmHWM"] - before["VmRSS"], after["VmSize"] - before["VmSize"]]))
"""


class _Mode(NamedTuple):
    """How a model is run: its name, what llama.cpp is told, and what the estimate is."""

    name: str
    settings: dict[str, Any]
    asked: dict[str, Any]


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure each shape in each mode; with few rounds, with the shortest context only."""
    if absent := missing("llama_cpp", "gguf"):
        return [Table("Memory of a model", remarks=[absent])]
    if not Path("/proc/self/clear_refs").exists():
        return [Table("Memory of a model", remarks=["Left out: the peak of a process is read from Linux's `/proc`."])]
    return [_table(decoder, workspace.folder, CONTEXTS if rounds > 5 else CONTEXTS[:1]) for decoder in DECODERS]


def _table(decoder: Decoder, folder: Path, contexts: tuple[int, ...]) -> Table:
    path = write(folder / "memory.gguf", decoder)
    table = Table(f"Memory of a model: {decoder.name}, {path.stat().st_size / 1e9:.2f} GB")
    for mode in _modes(decoder):
        for context in contexts:
            for fill in FILLS:
                table.lines.append(_line(decoder, path, mode, context, fill))
    path.unlink()
    return table


def _modes(decoder: Decoder) -> Iterator[_Mode]:
    quantized = {"flash_attn": True, "type_k": 8, "type_v": 8}
    modes = (
        _Mode("f16 KV", {"flash_attn": False}, {}),
        _Mode("flash attention, f16 KV", {"flash_attn": True}, {"flash_attention": True}),
        _Mode("flash attention, q8_0 KV", quantized, {"flash_attention": True, "kv_dtype": "q8_0"}),
    )
    for mode in modes:
        yield mode._replace(settings=mode.settings | {"swa_full": True})
        if decoder.sliding_window:
            settings, asked = mode.settings | {"swa_full": False}, mode.asked | {"full_window_cache": False}
            yield _Mode(f"{mode.name}, windowed", settings, asked)


def _line(decoder: Decoder, path: Path, mode: _Mode, context: int, fill: int) -> Line:
    """Compare one run: the estimate less what was measured."""
    from registry.hardware import usable_cores

    threads = usable_cores()
    settings = {"n_ctx": context, "n_batch": 512, "n_threads": threads, "n_threads_batch": threads} | mode.settings
    code = _CODE.format(path=str(path), settings=settings, fill=fill)
    resident, address_space = json.loads(run(Path(sys.executable), code, [ROOT], ("-I",)))
    found = _estimate(decoder, path, mode, context, fill)
    assert found.resident_bytes is not None and found.reserved_bytes is not None  # noqa: PT018 - the header says it all
    off = found.resident_bytes - resident
    reserved = f"reserved {found.reserved_bytes / 1e6:.0f} / {(address_space - resident) / 1e6:.0f} MB"
    return Line(
        what=f"{mode.name}, context {context}, {fill} tokens held",
        against="peak of the process",
        result=f"**{off / 1e6:+.1f} MB** ({off / resident:+.2%})",
        detail=f"{found.resident_bytes / 1e6:.0f} / {resident / 1e6:.0f} MB; {reserved}",
        target=TARGET,
        reached="yes" if abs(off) <= max(0.05 * resident, FLOOR_BYTES) else "**no**",
    )


def _estimate(decoder: Decoder, path: Path, mode: _Mode, context: int, fill: int) -> Estimate:
    from registry.hardware import estimate
    from registry.records import ChatModel, ModelFile

    about = {"name": "Random", "organization": "benchmarks", "description": "Random weights."}
    record = ChatModel(
        id="random",
        model_type="chat",
        huggingface_id="benchmarks/random",
        file=ModelFile(path.name, "gguf"),
        quantization=decoder.quantization,
        **about,
    )
    return estimate(record, context_length=context, fill=fill, path=path, gpu_layers=0, **mode.asked)
