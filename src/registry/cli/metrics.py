"""`registry metrics`: what was measured of models, and how they compare."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli._app import add, group
from registry.cli._catalogue import CatalogFile, MaybeStoredModel, StoredModel, StoredModels, model_in, opened
from registry.cli._errors import FAILED, CommandError, say
from registry.cli._options import Json, Registry, Yes, confirm, one_of
from registry.cli._output import Column, show_facts, show_json, show_table
from registry.errors import InvalidFieldError

if TYPE_CHECKING:
    from registry.catalog import Catalog, Metric
    from registry.catalog.chart import Chart
    from registry.loaders import Hardware

_OPTIONS = {
    "metric_type": "--type",
    "metric_value": "--value",
    "unit": "--unit",
    "hardware_type": "--hardware-type",
    "hardware_name": "--hardware-name",
    "context_size": "--context-size",
    "measured_at": "--measured-at",
}
_NONE = (
    "Nothing that was measured matches. `registry bench ID` measures a model, `registry metrics add` takes a number."
)

HardwareType = Annotated[str | None, typer.Option("--hardware-type", metavar="TYPE", help="cpu, cuda, metal, ...")]


def complete_types(incomplete: str) -> list[str]:
    """Give the types of measurements that begin like this, for the completion of shells."""
    from registry.catalog.metric_types import METRIC_TYPES

    return [name for name in METRIC_TYPES if name.startswith(incomplete)]


def overview(context: typer.Context, catalog: CatalogFile = None, json: Json = False) -> None:
    """Write down, list and compare what was measured of models.

    Without a command: how much of it there is, by type.
    """
    if context.invoked_subcommand is not None:
        return
    with opened(catalog, writes=False) as store:
        rows = store.metrics()
        path = store.path
    types = dict(Counter(row.metric_type for row in rows).most_common())
    models = len({row.model_id for row in rows})
    if json:
        show_json({"catalog": path, "metrics": len(rows), "models": models, "types": types})
    else:
        show_facts({"catalogue": path, "measurements": len(rows), "of models": models, **types})


def add_metric(
    model: StoredModel,
    metric_type: Annotated[
        str,
        typer.Option(
            "--type", metavar="TYPE", help="What was measured: tokens_per_second, ...", autocompletion=complete_types
        ),
    ],
    value: Annotated[float, typer.Option("--value", metavar="NUMBER", help="The number.")],
    unit: Annotated[
        str | None, typer.Option("--unit", metavar="UNIT", help="Its unit. Left out: that of a known type.")
    ] = None,
    hardware_type: HardwareType = None,
    hardware_name: Annotated[
        str | None,
        typer.Option("--hardware-name", metavar="NAME", help="Processor or GPU. Left out: this machine's."),
    ] = None,
    context_size: Annotated[
        int | None, typer.Option("--context-size", metavar="N", help="Tokens of context it was measured with.")
    ] = None,
    measured_at: Annotated[
        str | None, typer.Option("--measured-at", metavar="TIME", help="ISO 8601, in UTC where it says no zone.")
    ] = None,
    catalog: CatalogFile = None,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Write down what was measured elsewhere.

    Known types, whose unit may be left out: tokens_per_second, prompt_tokens_per_second, time_to_first_token (ms),
    embeddings_per_second, pairs_per_second, load_time (s), peak_memory (bytes), gpu_peak_memory (bytes). Any other is
    taken too. Without hardware it is that of this machine: its GPU where there is one.

    Examples:
        registry metrics add qwen3-0.6b-q8_0 --type tokens_per_second --value 42.1
        registry metrics add colbert-v2 --type load_time --value 1.2 --unit s
    """
    hardware = _hardware(hardware_type, hardware_name)
    row = {
        "metric_type": metric_type,
        "metric_value": value,
        "unit": unit if unit is not None else _unit_of(metric_type),
        "hardware_type": hardware.type,
        "hardware_name": hardware.name,
        "context_size": context_size,
        "measured_at": measured_at,
    }
    with opened(catalog) as store:
        found = model_in(store, model, registry)
        try:
            (added,) = store.add_metrics(found.id, [row])
        except InvalidFieldError as error:
            problem = f"expected {error.expected}, got {error.got!r}"
            raise typer.BadParameter(problem, param_hint=_OPTIONS.get(error.field, error.field)) from None
    if json:
        show_json({"model": found.name, **asdict(added)})
    else:
        say("", f"Stored as number {added.id} of {found.name}: {_value(added)} on {added.hardware_name}.")


