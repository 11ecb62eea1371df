"""`registry cache`: what is kept on this machine, and what goes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli._app import add, group
from registry.cli._errors import say
from registry.cli._options import Json, KeptId, Registry, Yes, confirm, kept_ids, seconds_of, size_of
from registry.cli._output import Column, show_facts, show_json, show_table, size

if TYPE_CHECKING:
    from registry.hub import Cache, CacheEntry

Preview = Annotated[bool, typer.Option("--dry-run", help="Delete nothing, show what would go.")]
OlderThan = Annotated[
    str | None, typer.Option("--older-than", metavar="AGE", help="Not used for so long: 30d, 12h, 2w.")
]

_COLUMNS = (
    Column("Model"),
    Column("Size", right=True, shown=size),
    Column("Last used", shown=lambda when: f"{when:%Y-%m-%d %H:%M}"),
    Column("Uses", right=True, rank=1),
    Column("Pinned", rank=2),
    Column("Source", rank=3),
    Column("Path", rank=4, wraps=True),
)


def overview(
    context: typer.Context,
    usage: Annotated[bool, typer.Option("--usage", help="The models too, the largest first.")] = False,
    json: Json = False,
) -> None:
    """Show and tidy the models that are kept on this machine.

    Without a command: how many there are, how much room they take, the limit, and what downloads have left.
    """
    if context.invoked_subcommand is not None:
        return
    cache = _cache()
    stats = cache.stats()
    entries = sorted(cache.list(), key=lambda entry: -entry.size_bytes) if usage else []
    if json:
        document = {"folder": cache.folder, **stats.to_dict()}
        show_json({**document, "entries": [entry.to_dict() for entry in entries]} if usage else document)
        return
    show_facts(
        {
            "folder": cache.folder,
            "models": stats.models,
            "size": size(stats.size_bytes),
            "of their own": size(stats.own_bytes),
            "limit": size(stats.max_bytes) or "none",
            "free on the disk": size(stats.free_bytes),
            "unfinished downloads": f"{stats.parts}, {size(stats.parts_bytes)}" if stats.parts else None,
        }
    )
    if usage:
        _show(entries)


def list_entries(json: Json = False) -> None:
    """List the kept models.

    Columns: id, size in bytes, time of the last use, number of uses, pinned or not, how it came, path.

    Examples:
        registry cache list
        registry cache list | cut -f1,2
    """
    entries = _cache().list()
    if json:
        show_json({"entries": [entry.to_dict() for entry in entries]})
    else:
        _show(entries)


def prune(
    max_size: Annotated[
        str | None, typer.Option("--max-size", metavar="SIZE", help="Room that may be taken. Left out: max_cache_size.")
    ] = None,
    older_than: OlderThan = None,
    dry_run: Preview = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete the least recently used models until the rest fits a limit.

    Pinned models and those in use stay. Asks first, unless `--yes` is given. Columns as in `registry cache list`.

    Examples:
        registry cache prune --max-size 50GB --dry-run
        registry cache prune --max-size 50GB --yes
    """
    most, age = size_of(max_size, "--max-size"), seconds_of(older_than, "--older-than")
    gone = _prune(most, age, dry_run=dry_run, yes=yes, json=json)
    if json:
        show_json({"dry_run": dry_run, "removed": [entry.to_dict() for entry in gone]})


def clean(older_than: OlderThan = None, dry_run: Preview = False, yes: Yes = False, json: Json = False) -> None:
    """Delete what was not used for some time, and old unfinished downloads.

    Without `--older-than` only downloads that were cut off more than 24 hours ago. Pinned models and those in use stay.

    Examples:
        registry cache clean
        registry cache clean --older-than 30d --yes
    """
    cache, age = _cache(), seconds_of(older_than, "--older-than")
    left, parts = cache.stats().parts, cache.clean_parts(dry_run=True)
    entries = _prune(sys.maxsize, age, dry_run=dry_run, yes=yes, json=json) if age is not None else ()
    if not dry_run:
        cache.clean_parts()
        parts = tuple(part for part in parts if not part.exists())
    if json:
        show_json({"dry_run": dry_run, "removed": [entry.to_dict() for entry in entries], "parts": parts})
    elif left and dry_run:
        say("", f"{len(parts)} of {left} unfinished downloads would go{''.join(f', {part}' for part in parts)}.")
    elif left:
        say("", f"Removed {len(parts)} of {left} unfinished downloads.")


def pin(model: KeptId, registry: Registry = None, json: Json = False) -> None:
    """Keep a model whatever happens: no pruning takes it.

    Examples:
        registry cache pin colbert-v2
    """
    _changed(_cache().pin(*kept_ids([model], registry)), "Pinned", json=json)


def unpin(model: KeptId, registry: Registry = None, json: Json = False) -> None:
    """Let a pinned model go when there is no room.

    Examples:
        registry cache unpin colbert-v2
    """
    _changed(_cache().unpin(*kept_ids([model], registry)), "Unpinned", json=json)


def _cache() -> Cache:
    from registry.hub import Cache

    return Cache()


def _prune(
    most: int | None, older_than_s: float | None, *, dry_run: bool, yes: bool, json: bool
) -> tuple[CacheEntry, ...]:
    """Delete what goes, once that is agreed, show it unless it is for JSON, and give it."""
    cache = _cache()
    doomed = cache.prune(most, older_than_s=older_than_s, dry_run=True)
    if doomed and not dry_run and not yes:
        if not json and sys.stdin.isatty():
            _show(doomed)
        room = size(sum(entry.size_bytes for entry in doomed))
        confirm(f"Delete {len(doomed)} model{'s' if len(doomed) > 1 else ''}, {room}?", yes=yes)
    gone = doomed if dry_run else cache.prune(most, older_than_s=older_than_s)
    if not json:
        _show(gone if dry_run or yes else (), empty="")
        what = "would go" if dry_run else "removed"
        say("", f"{len(gone)} model{'' if len(gone) == 1 else 's'} {what}.")
    return gone


def _changed(entry: CacheEntry, what: str, *, json: bool) -> None:
    if json:
        show_json(entry.to_dict())
    else:
        say("", f"{what} {entry.id}.")


def _show(entries: Iterable[Any], *, empty: str = "No model is kept here.") -> None:
    lines = [
        (
            entry.id,
            entry.size_bytes,
            entry.last_used,
            entry.use_count,
            entry.pinned,
            entry.source,
            entry.path,
        )
        for entry in entries
    ]
    show_table(_COLUMNS, lines, empty=empty)


app = group("cache", invoke_without_command=True, help=overview.__doc__)
app.callback()(overview)
for _name, _function in {
    "list": list_entries,
    "prune": prune,
    "clean": clean,
    "pin": pin,
    "unpin": unpin,
}.items():
    add(app, _function, _name)
