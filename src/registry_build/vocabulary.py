"""Which fields draw their values from an enum of the generated module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from registry_build.problems import Path


@dataclass(frozen=True)
class Vocabulary:
    """An enum and the places in a record where its values stand.

    Attributes:
        enum: Name of the enum.
        doc: What its members are.
        attributes: Attributes of records that hold members.
        paths: Places of the values in a record; a list holds several, `*` goes through a list of objects.
    """

    enum: str
    doc: str
    attributes: tuple[str, ...]
    paths: tuple[str, ...]


VOCABULARIES = (
    Vocabulary("ModelType", "Kinds of models.", ("model_type",), ("type",)),
    Vocabulary("Organization", "Publishers.", ("organization",), ("organization",)),
    Vocabulary("Family", "Lines of models.", ("family",), ("family",)),
    Vocabulary("License", "Licences: SPDX expressions, or `LicenseRef-...`.", ("license",), ("license",)),
    Vocabulary("Language", "Languages: BCP-47 tags.", ("languages",), ("capabilities.languages",)),
    Vocabulary("Modality", "What models read.", ("modalities",), ("capabilities.modalities",)),
    Vocabulary("Capability", "What models can be used for.", ("capabilities",), ("capabilities.tasks",)),
    Vocabulary(
        "Quantization",
        "Storage formats of weights.",
        ("quantization", "quantizations"),
        ("quantization", "capabilities.quantization", "variants.*.quantization"),
    ),
    Vocabulary("Similarity", "Functions that compare two embeddings.", ("similarity",), ("similarity",)),
    Vocabulary("Pooling", "Ways from token states to one vector.", ("pooling",), ("pooling",)),
    Vocabulary("Template", "Chat templates.", ("template",), ("template",)),
    Vocabulary("Tag", "Free labels.", ("tags",), ("tags",)),
)

# Its values are keys of the profiles, not values in records.
ROLE = Vocabulary("Role", "What profiles have models for.", (), ())

# The upper-case names of a generated module, and of `registry` itself, that are not constants of records.
RESERVED = frozenset({"DEFAULT_PROFILE", "MODEL_REGISTRY", "REGISTRY_VERSION", "TYPE_CHECKING"})


def values_at(record: Any, path: str) -> Iterator[tuple[Path, Any]]:
    """Give every value at a dotted path of a record with its exact place; nothing where the path ends early."""
    value = record
    way = steps(path)
    for number, step in enumerate(way):
        if step == "*":
            for index, item in enumerate(value if isinstance(value, list) else ()):
                for place, inner in values_at(item, ".".join(way[number + 1 :])):
                    yield (*way[:number], index, *place), inner
            return
        if not isinstance(value, dict) or step not in value:
            return
        value = value[step]
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield (*way, index), item
    else:
        yield way, value


@cache
def steps(path: str) -> tuple[str, ...]:
    """Split a dotted path; the same few paths are asked for in every record."""
    return tuple(path.split("."))