def list_metrics(
    model: MaybeStoredModel = None,
    metric_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="One type only.", autocompletion=complete_types)
    ] = None,
    hardware_type: HardwareType = None,
    hardware_name: Annotated[
        str | None, typer.Option("--hardware-name", metavar="NAME", help="One processor or GPU only, its whole name.")
    ] = None,
    catalog: CatalogFile = None,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """List what was measured, the newest first.

    Columns: number, model, type, value, unit, type and name of the hardware, context in tokens, time.

    Examples:
        registry metrics list
        registry metrics list qwen3-0.6b-q8_0 --type tokens_per_second --json
    """
    with opened(catalog, writes=False) as store:
        wanted = None if model is None else model_in(store, model, registry).id
        found = store.metrics(wanted, metric_type=metric_type, hardware_type=hardware_type, hardware_name=hardware_name)
        names = _names(store, found)
    if json:
        show_json({"metrics": _documents(found, names)})
    else:
        _show(found, names)


def compare(
    models: StoredModels,
    metric_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="One type only.", autocompletion=complete_types)
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option("--hardware", metavar="NAME", help="One type of hardware, or those with this in their names."),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the charts to this file as well.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
    catalog: CatalogFile = None,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Draw what was measured of several models side by side.

    Of several measurements of one model, type and hardware the newest stands: each of `registry bench` is a median by
    itself, and a median over months would mix what was measured with older packages. Best first, by hardware. Where it
    is not a terminal, lines with the columns of `registry metrics list`.

    Examples:
        registry metrics compare qwen3-0.6b-q8_0 qwen2.5-coder-7b-q5_k_m
        registry metrics compare colbert-v2 jina-colbert-v2 --svg speed.svg
    """
    from registry.catalog.chart import bars_svg, charts_of
    from registry.catalog.comparison import newest

    if svg is not None and svg.exists() and not force:
        raise CommandError(f"`{svg}` is there already.", "Choose another name, or give `--force`.")
    with opened(catalog, writes=False) as store:
        chosen = {each.id: each.name for each in (model_in(store, name, registry) for name in models)}
        stored = [row for model_id in chosen for row in store.metrics(model_id)]
    found = newest(_matching(stored, metric_type, hardware))
    for name in (name for model_id, name in chosen.items() if all(row.model_id != model_id for row in found)):
        say("note", f"nothing that matches was measured of {name}.")
    if not found:
        raise CommandError("There is nothing to compare.", "`registry bench ID` measures a model.", FAILED)
    charts = charts_of(found, chosen)
    if svg is not None:
        svg.write_text(bars_svg(*charts), "utf-8")
        say("", f"{svg}: {len(charts)} chart{'' if len(charts) == 1 else 's'}.")
    if json:
        show_json({"models": list(chosen.values()), "metrics": _documents(found, chosen)})
    elif sys.stdout.isatty():
        _draw(charts)
    else:
        _show(found, chosen)


def remove(
    numbers: Annotated[
        list[int], typer.Argument(metavar="NUMBER", help="Numbers of measurements, as `metrics list` has them.")
    ],
    yes: Yes = False,
    catalog: CatalogFile = None,
    json: Json = False,
) -> None:
    """Delete measurements.

    Asks first, unless `--yes` is given.

    Examples:
        registry metrics remove 12 13 --yes
    """
    numbers = list(dict.fromkeys(numbers))
    several = "s" if len(numbers) > 1 else ""
    with opened(catalog, writes=False) as store:
        there = {row.id for row in store.metrics()}
        if missing := [number for number in numbers if number not in there]:
            told = " or ".join(map(str, missing))
            raise CommandError(f"No measurement has the number {told}.", "`registry metrics list` shows them.", FAILED)
        confirm(f"Delete {len(numbers)} measurement{several}?", yes=yes)
        for number in numbers:
            store.remove_metric(number)
    if json:
        show_json({"removed": numbers})
    else:
        say("", f"Removed {len(numbers)} measurement{several}.")


def _unit_of(metric_type: str) -> str:
    from registry.catalog.metric_types import METRIC_TYPES

    known = METRIC_TYPES.get(metric_type.strip().casefold())
    if known is None:
        raise typer.BadParameter(f"`{metric_type}` is no known type: say the unit of its values", param_hint="--unit")
    return known.unit


def _hardware(type: str | None, name: str | None) -> Hardware:
    """Give the hardware that is named; what is left out is this machine's."""
    from registry.loaders import Hardware
    from registry.loaders.running_on import list_hardware

    if type is not None and name is not None:
        return Hardware(type, name)
    if name is not None:
        raise typer.BadParameter("a name needs its type, such as `cuda`", param_hint="--hardware-type")
    here = list_hardware()
    if type is None:
        return here[0]
    found = next((each for each in here if each.type == type.casefold()), None)
    if found is None:
        raise typer.BadParameter(f"this machine has no `{type}`: say its name", param_hint="--hardware-name")
    return found


