"""Validated data -> a frozen, ordered plan of everything that is emitted."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from registry_build.naming import constant_name, member_name
from registry_build.rows import ATTRIBUTES, EMBEDDING, Cells, Record, Row, cells_of, class_of, role_row
from registry_build.source import Source
from registry_build.vocabulary import ROLE, VOCABULARIES, Vocabulary, values_at


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
    """

    class_name: str
    columns: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """One record: its constant, its row, and what people read about it."""

    id: str
    constant: str
    class_name: str
    kind: int
    row: Row
    summary: str
    record: Record
    sources: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Profile:
    """A profile: role -> row of its model, in the order of the roles' names."""

    name: str
    description: str | None
    models: dict[str, Row]


@dataclass(frozen=True)
class Plan:
    """Everything that the emitted files hold.

    Attributes:
        source: Name of the data file, without its folder.
        digest: sha256 of the data, the same for every layout of the same values.
        version: Version of the data.
        kinds: Record classes in use, in the order of their numbers.
        types: Record class -> members of `ModelType`, each with its value, whose records all have it.
        enums: The enums of the vocabularies and of the roles, those without members included.
        models: The records, in the order of the file.
        aliases: Alias -> number of the record.
        default: Number of the default chat record.
        index: Field -> value -> numbers of the records that have it.
        profiles: The profiles, in the order of their names.
    """

    source: str
    digest: str
    version: str
    kinds: tuple[Kind, ...]
    types: dict[str, tuple[tuple[str, str], ...]]
    enums: tuple[Enum, ...]
    models: tuple[Model, ...]
    aliases: dict[str, int]
    default: int | None
    index: dict[str, dict[Any, tuple[int, ...]]]
    profiles: tuple[Profile, ...]


def plan(source: Source) -> Plan:
    """Plan the registry of a file that has passed `validate`."""
    data = source.data
    records: list[Record] = data["models"]
    aliases = {alias: number for number, record in enumerate(records) for alias in record.get("aliases", ())}
    ids = {alias: records[number]["id"] for alias, number in aliases.items()}
    default = next((number for number, record in enumerate(records) if record.get("default")), None)
    adapters: list[Record] = data.get("adapters", [])
    linked = list(_with_adapters([_with_ids(record, ids) for record in records], adapters, ids))
    classes = [class_of(record) for record in linked]
    cells = [cells_of(record, name) for record, name in zip(linked, classes, strict=True)]
    kinds = tuple(_kinds(linked, classes, cells))
    profiles = tuple(_profiles(data.get("profiles", {})))
    return Plan(
        source=PurePath(source.file).name,
        digest=_digest(data),
        version=data["version"],
        kinds=kinds,
        types=_types(linked, classes),
        enums=(*_enums([*records, *adapters]), _enum(ROLE, {role for profile in profiles for role in profile.models})),
        models=tuple(_models(linked, classes, cells, kinds)),
        aliases=aliases,
        default=default,
        index=_index(cells, classes),
        profiles=profiles,
    )


def _digest(data: Any) -> str:
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _with_ids(record: Record, ids: dict[str, str]) -> Record:
    """Give the record with ids where it names other records by alias."""
    links = {key: ids[record[key]] for key in ("superseded_by", "base_model") if record.get(key) in ids}
    return record | links


def _with_adapters(records: list[Record], adapters: list[Record], ids: dict[str, str]) -> Iterable[Record]:
    """Give the records, each chat record with the adapters that fit it, in the order of the file."""
    by_base: dict[str, list[int]] = defaultdict(list)
    linked = [_with_ids(adapter, ids) for adapter in adapters]
    for number, adapter in enumerate(linked):
        by_base[adapter["base_model"]].append(number)
    for record in records:
        base = record.get("base_model") or ""
        # A base that is a record is a model of its own: what fits that one need not fit this one.
        fitting = sorted({*by_base.get(record["id"], ()), *(by_base.get(base, ()) if "/" in base else ())})
        yield record | {"adapters": [linked[number] for number in fitting]} if fitting else record


