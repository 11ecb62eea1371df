"""`registry info`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli._errors import say
from registry.cli._options import Json, ModelId, Registry, registry_of
from registry.cli._output import Column, heading, number, show_facts, show_json, show_table, size
from registry.errors import RegistryError

if TYPE_CHECKING:
    from registry.hardware import Estimate, Machine
    from registry.records import ModelFile

# What is shown apart from the rest, or not at all where a value is the rule.
_APART = ("files", "file", "variants", "adapters", "defaults", "runtime", "id", "description")
_SHORTEST_CONTEXT = 2048


def info(
    model: ModelId,
    sources: Annotated[bool, typer.Option("--sources", help="Where each value was read.")] = False,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Show everything that is known about a model.

    What the registry says of it, its files with their digests, where they lie on this machine, and the memory that it
    takes at several contexts. Uses no network.

    Examples:
        registry info colbert-v2
        registry info qwen2.5-coder-7b-q5_k_m --sources
        registry info qwen2.5-coder-7b-q5_k_m --json | jq .memory
    """
    from registry._places import find_files
    from registry.hardware import probe

    records = registry_of(registry)
    record = records.lookup_model(model)
    machine = probe()
    estimates = _estimates(record, machine)
    stated = dict(records.get_sources(record)) if sources else {}
    if json:
        document = {
            "model": facts(record),
            "path": find_files(record),
            "memory": {
                "available_bytes": machine.ram_available_bytes,
                "estimates": [found.to_dict() | {"fits_now": _fits_now(found, machine)} for found in estimates],
            },
        }
        show_json({**document, "sources": stated} if sources else document)
        return
    show_facts({"id": record.id, **_shown(record), "description": record.description})
    _show_files(record)
    path = find_files(record)
    heading("On this machine")
    show_facts({"path": path or "not downloaded"})
    _show_memory(estimates, machine)
    if sources:
        heading("Sources")
        show_table((Column("Value"), Column("Read at", wraps=True)), list(stated.items()), empty="No source is stated.")


def facts(record: Any) -> dict[str, Any]:
    """Give all fields of a record, those of its parts too."""
    from dataclasses import asdict

    return asdict(record)


def _shown(record: Any) -> dict[str, object]:
    """Give the fields that say something, by their names."""
    found = facts(record)
    parts = {f"{part}.{name}": value for part in ("defaults", "runtime") for name, value in found.get(part, {}).items()}
    rest = {name: value for name, value in found.items() if name not in _APART and value is not False}
    return {name: number(value) if type(value) is int else value for name, value in {**rest, **parts}.items()}


def _show_files(record: Any) -> None:
    files: list[ModelFile] = [*getattr(record, "files", ())]
    files += [record.file] if getattr(record, "file", None) else []
    files += [variant.file for variant in getattr(record, "variants", ())]
    files += [adapter.file for adapter in getattr(record, "adapters", ())]
    if files:
        heading("Files")
        columns = (Column("File"), Column("Role", rank=2), Column("Size", right=True, rank=1, shown=size))
        lines = [(file.name, file.role, file.size_bytes, file.sha256) for file in files]
        show_table((*columns, Column("sha256", wraps=True)), lines, headed=True)


def _estimates(record: Any, machine: Machine) -> list[Estimate]:
    """Estimate the memory at contexts that double, up to the longest that the model can hold."""
    from registry.hardware import estimate

    try:
        return [estimate(record, context_length=context, machine=machine) for context in _contexts(record)]
    except RegistryError as error:  # a file that is damaged: what the record says is worth showing all the same
        say("warning", str(error))
        return []


def _contexts(record: Any) -> Iterable[int | None]:
    longest = record.context_length
    if longest is None:
        return [None]
    usual = getattr(getattr(record, "runtime", None), "context_length", None)
    doubled = [_SHORTEST_CONTEXT << step for step in range(12)]
    chosen = {longest, *(context for context in doubled if context < longest)}
    return sorted(chosen | ({usual} if usual is not None and usual < longest else set()))


def _show_memory(estimates: list[Estimate], machine: Machine) -> None:
    if not estimates:
        return
    heading("Memory")
    lines = []
    for found in estimates:
        parts = [[getattr(device, f"{part}_bytes") for device in found.devices] for part in _PARTS]
        totals = [None if None in values or not values else sum(values) for values in parts]
        lines.append((found.context_length, *totals, found.total_bytes, _fits_now(found, machine), found.confidence))
    columns = (
        Column("Context", right=True, shown=number),
        *(Column(title, right=True, rank=3, shown=size) for title in ("Weights", "KV cache", "Compute", "Overhead")),
        Column("Total", right=True, shown=size),
        Column("Fits now"),
        Column("Known from", rank=1),
    )
    show_table(columns, lines, headed=True)


_PARTS = ("weights", "kv_cache", "compute", "overhead")


def _fits_now(found: Estimate, machine: Machine) -> bool | None:
    """Say whether what is free now is enough, on every device; `None` where that cannot be told."""
    from registry.hardware.pools import lacking, pools_of, taken_from

    if found.total_bytes is None or machine.ram_available_bytes is None:
        return None
    free = pools_of(machine.ram_available_bytes, machine)
    lacks = lacking(taken_from(free, found), free).values()
    return None if lacks and not any(lacks) else not lacks
