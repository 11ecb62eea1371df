"""`registry import`, `registry export`: models between files and the catalogue store."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli._catalogue import CatalogFile, opened
from registry.cli._configs import ALL_FORMATS, Chosen, check_options, export_config
from registry.cli._errors import FAILED, INTERRUPTED, CommandError, explained, say
from registry.cli._options import Json, Registry, one_of, registry_of, size_of
from registry.cli._output import Column, console, number, printable, show_json, show_table
from registry.cli._writing import refuse_to_overwrite
from registry.errors import ImportRowsError, InvalidInputError, RegistryError

if TYPE_CHECKING:
    from typing import BinaryIO, TextIO

    from registry.catalog import BadRow, Catalog, ImportReport

_SHOWN = 50  # bad rows of a file that are named
_COLUMNS = (
    Column("File"),
    Column("Rows", right=True, shown=number),
    Column("Added", right=True, shown=number),
    Column("Updated", right=True, shown=number),
    Column("Unchanged", right=True, shown=number),
    Column("Bad", right=True, shown=number),
)

Format = Annotated[
    str | None, typer.Option("--format", metavar="NAME", help="csv, json or jsonl. Left out: as the ending says.")
]


def import_models(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="A .csv, .json or .jsonl; `-`: standard input, CSV by default.")
    ],
    format: Format = None,
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing of a file that has a bad row.")] = False,
    catalog: CatalogFile = None,
    json: Json = False,
) -> None:
    """Bring models from files into the catalogue store.

    A table has names of fields as its headings: name, display_name, model_family, parameters, capabilities, tags and
    others, see docs/catalog.md. A model that the store has is changed in the columns that the file has, others are
    added. Bad rows are named with line and reason, and the good ones are imported; with `--strict` nothing of that file
    is, and the exit code is 1. A file is one transaction: Ctrl-C leaves the store as it was. Columns: file, rows,
    models added, updated, unchanged, bad rows.

    Examples:
        registry import models.csv
        registry import models.csv --strict --catalog team.db
        zcat models.jsonl.gz | registry import - --format jsonl
    """
    done: list[ImportReport] = []
    failed: list[dict[str, Any]] = []
    with opened(catalog) as store:
        for file in files:
            try:
                done.append(_import(store, file, format, strict=strict))
            except KeyboardInterrupt:
                if sys.stderr.isatty():
                    print(file=sys.stderr)  # the terminal has written `^C` there
                say("error", "Stopped by Ctrl-C.")
                say("hint", f"Nothing of `{file}` was imported: the catalogue is as it was before it.")
                raise typer.Exit(INTERRUPTED) from None
            except (RegistryError, OSError) as error:
                failed.append(_told(file, error))
    if json:
        show_json({"files": [_document(report) for report in done], "failed": failed})
    else:
        rows = [(each.source, each.rows, each.added, each.updated, each.unchanged, each.bad_rows) for each in done]
        show_table(_COLUMNS, rows)
    if failed:
        raise typer.Exit(FAILED)


def _import(store: Catalog, file: str, format: str | None, *, strict: bool) -> ImportReport:
    from registry.catalog import import_models as bring

    source = _stdin() if file == "-" else Path(file)
    with _bar(f"Importing {file}", "bytes") as told:
        report = bring(
            store,
            source,
            format=format,  # type: ignore[arg-type] # what it may be is said there
            strict=strict,
            progress=lambda progress: told(progress.done_bytes, progress.total_bytes),
        )
    _name_bad(report.source, report.bad, report.bad_rows)
    return report


def _stdin() -> TextIO | BinaryIO:
    if sys.stdin.isatty():
        say("", "Reading models until Ctrl-D.")
    return getattr(sys.stdin, "buffer", sys.stdin)


def _name_bad(file: str, bad: Sequence[BadRow | str], count: int) -> None:
    """Name bad rows on the standard error."""
    for row in bad[:_SHOWN]:
        say("bad row", f"{file}: {row}")
    if more := count - min(len(bad), _SHOWN):
        say("", f"and {more:,} bad row{'' if more == 1 else 's'} more in {file}; `--json` has the first 1,000.")


def _told(file: str, error: RegistryError | OSError) -> dict[str, Any]:
    """Report what was wrong with a file, and give it as the JSON document has it."""
    document: dict[str, Any] = {"file": file}
    if isinstance(error, ImportRowsError):
        _name_bad(file, error.problems, len(error.problems))
        problem, remedy = (
            f"Nothing of `{file}` was imported, as it has bad rows.",
            "Mend them, or leave out `--strict`.",
        )
        document["problems"] = list(error.problems)
    elif isinstance(error, RegistryError):
        problem, remedy = explained(error)
    else:
        problem, remedy = f"{file}: {error.strerror or error}", ""
    say("error", problem)
    if remedy:
        say("hint", remedy)
    return document | {"error": problem, "hint": remedy}


def _document(report: ImportReport) -> dict[str, Any]:
    found = asdict(report)
    return {"file": found.pop("source"), **found}


def export_models(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A .csv, .json or .jsonl; `-`, or left out: standard output.")
    ] = "-",
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="csv, json or jsonl, left out: as the ending says; or llama-swap, llama-router or modelfile.",
        ),
    ] = None,
    search: Annotated[
        str, typer.Option("--search", metavar="TEXT", help="Only models that have all these words.")
    ] = "",
    family: Annotated[list[str] | None, typer.Option(metavar="FAMILY", help="Only of these families.")] = None,
    type: Annotated[list[str] | None, typer.Option(metavar="TYPE", help="Only of these types: chat, dense.")] = None,
    capability: Annotated[
        list[str] | None, typer.Option(metavar="TASK", help="Only with this; several: with all of them.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Only with this label; several: all.")] = None,
    language: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Only for this language; several: for all.")
    ] = None,
    license: Annotated[list[str] | None, typer.Option(metavar="SPDX", help="Only under these licences.")] = None,
    max_ram: Annotated[str | None, typer.Option(metavar="SIZE", help="Only models that need at most this.")] = None,
    sync: Annotated[bool, typer.Option("--sync", help="Bring the models of the registry in first.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
    model: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="For another program: only these models of the registry.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="For another program: profile whose models it serves.")
    ] = None,
    manifest: Annotated[
        str | None, typer.Option(metavar="FILE", help="For another program: profiles of your own.")
    ] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="For a Modelfile: its system text.")] = None,
    catalog: CatalogFile = None,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Write models of the catalogue store to a file.

    With their measurements, notes, and all that is known of them: importing the file into an empty store gives the same
    store. They are those of one moment, whoever writes meanwhile, and the file is there as a whole at the end. CSV is
    safe to open in a spreadsheet: a cell that it would run as a formula has an apostrophe in front, which importing
    takes away. Says the number of models on standard error. Values of the options count in any case.

    The formats llama-swap, llama-router (presets for `llama-server --models-preset`) and modelfile (for `ollama
    create`, of one model) are made from the records of the registry and a profile, whose roles are names to ask for;
    what had to be left out is on standard error.

    Examples:
        registry export catalog.csv --sync
        registry export code.jsonl --capability code --max-ram 16GB
        registry export --format json | jq -r ".[].name"
        registry export --format llama-swap llama-swap.yaml --profile default
        registry export --format modelfile M --model qwen2.5-coder-3b-q4_k_m
    """
    if check_options(context, format):
        chosen = Chosen(model or (), profile, manifest, registry_of(registry))
        export_config(file, str(format), chosen, system=system, force=force, json=json)
        return
    most = size_of(max_ram, "--max-ram")
    given = {"family": family, "type": type, "capability": capability, "tag": tag, "language": language}
    _check_target(file, format, force=force, json=json)
    with opened(catalog, writes=sync) as store:
        if sync:
            store.sync(registry_of(registry))
        filters = _filters(store, {**given, "license": license})
        count = _export(store, file, format=format, text=search, max_ram_bytes=most, **filters)
    if json:
        show_json({"path": file, "models": count})
    else:
        say("", f"{'Standard output' if file == '-' else file}: {count:,} model{'' if count == 1 else 's'}.")
    if not count:
        say("hint", "`--sync` brings the models of the registry in, `registry import FILE` those of a file.")


