"""`registry list`, `registry search`, `registry families`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli._options import Json, Registry, one_of, registry_of, size_of, spelled, values_of
from registry.cli._output import Column, number, show_json, show_table, size

if TYPE_CHECKING:
    from registry.records import ModelInfo

# Option -> field of the records. Those that hold several values match one of them.
_FIELDS = {
    "type": "model_type",
    "family": "family",
    "organization": "organization",
    "language": "languages",
    "capability": "capabilities",
    "tag": "tags",
    "license": "license",
}
# How to sort: name -> key. What is not known comes last, whichever way round.
_ORDERS: Mapping[str, Callable[[Any], Any]] = {
    "id": lambda record: record.id,
    "name": lambda record: record.name.casefold(),
    "type": lambda record: record.model_type,
    "family": lambda record: record.family,
    "parameters": lambda record: record.parameter_count,
    "context": lambda record: record.context_length,
    "dim": lambda record: getattr(record, "embedding_dim", None),
    "size": lambda record: bytes_of(record),
    "released": lambda record: record.release_date,
}
COLUMNS = (
    Column("Model"),
    Column("Type"),
    Column("Params", right=True, rank=1),
    Column("Context", right=True, rank=2, shown=number),
    Column("Dim", right=True, rank=3),
    Column("Size", right=True, rank=4, shown=size),
    Column("License", rank=5),
    Column("Family", rank=6),
)


def list_models(
    show_all: Annotated[bool, typer.Option("--all", help="Deprecated models too.")] = False,
    cached: Annotated[bool, typer.Option("--cached", help="Only models whose files are on this machine.")] = False,
    type: Annotated[str | None, typer.Option(metavar="TYPE", help="Such as chat, dense or colbert.")] = None,
    family: Annotated[str | None, typer.Option(metavar="FAMILY", help="As `registry families` lists them.")] = None,
    organization: Annotated[str | None, typer.Option(metavar="NAME", help="Publisher.")] = None,
    language: Annotated[str | None, typer.Option(metavar="TAG", help="BCP-47 tag, such as en or de.")] = None,
    capability: Annotated[str | None, typer.Option(metavar="TASK", help="Such as retrieval or code.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Label; several: all of them.")] = None,
    license: Annotated[str | None, typer.Option(metavar="SPDX", help="Such as Apache-2.0.")] = None,
    max_ram: Annotated[str | None, typer.Option(metavar="SIZE", help="Only models that need at most this.")] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="[-]KEY", help=f"{', '.join(_ORDERS)}; with `-` the largest first.")
    ] = None,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """List the models of the registry, or those on this machine.

    Columns, where it is not a terminal with tabs between them and no headings: id, type, parameters, context length in
    tokens, embedding dimension, size of the weights in bytes, license, family. A narrow terminal shows the first ones.

    Examples:
        registry list --type chat --max-ram 8GB --sort -parameters
        registry list --language de --tag retrieval
        registry list --cached | cut -f1
        registry list --registry acme._registry --json
    """
    found: Sequence[ModelInfo] = tuple(registry_of(registry).values())
    wanted = {"type": type, "family": family, "organization": organization, "language": language}
    for option, value in {**wanted, "capability": capability, "license": license}.items():
        found = _having(found, option, value)
    for value in tag or ():
        found = _having(found, "tag", value)
    if not show_all:
        found = [record for record in found if not record.deprecated]
    if (most := size_of(max_ram, "--max-ram")) is not None:
        found = _needing_at_most(found, most)
    if cached:
        from registry._places import find_files

        found = [record for record in found if find_files(record)]
    show_models(_sorted(found, sort), json=json)


def search(
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="Words; a model must have all of them.")],
    show_all: Annotated[bool, typer.Option("--all", help="Deprecated models too.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="The best so many.")] = None,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Find models by words in id, name, tags and description.

    The best match comes first: words in the id count more than in the name, the family, tags and the description.

    Examples:
        registry search colbert
        registry search multilingual long-context -n 5
        registry search "code completion" --json
    """
    from registry.cli._search import ranked

    records = [record for record in registry_of(registry).values() if show_all or not record.deprecated]
    show_models(ranked(records, " ".join(text))[:limit], json=json)


