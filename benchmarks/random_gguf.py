"""GGUF files of any size with random weights, written a tensor at a time. llama.cpp runs them; they say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gguf
    import numpy as np


@dataclass(frozen=True)
class Decoder:
    """Sizes of a decoder, under the names of its record.

    Attributes:
        architecture: `llama`, `qwen2` (grouped-query attention, biases) or `gemma3` (five layers of six windowed).
        quantization: Type of the matrices, of `F32`, `F16`, `Q8_0`, `Q4_0`.
        tied: Whether the embeddings are the output layer too.
    """

    name: str
    architecture: str
    layers: int
    hidden_dim: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn_dim: int
    vocab_size: int
    quantization: str = "Q8_0"
    sliding_window: int = 0
    tied: bool = False
    merges: int = 0
    experts: int = 0
    experts_used: int = 0

    @property
    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes, (outputs, inputs), in the order of the file."""
        yield "token_embd.weight", (self.vocab_size, self.hidden_dim)
        for layer in range(self.layers):
            for name, shape in self._block.items():
                yield f"blk.{layer}.{name}", shape
        yield "output_norm.weight", (self.hidden_dim,)
        if not self.tied:
            yield "output.weight", (self.vocab_size, self.hidden_dim)

    @property
    def _block(self) -> dict[str, tuple[int, ...]]:
        hidden, query, key = self.hidden_dim, self.heads * self.head_dim, self.kv_heads * self.head_dim
        block: dict[str, tuple[int, ...]] = {
            "attn_norm.weight": (hidden,),
            "attn_q.weight": (query, hidden),
            "attn_k.weight": (key, hidden),
            "attn_v.weight": (key, hidden),
            "attn_output.weight": (hidden, query),
            "ffn_norm.weight": (hidden,),
        }
        experts = (self.experts,) if self.experts else ()
        suffix = "_exps" if self.experts else ""
        if experts:
            block["ffn_gate_inp.weight"] = (self.experts, hidden)
        block |= {f"ffn_{part}{suffix}.weight": (*experts, self.ffn_dim, hidden) for part in ("gate", "up")}
        block[f"ffn_down{suffix}.weight"] = (*experts, hidden, self.ffn_dim)
        if self.architecture == "qwen2":
            block |= {"attn_q.bias": (query,), "attn_k.bias": (key,), "attn_v.bias": (key,)}
        if self.architecture == "gemma3":
            block |= {"attn_q_norm.weight": (self.head_dim,), "attn_k_norm.weight": (self.head_dim,)}
            block |= {"post_attention_norm.weight": (hidden,), "post_ffw_norm.weight": (hidden,)}
        return block


def write(path: Path, decoder: Decoder, *, context_length: int = 131_072, seed: int = 0) -> Path:
    """Write a file; its folder is made."""
    import gguf
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, decoder.architecture)
    _write_numbers(writer, decoder, context_length)
    _write_vocabulary(writer, decoder)
    random = np.random.default_rng(seed)
    kind = gguf.GGMLQuantizationType[decoder.quantization]
    for name, shape in decoder.tensors:
        stored = kind if len(shape) > 1 else gguf.GGMLQuantizationType.F32
        as_bytes = gguf.quant_shape_to_byte_shape(shape, stored)
        writer.add_tensor_info(name, as_bytes, np.dtype(np.uint8), int(np.prod(as_bytes)), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, shape in decoder.tensors:
        stored = kind if len(shape) > 1 else gguf.GGMLQuantizationType.F32
        writer.write_tensor_data(_weights(random, shape, stored))
    writer.close()
    return path


def _write_numbers(writer: gguf.GGUFWriter, decoder: Decoder, context_length: int) -> None:
    writer.add_name(decoder.name)
    writer.add_context_length(context_length)
    writer.add_embedding_length(decoder.hidden_dim)
    writer.add_block_count(decoder.layers)
    writer.add_feed_forward_length(decoder.ffn_dim)
    writer.add_head_count(decoder.heads)
    writer.add_head_count_kv(decoder.kv_heads)
    writer.add_key_length(decoder.head_dim)
    writer.add_value_length(decoder.head_dim)
    writer.add_rope_dimension_count(decoder.head_dim)
    writer.add_layer_norm_rms_eps(1e-6)
    if decoder.sliding_window:
        writer.add_sliding_window(decoder.sliding_window)
    if decoder.experts:
        writer.add_expert_count(decoder.experts)
        writer.add_expert_used_count(decoder.experts_used)


def _write_vocabulary(writer: gguf.GGUFWriter, decoder: Decoder) -> None:
    """Write words nobody says: a vocabulary without rules of merging as Llama 2 has it, else one as GPT-2 has it."""
    from gguf import TokenType

    special = ["<unk>", "<s>", "</s>"]
    if decoder.merges:
        tokens = [*special, *_byte_letters()]
        types = [TokenType.CONTROL] * 3 + [TokenType.NORMAL] * 256
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
    else:
        tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
        types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL] + [TokenType.BYTE] * 256
        writer.add_tokenizer_model("llama")
        writer.add_token_scores([float(-place) for place in range(decoder.vocab_size)])
    tokens += [f"w{place:x}" for place in range(decoder.vocab_size - len(tokens))]
    writer.add_token_list(tokens)
    writer.add_token_types([int(kind) for kind in types + [TokenType.NORMAL] * (decoder.vocab_size - len(types))])
    if decoder.merges:
        words = tokens[259:]
        writer.add_token_merges([f"{words[i % len(words)]} w{i:x}" for i in range(decoder.merges)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _byte_letters() -> list[str]:
    """Give GPT-2's letter for each byte: itself where it prints, else one from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(others))]


def _weights(
    random: np.random.Generator, shape: tuple[int, ...], stored: gguf.GGMLQuantizationType
) -> np.ndarray[Any, Any]:
    """Draw a few rows and repeat them: the bytes of a tensor say nothing about its memory."""
    import gguf
    import numpy as np

    if len(shape) == 1:
        return np.ones(shape, np.float32)
    rows = int(np.prod(shape[:-1]))
    drawn = random.standard_normal((min(rows, 64), shape[-1]), np.float32) * shape[-1] ** -0.5
    return np.resize(gguf.quantize(drawn, stored), (rows, gguf.quantize(drawn[:1], stored).shape[-1]))
