"""The numbers of a model in llama.cpp that its memory depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

INPUT, OUTPUT = -1, -2  # in place of the number of a layer: what comes before the layers, and after them


class Span(NamedTuple):
    """Where in the file a tensor lies.

    Attributes:
        layer: Its layer, `INPUT` or `OUTPUT`.
        begin: First byte, counted from the first tensor's.
        end: The byte after the last.
        copied: Whether this machine's llama.cpp copies it into another order.
    """

    layer: int
    begin: int
    end: int
    copied: bool


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        heads: Attention heads.
        kv_heads: Key-value heads.
        key_dim: Components of a key of one head.
        value_dim: Components of a value of one head; 0 where values lie within the keys (multi-head latent attention).
        ffn_dim: Size of the feed-forward layer, of one expert where there are experts.
        windowed: True where it attends to the last tokens only.
        cached: True where it keeps keys and values of its own.
        weights_bytes: Its weights.
    """

    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    ffn_dim: int
    windowed: bool = False
    cached: bool = True
    weights_bytes: int = 0


@dataclass(frozen=True)
class Vocabulary:
    """What is kept of the tokenizer.

    Attributes:
        tokens: Tokens.
        merges: Rules by which pieces are merged; 0 for vocabularies that have none.
    """

    tokens: int
    merges: int = 0


@dataclass(frozen=True)
class Shape:
    """A model.

    Attributes:
        architecture: llama.cpp's name, such as `qwen2`; empty where it is not known.
        hidden_dim: Size of the hidden states in components.
        layers: The layers.
        vocabulary: The tokenizer.
        window: Tokens that windowed layers attend to.
        experts: Experts of a layer; 0 for none.
        experts_used: Experts that compute for one token.
        gated: Whether a gate goes with the feed-forward layer; `False` where both are one matrix, or there is none.
        fused_qkv: Whether query, key and value are one matrix.
        input_bytes: Weights before the first layer: the embeddings of tokens.
        output_bytes: Weights after the last layer.
        tied: Whether the embeddings are the output layer too. They lie in main memory and, where that computes the
            output, once more on a GPU.
        converted_dim: Bytes that the inputs of one token take when the largest matrix is multiplied with them.
        is_encoder: True where all tokens of a text attend to each other, and no keys and values are kept.
        tensors: Number of tensors.
        spans: Where they lie in the file; empty where there is no file.
    """

    architecture: str
    hidden_dim: int
    layers: tuple[Layer, ...]
    vocabulary: Vocabulary
    window: int = 0
    experts: int = 0
    experts_used: int = 0
    gated: bool = True
    fused_qkv: bool = False
    input_bytes: int = 0
    output_bytes: int = 0
    tied: bool = False
    converted_dim: int = 0
    is_encoder: bool = False
    tensors: int = 0
    spans: tuple[Span, ...] = ()

    @cached_property
    def few_layers(self) -> tuple[Layer, ...]:
        """As many of the last layers as are needed to see how results follow each other.

        Where layers repeat, so do the places of their results, after one repetition or two. Leaving out an even number
        of them moves nothing.
        """
        kinds = [replace(layer, weights_bytes=0) for layer in self.layers]
        count = len(kinds)
        period = next((size for size in range(1, count) if kinds[size:] == kinds[:-size]), count)
        return self.layers[max(0, (count - 2 * period - 1) // (2 * period)) * 2 * period :]

    @property
    def weights_bytes(self) -> int:
        """All weights, each once."""
        return self.input_bytes + sum(layer.weights_bytes for layer in self.layers) + self.output_bytes
