"""Tiny models, made on the spot: every layout of checkpoint that the loaders read, with seeded random weights.

All encoders of one seed and size share one BERT, so that the layouts can be compared with each other. Its word
embeddings outweigh its layers: texts that share words are close, which is what makes a ranking testable.
The GGUF files are made in `tiny_gguf`; importing this module is enough to have both.
"""

import hashlib
import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from tiny_bert import BERT_VOCAB, HEADS, HIDDEN, LAYERS, POSITIONS, WORDS, bert_weights, linear, pooler
from tiny_gguf import (
    CHATML,
    CONTROL_TOKENS,
    chat_gguf,
    embedding_gguf,
    lora_gguf,
)

from registry.records import (
    ChatModel,
    DenseModel,
    LoraAdapter,
    ModelFile,
    MultiVectorModel,
    RerankerModel,
    RuntimeDefaults,
    SparseModel,
)

if TYPE_CHECKING:
    import numpy as np

    Weights = dict[str, np.ndarray]

__all__ = [
    "BERT_VOCAB",
    "CHATML",
    "CONTROL_TOKENS",
    "REVISION",
    "WORDS",
    "adapter_record",
    "bare",
    "bare_splade",
    "chat_gguf",
    "chat_record",
    "colbert_record",
    "dense",
    "dense_record",
    "embedding_gguf",
    "hub_dense",
    "lora_gguf",
    "model_file",
    "native_colbert",
    "pylate_colbert",
    "reranker",
    "reranker_record",
    "splade",
    "splade_record",
    "stanford_colbert",
    "to_pytorch",
]

REVISION = "0123456789abcdef0123456789abcdef01234567"


# What every BERT checkpoint has: config.json, tokenizer, weights


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _write_tokenizer(folder: Path, *, max_seq_length: int, added: Sequence[str] = ()) -> None:
    """Write a lowercasing WordPiece tokenizer; `added` get the ids after the vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    ids = {token: i for i, token in enumerate(BERT_VOCAB)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.add_tokens([AddedToken(token) for token in added])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": max_seq_length,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    _write_json(folder / "tokenizer_config.json", config)


def _write_config(folder: Path, architecture: str, *, hidden: int = HIDDEN, **changes: object) -> None:
    config = {
        "architectures": [architecture],
        "model_type": "bert",
        "vocab_size": len(BERT_VOCAB),
        "hidden_size": hidden,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 2 * hidden,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        **changes,
    }
    _write_json(folder / "config.json", config)


def _write_weights(path: Path, weights: "Weights") -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path, metadata={"format": "pt"})


def _prefixed(weights: "Weights") -> "Weights":
    return {f"bert.{name}": weight for name, weight in weights.items()}


def bare(folder: Path, *, hidden: int = HIDDEN, max_seq_length: int = 64, seed: int = 0) -> Path:
    """Make a `BertModel` checkpoint with a tokenizer and without a modules.json."""
    _write_config(folder, "BertModel", hidden=hidden)
    _write_tokenizer(folder, max_seq_length=max_seq_length)
    _write_weights(folder / "model.safetensors", bert_weights(hidden=hidden, seed=seed) | pooler(seed, hidden))
    return folder


def to_pytorch(folder: Path) -> Path:
    """Replace every safetensors file below a folder by the pickle that `torch.save` writes."""
    import torch
    from safetensors.torch import load_file

    for path in folder.rglob("*.safetensors"):
        torch.save(load_file(path), path.with_name(f"pytorch_{path.stem}.bin"))
        path.unlink()
    return folder


# Dense


def dense(
    folder: Path,
    *,
    dim: int = HIDDEN,
    pooling: str = "mean",
    normalize: bool = True,
    projection: bool = False,
    prompts: Mapping[str, str] | None = None,
    similarity: Literal["cosine", "dot", "euclidean", "manhattan"] | None = None,
    max_seq_length: int = 64,
    weights: Literal["safetensors", "pytorch"] = "safetensors",
    seed: int = 0,
) -> Path:
    """Make the checkpoint that the installed `SentenceTransformer` itself saves.

    Args:
        folder: Folder to write; made where it is missing.
        dim: Size of the vectors; also of the hidden states, unless there is a projection.
        pooling: `mean`, `cls`, `max`, `lasttoken`, ...
        normalize: False leaves the Normalize module out.
        projection: True adds a Dense module that maps 32 hidden components to `dim`.
        prompts: Prompts by name, as `{"query": "query: ", "document": ""}`.
        similarity: `cosine`, `dot`, ...; `None` lets the library choose.
        max_seq_length: Tokens that a text is cut to.
        weights: File format of all weights.
        seed: Of the weights.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from torch import from_numpy, nn

    hidden = HIDDEN if projection else dim
    with TemporaryDirectory() as scratch:
        bare(Path(scratch), hidden=hidden, max_seq_length=max_seq_length, seed=seed)
        modules: list[nn.Module] = [Transformer(scratch), Pooling(hidden, pooling_mode=pooling)]
        if projection:
            weight = from_numpy(linear(seed + 2, dim, hidden))
            modules.append(Dense(hidden, dim, bias=False, activation_function=nn.Identity(), init_weight=weight))
        if normalize:
            modules.append(Normalize())
        model = SentenceTransformer(modules=modules, prompts=dict(prompts or {}), similarity_fn_name=similarity)
        model.save_pretrained(str(folder), create_model_card=False)
    return to_pytorch(folder) if weights == "pytorch" else folder


