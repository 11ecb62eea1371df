"""What a model takes in llama.cpp: computed here, and as llama.cpp says itself."""

import ctypes
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.random_gguf import Decoder, write

pytest.importorskip("gguf")
pytest.importorskip("llama_cpp")

import llama_cpp

from registry.hardware.decoder import shape_of_header
from registry.hardware.gguf_header import read_gguf
from registry.hardware.llama import Footprint, Run, _buffers, _cells, cache_bytes, footprint
from registry.hardware.shape import Layer, Shape, Span, Vocabulary

LLAMA = Decoder("llama", "llama", 3, 256, 8, 8, 32, 768, 700)
GROUPED = Decoder("grouped", "qwen2", 4, 256, 4, 2, 64, 768, 1200, merges=300)
WINDOWED = Decoder("windowed", "gemma3", 7, 256, 2, 1, 128, 512, 1000, sliding_window=300, tied=True)
EXPERTS = Decoder("experts", "llama", 3, 256, 8, 4, 32, 512, 700, experts=4, experts_used=2)
RUN = Run(2048, 512, 1, 2048, "f16", "f16", flash=False, full_window_cache=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Decoder], Path]:
    """Write a file, once."""
    found: dict[str, Path] = {}

    def make(decoder: Decoder) -> Path:
        if decoder.name not in found:
            found[decoder.name] = write(tmp_path_factory.mktemp("llama") / f"{decoder.name}.gguf", decoder)
        return found[decoder.name]

    return make


def said_by_llama_cpp(path: Path, run: Run) -> tuple[float, float]:
    """Give the sizes of compute buffer and KV cache in MiB that llama.cpp prints, rounded to 2 places."""
    lines: list[str] = []

    @llama_cpp.llama_log_callback
    def keep(level: int, text: bytes, data: Any) -> None:
        lines.append(text.decode("utf-8", "replace"))

    before, data = llama_cpp.llama_log_callback(), ctypes.c_void_p()
    llama_cpp.llama_log_get(ctypes.byref(before), ctypes.byref(data))
    types = {"f16": 1, "q8_0": 8}
    llama = llama_cpp.Llama(str(path), n_ctx=8, vocab_only=True, verbose=False)  # sets a log of its own, once
    llama.close()
    llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
    try:
        llama_cpp.Llama(
            str(path),
            n_ctx=run.context_length,
            n_batch=run.batch_size,
            n_threads=1,
            flash_attn=run.flash,
            swa_full=run.full_window_cache,
            type_k=types[run.key_type],
            type_v=types[run.value_type],
            verbose=False,
        ).close()
    finally:
        llama_cpp.llama_log_set(before, data)
    printed = "".join(lines)
    compute, caches = (re.findall(rf"{name} buffer size = +([\d.]+) MiB", printed) for name in ("compute", "KV"))
    return float(compute[0]), sum(map(float, caches))


@pytest.mark.parametrize("decoder", [LLAMA, GROUPED, WINDOWED, EXPERTS], ids=lambda decoder: decoder.name)
@pytest.mark.parametrize(
    "run",
    [
        RUN,
        replace(RUN, context_length=700, batch_size=96),
        replace(RUN, flash=True),
        replace(RUN, context_length=4096, flash=True, key_type="q8_0", value_type="q8_0"),
        replace(RUN, full_window_cache=False),
    ],
    ids=["plain", "small", "flash", "quantized", "window"],
)
def test_buffers_are_as_large_as_llama_cpp_says(decoder: Decoder, run: Run, made: Callable[[Decoder], Path]) -> None:
    path = made(decoder)
    shape = shape_of_header("m", read_gguf("m", path))

    caches = sum(cache_bytes(layer, _cells(layer, shape, run), run) for layer in shape.layers)
    computed = (_buffers(shape, run).size / 2**20, caches / 2**20)

    assert computed == pytest.approx(said_by_llama_cpp(path, run), abs=0.02)


LAYER = Layer(heads=8, kv_heads=2, key_dim=64, value_dim=64, ffn_dim=1024, weights_bytes=100)
SHAPE = Shape("llama", 512, (LAYER,) * 4, Vocabulary(1000, 900), input_bytes=10, output_bytes=20, tensors=30)


def parts(found: Footprint) -> list[tuple[str, int, int]]:
    """Device, weights and KV cache of each part."""
    return [(device.device, device.weights_bytes, device.kv_cache_bytes) for device in found.devices]


CACHE = 2048 * 2 * (64 + 64) * 2


def test_model_on_the_processor_takes_main_memory_only() -> None:
    assert parts(footprint(SHAPE, RUN)) == [("cpu", 430, 4 * CACHE)]


@pytest.mark.parametrize(
    ("layers", "main", "gpu"),
    [
        (1, (410, 4 * CACHE), (20, 0)),
        (2, (310, 3 * CACHE), (120, CACHE)),
        (5, (10, 0), (420, 4 * CACHE)),
        (99, (10, 0), (420, 4 * CACHE)),
    ],
)
def test_output_goes_to_the_gpu_first_and_then_layers_from_the_last(
    layers: int, main: tuple[int, int], gpu: tuple[int, int]
) -> None:
    assert parts(footprint(SHAPE, RUN, layers, [(0, 10**9)])) == [("cpu", *main), ("gpu:0", *gpu)]


