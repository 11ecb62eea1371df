"""From a GGUF header, or from a record, to the numbers that memory depends on."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from registry.errors import ModelLoadError
from registry.hardware.gguf_header import GgufHeader, Strings, Tensor, block_size
from registry.hardware.shape import INPUT, OUTPUT, Layer, Shape, Span, Vocabulary
from registry.hardware.windows import windows

if TYPE_CHECKING:
    from registry.records import ChatModel

# Keys that tell of layers with another kind of memory: state-space models, linear attention, indexers.
_OTHER_MEMORY = (
    "ssm.state_size",
    "wkv.head_size",
    "shortconv.l_cache",
    "kda.head_dim",
    "linear_attention.head_dim",
    "attention.indexer.head_count",
)
_ENCODERS = re.compile(r".*bert.*|t5encoder|gemma-embedding")
_MOST_LAYERS = 2048
_BLOCK = re.compile(r"blk\.(\d+)\.")
# Types that llama.cpp's processor code copies into an order of its own, by what the processor can do, and the rows
# that a matrix must have a multiple of. From `ggml_repack_get_optimal_repack_type` in ggml-cpu/repack.cpp.
_REPACKED = {
    "AVX2": {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8},
    "AVX512": {"Q2_K": 8},
    "DOTPROD": {"Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "IQ4_NL": 4, "MXFP4": 4, "Q8_0": 4},
}
# What the inputs of a matrix are turned into before they are multiplied with it, by the matrix's type.
_INPUT_TYPES = {"F32": "F32", "F16": "F16", "BF16": "BF16", "Q4_1": "Q8_1", "Q5_1": "Q8_1", "Q4_0": "Q8_0"}
_INPUT_TYPES |= dict.fromkeys(("Q5_0", "Q8_0", "IQ4_NL", "MXFP4"), "Q8_0")


def missing_in(model: ChatModel) -> tuple[str, ...]:
    """Give the attributes of a record that an estimate needs and that nobody has published."""
    needed = ("layers", "heads", "kv_heads", "head_dim", "hidden_dim", "vocab_size")
    missing = [name for name in needed if getattr(model, name) is None]
    return (*missing, "file.size_bytes") if model.file.size_bytes is None else tuple(missing)


def shape_of_record(model: ChatModel) -> Shape:
    """Put together what a complete record says. `missing_in` tells whether it is complete.

    A record does not say how large the feed-forward layers are: 4 x `hidden_dim` stands for it.
    """
    layers, size = model.layers or 1, model.file.size_bytes or 0
    architecture = _gguf_name(model.architecture_type)
    window, windowed = windows(architecture, layers, model.sliding_window, None)
    vocabulary = Vocabulary(model.vocab_size or 0, merges=model.vocab_size or 0)
    matrix = size // (layers + 1)
    return Shape(
        architecture=architecture,
        hidden_dim=model.hidden_dim or 0,
        layers=tuple(
            Layer(
                heads=model.heads or 0,
                kv_heads=model.kv_heads or 0,
                key_dim=model.head_dim or 0,
                value_dim=model.head_dim or 0,
                ffn_dim=4 * (model.hidden_dim or 0),
                windowed=is_windowed,
                weights_bytes=matrix,
            )
            for is_windowed in windowed
        ),
        vocabulary=vocabulary,
        window=window,
        input_bytes=size - matrix * layers,
        converted_dim=8 * (model.hidden_dim or 0),
        tensors=10 * layers,
    )


def _gguf_name(architecture: str | None) -> str:
    """Translate the name in a config.json to llama.cpp's, as far as windows depend on it."""
    names = {"gpt_oss": "gpt-oss", "gemma3_text": "gemma3", "olmo3": "olmo2", "modernbert": "modern-bert"}
    stated = architecture or ""
    return names.get(stated, stated)


