"""Tiny GGUF files for llama.cpp: chat models that say what they are told to, adapters, embedding models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from tiny_bert import BERT_VOCAB, HEADS, HIDDEN, LAYERS, POSITIONS, WORDS, bert_weights, linear, pooler
from tiny_llama import HEAD_DIM, ROPE_BASE, Model, babbling, check_script, cut, scripted

if TYPE_CHECKING:
    import gguf
    import numpy as np

    Tensors = dict[str, np.ndarray]

CHATML = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
CONTROL_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|endoftext|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<start_of_turn>",
    "<end_of_turn>",
)
USER_DEFINED_TOKENS = ("<think>", "</think>")
_EOG = frozenset({"</s>", "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "<|end|>", "<end_of_turn>"})


# Vocabularies


class _Vocab(NamedTuple):
    """Tokens as text, and how the file spells and types them."""

    ids: dict[str, int]
    spelled: list[str]
    types: list[int]
    merges: list[str]


def _words_and_prefixes() -> list[str]:
    """Give ` the`, and what a tokenizer needs to merge its way there: ` `, ` t`, ` th`."""
    pieces = {" ": None} | {f" {word}"[: i + 1]: None for word in WORDS for i in range(1, len(word) + 1)}
    return list(pieces)


def _spm_vocab(control: Sequence[str], script: Sequence[str]) -> _Vocab:
    from gguf import TokenType

    types = {"<unk>": TokenType.UNKNOWN, "<s>": TokenType.CONTROL, "</s>": TokenType.CONTROL}
    types |= {f"<0x{byte:02X}>": TokenType.BYTE for byte in range(256)}
    types |= dict.fromkeys(control, TokenType.CONTROL) | dict.fromkeys(USER_DEFINED_TOKENS, TokenType.USER_DEFINED)
    for piece in (*_words_and_prefixes(), *script):
        types.setdefault(piece, TokenType.NORMAL)
    spelled = [piece.replace(" ", "\u2581") for piece in types]
    return _Vocab({piece: i for i, piece in enumerate(types)}, spelled, [int(t) for t in types.values()], [])


def _bpe_alphabet() -> dict[int, str]:
    """Give GPT-2's letter for each byte: itself where it prints, else one from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def _bpe_vocab(control: Sequence[str], script: Sequence[str]) -> _Vocab:
    from gguf import TokenType

    alphabet = _bpe_alphabet()

    def spell(piece: str) -> str:
        return "".join(alphabet[byte] for byte in piece.encode())

    tokens = {f"<0x{byte:02X}>": (alphabet[byte], TokenType.NORMAL) for byte in range(256)}
    pieces = [piece for piece in _words_and_prefixes() if len(piece) > 1]
    tokens |= {piece: (spell(piece), TokenType.NORMAL) for piece in pieces}
    tokens |= {text: (text, TokenType.CONTROL) for text in ("<s>", "</s>", *control)}
    tokens |= {text: (text, TokenType.USER_DEFINED) for text in USER_DEFINED_TOKENS}
    for piece in script:
        tokens.setdefault(piece, (spell(piece), TokenType.NORMAL))
    merges = [f"{spell(piece[:-1])} {spell(piece[-1])}" for piece in pieces]
    return _Vocab(
        {piece: i for i, piece in enumerate(tokens)},
        [text for text, _ in tokens.values()],
        [int(kind) for _, kind in tokens.values()],
        merges,
    )


def _as_bytes(piece: str, vocab: Literal["spm", "bpe"]) -> str:
    """Name a piece of one byte as the byte token that a BPE vocabulary has for it anyway."""
    return f"<0x{ord(piece):02X}>" if vocab == "bpe" and len(piece) == 1 and piece.isascii() else piece


def _write_vocab(writer: "gguf.GGUFWriter", vocab: _Vocab, kind: Literal["spm", "bpe"], *, pre: str) -> None:
    writer.add_tokenizer_model("llama" if kind == "spm" else "gpt2")
    writer.add_tokenizer_pre("default" if kind == "spm" else pre)
    writer.add_token_list(vocab.spelled)
    writer.add_token_types(vocab.types)
    if kind == "spm":
        writer.add_token_scores([float(-i) for i in range(len(vocab.spelled))])
    else:
        writer.add_token_merges(vocab.merges)


# Files


def _writer(path: Path, architecture: str) -> "gguf.GGUFWriter":
    import gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    return gguf.GGUFWriter(path, architecture)


