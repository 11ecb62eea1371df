"""Validated data -> a frozen, ordered plan of everything that is emitted."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeAlias

from registry_build.naming import constant_name, member_name
from registry_build.source import Source
from registry_build.vocabulary import VOCABULARIES, values_at

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class Enum:
    """An enum to emit; `members` pairs names with values, sorted by value."""

    name: str
    doc: str
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Kind:
    """A record class with the records that have it.

    Attributes:
        class_name: The class in `registry.records`.
        columns: Attributes in the order of a row.
        names: Ids and aliases.
        types: Member of `ModelType` and its value.
    """

    class_name: str
    columns: tuple[str, ...]
    names: tuple[str, ...]
    types: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Model:
    """One record: its constant, its row, and what people read about it."""

    id: str
    constant: str
    class_name: str
    row: Row
    summary: str
    record: dict[str, Any]
    sources: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Plan:
    """Everything that the emitted files hold.

    Attributes:
        source: Name of the data file, without its folder.
        digest: sha256 of the data, the same for every layout of the same values.
        version: Version of the data.
        kinds: Record classes in use, in the order of their numbers.
        enums: Enums with at least one member.
        models: The records, in the order of the file.
        aliases: Alias -> number of the record.
        default: Number of the default chat record.
        index: Field -> value -> numbers of the records that have it.
    """

    source: str
    digest: str
    version: str
    kinds: tuple[Kind, ...]
    enums: tuple[Enum, ...]
    models: tuple[Model, ...]
    aliases: dict[str, int]
    default: int | None
    index: dict[str, dict[Any, tuple[int, ...]]]


def plan(source: Source) -> Plan:
    """Plan the registry of a file that has passed `validate`."""
    data = source.data
    records: list[dict[str, Any]] = data["models"]
    kinds, models = _kinds_and_models(records)
    aliases = {alias: number for number, record in enumerate(records) for alias in record.get("aliases", ())}
    default = next((number for number, record in enumerate(records) if record.get("default")), None)
    return Plan(
        source=PurePath(source.file).name,
        digest=_digest(data),
        version=data["version"],
        kinds=kinds,
        enums=tuple(_enums(records)),
        models=models,
        aliases=aliases,
        default=default,
        index=_index(records),
    )


def _digest(data: Any) -> str:
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


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
_ATTRIBUTES = {
    "EmbeddingModel": _ENCODER
    | {
        "multi_vector": "capabilities.multi_vector",
        "matryoshka_dims": "architecture.matryoshka_dims",
        "similarity": "similarity",
        "pooling": "pooling",
        "normalize": "normalize",
        "query_length": "specs.query_length",
        "document_length": "specs.document_length",
    },
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
    },
}

# Value objects: field -> class and the names of what a row holds of it, in order.
PARTS = {
    "file": ("ModelFile", ("name", "role", "sha256", "size_bytes", "url")),
    "files": ("ModelFile", ("name", "role", "sha256", "size_bytes", "url")),
    "variants": ("ModelVariant", ("id", "quantization", "file")),
    "defaults": ("SamplingDefaults", ("temperature", "max_tokens", "top_p", "top_k", "repeat_penalty")),
    "runtime": ("RuntimeDefaults", ("context_length", "gpu_layers", "threads", "batch_size")),
}


def _kinds_and_models(records: list[dict[str, Any]]) -> tuple[tuple[Kind, ...], tuple[Model, ...]]:
    classes = [_class_of(record) for record in records]
    used = [name for name in _ATTRIBUTES if name in classes]
    cells = [_cells(record, name) for record, name in zip(records, classes, strict=True)]
    kinds = []
    for name in used:
        own = [number for number, class_name in enumerate(classes) if class_name == name]
        kinds.append(
            Kind(
                class_name=name,
                # A column that no record fills is left out: the class knows what silence means.
                columns=tuple(c for c in _ATTRIBUTES[name] if any(cells[number][c] is not None for number in own)),
                names=tuple(text for n in own for text in (records[n]["id"], *records[n].get("aliases", ()))),
                types=tuple((member_name("ModelType", t), t) for t in dict.fromkeys(records[n]["type"] for n in own)),
            )
        )
    columns = {kind.class_name: (number, kind.columns) for number, kind in enumerate(kinds)}
    models = []
    for record, name, values in zip(records, classes, cells, strict=True):
        number, wanted = columns[name]
        models.append(
            Model(
                id=record["id"],
                constant=constant_name(record["id"]),
                class_name=name,
                row=(number, *(values[column] for column in wanted)),
                summary=_summary(record),
                record=record,
                sources={
                    field: (text,) if isinstance(text, str) else tuple(text)
                    for field, text in sorted(record.get("sources", {}).items())
                },
            )
        )
    return tuple(kinds), tuple(models)


def _class_of(record: dict[str, Any]) -> str:
    """Give the record class; the schema decides by the same shapes."""
    if "file" in record:
        return "ChatModel"
    return "RerankerModel" if re.fullmatch(r"(.*-)?reranker", record["type"]) else "EmbeddingModel"


def _cells(record: dict[str, Any], class_name: str) -> dict[str, Any]:
    """Give the value of every attribute; `None` where the data are silent."""
    cells = {name: _frozen(_at(record, path)) for name, path in _ATTRIBUTES[class_name].items()}
    if cells["parameter_count"] is None:
        cells["parameter_count"] = _count(cells["parameters"])
    if class_name == "ChatModel":
        cells["file"] = _file(record["file"], "gguf")
        cells["defaults"] = _part("defaults", record)
        runtime = {"context_length": min(4096, cells["context_length"] or 4096)} | record.get("runtime", {})
        cells["runtime"] = _part("runtime", {"runtime": runtime})
    else:
        cells["files"] = tuple(_files(record.get("files", {}))) or None
        cells["variants"] = tuple(map(_variant, record.get("variants", ()))) or None
    return cells


def _at(record: dict[str, Any], path: str) -> Any:
    value: Any = record
    for step in path.split("."):
        value = value.get(step) if value else None
    return value


def _frozen(value: Any) -> Any:
    return tuple(value) or None if isinstance(value, list) else value


def _count(parameters: str | None) -> int | None:
    """Read a stated parameter count: `1.5B` -> 1500000000."""
    if parameters is None:
        return None
    whole, _, fraction = parameters[:-1].partition(".")
    zeros = {"K": 3, "M": 6, "B": 9, "T": 12}[parameters[-1]]
    return int(whole + fraction.ljust(zeros, "0")[:zeros])


def _part(field: str, record: dict[str, Any]) -> Row | None:
    """Give what a record states of a value object, in the order of `PARTS`."""
    stated = record.get(field)
    return tuple(stated.get(name) for name in PARTS[field][1]) if stated else None


def _files(files: dict[str, Any]) -> Iterable[Row]:
    for role, found in (*files.items(), *files.get("weights", {}).items()):
        if role != "weights":
            yield from (_file(file, role) for file in (found if isinstance(found, list) else [found]))


def _file(file: str | dict[str, Any], role: str) -> Row:
    facts = {"name": file} if isinstance(file, str) else file
    return (facts["name"], role, facts.get("sha256"), facts.get("size_bytes"), facts.get("url"))


def _variant(variant: dict[str, Any]) -> Row:
    file = variant["file"]
    name = file if isinstance(file, str) else file["name"]
    return (variant["id"], variant["quantization"], _file(file, _role(name)))


def _role(name: str) -> str:
    """Give the format of a weight file by the end of its name."""
    return {"safetensors": "safetensors", "gguf": "gguf", "onnx": "onnx"}.get(name.rpartition(".")[2], "pytorch")


def _summary(record: dict[str, Any]) -> str:
    """Say on one line what a record is: `ColBERT v2: colbert, 110M parameters, 128 dimensions, MIT`."""
    specs = record["specs"]
    facts = (
        (record["type"], "{}"),
        (record.get("quantization"), "{}"),
        (specs.get("parameters"), "{} parameters"),
        (specs.get("embedding_dim"), "{} dimensions"),
        (specs.get("context_length"), "{} tokens"),
        (record.get("license"), "{}"),
    )
    text = ", ".join(form.format(value) for value, form in facts if value is not None)
    return f"{record['name']}: {text}. {record['description']}".strip()


def _enums(records: list[dict[str, Any]]) -> Iterable[Enum]:
    for vocabulary in VOCABULARIES:
        found = (value for record in records for path in vocabulary.paths for _, value in values_at(record, path))
        values = {value for value in found if value is not None}
        members = tuple((member_name(vocabulary.enum, value), value) for value in sorted(values))
        yield Enum(vocabulary.enum, vocabulary.doc, members)


# Field of a query -> paths of the values it is asked for.
_INDEXED = {
    "type": ("type",),
    "organization": ("organization",),
    "family": ("family",),
    "language": ("capabilities.languages",),
    "license": ("license",),
    "capability": ("capabilities.tasks",),
    "tag": ("tags",),
    "quantization": ("quantization", "capabilities.quantization"),
}


def _index(records: list[dict[str, Any]]) -> dict[str, dict[Any, tuple[int, ...]]]:
    index: dict[str, dict[Any, tuple[int, ...]]] = {}
    for field, paths in _INDEXED.items():
        rows: dict[Any, list[int]] = defaultdict(list)
        for number, record in enumerate(records):
            found = (value for path in paths for _, value in values_at(record, path))
            for value in dict.fromkeys(found):
                if value is not None:
                    rows[value].append(number)
        index[field] = {value: tuple(rows[value]) for value in sorted(rows)}
    embedding = {n: record for n, record in enumerate(records) if _class_of(record) == "EmbeddingModel"}
    cut = {n: bool(_at(record, "architecture.matryoshka_dims")) for n, record in embedding.items()}
    index["matryoshka"] = {wanted: tuple(n for n in embedding if cut[n] is wanted) for wanted in (False, True)}
    dims = {n: record["specs"]["embedding_dim"] for n, record in embedding.items()}
    index["embedding_dim"] = {dim: tuple(n for n in dims if dims[n] == dim) for dim in sorted(set(dims.values()))}
    return index