def other_memory(header: GgufHeader) -> tuple[str, ...]:
    """Give the keys of a header that tell of a kind of memory that is not modelled here, or of more files."""
    architecture = header.metadata.get("general.architecture")
    others = tuple(key for key in _OTHER_MEMORY if header.integer(f"{architecture}.{key}"))
    return (*others, "split.count") if (header.integer("split.count") or 1) > 1 else others


def shape_of_header(model_id: str, header: GgufHeader, features: Iterable[str] = ()) -> Shape:
    """Put together what a GGUF header says, filled up as llama.cpp does.

    Args:
        model_id: The model, for messages.
        header: The header.
        features: Instruction sets of the processor, by which weights are copied into another order.

    Raises:
        ModelLoadError: A number that every model has is not there, or cannot be.
    """
    facts = _Facts(model_id, header)
    layers = facts.count("block_count", most=_MOST_LAYERS)
    hidden = facts.count("embedding_length")
    window, windowed = windows(facts.architecture, layers, facts.integer("attention.sliding_window"), facts.pattern())
    matrices = {tensor.name: tensor for tensor in header.tensors}
    spans = _spans(header.tensors, _repacked(features))
    weights = _bytes_by_layer(spans)
    embedding, output = matrices.get("token_embd.weight"), matrices.get("output.weight")
    if embedding is None:
        raise facts.wrong("token_embd.weight", "a tensor", "none")
    is_encoder = bool(_ENCODERS.fullmatch(facts.architecture))
    return Shape(
        architecture=facts.architecture,
        hidden_dim=hidden,
        layers=facts.layers(layers, hidden, windowed, weights),
        vocabulary=_vocabulary(header, embedding),
        window=window,
        experts=facts.few("expert_count"),
        experts_used=facts.few("expert_used_count"),
        gated=any(".ffn_gate" in name for name in matrices),
        fused_qkv="blk.0.attn_qkv.weight" in matrices,
        input_bytes=weights[INPUT],
        output_bytes=weights[OUTPUT],
        tied=output is None and not is_encoder,
        converted_dim=max((_converted(tensor) for tensor in header.tensors), default=0),
        is_encoder=is_encoder,
        tensors=len(header.tensors),
        spans=spans,
    )


