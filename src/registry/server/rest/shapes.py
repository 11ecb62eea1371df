"""What the catalogue is asked and answers: JSON Schemas for its description, made of the fields of the store."""

from __future__ import annotations

from registry.catalog import FIELDS
from registry.catalog.fields import MAX_LIST_LENGTH, MAX_NAME_LENGTH, METRIC_FIELDS, Field
from registry.server.schemas import Schema, object_of, reference, success

MAX_METRICS = 1000  # in one request
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_TIME = r"^\s*((19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)?\s*$"
_NAME = r"^[A-Za-z0-9._:+-]*$"
_JOINED = frozenset({"capabilities", "tags"})
_MEANINGS = {
    "name": "Name in addresses, unique whatever the case; not digits only.",
    "display_name": "Name for people.",
    "type": "Kind of model.",
    "model_family": "Line of models it belongs to.",
    "model_size": "Parameter count as the publisher states it.",
    "parameters": "Parameter count in billions.",
    "quantization": "Storage format of the weights.",
    "file_format": "Format of the files.",
    "organization": "Publisher.",
    "huggingface_id": "Repository on the Hugging Face hub, `org/model`.",
    "license": "SPDX expression, or whatever the source had.",
    "release_date": "ISO 8601, as exact as it is known.",
    "context_length": "Longest input in tokens.",
    "embedding_dim": "Size of one output vector in components.",
    "file_size_bytes": "Size of the weights in bytes.",
    "ram_required_mb": "Memory that the publisher asks for, in MB (10^6 bytes).",
    "description": "What it is good for.",
    "notes": "The user's own words.",
    "languages": "BCP-47 tags.",
    "capabilities": "What it can be used for, joined by commas.",
    "tags": "Free labels, joined by commas.",
    "metadata": "Whatever else, text by key.",
    "metric_type": "What was measured: `tokens_per_second`, `load_time`.",
    "metric_value": "The number.",
    "unit": "Its unit.",
    "hardware_type": "`cpu`, `cuda`, `metal`.",
    "hardware_name": "Processor or graphics card.",
    "context_size": "Context of the run in tokens.",
    "measured_at": "When; UTC. Left out: now.",
}


def _asked(field: Field) -> Schema:
    """Give what a field takes."""
    return {**_TAKEN[field.kind](field), "description": _MEANINGS[field.name]}


def _optional(field: Field, schema: Schema) -> Schema:
    return schema if field.required else {**schema, "type": [schema["type"], "null"]}


def _text(field: Field) -> Schema:
    inside = f"[^{_CONTROL}]" if field.one_line else r"[^\x00]"
    pattern = rf"^\s*[^\s{_CONTROL}]{inside}*$" if field.required else rf"^\s*{inside}*\s*$"
    return _optional(field, {"type": "string", "maxLength": field.max_length, "pattern": pattern})


def _name(field: Field) -> Schema:
    pattern = r"^(?=[^A-Za-z]*[A-Za-z._:+-])[A-Za-z0-9][A-Za-z0-9._:+-]*$"
    return {"type": "string", "minLength": 1, "maxLength": field.max_length, "pattern": pattern}


def _number(field: Field) -> Schema:
    return _optional(field, {"type": field.kind, "minimum": field.minimum, "maximum": field.maximum})


def _date(field: Field) -> Schema:
    pattern = r"^\s*([0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?)?\s*$"
    return _optional(field, {"type": "string", "pattern": pattern, "maxLength": field.max_length})


def _time(field: Field) -> Schema:
    return _optional(field, {"type": "string", "pattern": _TIME})


def _list(field: Field) -> Schema:
    one = f"[^,{_CONTROL}]"  # character of a value
    several = {
        "type": "array",
        "maxItems": MAX_LIST_LENGTH,
        "items": {
            "type": "string",
            "maxLength": field.max_length,
            "pattern": rf"^\s*[^,\s{_CONTROL}]{one}*$",
        },
    }
    text = {"type": "string", "pattern": rf"^({one}{{0,{field.max_length}}},)*{one}{{0,{field.max_length}}}$"}
    return {"anyOf": [several, text, {"type": "null"}]}


def _mapping(field: Field) -> Schema:
    return {
        "type": ["object", "null"],
        "maxProperties": MAX_LIST_LENGTH,
        "propertyNames": {
            "maxLength": 200,
            "pattern": rf"^\s*[^\s{_CONTROL}][^{_CONTROL}]*$",
        },
        "additionalProperties": {
            "type": "string",
            "maxLength": field.max_length,
            "pattern": r"^[^\x00]*$",
        },
    }


_TAKEN = {
    "name": _name,
    "text": _text,
    "number": _number,
    "integer": _number,
    "date": _date,
    "time": _time,
    "list": _list,
    "mapping": _mapping,
}