def hub_dense(
    folder: Path, *, dim: int = HIDDEN, pooling: str = "mean", normalize: bool = True, max_seq_length: int = 64
) -> Path:
    """Make the same model in the layout that nearly every repository on the hub has: saved by version 5 or older."""
    bare(folder, hidden=dim, max_seq_length=max_seq_length)
    flags = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "lasttoken": "lasttoken"}
    modes = {f"pooling_mode_{flag}": mode == pooling for mode, flag in flags.items()}
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")] + [("Normalize", "2_Normalize")] * normalize
    _write_modules(folder, [(f"sentence_transformers.models.{name}", path) for name, path in modules])
    _write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": dim} | modes)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False})
    _write_st_config(folder)
    return folder


def _write_modules(folder: Path, modules: Sequence[tuple[str, str]]) -> None:
    listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (kind, path) in enumerate(modules)]
    _write_json(folder / "modules.json", listed)


def _write_st_config(folder: Path, **more: object) -> None:
    versions = {"sentence_transformers": "5.1.1", "transformers": "4.56.2", "pytorch": "2.8.0+cu128"}
    _write_json(folder / "config_sentence_transformers.json", {"__version__": versions} | more)


# Late interaction


def stanford_colbert(
    folder: Path, *, dim: int = 16, query_length: int = 16, document_length: int = 32, mask_punctuation: bool = True
) -> Path:
    """Make a checkpoint as the Stanford library saves it: the projection inside the weights, no modules.json."""
    _write_config(folder, "HF_ColBERT")
    _write_tokenizer(folder, max_seq_length=POSITIONS)
    weights = _prefixed(bert_weights() | pooler(0, HIDDEN)) | {"linear.weight": linear(3, dim, HIDDEN)}
    _write_weights(folder / "model.safetensors", weights)
    metadata = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_token": "[Q]",
        "doc_token": "[D]",
        "dim": dim,
        "similarity": "cosine",
        "query_maxlen": query_length,
        "doc_maxlen": document_length,
        "mask_punctuation": mask_punctuation,
        "attend_to_mask_tokens": False,
    }
    _write_json(folder / "artifact.metadata", metadata)
    return folder