class _Facts:
    """The numbers of a header, under the names that its architecture puts before them."""

    def __init__(self, model_id: str, header: GgufHeader) -> None:
        self.model_id, self.header = model_id, header
        stated = header.metadata.get("general.architecture")
        if not isinstance(stated, str):
            raise self.wrong("general.architecture", "a name", stated)
        self.architecture = stated

    def wrong(self, what: str, expected: str, got: object) -> ModelLoadError:
        remedy = "The file is damaged, or no model of text."
        return ModelLoadError(self.model_id, str(self.header.path), what, expected, got, remedy)

    def integer(self, key: str) -> int | None:
        return self.header.integer(f"{self.architecture}.{key}")

    def count(self, key: str, most: int = 2**24) -> int:
        found = self.integer(key)
        if found is None or not 0 < found <= most:
            raise self.wrong(f"{self.architecture}.{key}", f"a number from 1 to {most}", found)
        return found

    def few(self, key: str, most: int = 1024) -> int:
        return min(self.integer(key) or 0, most)

    def pattern(self) -> tuple[bool, ...] | int | None:
        stated = self.header.metadata.get(f"{self.architecture}.attention.sliding_window_pattern")
        if isinstance(stated, tuple):
            return tuple(map(bool, stated))
        return stated if type(stated) is int and stated >= 0 else None

    def each(self, key: str, layers: int, default: int) -> list[int]:
        """Give a number that is stated once, or once for each layer."""
        stated = self.header.metadata.get(f"{self.architecture}.{key}")
        if isinstance(stated, tuple) and len(stated) >= layers:
            return [self._dim(key, value) for value in stated[:layers]]
        return [default if stated is None else self._dim(key, stated)] * layers

    def _dim(self, key: str, value: object) -> int:
        if type(value) is not int or not 0 <= value <= 2**24:
            raise self.wrong(f"{self.architecture}.{key}", f"a number from 0 to {2**24}", value)
        return value

    def layers(
        self,
        count: int,
        hidden: int,
        windowed: tuple[bool, ...],
        weights: Mapping[int, int],
    ) -> tuple[Layer, ...]:
        heads = self.each("attention.head_count", count, 0)
        kv_heads = self.each("attention.head_count_kv", count, -1)
        keys, values = self._head_dims(hidden, heads)
        expert_ffn = self.integer("expert_feed_forward_length")
        ffn = self.each("feed_forward_length", count, expert_ffn or 0)
        cached = 0 if _ENCODERS.fullmatch(self.architecture) else self._cached(count)
        return tuple(
            Layer(
                heads=heads[layer],
                kv_heads=heads[layer] if kv_heads[layer] < 0 else kv_heads[layer],
                key_dim=keys[windowed[layer]],
                value_dim=values[windowed[layer]],
                ffn_dim=expert_ffn or ffn[layer],
                windowed=windowed[layer],
                cached=layer < cached,
                weights_bytes=weights.get(layer, 0),
            )
            for layer in range(count)
        )

    def _head_dims(self, hidden: int, heads: list[int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Give sizes of keys and of values of one head, of layers without and with a window.

        Where a file states none, llama.cpp divides: that is what the file means then.
        """
        most = max(heads, default=0)
        divided = hidden // most if most else 0
        key = self._stated("attention.key_length", divided)
        value = self._stated("attention.value_length", divided)
        if self.integer("attention.key_length_mla"):
            value = 0  # one latent vector for both
        windowed = (self._stated("attention.key_length_swa", key), self._stated("attention.value_length_swa", value))
        return (key, windowed[0]), (value, windowed[1])

    def _stated(self, key: str, default: int) -> int:
        stated = self.integer(key)
        return default if stated is None else self._dim(key, stated)

    def _cached(self, layers: int) -> int:
        """Give the number of layers, from the first, that keep keys and values of their own."""
        if self.architecture == "gemma3n":
            return min(20, layers)
        shared = self.integer("attention.shared_kv_layers") or 0
        predicting = self.integer("nextn_predict_layers") or 0  # they draft further tokens, and are not run
        return max(0, layers - shared - predicting)


def _vocabulary(header: GgufHeader, embedding: Tensor) -> Vocabulary:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    merges = header.metadata.get("tokenizer.ggml.merges")
    stated = tokens.count if isinstance(tokens, Strings) else embedding.shape[1] if len(embedding.shape) > 1 else 0
    return Vocabulary(stated, merges.count if isinstance(merges, Strings) else 0)


def _repacked(features: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for feature in features:
        found |= _REPACKED.get(feature, {})
    return found


def _spans(tensors: Iterable[Tensor], repacked: Mapping[str, int]) -> tuple[Span, ...]:
    found = []
    for tensor in tensors:
        block = _BLOCK.match(tensor.name)
        layer = int(block[1]) if block else OUTPUT if tensor.name.startswith("output") else INPUT
        rows = repacked.get(tensor.type)
        copied = bool(rows and layer != INPUT and len(tensor.shape) > 1 and tensor.shape[1] % rows == 0)
        found.append(Span(layer, tensor.offset, tensor.offset + tensor.size_bytes, copied))
    return tuple(found)


def _bytes_by_layer(spans: Iterable[Span]) -> defaultdict[int, int]:
    weights: defaultdict[int, int] = defaultdict(int)
    for span in spans:
        weights[span.layer] += span.end - span.begin
    return weights


def _converted(tensor: Tensor) -> int:
    """Give the bytes of one token's inputs of a matrix in the type that they are multiplied in."""
    if len(tensor.shape) < 2 or not tensor.name.startswith("blk."):
        return 0
    kind = _INPUT_TYPES.get(tensor.type, "Q8_K")
    if kind == "F32":
        return 0
    items, size = block_size(kind)
    return tensor.shape[0] * size // items