def _answered(field: Field) -> Schema:
    """Give what a field holds in an answer."""
    if field.name in _JOINED:
        shape: Schema = {"type": "string"}
    elif field.kind == "list":
        shape = {"type": "array", "items": {"type": "string"}}
    elif field.kind == "mapping":
        shape = {"type": "object", "additionalProperties": {"type": "string"}}
    else:
        kind = field.kind if field.kind in ("number", "integer") else "string"
        shape = {"type": kind if field.required else [kind, "null"]}
    return {**shape, "description": _MEANINGS[field.name]}


_COUNT: Schema = {"type": "integer", "minimum": 0}
_STRING: Schema = {"type": "string"}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_TOTAL: Schema = {**_COUNT, "description": "Number of all that there is; a list may be a part of them."}
_LINKS: Schema = {
    "type": "object",
    "description": "Addresses of the first, previous, next and last page, as far as there are any.",
    "additionalProperties": False,
    "properties": dict.fromkeys(("first", "prev", "next", "last"), _STRING),
}
_MODEL = object_of(
    {
        "id": {"type": "integer", "minimum": 1, "description": "Number in this store; never given to another model."},
        **{name: _answered(field) for name, field in FIELDS.items()},
        "source": {**_STRING, "description": "`user`, or the module of the registry that it came from."},
        "created_at": {**_MOMENT, "description": "When it was added."},
        "updated_at": {**_MOMENT, "description": "When any of it but its measurements last changed."},
        "record": {
            "type": ["object", "null"],
            "description": "The typed record of the compiled registry; `null` for a user's own model.",
        },
    }
)
_METRIC = object_of(
    {
        "id": {"type": "integer", "minimum": 1},
        "model_id": {"type": "integer", "minimum": 1},
        **{name: _answered(field) for name, field in METRIC_FIELDS.items()},
    }
)
_NEW_METRIC = object_of(
    {name: _asked(field) for name, field in METRIC_FIELDS.items()},
    required=[name for name, field in METRIC_FIELDS.items() if field.required],
)
_STATS = object_of(
    {
        "models": _COUNT,
        "total_bytes": {**_COUNT, "description": "Sum of `file_size_bytes` where that is known."},
        "size_classes": {
            **object_of(dict.fromkeys(("Tiny", "Small", "Medium", "Large", "unknown"), _COUNT)),
            "description": "Models below 1, from 1, from 5, and above 15 billions of parameters.",
        },
        "families": {
            "type": "array",
            "items": object_of({"family": _STRING, "models": _COUNT, "total_bytes": _COUNT}),
        },
        "types": {"type": "array", "items": reference("ValueCount")},
    }
)
_FAILURE = object_of(
    {
        "success": {"const": False},
        "error": object_of(
            {
                "code": {**_STRING, "description": "What went wrong, for programs."},
                "message": {**_STRING, "description": "What went wrong, a sentence."},
                "hint": {**_STRING, "description": "What to do; empty where there is nothing."},
                "param": {**_STRING, "description": "The parameter or field that is to blame."},
            },
            required=["code", "message", "hint"],
        ),
    }
)
_CHANGES = {name: _asked(field) for name, field in FIELDS.items()}

SCHEMAS: dict[str, Schema] = {
    "CatalogModel": _MODEL,
    "NewCatalogModel": object_of(
        {**_CHANGES, "display_name": {**_CHANGES["display_name"], "description": "Name for people; left out: `name`."}},
        required=["name"],
    ),
    "CatalogModelChanges": {**object_of(_CHANGES, required=[]), "description": "Fields to change; `null` empties one."},
    "Metric": _METRIC,
    "NewMetric": _NEW_METRIC,
    "NewMetrics": {
        "anyOf": [
            reference("NewMetric"),
            {"type": "array", "minItems": 1, "maxItems": MAX_METRICS, "items": reference("NewMetric")},
        ]
    },
    "ValueCount": object_of({"value": _STRING, "models": _COUNT}),
    "Stats": _STATS,
    "ModelAnswer": success(reference("CatalogModel")),
    "ModelsAnswer": success({"type": "array", "items": reference("CatalogModel")}, total=_TOTAL, links=_LINKS),
    "MetricsAnswer": success({"type": "array", "items": reference("Metric")}, total=_TOTAL, links=_LINKS),
    "MetricsAdded": success({"type": "array", "items": reference("Metric")}, total=_TOTAL),
    "ValuesAnswer": success({"type": "array", "items": reference("ValueCount")}, total=_TOTAL),
    "StatsAnswer": success(reference("Stats")),
    "RemovedAnswer": success(object_of({"id": {"type": "integer", "minimum": 1}, "name": _STRING})),
    "HealthAnswer": success(object_of({"status": {"const": "ok"}, "version": _STRING, "models": _COUNT})),
    "CatalogFailure": _FAILURE,
}
MODEL_PATH: Schema = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "Number or name of a model.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH, "pattern": _NAME},
}
