"""What llama.cpp computes for one batch: the intermediate results in their order, with their sizes.

Follows `llm_graph_context` in llama-graph.cpp and the models' own files. Only sizes and life spans matter here, so
norms, biases and scalings, which are written over what they read, are one with that.
"""

from __future__ import annotations

from dataclasses import dataclass

from registry.hardware.arena import Result
from registry.hardware.shape import Layer, Shape

_FLOAT, _HALF, _INT, _LONG = 4, 2, 4, 8


@dataclass(frozen=True)
class Batch:
    """A physical batch.

    Attributes:
        tokens: Tokens in it.
        keys: Tokens that layers with full attention look at.
        window_keys: The same for windowed layers.
        outputs: Tokens that logits are asked for.
    """

    tokens: int
    keys: int
    window_keys: int
    outputs: int


@dataclass(frozen=True)
class Attention:
    """How attention is computed.

    Attributes:
        flash: Flash attention: without the matrix of all scores.
        key_rotation: Size of the matrix that keys are rotated by before they are stored, where their cache is
            quantized; 0 for none.
        value_rotation: The same for values.
    """

    flash: bool = False
    key_rotation: int = 0
    value_rotation: int = 0


class Graph:
    """The results of one batch.

    Attributes:
        results: All of them, inputs first, then in the order in which they are computed.
        converted: Most bytes that the second factor of a product takes in the type of the first, unless it is a weight.
    """

    def __init__(self, shape: Shape, batch: Batch, attention: Attention, *, logits: bool = True) -> None:
        self.results: list[Result] = []
        self.converted = 0
        self._shape, self._batch, self._attention = shape, batch, attention
        self._logits = logits and not shape.is_encoder
        self._masks: dict[bool, Result] = {}
        self._indexes: dict[bool, tuple[Result, ...]] = {}
        self._rotations: dict[bool, tuple[Result | None, Result | None]] = {}
        self._build()

    @property
    def inputs_size(self) -> int:
        """Bytes of the inputs that are written, and of the stream that goes into the first layer."""
        stream = _FLOAT * self._shape.hidden_dim * self._batch.tokens
        return stream + sum(result.size for result in self.results if result.is_input and result.written)

    @property
    def sizes(self) -> list[int]:
        """Bytes of each result."""
        return [result.size for result in self.results]

    def _build(self) -> None:
        shape, batch = self._shape, self._batch
        stream_size = _FLOAT * shape.hidden_dim * batch.tokens
        tokens = self._input(_INT * batch.tokens)
        self._input(stream_size, written=False)  # for embeddings in place of tokens; set aside in any case
        first, *others = dict.fromkeys(layer.windowed for layer in shape.few_layers)
        keys = self._rotation(self._attention.key_rotation)
        positions = self._input(_INT * batch.tokens)
        self._inputs_of(first, keys)
        for kind in others:
            self._inputs_of(kind, self._rotation(self._attention.key_rotation))
        chosen = self._input(_INT * batch.outputs)
        stream = self._result(stream_size, tokens)
        for layer in shape.few_layers:
            last = layer is shape.few_layers[-1]
            stream = self._layer(layer, stream, positions, chosen if last and not shape.is_encoder else None)
        normed = self._result(stream.size, stream, in_place=True, kept=True)
        if self._logits:
            self._result(_FLOAT * shape.vocabulary.tokens * batch.outputs, normed, kept=True)

    def _result(self, size: int, *sources: Result, in_place: bool = False, kept: bool = False) -> Result:
        result = Result(size, sources, in_place=in_place, kept=kept)
        self.results.append(result)
        return result

    def _input(self, size: int, *, written: bool = True) -> Result:
        result = Result(size, is_input=True, written=written)
        self.results.append(result)
        return result

    def _rotation(self, size: int) -> Result | None:
        return self._input(_FLOAT * size * size) if size else None

    def _inputs_of(self, windowed: bool, key_rotation: Result | None) -> None:
        """Make what all layers of a kind read."""
        self._rotations[windowed] = (key_rotation, self._rotation(self._attention.value_rotation))
        self._indexes[windowed] = self._cache_indexes()
        self._masks[windowed] = self._mask(windowed=windowed)

    def _cache_indexes(self) -> tuple[Result, ...]:
        """Where in the cache keys go, and values: these component by component unless attention is flash."""
        if self._shape.is_encoder:
            return ()
        components = max(layer.kv_heads * layer.value_dim for layer in self._shape.layers)
        tokens = self._batch.tokens
        return self._input(_LONG * tokens), self._input(_LONG * tokens * (1 if self._attention.flash else components))

    def _mask(self, *, windowed: bool) -> Result:
        keys = self._batch.window_keys if windowed else self._batch.keys
        return self._input((_HALF if self._attention.flash else _FLOAT) * keys * self._batch.tokens)

    def _layer(self, layer: Layer, stream: Result, positions: Result, chosen: Result | None) -> Result:
        """Give the stream after a layer. In the last one all but the chosen tokens are left out after attention."""
        attended = self._attend(layer, stream, positions)
        if chosen is not None:
            size = _FLOAT * self._shape.hidden_dim * self._batch.outputs
            attended = self._result(size, attended, chosen)
            stream = self._result(size, stream, chosen)
        stream = self._result(stream.size, attended, stream, in_place=True)
        tokens = self._batch.tokens if chosen is None else self._batch.outputs
        return self._feed_forward(layer, stream, tokens)

    def _attend(self, layer: Layer, stream: Result, positions: Result) -> Result:
        tokens, flash = self._batch.tokens, self._attention.flash
        normed = self._result(stream.size, stream)
        query, value, key = self._query_value_key(layer, normed, positions)
        out = _FLOAT * layer.heads * (layer.value_dim or layer.key_dim) * tokens
        if self._shape.is_encoder:
            sources: tuple[Result, ...] = (query, key, value)
        else:
            where = self._indexes[layer.windowed]
            self._result(0, key, where[0])  # into the cache
            self._result(0, value, where[1])
            sources = (query,)
        mixed = self._flash(layer, sources, out) if flash else self._scores(layer, sources, out)
        mixed = self._rotated(mixed, self._rotations[layer.windowed][1])
        return self._result(stream.size, mixed)

    def _query_value_key(self, layer: Layer, normed: Result, positions: Result) -> tuple[Result, Result, Result]:
        """Give the three. Turning one by its position makes a copy: it is seen as heads, and views are not reused."""
        unit = _FLOAT * self._batch.tokens
        query_size, key_size = unit * layer.heads * layer.key_dim, unit * layer.kv_heads * layer.key_dim
        value_size = unit * layer.kv_heads * (layer.value_dim or layer.key_dim)
        turn_key, turn_value = self._rotations[layer.windowed]
        fused = self._result(query_size + value_size + key_size, normed) if self._shape.fused_qkv else None
        query = self._result(query_size, fused or self._result(query_size, normed), positions)
        query = self._rotated(query, turn_key)
        value = fused or self._result(value_size, normed)
        value = self._rotated(value, turn_value)
        key = self._result(key_size, fused or self._result(key_size, normed), positions)
        return query, value, self._rotated(key, turn_key)

    def _rotated(self, result: Result, rotation: Result | None) -> Result:
        return self._result(result.size, rotation, result) if rotation else result

    def _flash(self, layer: Layer, sources: tuple[Result, ...], out: int) -> Result:
        if self._shape.is_encoder:
            query, *others = sources
            sources = (query, *(self._result(other.size // 2, other) for other in others))
        return self._result(out, *sources, self._masks[layer.windowed])

    def _scores(self, layer: Layer, sources: tuple[Result, ...], out: int) -> Result:
        keys = self._batch.window_keys if layer.windowed else self._batch.keys
        size = _FLOAT * keys * self._batch.tokens * layer.heads
        self.converted = max(self.converted, 0 if self._shape.is_encoder else size // 2, out // 2)
        scores = self._result(size, *sources[:2])
        scores = self._result(size, scores, self._masks[layer.windowed], in_place=True)
        values = tuple(self._result(value.size, value) for value in sources[2:])  # turned round, in encoders
        mixed = self._result(out, *values, scores)
        return self._result(out, mixed)

    def _feed_forward(self, layer: Layer, stream: Result, tokens: int) -> Result:
        normed = self._result(stream.size, stream)
        if self._shape.experts:
            return self._experts(layer, stream, normed, tokens)
        size = _FLOAT * layer.ffn_dim * tokens
        if self._shape.gated:
            wide = self._result(size, self._result(size, normed), self._result(size, normed))
        else:
            wide = self._result(size, self._result(size, normed), in_place=True)
        narrow = self._result(stream.size, wide)
        return self._result(stream.size, narrow, stream, in_place=True)

    def _experts(self, layer: Layer, stream: Result, normed: Result, tokens: int) -> Result:
        used = self._shape.experts_used
        scores = self._result(_FLOAT * self._shape.experts * tokens, normed)
        order = self._result(scores.size, scores)
        shares = self._result(_FLOAT * used * tokens, scores, order)
        size = _FLOAT * layer.ffn_dim * used * tokens
        up = self._result(size, normed, order)
        wide = self._result(size, self._result(size, normed, order), up)
        each = self._result(used * stream.size, wide, order)
        each = self._result(each.size, each, shares, in_place=True)
        total = self._result(stream.size, each)
        for _ in range(2, used):
            total = self._result(stream.size, total, each, in_place=True)
        return self._result(stream.size, total, stream, in_place=True)
