"""`registry outdated`, `registry update`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli._errors import told
from registry.cli._options import AllowUnpinned, Json, ModelId, Registry, registry_of
from registry.cli._output import Column, show_json, show_table

if TYPE_CHECKING:
    from registry.hub import Update


def outdated(
    offline: Annotated[bool, typer.Option("--offline", help="Compare with the registry only; ask no hub.")] = False,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """List kept models that have something newer.

    Newer files than the kept ones, newer commits on the hub, deprecated records and those that another one stands in
    for. Asks the hub; changes nothing. A repository that the hub does not tell of is an error on standard error, and
    the others are listed; exit code 1 where it tells of none. Columns: id, kind, what is kept, what is newest,
    changelog.

    Examples:
        registry outdated
        registry outdated --json | jq -r ".updates[].id"
    """
    from registry.hub import Cache, updates

    records = registry_of(registry)
    looked = updates(commits=not offline, registry=records)
    found = [update for update in looked if update.error is None]
    failed = [told(update.id, update.error) for update in looked if update.error is not None]
    if json:
        show_json({"updates": [update.to_dict() for update in found], "failed": failed})
    else:
        _show(found, empty="" if failed else "Everything that is kept is the newest that the registry knows.")
    if failed and not found and len(failed) == sum(entry.id in records for entry in Cache().list()):
        raise typer.Exit(1)


def _show(found: Iterable[Update], *, empty: str) -> None:
    columns = (
        Column("Model"),
        Column("Kind"),
        Column("Kept", rank=1, shown=_short),
        Column("Newest", rank=1, shown=_short),
        Column("Changelog", wraps=True),
    )
    lines = [(update.id, update.kind, update.current, update.newest, update.changelog) for update in found]
    show_table(columns, lines, empty=empty)


def update(
    model: ModelId, allow_unpinned: AllowUnpinned = False, registry: Registry = None, json: Json = False
) -> None:
    """Fetch what is newer for a kept model.

    The files that the record pins today take the place of the kept ones, once they are proven. Those that have not
    changed are not fetched again. Prints id and path.

    Examples:
        registry update colbert-v2
    """
    from registry.hub import rich_progress
    from registry.hub import update as renew

    record = registry_of(registry).lookup_model(model)
    with rich_progress() as progress:
        path = renew(record, allow_unpinned=allow_unpinned, progress=progress)
    if json:
        show_json({"id": record.id, "path": path})
    else:
        show_table((Column("Model"), Column("Path", wraps=True)), [(record.id, path)])


def _short(value: str | None) -> str | None:
    """Give a commit as people read it."""
    return value[:12] if value is not None and len(value) == 40 else value
