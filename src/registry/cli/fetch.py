"""`registry download`, `registry verify`, `registry remove`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli._errors import INTERRUPTED, say, told
from registry.cli._options import (
    AllowUnpinned,
    Json,
    KeptIds,
    MaybeKeptIds,
    ModelIds,
    Registry,
    Yes,
    confirm,
    kept_ids,
    models_of,
)
from registry.cli._output import Column, show_json, show_table, size
from registry.errors import RegistryError

if TYPE_CHECKING:
    from pathlib import Path

    from registry.records import ModelInfo


def download(
    models: ModelIds,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="hub, a URL, a folder, or a URL with {repo}, {revision} and {file} in it; several, in order.",
        ),
    ] = None,
    endpoint: Annotated[str | None, typer.Option(metavar="URL", help="Hub to ask in place of HF_ENDPOINT.")] = None,
    allow_unpinned: AllowUnpinned = False,
    force: Annotated[bool, typer.Option("--force", help="Fetch anew what is there.")] = False,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Fetch models and prove their bytes.

    What is on this machine already is proven and taken, from the Hugging Face cache too. Ctrl-C leaves a part that the
    next call goes on with. Prints id and path of each model.

    Examples:
        registry download colbert-v2
        registry download "$(registry select --role coding)"
        registry download bge-small-en-v1.5 --source https://mirror.example
        registry download bge-small-en-v1.5 --source /mnt/models --source hub
    """
    from registry.hub.sources import hub_endpoint, parse_source

    for each in source or ():
        parse_source(each)  # what cannot be is wrong usage, whatever is here already
    hub_endpoint(endpoint)
    how = {"sources": source, "endpoint": endpoint, "allow_unpinned": allow_unpinned, "force": force}
    done, failed = _fetch_all(models_of(models, registry), how)
    if json:
        show_json({"models": [{"id": model, "path": path} for model, path in done], "failed": failed})
    else:
        show_table((Column("Model"), Column("Path", wraps=True)), done)
    if failed:
        raise typer.Exit(1)


def _fetch_all(records: list[ModelInfo], how: dict[str, Any]) -> tuple[list[tuple[str, Path]], list[dict[str, str]]]:
    """Fetch one model after the other; one that cannot be fetched does not keep the others from coming."""
    from registry.hub import ensure, rich_progress

    done, failed = [], []
    with rich_progress() as progress:
        for record in records:
            try:
                path = ensure(record, progress=progress, **how)
            except KeyboardInterrupt:
                say("error", "Stopped by Ctrl-C.")
                say("hint", f"The same command goes on where this stopped: what has come of `{record.id}` is kept.")
                raise typer.Exit(INTERRUPTED) from None
            except RegistryError as error:
                failed.append(told(record.id, error))
            else:
                done.append((record.id, path))
    return done, failed


def verify(models: MaybeKeptIds = None, registry: Registry = None, json: Json = False) -> None:
    """Hash kept models again, without a network.

    All that are kept, or those that are named. Exit code 1 where a file is not what was proven when it came. Columns:
    id, state, bytes read, problems.

    Examples:
        registry verify
        registry verify colbert-v2 --json
    """
    from registry.hub import rich_progress
    from registry.hub import verify as prove

    with rich_progress() as progress:
        results = prove(kept_ids(models, registry) if models else None, progress=progress)
    if json:
        show_json({"models": [result.to_dict() for result in results]})
    else:
        columns = (
            Column("Model"),
            Column("State"),
            Column("Read", right=True, rank=1, shown=size),
            Column("Problems", wraps=True),
        )
        lines = [
            (
                result.id,
                "ok" if result.ok else "damaged" if result.problems else "unproven",
                result.checked_bytes,
                _why(result),
            )
            for result in results
        ]
        show_table(columns, lines, empty="No model is kept here.")
    if not all(result.ok for result in results):
        if not json:
            say("hint", "`registry download ID` proves a model anew, and fetches it where it is damaged.")
        raise typer.Exit(1)


def _why(result: Any) -> str | None:
    unproven = f"nothing to compare with: {', '.join(result.unproven)}" if result.unproven else ""
    return "; ".join(filter(None, (*result.problems, unproven))) or None


def remove(models: KeptIds, yes: Yes = False, registry: Registry = None, json: Json = False) -> None:
    """Delete a kept model.

    Asks first, unless `--yes` is given. One that is in use stays. A file in the Hugging Face cache, or in a package,
    loses its link only.

    Examples:
        registry remove colbert-v2
        registry remove colbert-v2 --yes
    """
    from registry.hub import Cache

    cache = Cache()
    entries = [cache.get(model) for model in kept_ids(models, registry)]
    names = ", ".join(f"{entry.id} ({size(entry.size_bytes)})" for entry in entries)
    confirm(f"Delete {names}?", yes=yes)
    gone, failed = [], []
    for entry in entries:
        try:
            gone.append(cache.remove(entry.id))
        except (RegistryError, OSError) as error:
            failed.append(told(entry.id, error))
    if json:
        show_json({"removed": [entry.to_dict() for entry in gone], "failed": failed})
    else:
        for entry in gone:
            print(f"Removed {entry.id}, {size(entry.size_bytes)}.", file=sys.stderr)
    if failed:
        raise typer.Exit(1)