def pylate_colbert(
    folder: Path,
    *,
    dim: int = 16,
    query_length: int = 16,
    document_length: int = 32,
    query_expansion: bool = True,
    skiplist: Sequence[str] | None = tuple(string.punctuation),
) -> Path:
    """Make a checkpoint as PyLate saves it: its own Dense class, the prefixes as tokens at the end of the vocabulary.

    Args:
        folder: Folder to write.
        dim: Size of a token's vector.
        query_length: Tokens that queries are padded to.
        document_length: Tokens that documents are cut to.
        query_expansion: Pad queries with `[MASK]`.
        skiplist: Document tokens that are not scored; `None` leaves the key out.
    """
    prefixes = ("[Q] ", "[D] ")
    weights = bert_weights()
    embeddings = "embeddings.word_embeddings.weight"
    weights[embeddings] = _append_rows(weights[embeddings], len(prefixes))
    _write_config(folder, "BertModel", vocab_size=len(BERT_VOCAB) + len(prefixes))
    _write_tokenizer(folder, max_seq_length=document_length - 1, added=prefixes)
    _write_weights(folder / "model.safetensors", weights | pooler(0, HIDDEN))
    _write_weights(folder / "1_Dense" / "model.safetensors", {"linear.weight": linear(3, dim, HIDDEN)})
    projection = {"in_features": HIDDEN, "out_features": dim, "bias": False}
    identity = "torch.nn.modules.linear.Identity"
    _write_json(folder / "1_Dense" / "config.json", projection | {"activation_function": identity})
    modules = [("sentence_transformers.models.Transformer", ""), ("pylate.models.Dense.Dense", "1_Dense")]
    _write_modules(folder, modules)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": document_length - 1, "do_lower_case": False})
    _write_st_config(
        folder,
        model_type="ColBERT",
        prompts={},
        default_prompt_name=None,
        similarity_fn_name="MaxSim",
        query_prefix=prefixes[0],
        document_prefix=prefixes[1],
        query_length=query_length,
        document_length=document_length,
        attend_to_expansion_tokens=False,
        do_query_expansion=query_expansion,
        **({} if skiplist is None else {"skiplist_words": list(skiplist)}),
    )
    return folder


def _append_rows(matrix: "np.ndarray", rows: int) -> "np.ndarray":
    import numpy as np

    return np.concatenate([matrix, np.random.default_rng(4).standard_normal((rows, matrix.shape[1])).astype("f4")])


def native_colbert(folder: Path, *, dim: int = 16, query_length: int = 16, document_length: int = 32) -> Path:
    """Make the checkpoint that the installed `MultiVectorEncoder` itself saves, of the model of `stanford_colbert`."""
    from sentence_transformers import MultiVectorEncoder

    with TemporaryDirectory() as scratch:
        stanford_colbert(Path(scratch), dim=dim, query_length=query_length, document_length=document_length)
        model = MultiVectorEncoder(scratch, device="cpu", local_files_only=True)
        model.save_pretrained(str(folder), create_model_card=False)
    return folder


# Sparse and cross-encoders


def bare_splade(folder: Path, *, max_seq_length: int = 64, bias: float = -16.0) -> Path:
    """Make a `BertForMaskedLM` checkpoint without a modules.json.

    Args:
        folder: Folder to write.
        max_seq_length: Tokens that a text is cut to.
        bias: Added to every logit; the lower, the fewer words a text activates beside its own.
    """
    import numpy as np

    head = "cls.predictions"
    weights = _prefixed(bert_weights()) | {
        f"{head}.transform.dense.weight": np.eye(HIDDEN, dtype=np.float32),
        f"{head}.transform.dense.bias": np.zeros(HIDDEN, np.float32),
        f"{head}.transform.LayerNorm.weight": np.ones(HIDDEN, np.float32),
        f"{head}.transform.LayerNorm.bias": np.zeros(HIDDEN, np.float32),
        f"{head}.bias": np.full(len(BERT_VOCAB), bias, np.float32),
    }
    _write_config(folder, "BertForMaskedLM")
    _write_tokenizer(folder, max_seq_length=max_seq_length)
    _write_weights(folder / "model.safetensors", weights)
    return folder


