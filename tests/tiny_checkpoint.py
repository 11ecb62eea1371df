"""Tiny checkpoints for transformers: a llama that says what it is told to, or random words, with its tokenizer.

The weights are those of `tiny_llama`, by the names of transformers. A token of the script may be any text.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiny_bert import WORDS
from tiny_gguf import CHATML, CONTROL_TOKENS
from tiny_llama import HEAD_DIM, ROPE_BASE, babbling, check_script, cut, scripted

if TYPE_CHECKING:
    import numpy as np

    Tensors = dict[str, np.ndarray]

__all__ = ["checkpoint"]

_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_ROOT = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
END = "<|im_end|>"


def checkpoint(
    folder: Path,
    *,
    script: str | Sequence[str] | None = None,
    repeat: bool = False,
    template: str | None = CHATML,
    context_length: int = 512,
    special: Sequence[str] = CONTROL_TOKENS,
    unspecial: Sequence[str] = ("<think>", "</think>"),
    sampling: Mapping[str, Any] | None = None,
    dtype: str = "float32",
    seed: int = 0,
) -> Path:
    """Write a checkpoint of about 1 MB as its publisher would.

    Args:
        folder: Folder to write; made where it is missing.
        script: What the model answers to every prompt, a token an item; a text is cut at words. The token that ends an
            answer follows. `None`: words without end, which depend on the prompt.
        repeat: Say the script for ever.
        template: Chat template; `None` leaves it out.
        context_length: Tokens that it says it can hold.
        special: Special tokens, beside `<s>` and `</s>`.
        unspecial: Added tokens that are not special.
        sampling: What `generation_config.json` says of sampling.
        dtype: Type that the weights are stored in.
        seed: Of the weights where there is no script.
    """
    pieces = cut(script) if isinstance(script, str) else list(script or ())
    pieces += [END] if script is not None and not repeat else []
    folder.mkdir(parents=True, exist_ok=True)
    ids = _write_tokenizer(folder, pieces, special, unspecial, template)
    if script is None:
        words = [ids[word] for word in (f" {word}" for word in WORDS)]
        model = babbling(words, len(ids), hidden=64, ffn=128, layers=2, seed=seed)
    else:
        check_script(pieces, repeat=repeat)
        model = scripted([ids[piece] for piece in pieces], len(ids), hidden=64, layers=2, repeat=repeat)
    _write_config(folder, model.tensors, len(ids), context_length, dtype)
    ends = [ids[END], ids["<|endoftext|>"]]
    _write_json(folder / "generation_config.json", {"eos_token_id": ends, "do_sample": True} | dict(sampling or {}))
    _write_weights(folder / "model.safetensors", model.tensors, dtype)
    return folder


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _write_tokenizer(
    folder: Path, script: Sequence[str], special: Sequence[str], unspecial: Sequence[str], template: str | None
) -> dict[str, int]:
    """Write a tokenizer of bytes, in which the script's pieces and ` word`s are tokens of their own."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    spelled = {piece: _spelled(piece) for piece in (*(f" {word}" for word in WORDS), *script)}
    named = {"<s>", "</s>", *special, *unspecial}
    added = {text: spelled[text] for text in spelled if text not in named and text not in alphabet}
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys((*alphabet, *added.values())))}
    merges = []
    for token in added.values():  # what a tokenizer needs to merge its way there
        for left, right in pairwise(token[: end + 1] for end in range(len(token))):
            vocabulary.setdefault(right, len(vocabulary))
            if (left, right[-1]) not in merges:
                merges.append((left, right[-1]))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ("<s>", "</s>", *special)])
    tokenizer.add_tokens([AddedToken(text) for text in unspecial])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": END}
    _write_json(folder / "tokenizer_config.json", config)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, "utf-8")
    ids = tokenizer.get_vocab()
    return ids | {text: ids[token] for text, token in spelled.items() if token in ids}


def _spelled(piece: str) -> str:
    """Spell a text as GPT-2 spells bytes."""
    from tokenizers import pre_tokenizers

    return "".join(part for part, _ in pre_tokenizers.ByteLevel(False, use_regex=False).pre_tokenize_str(piece))


def _write_config(folder: Path, tensors: "Tensors", vocab_size: int, context_length: int, dtype: str) -> None:
    ffn, hidden = tensors["blk.0.ffn_up.weight"].shape
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab_size,
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": 2,
        "num_attention_heads": hidden // HEAD_DIM,
        "num_key_value_heads": hidden // HEAD_DIM,
        "head_dim": HEAD_DIM,
        "max_position_embeddings": context_length,
        "rope_theta": ROPE_BASE,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "dtype": dtype,
    }
    _write_json(folder / "config.json", config)


def _write_weights(path: Path, tensors: "Tensors", dtype: str) -> None:
    import torch
    from safetensors.torch import save_file

    named = {_name(name): torch.from_numpy(_turned(name, tensor)) for name, tensor in tensors.items()}
    stored = {name: tensor.to(getattr(torch, dtype)).contiguous() for name, tensor in named.items()}
    save_file(stored, path, metadata={"format": "pt"})


def _name(name: str) -> str:
    """Translate a name of GGUF."""
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_NAMES[parts[2]]}.weight"
    return f"{_ROOT[parts[0]]}.weight"


def _turned(name: str, tensor: "np.ndarray") -> "np.ndarray":
    """Sort the rows of query and key: llama.cpp turns neighbours by an angle, transformers halves of a head."""
    if not name.endswith(("attn_q.weight", "attn_k.weight")):
        return tensor
    rows, columns = tensor.shape
    heads = tensor.reshape(rows // HEAD_DIM, HEAD_DIM // 2, 2, columns)
    return heads.swapaxes(1, 2).reshape(rows, columns)
