"""`registry hardware`, `registry select`, `registry fit`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli._options import Json, ModelIds, Registry, models_of, registry_of
from registry.cli._output import Column, heading, number, show_facts, show_json, show_table, size

if TYPE_CHECKING:
    from registry.hardware import Machine, Selection

Ram = Annotated[
    str | None, typer.Option("--ram", metavar="SIZE", help="Memory there is, such as 16GB. Left out: what is free now.")
]
Context = Annotated[
    int | None,
    typer.Option("--context-length", metavar="N", min=1, help="Tokens of context that it must have room for."),
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
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="general, coding, reasoning, ...")] = None,
    type: Annotated[str | None, typer.Option(metavar="TYPE", help="Such as chat, dense or colbert.")] = None,
    family: Annotated[str | None, typer.Option(metavar="FAMILY", help="As `registry families` lists them.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Label; several: all of them.")] = None,
    language: Annotated[list[str] | None, typer.Option(metavar="TAG", help="BCP-47 tag; several: all of them.")] = None,
    license: Annotated[list[str] | None, typer.Option(metavar="SPDX", help="Licence; several: one of them.")] = None,
    context_length: Context = None,
    min_parameters: Annotated[str | None, typer.Option(metavar="COUNT", help="At least this, such as 3B.")] = None,
    max_parameters: Annotated[str | None, typer.Option(metavar="COUNT", help="At most this, such as 14B.")] = None,
    quantization: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Such as Q4_K_M.")] = None,
    basis: Annotated[
        str, typer.Option(metavar="BASIS", help="record: what records state counts; or estimate.")
    ] = "record",
    reserve: Reserve = None,
    why: Annotated[bool, typer.Option("--why", help="Why each other model was turned down.")] = False,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Choose the largest model that fits this machine.

    Recommended models go first, and 2 GB are left to the system. Where it is not a terminal only the id is printed;
    with `--why` a line for each model that was turned down: id, kind of reason, reason. Exit code 1 where nothing fits.

    Examples:
        registry select --role coding
        registry select --family Qwen2.5-Coder --ram 16GB --why
        registry chat "$(registry select --role general)"
    """
    from registry.hardware import select as choose

    found: Selection = choose(
        ram,
        role=role,
        type=type,
        family=family,
        tags=tag or (),
        languages=language or (),
        license=license,
        context_length=context_length,
        min_parameters=min_parameters,
        max_parameters=max_parameters,
        quantization=quantization,
        basis=basis,  # type: ignore[arg-type] # a word that is none is refused there
        reserve_bytes=reserve,
        registry=registry_of(registry),
    )
    if json:
        show_json(found.to_dict())
    elif why:
        _show_choice(found)
        heading("Turned down")
        columns = (Column("Model"), Column("For", rank=1), Column("Reason", wraps=True))
        show_table(columns, [(each.model_id, each.kind, each.reason) for each in found.rejected])
    elif sys.stdout.isatty():
        _show_choice(found)
    else:
        print(found.model.id)


def _show_choice(found: Any) -> None:
    if not sys.stdout.isatty():
        return
    show_facts(
        {
            "model": found.model.id,
            "name": found.model.name,
            "needs": found.need,
            "of": size(found.budget_bytes),
            "longest context": number(found.max_context_length),
            "GPU layers": found.gpu_layers,
            "turned down": f"{len(found.rejected)} others; `--why` says why",
        }
    )


def fit(
    models: ModelIds,
    ram: Ram = None,
    context_length: Context = None,
    reserve: Reserve = None,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Say which of several models may be loaded together.

    Exit code 1 where not all of them may.

    Examples:
        registry fit qwen2.5-coder-7b-q5_k_m colbert-v2
        registry fit qwen2.5-coder-7b-q5_k_m colbert-v2 --ram 16GB --json
    """
    from registry.hardware import fit as plan

    report: Any = plan(
        models_of(models, registry), available_ram=ram, context_length=context_length, reserve_bytes=reserve
    )
    if json:
        show_json(report.to_dict())
    else:
        _show_fit(report)


def _show_fit(report: Any) -> None:
    raise NotImplementedError(report)