def test_tied_embeddings_lie_in_main_memory_and_on_the_gpu() -> None:
    tied = replace(SHAPE, tied=True, output_bytes=0)

    assert [weights for _, weights, _ in parts(footprint(tied, RUN, 5, [(0, 10**9)]))] == [10, 410]


def test_layers_are_spread_over_gpus_by_their_free_memory() -> None:
    found = footprint(SHAPE, RUN, 5, [(3, 3 * 10**9), (5, 2 * 10**9)])

    assert [(name, weights) for name, weights, _ in parts(found)] == [("cpu", 10), ("gpu:3", 300), ("gpu:5", 120)]


def test_gpu_layers_without_a_gpu_stay_in_main_memory() -> None:
    assert parts(footprint(SHAPE, RUN, 5, [])) == [("cpu", 430, 4 * CACHE)]


def test_gpu_takes_the_whole_compute_buffer_whatever_is_held() -> None:
    full, empty = (footprint(SHAPE, replace(RUN, fill=fill), 5, [(0, 10**9)]) for fill in (2048, 10))

    assert full.devices[1] == empty.devices[1]


def test_fuller_context_takes_more_of_what_is_set_aside() -> None:
    full, empty = (footprint(SHAPE, replace(RUN, fill=fill)) for fill in (2048, 10))

    more = full.devices[0].compute_bytes - empty.devices[0].compute_bytes
    assert 0 < empty.reserved_bytes - full.reserved_bytes <= more


def test_embedder_has_logits_of_every_token_twice() -> None:
    wide = replace(SHAPE, vocabulary=Vocabulary(10**6))
    run = replace(RUN, fill=512)

    chats, embeds = (footprint(wide, replace(run, embeds=embeds)).devices[0].compute_bytes for embeds in (False, True))

    assert embeds - chats == pytest.approx(2 * 4 * 10**6 * 511, rel=0.01)


def test_window_keeps_its_tokens_and_a_batch() -> None:
    windowed = replace(SHAPE, layers=(replace(LAYER, windowed=True), LAYER), window=256)
    run = replace(RUN, context_length=8192, full_window_cache=False)

    assert parts(footprint(windowed, run))[0][2] == (768 + 8192) * CACHE // 2048


def test_quantized_cache_takes_34_bytes_for_32_numbers() -> None:
    run = replace(RUN, flash=True, key_type="q8_0", value_type="q8_0")

    assert parts(footprint(SHAPE, run))[0][2] == 4 * CACHE * 34 // 64


def test_context_is_rounded_up_for_each_sequence() -> None:
    assert replace(RUN, context_length=1000, parallel=3).cells == 3 * 512


def test_copies_of_mapped_weights_can_be_dropped() -> None:
    spans = (Span(-1, 0, 10**8, False), Span(0, 10**8, 3 * 10**8, True), Span(-2, 3 * 10**8, 4 * 10**8, False))
    mapped = replace(SHAPE, spans=spans, input_bytes=10**8, output_bytes=10**8)
    mapped = replace(mapped, layers=(replace(LAYER, weights_bytes=2 * 10**8),))

    assert footprint(mapped, RUN).droppable_bytes == 2 * 10**8
    assert footprint(mapped, replace(RUN, use_mmap=False)).droppable_bytes == 0


def test_leaving_out_layers_that_repeat_moves_nothing() -> None:
    kinds = (replace(LAYER, windowed=True), replace(LAYER, windowed=True), LAYER)
    many = replace(SHAPE, layers=kinds * 9, window=256)
    whole = replace(many)
    whole.__dict__["few_layers"] = many.layers
    run = replace(RUN, full_window_cache=False)

    assert len(many.few_layers) < len(many.layers)
    assert footprint(many, run) == footprint(whole, run)


_PEAK = """\
import json, sys, llama_cpp
def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
before = memory("VmRSS:")
llama = llama_cpp.Llama(sys.argv[1], n_ctx=4096, n_batch=512, n_threads=2, n_threads_batch=2, verbose=False)
llama.eval([5] * 1500)
print(json.dumps(memory("VmHWM:") - before))
"""


@pytest.fixture
def peak() -> Callable[[Path], int]:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of a process is read from Linux's /proc")
    return lambda path: json.loads(subprocess.check_output([sys.executable, "-c", _PEAK, str(path)]))


@pytest.mark.parametrize("decoder", [GROUPED, replace(LLAMA, name="copied", quantization="Q4_0", hidden_dim=1024)])
def test_resident_memory_is_what_a_process_takes(
    decoder: Decoder, made: Callable[[Decoder], Path], peak: Callable[[Path], int]
) -> None:
    from registry.hardware import estimate
    from tests.hardware.records import chat

    path = made(decoder)
    found = estimate(chat("m"), path=path, context_length=4096, fill=1500, gpu_layers=0)

    assert found.resident_bytes == pytest.approx(peak(path), abs=16 * 10**6)
