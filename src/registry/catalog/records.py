"""A record of a registry as the values of a model of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.catalog.fields import parse_fields

if TYPE_CHECKING:
    from registry.records import ModelInfo

# Attributes of records that have no field of their own.
_METADATA = (
    "architecture_type",
    "architecture_variant",
    "base_model",
    "license_url",
    "revision",
    "superseded_by",
    "version",
)
_FLAGS = ("deprecated", "recommended", "requires_remote_code")
_BILLION = 10**9


def values_of(record: ModelInfo) -> dict[str, Any]:
    """Give the values of all fields, checked.

    Raises:
        InvalidFieldError: The record has a value that the store cannot hold.
    """
    count = record.parameter_count
    file_format, file_size_bytes = _weights(record)
    return parse_fields(
        {
            "name": record.id,
            "display_name": record.name,
            "type": record.model_type,
            "model_family": record.family,
            "model_size": record.parameters,
            "parameters": None if count is None else count / _BILLION,
            "quantization": getattr(record, "quantization", None),
            "file_format": file_format,
            "organization": record.organization,
            "huggingface_id": record.huggingface_id,
            "license": record.license,
            "release_date": record.release_date,
            "context_length": record.context_length,
            "embedding_dim": getattr(record, "embedding_dim", None),
            "file_size_bytes": file_size_bytes,
            "ram_required_mb": getattr(record, "ram_required_mb", None),
            "description": record.description,
            "notes": None,
            "languages": record.languages,
            "capabilities": record.capabilities,
            "tags": record.tags,
            "metadata": _metadata(record),
        }
    )


def _weights(record: ModelInfo) -> tuple[str | None, int | None]:
    """Give the format and the size of the weights that loading reads, as far as the record states them."""
    file = getattr(record, "file", None)
    if file is not None:
        return "gguf", file.size_bytes
    files = getattr(record, "files", ())
    roles = {file.role for file in files}
    found = next((role for role in ("safetensors", "gguf", "onnx", "pytorch") if role in roles), None)
    sizes = [file.size_bytes for file in files if file.role in ("safetensors", "gguf")]
    return found, sum(sizes) if sizes and None not in sizes else None


def _metadata(record: ModelInfo) -> dict[str, str]:
    found = {name: str(value) for name in _METADATA if (value := getattr(record, name, None))}
    found |= {name: "true" for name in _FLAGS if getattr(record, name, None)}
    return found | ({"aliases": ",".join(record.aliases)} if record.aliases else {})
