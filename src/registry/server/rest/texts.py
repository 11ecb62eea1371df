"""Models and measurements of the store as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from registry.server.answers import enveloped, json_bytes
from registry.server.representation import entity_tag

if TYPE_CHECKING:
    from registry.catalog import CatalogModel, Metric
    from registry.queries import ModelRegistry

_USER = "user"


class ModelTexts:
    """Writes models as JSON. What the registry says of a model never changes, and is written once.

    Args:
        registry: The typed records.
    """

    def __init__(self, registry: ModelRegistry[Any]) -> None:
        self._registry = registry
        self._records: dict[str, str] = {}

    def of(self, model: CatalogModel) -> bytes:
        """Write a model: its fields, and its record."""
        written = json.dumps(_fields(model), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        record = "null" if model.source == _USER else self._record(model.name)
        return f'{written[:-1]},"record":{record}}}'.encode("utf-8", "backslashreplace")

    def answer(self, model: CatalogModel) -> bytes:
        """Write the answer that has a model."""
        return enveloped(self.of(model))

    def etag(self, model: CatalogModel) -> bytes:
        """Give the entity tag of that answer."""
        return entity_tag(self.answer(model))

    def _record(self, name: str) -> str:
        if (written := self._records.get(name)) is None:
            record = self._registry.find_model(name)
            written = json_bytes(None if record is None else asdict(record)).decode()
            self._records[name] = written
        return written


def _fields(model: CatalogModel) -> dict[str, object]:
    return {
        "id": model.id,
        "name": model.name,
        "display_name": model.display_name,
        "type": model.type,
        "model_family": model.model_family,
        "model_size": model.model_size,
        "parameters": model.parameters,
        "quantization": model.quantization,
        "file_format": model.file_format,
        "organization": model.organization,
        "huggingface_id": model.huggingface_id,
        "license": model.license,
        "release_date": model.release_date,
        "context_length": model.context_length,
        "embedding_dim": model.embedding_dim,
        "file_size_bytes": model.file_size_bytes,
        "ram_required_mb": model.ram_required_mb,
        "description": model.description,
        "notes": model.notes,
        "languages": model.languages,
        "capabilities": ",".join(model.capabilities),
        "tags": ",".join(model.tags),
        "metadata": dict(model.metadata),
        "source": model.source,
        "created_at": model.created_at,
        "updated_at": model.updated_at,
    }


def metrics_text(metrics: Iterable[Metric]) -> bytes:
    """Write measurements as an array."""
    return json_bytes([vars(metric) for metric in metrics])