def _check_target(file: str, format: str | None, *, force: bool, json: bool) -> None:
    from registry.catalog.importing import format_of

    if file == "-" and json:
        raise typer.BadParameter("standard output has the models themselves: name a FILE", param_hint="--json")
    try:
        format_of(None if file == "-" else file, format)
    except InvalidInputError as error:
        raise CommandError(explained(error)[0], f"Or name the format, `--format`: {ALL_FORMATS}.") from None
    refuse_to_overwrite(file, force=force)


def _export(store: Catalog, file: str, **how: Any) -> int:
    from registry.catalog import export_models as write

    with _target(file) as target, _bar(f"Exporting to {file}", "models") as told:
        return write(store, target, progress=told, **how)


def _filters(store: Catalog, given: Mapping[str, list[str] | None]) -> dict[str, Any]:
    """Give the filters; values that no model has are refused."""
    known: Mapping[str, Callable[[], Any]] = {
        "family": store.families,
        "type": store.types,
        "capability": store.capabilities,
        "tag": store.tags,
        "language": store.languages,
        "license": store.licenses,
    }
    return {
        name: [one_of(value, [count.value for count in known[name]()], f"--{name}") for value in values]
        for name, values in given.items()
        if values
    }


@contextmanager
def _target(file: str) -> Iterator[Path | TextIO]:
    """Give the file, or standard output as UTF-8 with the ends of lines that are written."""
    buffer = getattr(sys.stdout, "buffer", None)
    if file != "-":
        yield Path(file)
    elif buffer is None:
        yield sys.stdout
    else:
        sys.stdout.flush()
        stream = TextIOWrapper(buffer, encoding="utf-8", newline="")
        try:
            yield stream
        finally:
            stream.detach()


@contextmanager
def _bar(label: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Give what draws how far something has come on the standard error; nothing where that is no terminal."""
    screen = console(stderr=True)
    if not screen.is_interactive or os.environ.get("CI", "").lower() not in ("", "0", "false"):
        yield lambda _, __: None
        return
    from rich import progress

    count = progress.DownloadColumn() if unit == "bytes" else progress.MofNCompleteColumn()
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(bar_width=20), count)
    with progress.Progress(*columns, progress.TimeRemainingColumn(), console=screen, transient=True) as bars:
        task = bars.add_task(printable(label), total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
