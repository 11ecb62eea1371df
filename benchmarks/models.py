"""A chat model big enough to be measured, with random weights, and the records that models made here are loaded by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.texts import COMMON, SUBJECTS

if TYPE_CHECKING:
    import numpy as np

    from registry.records import ChatModel

CONTEXT_LENGTH = 2048
CHATML = (  # with the token at the beginning, which llama-cpp-python leaves to the template
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
_CONTROL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")


class Shape(NamedTuple):
    """Sizes of a llama."""

    layers: int = 12
    hidden: int = 512
    ffn: int = 1536
    heads: int = 8
    vocabulary: int = 16_384

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors by their names in GGUF."""
        block = {
            "attn_norm": (self.hidden,),
            **dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (self.hidden, self.hidden)),
            "ffn_norm": (self.hidden,),
            **dict.fromkeys(("ffn_gate", "ffn_up"), (self.ffn, self.hidden)),
            "ffn_down": (self.hidden, self.ffn),
        }
        return {
            "token_embd.weight": (self.vocabulary, self.hidden),
            **{f"blk.{n}.{name}.weight": shape for n in range(self.layers) for name, shape in block.items()},
            "output_norm.weight": (self.hidden,),
            "output.weight": (self.vocabulary, self.hidden),
        }

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(shape[0] * (shape[1] if shape[1:] else 1) for shape in self.tensors.values())


SHAPE = Shape()


def chat_gguf(path: Path, *, seed: int = 0) -> Path:
    """Write a chat model of `SHAPE` at 8 bits that says words without end: it never ends its turn by itself."""
    import gguf

    tokens, types = _vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Benchmark")
    writer.add_context_length(CONTEXT_LENGTH)
    writer.add_embedding_length(SHAPE.hidden)
    writer.add_block_count(SHAPE.layers)
    writer.add_feed_forward_length(SHAPE.ffn)
    writer.add_head_count(SHAPE.heads)
    writer.add_head_count_kv(SHAPE.heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([token.replace(" ", "\u2581") for token in tokens])
    writer.add_token_types(types)
    writer.add_token_scores([float(-place) for place in range(len(tokens))])
    writer.add_bos_token_id(tokens.index("<s>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHATML)
    stored = gguf.GGMLQuantizationType.Q8_0
    for name, weight in _weights(tokens, seed):
        if weight.ndim == 2:
            writer.add_tensor(name, gguf.quantize(weight, stored), raw_dtype=stored)
        else:
            writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def chat_record(path: Path) -> ChatModel:
    """Describe a file of `chat_gguf`."""
    from registry.records import ChatModel, ModelFile

    about = {"name": "Benchmark", "organization": "benchmarks", "description": "Random weights."}
    return ChatModel(
        id="benchmark",
        model_type="chat",
        huggingface_id="benchmarks/benchmark",
        file=ModelFile(path.name, "gguf"),
        quantization="Q8_0",
        context_length=CONTEXT_LENGTH,
        template="chatml",
        **about,
    )


def _words() -> list[str]:
    return sorted({f" {word}" for word in (*COMMON, *(word for subject in SUBJECTS for word in subject))})


def _vocabulary() -> tuple[list[str], list[int]]:
    """Give tokens and their types: words, what a tokenizer needs to merge its way to them, and as many others."""
    from gguf import TokenType

    types: dict[str, Any] = {"<unk>": TokenType.UNKNOWN} | dict.fromkeys(_CONTROL, TokenType.CONTROL)
    types |= {f"<0x{byte:02X}>": TokenType.BYTE for byte in range(256)}
    prefixes = (word[:end] for word in _words() for end in range(1, len(word) + 1))
    types |= dict.fromkeys(prefixes, TokenType.NORMAL)
    filler = (first + second for first in _words() for second in _words())
    while len(types) < SHAPE.vocabulary:
        types.setdefault(next(filler), TokenType.NORMAL)
    return list(types), [int(kind) for kind in types.values()]


def _weights(tokens: list[str], seed: int) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Draw weights. Component 0 of the stream is constant; through it the output shuts out all but words."""
    import numpy as np

    random = np.random.default_rng(seed)
    words = set(_words())
    for name, shape in SHAPE.tensors.items():
        if "norm" in name:
            yield name, np.ones(shape, np.float32)
            continue
        weight = random.standard_normal(shape, np.float32) * (1 if name.startswith("token_embd") else shape[1] ** -0.5)
        if name.endswith(("attn_output.weight", "ffn_down.weight")):
            weight[0] = 0
        elif name.startswith("token_embd"):
            weight[:, 0] = 1
        elif name.startswith("output."):
            weight[:, 0] = [0 if token in words else -1000 for token in tokens]
        yield name, weight