def _kinds(records: list[Record], classes: list[str], cells: list[Cells]) -> Iterable[Kind]:
    for name in ATTRIBUTES:
        own = [number for number, class_name in enumerate(classes) if class_name == name]
        if own:
            yield Kind(
                class_name=name,
                # A column that no record fills is left out: the class knows what silence means.
                columns=tuple(c for c in ATTRIBUTES[name] if any(cells[number][c] is not None for number in own)),
                names=tuple(text for n in own for text in (records[n]["id"], *records[n].get("aliases", ()))),
            )


def _types(records: list[Record], classes: list[str]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Give the types of each record class; those that several classes share are the type of their base."""
    found: dict[str, set[str]] = defaultdict(set)
    for record, class_name in zip(records, classes, strict=True):
        found[record["type"]].add(class_name)
    # Only embedding models can share a type: every other shape is decided by the type alone.
    single = {text: names.pop() if len(names) == 1 else "EmbeddingModel" for text, names in found.items()}
    return {
        name: tuple((member_name("ModelType", text), text) for text, own in single.items() if own == name)
        for name in ("EmbeddingModel", *ATTRIBUTES)
        if name in single.values()
    }


def _models(records: list[Record], classes: list[str], cells: list[Cells], kinds: tuple[Kind, ...]) -> Iterable[Model]:
    numbers = {kind.class_name: number for number, kind in enumerate(kinds)}
    for record, name, row in zip(records, classes, cells, strict=True):
        number = numbers[name]
        yield Model(
            id=record["id"],
            constant=constant_name(record["id"]),
            class_name=name,
            kind=number,
            row=tuple(row[column] for column in kinds[number].columns),
            summary=_summary(record),
            record=record,
            sources={
                field: (text,) if isinstance(text, str) else tuple(text)
                for field, text in sorted(record.get("sources", {}).items())
            },
        )


def _summary(record: Record) -> str:
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


def _enums(records: list[Record]) -> Iterable[Enum]:
    for vocabulary in VOCABULARIES:
        values = {value for record in records for path in vocabulary.paths for _, value in values_at(record, path)}
        values.discard(None)
        yield _enum(vocabulary, values)


def _enum(vocabulary: Vocabulary, values: set[str]) -> Enum:
    members = tuple((member_name(vocabulary.enum, value), value) for value in sorted(values))
    return Enum(vocabulary.enum, vocabulary.doc, members)


def _profiles(profiles: dict[str, Record]) -> Iterable[Profile]:
    # By name, as the order of keys is no part of the data.
    for name, profile in sorted(profiles.items()):
        models = {role: role_row(model) for role, model in sorted(profile["models"].items())}
        yield Profile(name, profile.get("description"), models)


# Field of a query -> attributes that hold the values it is asked for.
_INDEXED = {
    "type": ("model_type",),
    "organization": ("organization",),
    "family": ("family",),
    "language": ("languages",),
    "license": ("license",),
    "capability": ("capabilities",),
    "tag": ("tags",),
    "quantization": ("quantization", "quantizations", "variants"),
}


def _index(cells: list[Cells], classes: list[str]) -> dict[str, dict[Any, tuple[int, ...]]]:
    index = {
        field: _rows_by([value for name in attributes for value in _values(row, name)] for row in cells)
        for field, attributes in _INDEXED.items()
    }
    embedding = [row if name in EMBEDDING else None for row, name in zip(cells, classes, strict=True)]
    index["embedding_dim"] = _rows_by([row["embedding_dim"]] if row else [] for row in embedding)
    index["matryoshka"] = _rows_by([bool(row["matryoshka_dims"])] if row else [] for row in embedding)
    return index


def _values(cells: Cells, attribute: str) -> tuple[Any, ...]:
    """Give the vocabulary values that an attribute holds."""
    value = cells.get(attribute)
    if value is None:
        return ()
    if attribute == "variants":
        return tuple(quantization for _, quantization, _ in value)
    return value if isinstance(value, tuple) else (value,)


def _rows_by(values_of_rows: Iterable[Iterable[Any]]) -> dict[Any, tuple[int, ...]]:
    """Give the numbers of the rows that have each value, in the order of the values."""
    rows: dict[Any, list[int]] = defaultdict(list)
    for number, values in enumerate(values_of_rows):
        for value in set(values):
            rows[value].append(number)
    return {value: tuple(rows[value]) for value in sorted(rows)}
