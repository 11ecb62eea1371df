"""JSON Schemas that the rooms of this package are described by, put together of parts."""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]


def reference(name: str) -> Schema:
    """Give the reference to a schema of the description."""
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(properties: Schema, *, required: list[str] | None = None) -> Schema:
    """Give an object that has these properties, all of them where nothing else is said, and no other."""
    needed = list(properties) if required is None else required
    made: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**made, "required": needed} if needed else made


def success(data: Schema, **more: Schema) -> Schema:
    """Give the envelope of a success."""
    return object_of({"success": {"const": True}, "data": data, **more})


def json_content(name: str) -> Schema:
    """Give the content of a body that is JSON of one of these schemas."""
    return {"content": {"application/json": {"schema": reference(name)}}}
