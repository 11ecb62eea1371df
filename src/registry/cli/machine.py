"""`registry hardware`, `registry select`, `registry fit`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli._errors import in_options
from registry.cli._options import Json, ModelIds, Registry, registry_of, spelled
from registry.cli._output import Column, heading, number, show_facts, show_json, show_table, size

if TYPE_CHECKING:
    from registry.hardware import FitReport, Machine, Selection
    from registry.records import ModelInfo

Ram = Annotated[
    str | None, typer.Option("--ram", metavar="SIZE", help="Memory there is, such as 16GB. Left out: what is free now.")
]
Context = Annotated[
    int | None,
    typer.Option("--context-length", metavar="N", min=1, help="Tokens of context that it must have room for."),
]
Basis = Annotated[
    str, typer.Option(metavar="BASIS", help="record: what the record states decides; or estimate: never that.")
]
Reserve = Annotated[
    str | None,
    typer.Option("--reserve", metavar="SIZE", help="Memory left to the system. Left out: 2GB, or the setting."),
]


def hardware(json: Json = False) -> None:
    """Show what this machine has.

    Memory, cores, GPUs and disk; limits of containers count.

    Examples:
        registry hardware
        registry hardware --json | jq .ram_available_bytes
    """
    from registry.hardware import probe

    machine = probe()
    if json:
        show_json(machine.to_dict())
    else:
        _show_machine(machine)


def _show_machine(machine: Machine) -> None:
    cpu = machine.cpu
    show_facts(
        {
            "system": f"{machine.system}, Python {machine.python}",
            "processor": ", ".join(filter(None, (cpu.name, cpu.architecture))),
            "cores": f"{cpu.usable_cores} usable" + (f", {cpu.physical_cores} physical" if cpu.physical_cores else ""),
            "instruction sets": cpu.features,
            "memory": _of(machine.ram_available_bytes, machine.ram_total_bytes),
            "swap": _of(machine.swap_free_bytes, machine.swap_total_bytes) if machine.swap_total_bytes else None,
            "disk": f"{size(machine.disk_free_bytes) or 'unknown'} free at {machine.disk_path}",
            "GPUs": None if machine.gpus else "none",
            "shared memory": "GPU and processor share one memory" if machine.unified_memory else None,
        }
    )
    if machine.gpus:
        columns = (
            Column("GPU", right=True),
            Column("Name", wraps=True),
            Column("Free", right=True, shown=size),
            Column("Total", right=True, shown=size),
            Column("Driver", rank=2),
            Column("Compute", rank=1),
        )
        lines = [
            (gpu.index, gpu.name, gpu.memory_free_bytes, gpu.memory_total_bytes, gpu.driver, gpu.compute_capability)
            for gpu in machine.gpus
        ]
        show_table(columns, lines)
    for note in machine.notes:
        print(f"note: {note}", file=sys.stderr)


def _of(free: int | None, total: int | None) -> str:
    return f"{size(free) or 'unknown'} free of {size(total) or 'unknown'}"


def select(
    ram: Ram = None,
    show_all: Annotated[bool, typer.Option("--all", help="Also models that are not marked as recommended.")] = False,
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="general, coding, reasoning, embedding or reranking.")
    ] = None,
    type: Annotated[str | None, typer.Option(metavar="TYPE", help="Such as chat, dense or colbert.")] = None,
    family: Annotated[str | None, typer.Option(metavar="FAMILY", help="As `registry families` lists them.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Label; several: all of them.")] = None,
    language: Annotated[list[str] | None, typer.Option(metavar="TAG", help="BCP-47 tag; several: all of them.")] = None,
    license: Annotated[list[str] | None, typer.Option(metavar="SPDX", help="Licence; several: one of them.")] = None,
    context_length: Context = None,
    min_parameters: Annotated[str | None, typer.Option(metavar="COUNT", help="At least this, such as 3B.")] = None,
    max_parameters: Annotated[str | None, typer.Option(metavar="COUNT", help="At most this, such as 14B.")] = None,
    quantization: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Such as Q4_K_M.")] = None,
    basis: Basis = "record",
    reserve: Reserve = None,
    why: Annotated[bool, typer.Option("--why", help="Why each other model was turned down.")] = False,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Choose the largest model that fits this machine.

    Where recommended models match, it is one of them unless `--all` is given; 2 GB are left to the system. Where it is
    not a terminal only the id is printed; with `--why` a line for each model that was turned down: id, kind of reason,
    reason. Exit code 1 where nothing fits.

    Examples:
        registry select --role coding
        registry select --family Qwen2.5-Coder --ram 16GB --why
        registry chat "$(registry select --role general)"
    """
    from registry.hardware import select as choose

    records = registry_of(registry)
    known = tuple(records.values())
    found: Selection = choose(
        ram,
        role=role,
        type=spelled(type, known, "--type", "model_type"),
        family=spelled(family, known, "--family", "family"),
        tags=_all_spelled(tag, known, "--tag", "tags"),
        languages=_all_spelled(language, known, "--language", "languages"),
        license=_all_spelled(license, known, "--license", "license") or None,
        context_length=context_length,
        min_parameters=min_parameters,
        max_parameters=max_parameters,
        quantization=_all_spelled(quantization, known, "--quantization", "quantization", "quantizations") or None,
        recommended_only=False if show_all else None,
        basis=basis,  # type: ignore[arg-type] # a word that is none is refused there
        reserve_bytes=reserve,
        registry=records,
    )
    if json:
        show_json(found.to_dict())
    elif why:
        if sys.stdout.isatty():
            _show_choice(found)
            heading("Turned down")
        columns = (Column("Model"), Column("For", rank=1), Column("Reason", wraps=True))
        show_table(columns, [(each.model_id, each.kind, in_options(each.reason)) for each in found.rejected])
    elif sys.stdout.isatty():
        _show_choice(found)
    else:
        print(found.model.id)