def _matching(rows: Iterable[Metric], metric_type: str | None, hardware: str | None) -> list[Metric]:
    """Give the rows of a type, and of hardware that is meant by its type or a part of its name."""
    from registry.catalog.metric_types import METRIC_TYPES

    found = list(rows)
    wanted = one_of(metric_type, {*METRIC_TYPES, *(row.metric_type for row in found)}, "--type", "nothing measures")
    if wanted is not None:
        found = [row for row in found if row.metric_type.casefold() == wanted.casefold()]
    if hardware is not None:
        part = hardware.casefold()
        found = [row for row in found if part == row.hardware_type.casefold() or part in row.hardware_name.casefold()]
    return found


def _names(store: Catalog, rows: Iterable[Metric]) -> dict[int, str]:
    return {model.id: model.name for model in store.get_many({row.model_id for row in rows})}


def _documents(rows: Iterable[Metric], names: Mapping[int, str]) -> list[dict[str, object]]:
    return [{"model": names[row.model_id], **asdict(row)} for row in rows]


def _value(row: Metric) -> str:
    from registry.catalog.metric_types import value_with_unit

    return value_with_unit(row.metric_value, row.unit)


def exact(value: float) -> str:
    """Write a number for programs, with every digit."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _show(rows: Iterable[Metric], names: Mapping[int, str]) -> None:
    """Print rows; for people value and unit are one column, in the size of unit that fits."""
    people = sys.stdout.isatty()
    columns = (
        Column("#", right=True),
        Column("Model"),
        Column("Type"),
        Column("Value", right=True),
        *(() if people else (Column("Unit"),)),
        Column("On", rank=1),
        Column("Hardware", rank=2),
        Column("Context", right=True, rank=4),
        Column("Measured", rank=3),
    )
    lines = [
        (
            row.id,
            names[row.model_id],
            row.metric_type,
            *((_value(row),) if people else (exact(row.metric_value), row.unit)),
            row.hardware_type,
            row.hardware_name,
            row.context_size,
            row.measured_at[:16].replace("T", " ") if people else row.measured_at,
        )
        for row in rows
    ]
    show_table(columns, lines, empty=_NONE)


def _draw(charts: Iterable[Chart]) -> None:
    from registry.catalog.chart import bars_text

    width = shutil.get_terminal_size().columns
    print("\n".join(bars_text(chart, width=width, ascii_only=not _has_blocks()) for chart in charts), end="")


def _has_blocks() -> bool:
    try:
        "█▏".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


app = group("metrics", invoke_without_command=True, help=overview.__doc__)
app.callback()(overview)
for _name, _function in {"add": add_metric, "list": list_metrics, "compare": compare, "remove": remove}.items():
    add(app, _function, _name)
