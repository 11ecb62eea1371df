"""One record -> its record class, and the value of every attribute as rows hold it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

from registry_build.vocabulary import steps

Record: TypeAlias = dict[str, Any]
Row: TypeAlias = tuple[Any, ...]
Cells: TypeAlias = dict[str, Any]

# Attribute of the record -> path of its value in models.json. Attributes that need more than a look are below.
_COMMON = {
    "id": "id",
    "model_type": "type",
    "name": "name",
    "huggingface_id": "huggingface_id",
    "organization": "organization",
    "description": "description",
    "release_date": "release_date",
    "license": "license",
    "license_url": "license_url",
    "parameters": "specs.parameters",
    "parameter_count": "specs.parameter_count",
    "context_length": "specs.context_length",
    "hidden_dim": "specs.hidden_dim",
    "vocab_size": "specs.vocab_size",
    "layers": "specs.layers",
    "heads": "specs.heads",
    "architecture_type": "architecture.type",
    "architecture_variant": "architecture.variant",
    "languages": "capabilities.languages",
    "modalities": "capabilities.modalities",
    "capabilities": "capabilities.tasks",
    "revision": "revision",
    "family": "family",
    "tags": "tags",
    "aliases": "aliases",
    "recommended": "recommended",
    "deprecated": "deprecated",
    "superseded_by": "superseded_by",
    "version": "version",
    "changelog": "changelog",
    "requires_remote_code": "requires_remote_code",
}
_ENCODER = _COMMON | {
    "max_position_embeddings": "specs.max_position_embeddings",
    "intermediate_dim": "specs.intermediate_dim",
    "has_projection": "architecture.has_projection",
    "projection_dims": "architecture.projection_dims",
    "files": "files",
    "quantizations": "capabilities.quantization",
    "variants": "variants",
    "query_prompt": "prompts.query",
    "document_prompt": "prompts.document",
    "beir_avg": "performance.beir_avg",
    "beir_datasets": "performance.beir_datasets",
    "ms_marco_mrr10": "performance.ms_marco_mrr10",
    "tokenizer_model": "dependencies.tokenizer_model",
    "requires_projection": "dependencies.requires_projection",
    "batch_size_optimal": "performance_hints.batch_size_optimal",
    "memory_mb_per_batch": "performance_hints.memory_mb_per_batch",
    "gpu_recommended": "performance_hints.gpu_recommended",
    "embedding_dim": "specs.embedding_dim",
}
_EMBEDDING = _ENCODER | {
    "multi_vector": "capabilities.multi_vector",
    "matryoshka_dims": "architecture.matryoshka_dims",
    "similarity": "similarity",
    "pooling": "pooling",
    "normalize": "normalize",
    "query_length": "specs.query_length",
    "document_length": "specs.document_length",
}
ATTRIBUTES = {
    "DenseModel": _EMBEDDING,
    "MultiVectorModel": _EMBEDDING,
    "SparseModel": _EMBEDDING,
    "RerankerModel": _ENCODER,
    "ChatModel": _COMMON
    | {
        "file": "file",
        "quantization": "quantization",
        "base_model": "base_model",
        "kv_heads": "specs.kv_heads",
        "head_dim": "specs.head_dim",
        "sliding_window": "specs.sliding_window",
        "ram_required_mb": "ram_required_mb",
        "template": "template",
        "stop_sequences": "stop_sequences",
        "default": "default",
        "defaults": "defaults",
        "runtime": "runtime",
        "adapters": "adapters",
    },
}

# The classes that are EmbeddingModels.
EMBEDDING = frozenset({"DenseModel", "MultiVectorModel", "SparseModel"})

# Value objects: field -> class and the names of what a row holds of it, in order.
PARTS = {
    "file": ("ModelFile", ("name", "role", "sha256", "size_bytes", "url")),
    "files": ("ModelFile", ("name", "role", "sha256", "size_bytes", "url")),
    "variants": ("ModelVariant", ("id", "quantization", "file")),
    "adapters": (
        "LoraAdapter",
        ("id", "file", "base_model", "version", "description", "huggingface_id", "revision", "license"),
    ),
    "profile": ("Profile", ("description",)),
    "role_model": (
        "RoleModel",
        ("name", "provider", "auto_download", "parameters", "description", "fallback"),
    ),
    "defaults": ("SamplingDefaults", ("temperature", "max_tokens", "top_p", "top_k", "repeat_penalty")),
    "runtime": ("RuntimeDefaults", ("context_length", "gpu_layers", "threads", "batch_size")),
}


def role_row(model: str | Record) -> Row:
    """Give what a profile states of the model for one role; a plain string is its name."""
    stated: Record = {"name": model} if isinstance(model, str) else model
    parameters = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in sorted(stated.get("parameters", {}).items())
    }
    cells = stated | {"parameters": parameters or None, "fallback": _frozen(stated.get("fallback"))}
    return tuple(cells.get(name) for name in PARTS["role_model"][1])


def class_of(record: Record) -> str:
    """Give the record class; the schema decides by the same shapes."""
    if "file" in record:
        return "ChatModel"
    if _is_a("reranker", record["type"]):
        return "RerankerModel"
    if is_sparse(record["type"]):
        return "SparseModel"
    return "MultiVectorModel" if record["capabilities"]["multi_vector"] else "DenseModel"


def is_sparse(model_type: str) -> bool:
    """Tell whether models of this type give weights over their vocabulary."""
    return _is_a("sparse", model_type)


def cells_of(record: Record, class_name: str) -> Cells:
    """Give the value of every attribute; `None` where the data are silent."""
    cells = {name: _frozen(at(record, path)) for name, path in ATTRIBUTES[class_name].items()}
    if cells["parameter_count"] is None:
        cells["parameter_count"] = _count(cells["parameters"])
    if class_name == "ChatModel":
        cells["file"] = _file(record["file"], "gguf")
        cells["defaults"] = _part("defaults", record)
        cells["runtime"] = _part("runtime", {"runtime": _runtime(record)})
        cells["adapters"] = tuple(map(_adapter, record.get("adapters", ()))) or None
    else:
        cells["files"] = tuple(_files(record.get("files", {}))) or None
        cells["variants"] = tuple(map(_variant, record.get("variants", ()))) or None
    return cells


def at(record: Record, path: str) -> Any:
    """Give the value at a dotted path, or `None` where the data are silent."""
    value: Any = record
    for step in steps(path):
        value = value.get(step) if value else None
    return value


def _is_a(kind: str, model_type: str) -> bool:
    return re.fullmatch(rf"(.*-)?{kind}", model_type) is not None


def _frozen(value: Any) -> Any:
    return tuple(value) or None if isinstance(value, list) else value


def _count(parameters: str | None) -> int | None:
    """Read a stated parameter count: `1.5B` -> 1500000000."""
    if parameters is None:
        return None
    whole, _, fraction = parameters[:-1].partition(".")
    zeros = {"K": 3, "M": 6, "B": 9, "T": 12}[parameters[-1]]
    return int(whole + fraction.ljust(zeros, "0")[:zeros])


def _runtime(record: Record) -> Record:
    """Give the runtime settings with the context that silence stands for."""
    stated = {name: value for name, value in record.get("runtime", {}).items() if value is not None}
    return {"context_length": min(4096, at(record, "specs.context_length") or 4096)} | stated


def _part(field: str, record: Record) -> Row | None:
    """Give what a record states of a value object, in the order of `PARTS`."""
    stated = record.get(field)
    return tuple(stated.get(name) for name in PARTS[field][1]) if stated else None


def _files(files: Record) -> Iterable[Row]:
    """Give the files, in this order whatever the order in the data."""
    found = files | files.get("weights", {})
    for role in ("config", "tokenizer", "safetensors", "gguf", "onnx", "pytorch"):
        listed = found.get(role, [])
        yield from (_file(file, role) for file in (listed if isinstance(listed, list) else [listed]))


def _file(file: str | dict[str, Any], role: str) -> Row:
    facts = {"name": file} if isinstance(file, str) else file
    return (facts["name"], role, facts.get("sha256"), facts.get("size_bytes"), facts.get("url"))


def _variant(variant: Record) -> Row:
    file = variant["file"]
    name = file if isinstance(file, str) else file["name"]
    return (variant["id"], variant["quantization"], _file(file, _role(name)))


def _adapter(adapter: Record) -> Row:
    stated = adapter["file"]
    facts = {"name": stated} if isinstance(stated, str) else stated
    # The digest stands in the file, or beside it where that is a plain name.
    file = _file(facts | {"sha256": facts.get("sha256") or adapter.get("sha256")}, "gguf")
    return tuple((adapter | {"file": file}).get(name) for name in PARTS["adapters"][1])


def _role(name: str) -> str:
    """Give the format of a weight file by the end of its name."""
    return {"safetensors": "safetensors", "gguf": "gguf", "onnx": "onnx"}.get(name.rpartition(".")[2], "pytorch")