def splade(folder: Path, *, max_seq_length: int = 64) -> Path:
    """Make the checkpoint that the installed `SparseEncoder` itself saves for a SPLADE model."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SpladePooling, Transformer

    with TemporaryDirectory() as scratch:
        bare_splade(Path(scratch), max_seq_length=max_seq_length)
        model = SparseEncoder(modules=[Transformer(scratch, transformer_task="fill-mask"), SpladePooling("max")])
        model.save_pretrained(str(folder), create_model_card=False)
    return folder


def reranker(folder: Path, *, max_seq_length: int = 128, labels: int = 1) -> Path:
    """Make a `BertForSequenceClassification` checkpoint, as the repositories of cross-encoders are."""
    import numpy as np

    names = {str(i): f"LABEL_{i}" for i in range(labels)}
    ids = {name: int(i) for i, name in names.items()}
    _write_config(folder, "BertForSequenceClassification", id2label=names, label2id=ids)
    _write_tokenizer(folder, max_seq_length=max_seq_length)
    weights = _prefixed(bert_weights() | pooler(0, HIDDEN)) | {
        "classifier.weight": linear(5, labels, HIDDEN),
        "classifier.bias": np.zeros(labels, np.float32),
    }
    _write_weights(folder / "model.safetensors", weights)
    return folder


# Records that match


def model_file(path: Path, role: str) -> ModelFile:
    """Describe a file with its digest and size."""
    content = path.read_bytes()
    return ModelFile(path.name, role, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def _info(kind: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"tiny-{kind}",
        "model_type": kind,
        "name": f"Tiny {kind}",
        "huggingface_id": f"tiny/{kind}",
        "organization": "Tiny",
        "description": "Made by the tests.",
        "revision": REVISION,
        "requires_remote_code": False,
    } | dict(changes)


def _encoder(kind: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    backbone = {
        "context_length": 64,
        "hidden_dim": HIDDEN,
        "max_position_embeddings": POSITIONS,
        "vocab_size": len(BERT_VOCAB),
        "layers": LAYERS,
        "heads": HEADS,
        "intermediate_dim": 2 * HIDDEN,
        "architecture_type": "bert",
        "files": (ModelFile("model.safetensors", "safetensors"),),
    }
    return _info(kind, backbone | dict(changes))


def dense_record(**changes: Any) -> DenseModel:
    """Describe what `dense` makes without options."""
    defaults = {"embedding_dim": HIDDEN, "similarity": "cosine", "pooling": "mean", "normalize": True}
    return DenseModel(**_encoder("dense", {"multi_vector": False} | defaults | changes))


def colbert_record(**changes: Any) -> MultiVectorModel:
    """Describe what `stanford_colbert`, `pylate_colbert` and `native_colbert` make without options."""
    defaults = {
        "embedding_dim": 16,
        "multi_vector": True,
        "context_length": POSITIONS,
        "has_projection": True,
        "projection_dims": 16,
        "similarity": "maxsim",
        "normalize": True,
        "query_length": 16,
        "document_length": 32,
    }
    return MultiVectorModel(**_encoder("colbert", defaults | changes))


def splade_record(**changes: Any) -> SparseModel:
    """Describe what `splade` makes without options."""
    defaults = {"embedding_dim": len(BERT_VOCAB), "multi_vector": False, "similarity": "dot", "normalize": False}
    return SparseModel(**_encoder("sparse", defaults | changes))


def reranker_record(**changes: Any) -> RerankerModel:
    """Describe what `reranker` makes without options."""
    return RerankerModel(**_encoder("reranker", {"context_length": 128} | changes))


def chat_record(path: Path, **changes: Any) -> ChatModel:
    """Describe a file that `chat_gguf` made without options."""
    defaults = {
        "file": model_file(path, "gguf"),
        "quantization": "F32",
        "context_length": 512,
        "hidden_dim": 64,
        "layers": 2,
        "heads": 2,
        "kv_heads": 2,
        "head_dim": 32,
        "architecture_type": "llama",
        "template": "chatml",
        "stop_sequences": ("<|im_end|>",),
        "runtime": RuntimeDefaults(context_length=512, gpu_layers=0, threads=1),
    }
    return ChatModel(**_info("chat", defaults | changes))


def adapter_record(path: Path, **changes: Any) -> LoraAdapter:
    """Describe an adapter of `lora_gguf` for the model of `chat_record`."""
    defaults: dict[str, Any] = {"id": "tiny-adapter", "base_model": "tiny-chat", "version": "1"}
    return LoraAdapter(**(defaults | {"file": model_file(path, "gguf")} | changes))
