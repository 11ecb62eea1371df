"""How much memory a model takes in llama.cpp, and on which device."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from registry.hardware.arena import lay_out, touched
from registry.hardware.asked import CACHE_TYPES, EXACT_TYPES
from registry.hardware.graph import Attention, Batch, Graph
from registry.hardware.need import DeviceEstimate
from registry.hardware.shape import INPUT, OUTPUT, Layer, Shape, Span

_PAD = 256  # the context, and the part of it that is looked at, are multiples of this

# What the library takes for itself, fitted to six files of other shapes than those that benchmarks/memory.py measures.
_BASE_BYTES = 9_700_000  # its code, threads, and the nodes of graphs
_BYTES_OF_TOKEN = 163
_BYTES_OF_MERGE = 143
_BYTES_OF_CELL = 60
_BYTES_OF_TENSOR = 3000
_MOST_TEXTS = 256  # sequences of a batch that an embedder sets aside outputs for
_GPU_CONTEXT_BYTES = 350 * 2**20  # CUDA's own: code of the kernels and its heap


@dataclass(frozen=True)
class Run:
    """How a model is run.

    Attributes:
        context_length: Tokens of context, of all sequences together.
        batch_size: Tokens of a prompt that are evaluated at once.
        parallel: Sequences that are kept apart.
        fill: Tokens that the context holds.
        key_type: Type of the keys in the cache, such as `f16`.
        value_type: Type of the values.
        flash: Flash attention.
        full_window_cache: Whether windowed layers keep the whole context, llama.cpp's default.
        use_mmap: Whether the file is mapped, not read.
        largest_graph: Most tokens of one graph, llama.cpp's `n_ubatch`.
        embeds: Whether embeddings are asked for: then every token of a batch is an output.
    """

    context_length: int
    batch_size: int
    parallel: int
    fill: int
    key_type: str
    value_type: str
    flash: bool
    full_window_cache: bool
    use_mmap: bool = True
    largest_graph: int = 512
    embeds: bool = False

    @property
    def cells(self) -> int:
        """Tokens that there is room for."""
        each = _padded(-(-self.context_length // self.parallel))
        return each * self.parallel

    @property
    def physical_batch(self) -> int:
        """Most tokens of one graph."""
        return min(self.batch_size, self.context_length, self.largest_graph)

    def window_cells(self, shape: Shape) -> int:
        """Tokens that there is room for in windowed layers."""
        if self.full_window_cache:
            return self.cells
        each = self.cells // self.parallel
        return _padded(min(each, shape.window + self.physical_batch)) * self.parallel


class Footprint(NamedTuple):
    """What a run takes."""

    devices: tuple[DeviceEstimate, ...]
    reserved_bytes: int
    droppable_bytes: int


class _Buffers(NamedTuple):
    """The compute buffer.

    Attributes:
        size: Its size.
        size_without_logits: The same on a device that does not compute the output.
        inputs: What of it are inputs.
        touched: What of it gets written.
        work: Work space beside it.
    """

    size: int
    size_without_logits: int
    inputs: int
    touched: int
    work: int


def cache_bytes(layer: Layer, cells: int, run: Run) -> int:
    """Give the bytes of the keys and values of a layer. All of it gets written, because llama.cpp clears it."""
    if not layer.cached:
        return 0
    total = 0
    for kind, components in ((run.key_type, layer.key_dim), (run.value_type, layer.value_dim)):
        items, size = CACHE_TYPES[kind]
        total += cells * layer.kv_heads * components * size // items
    return total


def footprint(shape: Shape, run: Run, gpu_layers: int = 0, gpus: Sequence[tuple[int, int]] = ()) -> Footprint:
    """Say what a model takes.

    Args:
        shape: The model.
        run: How it is run.
        gpu_layers: Layers on GPUs, counted from the last; the output layer is one of them, the first to go there.
        gpus: Index and free memory of each GPU: llama.cpp gives each as large a part of the layers.
    """
    placed = _placed(shape, gpu_layers, gpus)
    buffers = _buffers(shape, run)
    parts = [_gpu(shape, run, placed, index, buffers) for index in dict.fromkeys(placed) if index is not None]
    parts.insert(0, _cpu(shape, run, placed, buffers))
    reserved = _reserved_by_bindings(shape, run) + (buffers.size - buffers.touched if placed[0] is None else 0)
    peak = max(parts[0].total_bytes, *_mapped_peaks(shape, placed, parts[0])) if run.use_mmap else parts[0].total_bytes
    return Footprint(tuple(parts), reserved, peak - parts[0].total_bytes)


def _mapped_peaks(shape: Shape, placed: Sequence[int | None], cpu: DeviceEstimate) -> tuple[int, int]:
    """Give the resident memory while the weights are loaded, and after it.

    The whole file is mapped, and weights are copied out of it, to a GPU or into another order. Afterwards the ends of
    the file are unmapped, up to the first and from the last tensor that is used where it lies.
    """
    copies = 0
    kept: list[Span] = []
    for span in shape.spans:
        on_cpu = span.layer == INPUT or placed[-1 if span.layer == OUTPUT else min(span.layer, len(placed) - 2)] is None
        copies += (span.end - span.begin) * (on_cpu and span.copied)
        if on_cpu and not span.copied:
            kept.append(span)
    mapped = max((span.end for span in kept), default=0) - min((span.begin for span in kept), default=0)
    loading = sum(span.end - span.begin for span in shape.spans) + copies + cpu.overhead_bytes
    return loading, cpu.total_bytes - cpu.weights_bytes + copies + mapped


def _placed(shape: Shape, gpu_layers: int, gpus: Sequence[tuple[int, int]]) -> list[int | None]:
    """Give the GPU of each layer, and last of the output layer; `None` for those on the processor."""
    count = len(shape.layers) + 1
    offloaded = min(gpu_layers, count) if gpus else 0
    places: list[int | None] = [None] * (count - offloaded)
    free = [max(size, 1) for _, size in gpus]
    ends = [part / sum(free) for part in accumulate(free)]
    for position in range(offloaded):
        part = bisect_right(ends, position / offloaded)
        places.append(gpus[min(part, len(gpus) - 1)][0])
    return places


def _cpu(shape: Shape, run: Run, placed: Sequence[int | None], buffers: _Buffers) -> DeviceEstimate:
    weights = shape.input_bytes + (shape.output_bytes if placed[-1] is None else 0)
    outputs = max(min(run.fill, run.physical_batch), _MOST_TEXTS) if run.embeds else run.parallel
    row = shape.vocabulary.tokens + (shape.hidden_dim if run.embeds else 0)
    return DeviceEstimate.of(
        "cpu",
        weights=weights + _of(shape, placed, None, lambda layer: layer.weights_bytes),
        kv_cache=_of(shape, placed, None, lambda layer: cache_bytes(layer, _cells(layer, shape, run), run)),
        compute=4 * row * outputs + (buffers.inputs if placed[0] is not None else buffers.touched + buffers.work),
        overhead=overhead_bytes(shape, run),
    )


def _gpu(shape: Shape, run: Run, placed: Sequence[int | None], index: int | None, buffers: _Buffers) -> DeviceEstimate:
    """Say what a GPU takes: there no memory is set aside without being taken."""
    output = shape.input_bytes if shape.tied else shape.output_bytes
    return DeviceEstimate.of(
        f"gpu:{index}",
        weights=_of(shape, placed, index, lambda layer: layer.weights_bytes) + (output if placed[-1] == index else 0),
        kv_cache=_of(shape, placed, index, lambda layer: cache_bytes(layer, _cells(layer, shape, run), run)),
        compute=buffers.size if placed[-1] == index else buffers.size_without_logits,
        overhead=_GPU_CONTEXT_BYTES,
    )


def _of(shape: Shape, placed: Sequence[int | None], place: int | None, size: Callable[[Layer], int]) -> int:
    """Add up the layers of one place."""
    return sum(size(layer) for layer, where in zip(shape.layers, placed, strict=False) if where == place)


def overhead_bytes(shape: Shape, run: Run) -> int:
    """Give what the library takes for the vocabulary, the cells of the cache and the nodes of its graphs."""
    vocabulary = shape.vocabulary
    return (
        _BASE_BYTES
        + _BYTES_OF_TOKEN * vocabulary.tokens
        + _BYTES_OF_MERGE * vocabulary.merges
        + _BYTES_OF_CELL * run.cells
        + _BYTES_OF_TENSOR * shape.tensors
    )


def _reserved_by_bindings(shape: Shape, run: Run) -> int:
    """Give what llama-cpp-python sets aside and leaves alone: logits and sequence ids of each token of a batch."""
    batch = min(run.batch_size, run.context_length)
    return 4 * batch * (shape.vocabulary.tokens + run.context_length)


def _cells(layer: Layer, shape: Shape, run: Run) -> int:
    return run.window_cells(shape) if layer.windowed else run.cells


def _buffers(shape: Shape, run: Run) -> _Buffers:
    attention = Attention(
        run.flash,
        key_rotation=_rotation(run.key_type, [layer.key_dim for layer in shape.layers]),
        value_rotation=min(64, _rotation(run.value_type, [layer.value_dim for layer in shape.layers])),
    )
    tokens = run.physical_batch
    cells, window_cells = run.cells // run.parallel, run.window_cells(shape) // run.parallel
    if shape.is_encoder:  # all tokens of a batch look at each other
        cells = window_cells = tokens
    outputs = min(tokens, run.fill) if run.embeds else 1
    batch = Batch(tokens, cells, window_cells, tokens)
    largest = Graph(shape, batch, attention)
    size = lay_out(largest.results)
    size_without_logits = lay_out(Graph(shape, batch, attention, logits=False).results)
    sizes, converted = [0] * len(largest.results), 0
    for tokens_now, held in _batches(run):
        keys = tokens_now if shape.is_encoder else _padded(held)
        batch = Batch(tokens_now, min(keys, cells), min(keys, window_cells), min(outputs, tokens_now))
        graph = Graph(shape, batch, attention)
        sizes = [max(pair) for pair in zip(sizes, graph.sizes, strict=True)]
        converted = max(converted, graph.converted, shape.converted_dim * tokens_now)
    return _Buffers(size, size_without_logits, largest.inputs_size, touched(largest.results, sizes), converted)


def _batches(run: Run) -> list[tuple[int, int]]:
    """Give the batches that take most while the context is filled: the last full one, and the rest."""
    size = run.physical_batch
    full, rest = divmod(max(1, run.fill), size)
    batches = [(size, full * size)] if full else []
    return [*batches, (rest, run.fill)] if rest else batches


def _rotation(kind: str, dims: list[int]) -> int:
    """Give the size of the matrix that a cache of this type is rotated by; 0 for none.

    Quantized ones are, where all heads have one size and that is a multiple of 64: by the largest such power of 2.
    """
    if kind in EXACT_TYPES or len(set(dims)) != 1 or not dims[0] or dims[0] % 64:
        return 0
    return dims[0] & -dims[0]


def _padded(count: int) -> int:
    return -(-count // _PAD) * _PAD