def _finish(writer: "gguf.GGUFWriter", tensors: "Tensors") -> None:
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_llama_config(
    writer: "gguf.GGUFWriter", tensors: "Tensors", *, layers: int, context_length: int, head_dim: int
) -> None:
    ffn, hidden = tensors["blk.0.ffn_up.weight"].shape
    writer.add_context_length(context_length)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(hidden // head_dim)
    writer.add_head_count_kv(hidden // head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(1e-6)


def chat_gguf(
    path: Path,
    *,
    script: str | Sequence[str] | None = None,
    repeat: bool = False,
    template: str | None = CHATML,
    vocab: Literal["spm", "bpe"] = "spm",
    pre: str = "llama-bpe",
    bos: bool = True,
    space_prefix: bool = False,
    bos_token: str = "<s>",
    eos_token: str = "<|im_end|>",
    control: Sequence[str] = CONTROL_TOKENS,
    context_length: int = 512,
    layers: int = 2,
    hidden: int = 64,
    name: str = "Tiny chat",
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Path:
    """Write a chat model in float32, under 1 MB with the defaults.

    Args:
        path: File to write; its folder is made.
        script: What the model answers to every prompt. Each item of a list is one token, so one chunk of a stream:
            text of any length, a control token (which shows as nothing), or a byte as `<0xE2>`. A text is cut at
            words. The end-of-sequence token follows, unless the script ends in a token that ends generation.
            `None`: words without end, drawn by weights that depend on the prompt. No two pieces may follow
            each other twice, and the prompt must not end in the first one.
        repeat: Say the script for ever instead of ending.
        template: Jinja template to store; `None` stores none.
        vocab: `spm` as Llama 2 and Mistral have it, `bpe` as Llama 3 and Qwen. Both spell any text in bytes.
        pre: Pre-tokenizer of the BPE vocabulary, by llama.cpp's name.
        bos: Whether the file says that a prompt gets a begin-of-sequence token.
        space_prefix: Whether the SPM tokenizer puts a space before the text, as Llama 2's does.
        bos_token: Begin-of-sequence token, one of the control tokens, `<s>` or `</s>`.
        eos_token: End-of-sequence token, of the same.
        control: Control tokens, beside `<s>` and `</s>`.
        context_length: Context that the model says it was trained for.
        layers: Transformer layers; a script needs one.
        hidden: Size of the hidden states, a multiple of 32; a long script takes more.
        name: `general.name`.
        metadata: More metadata, such as `{"tokenizer.chat_template.tool_use": "..."}`.
        seed: Of the weights where there is no script.
    """
    pieces = _pieces(script, vocab, eos_token=None if repeat else eos_token)
    made = (_spm_vocab if vocab == "spm" else _bpe_vocab)(control, pieces)
    if script is None:
        words = [made.ids[f" {word}"] for word in WORDS]
        model = babbling(words, len(made.ids), hidden=hidden, ffn=2 * hidden, layers=layers, seed=seed)
    else:
        check_script(pieces, repeat=repeat)
        ids = [made.ids[piece] for piece in pieces]
        model = scripted(ids, len(made.ids), hidden=hidden, layers=layers, repeat=repeat)

    writer = _writer(path, "llama")
    writer.add_name(name)
    _write_llama_config(writer, model.tensors, layers=layers, context_length=context_length, head_dim=HEAD_DIM)
    _write_vocab(writer, made, vocab, pre=pre)
    writer.add_bos_token_id(made.ids[bos_token])
    writer.add_eos_token_id(made.ids[eos_token])
    writer.add_add_bos_token(bos)
    writer.add_add_eos_token(False)
    if vocab == "spm":
        writer.add_add_space_prefix(space_prefix)
    if template is not None:
        writer.add_chat_template(template)
    for key, value in (metadata or {}).items():
        writer.add_string(key, value)
    _write_adapter_hints(writer, model)
    _finish(writer, model.tensors)
    return path


def _pieces(script: str | Sequence[str] | None, vocab: Literal["spm", "bpe"], *, eos_token: str | None) -> list[str]:
    pieces = cut(script) if isinstance(script, str) else list(script or ())
    pieces = [_as_bytes(piece, vocab) for piece in pieces]
    if script is not None and eos_token is not None and (not pieces or pieces[-1] not in _EOG):
        pieces.append(eos_token)
    return pieces


def _write_adapter_hints(writer: "gguf.GGUFWriter", model: Model) -> None:
    writer.add_uint32("tiny.adapter.favourite", model.favourite)
    writer.add_uint32("tiny.adapter.slot", model.slot)
    writer.add_uint32("tiny.adapter.end", model.end)
    writer.add_float32("tiny.adapter.bonus", model.bonus)


def lora_gguf(path: Path, base: Path, *, architecture: str = "llama") -> Path:
    """Write a LoRA adapter of rank 2 for a file of `chat_gguf`, which changes what that says.

    With it a scripted model says only the last piece of its script (without end where the script repeats), the other
    kind one word for ever. Another `architecture` makes an adapter that llama.cpp refuses.
    """
    import gguf
    import numpy as np

    reader = gguf.GGUFReader(base)
    favourite, slot, end, bonus = (
        reader.fields[f"tiny.adapter.{key}"].contents() for key in ("favourite", "slot", "end", "bonus")
    )
    hidden, vocab_size = next(tensor.shape for tensor in reader.tensors if tensor.name == "output.weight")
    lora_a = np.zeros((2, hidden), np.float32)
    lora_b = np.zeros((vocab_size, 2), np.float32)
    lora_a[0, 0], lora_b[favourite, 0] = 1, bonus
    if slot:
        lora_a[1, slot], lora_b[end, 1] = 1, 2 * bonus

    writer = _writer(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 2.0)
    _finish(writer, {"output.weight.lora_a": lora_a, "output.weight.lora_b": lora_b})
    return path


def embedding_gguf(
    path: Path,
    *,
    dim: int = HIDDEN,
    pooling: Literal["mean", "cls", "last", "none", "rank"] = "mean",
    context_length: int = POSITIONS,
    seed: int = 0,
) -> Path:
    """Write the BERT of the other tiny encoders for llama.cpp: its vectors are those of `dense`, nearly.

    llama.cpp approximates GELU. With `pooling="rank"` it is a reranker with the head of `reranker`; the scores are
    others, because llama.cpp gives query and document the same token type.
    """
    import gguf
    import numpy as np

    writer = _writer(path, "bert")
    writer.add_name("Tiny embedding")
    writer.add_context_length(context_length)
    writer.add_embedding_length(dim)
    writer.add_feed_forward_length(2 * dim)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType[pooling.upper()])
    _write_wordpiece(writer)
    tensors = {_gguf_name(name): weight for name, weight in bert_weights(hidden=dim, seed=seed).items()}
    tensors["position_embd.weight"] = tensors["position_embd.weight"][:context_length]
    if pooling == "rank":
        writer.add_classifier_output_labels(["LABEL_0"])
        head = pooler(seed, dim)
        tensors |= {f"cls.{kind}": head[f"pooler.dense.{kind}"] for kind in ("weight", "bias")}
        tensors |= {"cls.output.weight": linear(5, 1, dim), "cls.output.bias": np.zeros(1, np.float32)}
    _finish(writer, tensors)
    return path


def _gguf_name(name: str) -> str:
    """Translate a name of transformers' BERT."""
    for theirs, ours in _BERT_NAMES:
        name = name.replace(theirs, ours)
    return name


_BERT_NAMES = (
    ("embeddings.word_embeddings", "token_embd"),
    ("embeddings.position_embeddings", "position_embd"),
    ("embeddings.token_type_embeddings", "token_types"),
    ("embeddings.LayerNorm", "token_embd_norm"),
    ("encoder.layer", "blk"),
    ("attention.self.query", "attn_q"),
    ("attention.self.key", "attn_k"),
    ("attention.self.value", "attn_v"),
    ("attention.output.dense", "attn_output"),
    ("attention.output.LayerNorm", "attn_output_norm"),
    ("intermediate.dense", "ffn_up"),
    ("output.dense", "ffn_down"),
    ("output.LayerNorm", "layer_output_norm"),
)


def _write_wordpiece(writer: "gguf.GGUFWriter") -> None:
    from gguf import TokenType

    ids = {token: i for i, token in enumerate(BERT_VOCAB)}
    special = [token.startswith("[") and token.endswith("]") for token in BERT_VOCAB]
    # llama.cpp marks the beginning of a word, where WordPiece marks what goes on.
    spelled = [
        token
        if is_special
        else token.removeprefix("##")
        if token.startswith("##") and len(token) > 2
        else f"\u2581{token}"
        for token, is_special in zip(BERT_VOCAB, special, strict=True)
    ]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(2)
    writer.add_token_list(spelled)
    writer.add_token_types([int(TokenType.CONTROL if is_special else TokenType.NORMAL) for is_special in special])
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_mask_token_id(ids["[MASK]"])