def families(registry: Registry = None, json: Json = False) -> None:
    """List the families of models.

    Columns: family, number of models, their types, publisher.

    Examples:
        registry families
        registry list --family Qwen2.5-Coder
    """
    records = registry_of(registry).values()
    counts = Counter(str(record.family) for record in records if record.family)
    lines = []
    for name, count in sorted(counts.items(), key=lambda item: item[0].casefold()):
        members = [record for record in records if record.family == name]
        types = sorted({str(record.model_type) for record in members})
        lines.append((name, count, types, sorted({str(record.organization) for record in members})))
    if json:
        keys = ("family", "models", "types", "organizations")
        show_json({"families": [dict(zip(keys, line, strict=True)) for line in lines]})
    else:
        columns = (Column("Family"), Column("Models", right=True), Column("Types", rank=2), Column("Publisher", rank=1))
        show_table(columns, lines, empty="No model names a family.")


def show_models(records: Iterable[ModelInfo], *, json: bool) -> None:
    """Show a list of models."""
    if json:
        show_json({"models": [summary(record) for record in records]})
    else:
        show_table(COLUMNS, rows(records), empty="No model is like this.")


def rows(records: Iterable[Any]) -> Iterator[tuple[object, ...]]:
    """Give what a list has of each model, column by column."""
    for record in records:
        yield (
            record.id,
            record.model_type,
            record.parameters,
            record.context_length,
            getattr(record, "embedding_dim", None),
            bytes_of(record),
            record.license,
            record.family,
        )


def summary(record: Any) -> dict[str, object]:
    """Give what lists say of a model, by the names of the record's attributes."""
    return {
        "id": record.id,
        "model_type": record.model_type,
        "name": record.name,
        "huggingface_id": record.huggingface_id,
        "revision": record.revision,
        "organization": record.organization,
        "family": record.family,
        "parameters": record.parameters,
        "parameter_count": record.parameter_count,
        "context_length": record.context_length,
        "embedding_dim": getattr(record, "embedding_dim", None),
        "quantization": getattr(record, "quantization", None),
        "size_bytes": bytes_of(record),
        "ram_required_mb": getattr(record, "ram_required_mb", None),
        "license": record.license,
        "languages": record.languages,
        "capabilities": record.capabilities,
        "tags": record.tags,
        "recommended": record.recommended,
        "deprecated": record.deprecated,
        "superseded_by": record.superseded_by,
        "description": record.description,
    }


def bytes_of(record: Any) -> int | None:
    """Give the size of the weights that loading reads, or `None` where the record does not state it."""
    file = getattr(record, "file", None)
    if file is not None:
        return file.size_bytes  # type: ignore[no-any-return]
    sizes = [file.size_bytes for file in getattr(record, "files", ()) if file.role in ("safetensors", "gguf")]
    return sum(sizes) if sizes and None not in sizes else None


def _having(records: Sequence[ModelInfo], option: str, value: str | None) -> Sequence[ModelInfo]:
    if value is None:
        return records
    exact = spelled(value, records, f"--{option}", _FIELDS[option])
    return [record for record in records if exact in values_of(record, _FIELDS[option])]


def _needing_at_most(records: Iterable[ModelInfo], most: int) -> list[ModelInfo]:
    """Keep what is known to need at most so many bytes: by the record, or by the estimate where it states nothing."""
    from registry.hardware.requirement import need_of

    needs = ((record, need_of(record).total_bytes) for record in records)
    return [record for record, need in needs if need is not None and need <= most]


def _sorted(records: Sequence[ModelInfo], by: str | None) -> Sequence[ModelInfo]:
    if by is None:
        return records
    name = one_of(by.removeprefix("-"), _ORDERS, "--sort", "there is no order")
    key = _ORDERS[name or "id"]
    known = [record for record in records if key(record) is not None]
    rest = [record for record in records if key(record) is None]
    return [*sorted(known, key=key, reverse=by.startswith("-")), *rest]
