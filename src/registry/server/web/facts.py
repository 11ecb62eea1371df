"""The facts of a model: what each is called, where its value comes from, and how it is written. Pure.

A fact has its value from the store where the store keeps it, so that what people corrected is what they read; else
from the typed record. `None` and the empty tuple mean *not known*, and stay so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from urllib.parse import quote

from registry.server.web.figures import count_text, license_text, parameters_text, size_text, type_text

if TYPE_CHECKING:
    from registry.catalog import CatalogModel
    from registry.records import ModelInfo

Kind: TypeAlias = Literal["text", "code", "list"]
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_WEB = re.compile(r"https?://[^\s<>\"'`]+", re.ASCII)


class Fact(NamedTuple):
    """One fact of the list below.

    Attributes:
        label: What it is called.
        record: Attribute of the record, with a dot for that of a part.
        stored: Field of the store.
        path: Path in models.json, which sources are stated by; several with blanks between them.
        text: Writes a value that is known.
        kind: How it is set: running text, a fixed-width font, or a list of labels.
        of_record: Makes of the record's value what the store keeps; left out where that is the same.
    """

    label: str
    record: str = ""
    stored: str = ""
    path: str = ""
    text: Callable[[Any], str] = str
    kind: Kind = "text"
    of_record: Callable[[Any], Any] | None = None


class Shown(NamedTuple):
    """A fact of one model, ready to be set.

    Attributes:
        label: What it is called.
        kind: How it is set.
        texts: The value, or the values of a list; empty: not known.
        href: Address that the value leads to; empty where it leads nowhere.
        path: Path in models.json, where the value is the record's; several with blanks between them.
        edited: True where people gave it another value than the registry states.
    """

    label: str
    kind: Kind
    texts: tuple[str, ...]
    href: str = ""
    path: str = ""
    edited: bool = False


def _dim(value: int) -> str:
    return count_text(value)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _score(value: float) -> str:
    return f"{value:.3f}"


def _billions(count: int) -> float:
    return count / 10**9


def _prompt(value: str) -> str:
    return value or "none"


def _layers(value: int) -> str:
    return "all" if value < 0 else count_text(value)


def _megabytes(value: float) -> str:
    return size_text(int(value * 10**6))


GROUPS: Mapping[str, Sequence[Fact]] = {
    "Identity": (
        Fact("Type", "model_type", "type", "type", lambda value: type_text(value) or ""),
        Fact("Family", "family", "model_family", "family"),
        Fact("Publisher", "organization", "organization", "organization"),
        Fact("Repository", "huggingface_id", "huggingface_id", "huggingface_id", kind="code"),
        Fact("Commit", "revision", path="revision", kind="code"),
        Fact("Made from", "base_model", path="base_model", kind="code"),
        Fact("Released", "release_date", "release_date", "release_date"),
        Fact("Version", "version", path="version"),
        Fact("Licence", "license", "license", "license license_url", license_text),
        Fact("Other names", "aliases", path="aliases", kind="list"),
    ),
    "What it is for": (
        Fact("Capabilities", "capabilities", "capabilities", "capabilities.tasks", kind="list"),
        Fact("Tags", "tags", "tags", "tags", kind="list"),
        Fact("Languages", "languages", "languages", "capabilities.languages", kind="list"),
        Fact("Reads", "modalities", path="capabilities.modalities", kind="list"),
    ),
    "Input and output": (
        Fact("Context length in tokens", "context_length", "context_length", "specs.context_length", _dim),
        Fact("Embedding dimension", "embedding_dim", "embedding_dim", "specs.embedding_dim", _dim),
        Fact(
            "Matryoshka dimensions",
            "matryoshka_dims",
            path="architecture.matryoshka_dims capabilities.matryoshka",
            text=_dim,
            kind="list",
        ),
        Fact("Similarity", "similarity", path="similarity"),
        Fact("Pooling", "pooling", path="pooling"),
        Fact("Normalized", "normalize", path="normalize", text=_yes),
        Fact("Query length in tokens", "query_length", path="specs.query_length", text=_dim),
        Fact("Document length in tokens", "document_length", path="specs.document_length", text=_dim),
        Fact("Query prompt", "query_prompt", path="prompts.query", text=_prompt, kind="code"),
        Fact("Document prompt", "document_prompt", path="prompts.document", text=_prompt, kind="code"),
        Fact("Chat template", "template", path="template", kind="code"),
        Fact("Stop sequences", "stop_sequences", path="stop_sequences", kind="list"),
    ),
    "Architecture": (
        Fact(
            "Parameters",
            "parameter_count",
            "parameters",
            "specs.parameters specs.parameter_count",
            parameters_text,
            of_record=_billions,
        ),
        Fact("Architecture", "architecture_type", path="architecture.type"),
        Fact("Variant", "architecture_variant", path="architecture.variant"),
        Fact("Layers", "layers", path="specs.layers", text=_dim),
        Fact("Attention heads", "heads", path="specs.heads", text=_dim),
        Fact("KV heads", "kv_heads", path="specs.kv_heads", text=_dim),
        Fact("Head dimension", "head_dim", path="specs.head_dim", text=_dim),
        Fact("Hidden dimension", "hidden_dim", path="specs.hidden_dim", text=_dim),
        Fact("Feed-forward dimension", "intermediate_dim", path="specs.intermediate_dim", text=_dim),
        Fact(
            "Projection dimension",
            "projection_dims",
            path="architecture.projection_dims architecture.has_projection",
            text=_dim,
        ),
        Fact("Vocabulary", "vocab_size", path="specs.vocab_size", text=_dim),
        Fact("Sliding window in tokens", "sliding_window", path="specs.sliding_window", text=_dim),
        Fact("Positions", "max_position_embeddings", path="specs.max_position_embeddings", text=_dim),
    ),
    "Running it": (
        Fact("Memory asked for", "ram_required_mb", "ram_required_mb", "ram_required_mb", _megabytes),
        Fact("File size", "file.size_bytes", "file_size_bytes", "file.size_bytes", size_text),
        Fact("Quantization", "quantization", "quantization", "quantization"),
        Fact("File format", "", "file_format"),
        Fact("Offered as", "quantizations", path="capabilities.quantization", kind="list"),
        Fact("Default context in tokens", "runtime.context_length", path="runtime.context_length", text=_dim),
        Fact("Layers on the GPU", "runtime.gpu_layers", path="runtime.gpu_layers", text=_layers),
        Fact("Batch in tokens", "runtime.batch_size", path="runtime.batch_size", text=_dim),
        Fact("Temperature", "defaults.temperature", path="defaults.temperature"),
        Fact("Top p", "defaults.top_p", path="defaults.top_p"),
        Fact("Top k", "defaults.top_k", path="defaults.top_k"),
        Fact("Repeat penalty", "defaults.repeat_penalty", path="defaults.repeat_penalty"),
        Fact("Longest answer in tokens", "defaults.max_tokens", path="defaults.max_tokens", text=_dim),
        Fact("Best batch in texts", "batch_size_optimal", path="performance_hints.batch_size_optimal", text=_dim),
        Fact("Memory of a batch", "memory_mb_per_batch", path="performance_hints.memory_mb_per_batch", text=_megabytes),
        Fact("GPU advised", "gpu_recommended", path="performance_hints.gpu_recommended", text=_yes),
        Fact("Runs code from its repository", "requires_remote_code", path="requires_remote_code", text=_yes),
    ),
    "Published scores": (
        Fact("BEIR, mean nDCG@10", "beir_avg", path="performance.beir_avg", text=_score),
        Fact("BEIR data sets", "beir_datasets", path="performance.beir_datasets", text=_dim),
        Fact("MS MARCO, MRR@10", "ms_marco_mrr10", path="performance.ms_marco_mrr10", text=_score),
    ),
}


def shown_of(fact: Fact, model: CatalogModel, record: ModelInfo | None) -> Shown | None:
    """Write a fact of one model; `None` where it means nothing to such a model."""
    stated = _value(record, fact.record) if fact.record else None
    applies = bool(fact.stored) or _has(record, fact.record)
    if not applies:
        return None
    recorded = _texts(fact, fact.of_record(stated) if fact.of_record and stated is not None else stated)
    if not fact.stored:
        return Shown(fact.label, fact.kind, recorded, _href(fact, recorded, record), fact.path)
    texts = _texts(fact, getattr(model, fact.stored))
    edited = record is not None and bool(fact.record) and _has(record, fact.record) and texts != recorded
    path = fact.path if record is not None and not edited else ""
    return Shown(fact.label, fact.kind, texts, _href(fact, texts, record), path, edited)


def groups_of(model: CatalogModel, record: ModelInfo | None) -> dict[str, tuple[Shown, ...]]:
    """Give the facts of a model by group; groups without a fact that is known are left out."""
    found = {}
    for name, facts in GROUPS.items():
        shown = tuple(one for fact in facts if (one := shown_of(fact, model, record)) is not None)
        if any(one.texts for one in shown):
            found[name] = shown
    return found


def web_address(text: str | None) -> str:
    """Give an address that a page may lead to: of the web, and nothing else; else the empty text."""
    return text if text is not None and _WEB.fullmatch(text) else ""


def pieces_of(text: str) -> Iterable[tuple[str, bool]]:
    """Part a text into what is an address of the web and what is not: pieces, and whether each is one.

    An address that was cut short, `https://example.org/news/...`, leads nowhere and counts as text.
    """
    end = 0
    for found in _WEB.finditer(text):
        address = found[0].rstrip(".,;:!?)]")
        if found[0].startswith(f"{address}...") or "…" in found[0]:
            continue
        begin = found.start()
        if begin > end:
            yield text[end:begin], False
        yield address, True
        end = begin + len(address)
    if end < len(text):
        yield text[end:], False


def ticked(text: str) -> Iterable[tuple[str, bool]]:
    """Part a sentence of the library at its backticks: pieces, and whether each stood between two of them."""
    for place, piece in enumerate(text.split("`")):
        if piece:
            yield piece, place % 2 == 1


def repository_address(huggingface_id: str | None) -> str:
    """Give the address of a repository on the Hugging Face hub; the empty text where it is no name of one."""
    if huggingface_id is None or not _REPOSITORY.fullmatch(huggingface_id):
        return ""
    return f"https://huggingface.co/{quote(huggingface_id)}"


def _href(fact: Fact, texts: tuple[str, ...], record: ModelInfo | None) -> str:
    if fact.label in ("Repository", "Made from") and texts:
        return repository_address(texts[0])
    if fact.label == "Licence" and record is not None:
        return web_address(record.license_url)
    return ""


def _value(record: object, path: str) -> Any:
    value = record
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def _has(record: object, path: str) -> bool:
    return bool(path) and hasattr(record, path.partition(".")[0])


def _texts(fact: Fact, value: Any) -> tuple[str, ...]:
    if value is None or value == ():
        return ()
    if fact.kind == "list" and isinstance(value, tuple):
        return tuple(fact.text(item) for item in value)
    return (fact.text(value),)