def _all_spelled(values: Iterable[str] | None, records: Iterable[ModelInfo], option: str, *fields: str) -> list[str]:
    return [str(spelled(value, records, option, *fields)) for value in values or ()]


def _show_choice(found: Selection) -> None:
    show_facts(
        {
            "model": found.model.id,
            "name": found.model.name,
            "needs": found.need,
            "there are": f"{size(found.budget_bytes)}, with {size(found.reserved_bytes)} left to the system",
            "longest context": number(found.max_context_length),
            "layers on the GPU": found.gpu_layers,
            "turned down": f"{len(found.rejected)} others; `--why` says why",
        }
    )


def fit(
    models: ModelIds,
    ram: Ram = None,
    context_length: Context = None,
    gpu_layers: Annotated[
        int | None, typer.Option(metavar="N", help="Layers on the GPU; -1 is all. Left out: as many as fit.")
    ] = None,
    basis: Basis = "record",
    reserve: Reserve = None,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Say which of several models may be loaded together.

    The earlier has the right of way; one that is named twice counts twice. Exit code 1 where not all of them fit.
    Columns: id, fits or not, bytes that it needs, layers on the GPU, reason.

    Examples:
        registry fit qwen2.5-coder-7b-q5_k_m colbert-v2
        registry fit qwen2.5-coder-7b-q5_k_m colbert-v2 --ram 16GB --json
    """
    from registry.hardware import fit as plan

    report = plan(
        models,
        available_ram=ram,
        context_length=context_length,
        gpu_layers=gpu_layers,
        basis=basis,  # type: ignore[arg-type] # as above
        reserve_bytes=reserve,
        registry=registry_of(registry),
    )
    if json:
        show_json(report.to_dict())
    else:
        _show_fit(report)
    if not report.fits:
        raise typer.Exit(1)


def _show_fit(report: FitReport) -> None:
    columns = (
        Column("Model"),
        Column("Fits"),
        Column("Needs", right=True, shown=size),
        Column("GPU layers", right=True, rank=1),
        Column("Reason", wraps=True),
    )
    lines = [
        (entry.model.id, entry.fits, entry.need.total_bytes, entry.gpu_layers, entry.reason) for entry in report.entries
    ]
    show_table(columns, lines)
    if sys.stdout.isatty():
        left = ", ".join(f"{size(count) or 'unknown'} of {name}" for name, count in report.left_bytes.items())
        show_facts({"left": left, "most at once": None if report.fits else report.most})
