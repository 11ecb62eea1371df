"""`registry bench`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli._catalogue import CatalogFile, model_in, opened
from registry.cli._errors import say
from registry.cli._options import Json, ModelId, Registry, registry_of
from registry.cli._output import Column, cell, console, number, show_facts, show_json, show_table
from registry.cli.metrics import exact
from registry.cli.vectors import Device, Dtype, ModelPath

if TYPE_CHECKING:
    from registry.catalog import NewMetric
    from registry.loaders import Measured, Step
    from registry.records import ModelInfo


def bench(
    model: ModelId,
    runs: Annotated[int, typer.Option("--runs", metavar="N", min=1, help="How often to measure.")] = 5,
    context_length: Annotated[
        int | None, typer.Option("--context-length", metavar="N", help="Tokens of context to load it with.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", help="CPU threads.")] = None,
    gpu_layers: Annotated[
        int | None, typer.Option("--gpu-layers", metavar="N", help="Layers on the GPU; -1 is all. GGUF only.")
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
    path: ModelPath = None,
    no_store: Annotated[bool, typer.Option("--no-store", help="Show the numbers and keep none.")] = False,
    catalog: CatalogFile = None,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Measure a model on this machine, and store what was measured.

    In a process of its own: the time to load it, of a chat model the time to the first token and the tokens a second,
    of an encoder the embeddings a second, of a reranker the pairs a second, and the peak of memory. Each is the median
    of several runs after a warm-up; close what else keeps the machine busy. The model must be on this machine.
    `registry metrics compare` draws what was stored.

    Columns: type, value, unit, lowest and highest of the runs, number of runs, type and name of the hardware, context
    in tokens.

    Examples:
        registry bench all-minilm-l6-v2
        registry bench qwen3-0.6b-q8_0 --runs 3 --context-length 8192 --threads 4
    """
    from registry.loaders import LoadOptions, measure

    record: ModelInfo = registry_of(registry).lookup_model(model)
    given = {
        "context_length": context_length,
        "threads": threads,
        "gpu_layers": gpu_layers,
        "device": device,
        "dtype": dtype,
    }
    options = LoadOptions(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    with nullcontext() if no_store else opened(catalog) as store:
        # Before minutes are spent on what cannot be stored.
        kept = None if store is None else model_in(store, record.id, registry)
        with _progress(record.id) as tell:
            measured = measure(record, path=path, options=options, runs=runs, progress=tell)
        rows = () if store is None or kept is None else store.add_metrics(kept.id, _rows(measured))
    if json:
        show_json({**measured.to_dict(), "stored": [row.id for row in rows]})
    else:
        _show(measured)
        if rows:
            say("", f"Stored as numbers {rows[0].id} to {rows[-1].id}; `registry metrics list {record.id}` shows them.")


@contextmanager
def _progress(model_id: str) -> Iterator[Callable[[Step], None]]:
    """Give a callback that draws a bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*parts, console=console(stderr=True), transient=True) as bars:
        task = bars.add_task(f"{model_id}: Starting", total=None)
        yield lambda step: bars.update(
            task, description=f"{model_id}: {step.name}", completed=step.done, total=step.total
        )


def _rows(measured: Measured) -> list[NewMetric]:
    from registry.catalog import NewMetric

    return [
        NewMetric(
            metric_type=each.metric_type,
            metric_value=each.value,
            unit=each.unit,
            hardware_type=measured.hardware.type,
            hardware_name=measured.hardware.name,
            context_size=measured.context_size,
        )
        for each in measured.measurements
    ]


def _show(measured: Measured) -> None:
    """Print what was measured: for people in the size of unit that fits, and with what it was measured."""
    for note in measured.notes:
        say("note", note)
    hardware = measured.hardware
    if not sys.stdout.isatty():
        for each in measured.measurements:
            numbers = (exact(each.value), each.unit, exact(each.lowest), exact(each.highest), each.runs)
            print(each.metric_type, *numbers, *map(cell, (*hardware, measured.context_size)), sep="\t")
        return
    from registry.catalog.metric_types import metric_type, value_with_unit

    columns = (Column("Measured"), Column("Median", right=True), Column("Spread", rank=1), Column("Runs", right=True))
    lines = [
        (
            metric_type(each.metric_type).title,
            value_with_unit(each.value, each.unit),
            " to ".join(value_with_unit(end, each.unit) for end in dict.fromkeys((each.lowest, each.highest))),
            each.runs,
        )
        for each in measured.measurements
    ]
    show_table(columns, lines)
    show_facts(
        {
            "on": hardware.name,
            "context": number(measured.context_size),
            "each run": ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in measured.workload.items()),
            "first load": value_with_unit(measured.first_load_s, "s") + ", with the import of packages",
        }
    )
