"""What the catalogue store holds and answers: a model, a page of them, counts, measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class CatalogModel:
    """A model of the catalogue store. `None`, and what is empty, means *not known*.

    Attributes:
        id: Number in this store; never given to another model.
        name: Name in addresses and commands, unique whatever the case.
        display_name: Name for people.
        type: Kind of model, such as `chat` or `dense`.
        model_family: Line of models it belongs to.
        model_size: Parameter count as the publisher states it: `7B`.
        parameters: Parameter count in billions.
        quantization: Storage format of the weights: `Q4_K_M`.
        file_format: Format of the files: `gguf`, `safetensors`.
        organization: Publisher.
        huggingface_id: Repository on the Hugging Face hub, `org/model`.
        license: SPDX expression, or whatever the source had.
        release_date: ISO 8601, as exact as it is known: `2024`, `2024-05`, `2024-05-31`.
        context_length: Longest input in tokens.
        embedding_dim: Size of one output vector in components.
        file_size_bytes: Size of the weights that loading reads.
        ram_required_mb: Memory in MB (10^6 bytes) that the publisher asks for.
        description: What it is good for.
        notes: The user's own words.
        languages: BCP-47 tags.
        capabilities: What it can be used for.
        tags: Free labels.
        metadata: Whatever else, text by key.
        source: `user`, or the module of the registry that it was synced from.
        created_at: When it was added: ISO 8601 in UTC, with `Z`.
        updated_at: When any of it but its measurements last changed.
    """

    id: int
    name: str
    display_name: str
    type: str | None = None
    model_family: str | None = None
    model_size: str | None = None
    parameters: float | None = None
    quantization: str | None = None
    file_format: str | None = None
    organization: str | None = None
    huggingface_id: str | None = None
    license: str | None = None
    release_date: str | None = None
    context_length: int | None = None
    embedding_dim: int | None = None
    file_size_bytes: int | None = None
    ram_required_mb: int | None = None
    description: str | None = None
    notes: str | None = None
    languages: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    source: str = "user"
    created_at: str
    updated_at: str

    def __hash__(self) -> int:
        return hash((self.id, self.name, self.updated_at))


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of the models that a search found.

    Attributes:
        models: Those from number `offset` on, `limit` of them at most.
        total: How many were found.
        limit: As asked.
        offset: As asked.
    """

    models: tuple[CatalogModel, ...]
    total: int
    limit: int
    offset: int


@dataclass(frozen=True)
class ValueCount:
    """A value, and how many models have it; spellings that differ in case only count as one."""

    value: str
    models: int


@dataclass(frozen=True)
class FamilyStats:
    """A family, how many models it has, and the sum of their `file_size_bytes` where that is known."""

    family: str
    models: int
    total_bytes: int


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Counts over the whole store.

    Attributes:
        models: Models.
        total_bytes: Sum of `file_size_bytes` where that is known.
        size_classes: Models by billions of parameters: `Tiny` below 1, `Small` from 1, `Medium` from 5 to 15, `Large`
            above, `unknown`. Always these five, in this order.
        families: Families, by name. Models without a family are in none.
        types: Types, by name.
    """

    models: int
    total_bytes: int
    size_classes: Mapping[str, int]
    families: tuple[FamilyStats, ...]
    types: tuple[ValueCount, ...]


@dataclass(frozen=True, kw_only=True)
class NewMetric:
    """A measurement to be stored.

    Attributes:
        metric_type: What was measured: `tokens_per_second`, `load_time`.
        metric_value: The number.
        unit: Its unit: `tokens/s`, `s`, `bytes`.
        hardware_type: `cpu`, `cuda`, `metal`.
        hardware_name: Processor or graphics card.
        context_size: Context of the run in tokens.
        measured_at: ISO 8601; without an offset it is UTC. `None`: now.
    """

    metric_type: str
    metric_value: float
    unit: str
    hardware_type: str
    hardware_name: str
    context_size: int | None = None
    measured_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A measurement in the store: that of a `NewMetric`, with its number and its model's."""

    id: int
    model_id: int
    metric_type: str
    metric_value: float
    unit: str
    hardware_type: str
    hardware_name: str
    context_size: int | None
    measured_at: str


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What a sync did, by the names of models, sorted.

    Attributes:
        added: Models that were not there.
        updated: Models that the registry says something new of.
        removed: Models that the registry no longer has, and nobody had added anything to.
        unchanged: Models that are as the registry has them.
        kept: What was left alone: `name` for a user's own model that the registry has too, for one that a user removed,
            and for one gone from the registry that people had added to; `name: field` for a field that a user edited.
    """

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
