"""Options that several commands have, and what is made of their values."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli._errors import FAILED, CommandError
from registry.errors import ModelNotFoundError

if TYPE_CHECKING:
    from registry.queries import ModelRegistry
    from registry.records import ModelInfo


def complete_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Give the ids that begin like this, for the completion of shells: of the registry that is named before them."""
    try:
        registry = registry_of(context.params.get("registry"))
    except typer.BadParameter:
        return []
    return [model_id for model_id in registry if model_id.startswith(incomplete)]


def complete_kept(incomplete: str) -> list[str]:
    """Give the ids of kept models that begin like this, for the completion of shells."""
    from registry.hub import Cache

    return [entry.id for entry in Cache().list() if entry.id.startswith(incomplete)]


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Registry = Annotated[
    str | None,
    typer.Option("--registry", metavar="MODULE", help="Module of a registry of your own, such as acme._registry."),
]
AllowUnpinned = Annotated[
    bool, typer.Option("--allow-unpinned", help="Also a model whose record pins neither a commit nor a sha256.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ModelId = Annotated[str, typer.Argument(metavar="ID", help="Id or alias of a model.", autocompletion=complete_ids)]
ModelIds = Annotated[
    list[str], typer.Argument(metavar="ID", help="Ids or aliases of models.", autocompletion=complete_ids)
]
KeptId = Annotated[str, typer.Argument(metavar="ID", help="Id or alias of a kept model.", autocompletion=complete_kept)]
KeptIds = Annotated[
    list[str], typer.Argument(metavar="ID", help="Ids or aliases of kept models.", autocompletion=complete_kept)
]
MaybeKeptIds = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Ids or aliases of kept models.", autocompletion=complete_kept)
]


def registry_of(module: str | None) -> ModelRegistry[Any]:
    """Give the registry of a generated module, this package's own without a name."""
    if module is None:
        from registry import MODEL_REGISTRY

        return MODEL_REGISTRY
    from importlib import import_module

    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # at the end: a project's folder shall not hide installed packages
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        raise typer.BadParameter(f"there is no module `{error.name}`", param_hint="--registry") from None
    except (Exception, SystemExit) as error:  # it is somebody's code, and may raise anything
        said = f"{type(error).__name__}: {error}"
        raise typer.BadParameter(f"cannot import `{module}`: {said}", param_hint="--registry") from None
    registry: ModelRegistry[Any] | None = getattr(found, "MODEL_REGISTRY", None)
    if registry is None:
        raise typer.BadParameter(f"`{module}` has no MODEL_REGISTRY", param_hint="--registry")
    return registry


def models_of(ids: Iterable[str], module: str | None) -> list[ModelInfo]:
    """Give the records with these ids or aliases, each once.

    Raises:
        ModelNotFoundError: There is none; the error names close matches.
    """
    registry = registry_of(module)
    return list({record.id: record for record in map(registry.lookup_model, ids)}.values())


def kept_ids(names: Iterable[str], module: str | None) -> list[str]:
    """Give the ids that are meant by names of kept models, each once: their own, and aliases of a registry.

    Raises:
        ModelNotFoundError: Nothing is kept under such a name, and the registry does not know it.
        CommandError: Its files are on this machine, and this library has not taken them in.
    """
    from registry.hub import Cache

    kept, registry = {entry.id for entry in Cache().list()}, registry_of(module)
    return list(dict.fromkeys(name if name in kept else _kept_id(name, kept, registry) for name in names))


def _kept_id(name: str, kept: set[str], registry: ModelRegistry[Any]) -> str:
    from registry._places import find_files

    try:
        record: ModelInfo = registry.lookup_model(name)
    except ModelNotFoundError as error:
        from difflib import get_close_matches

        close = dict.fromkeys((*get_close_matches(name, kept), *error.close_matches))
        raise ModelNotFoundError(name, tuple(close)[:3], error.registry) from None
    if record.id not in kept and (path := find_files(record)):
        remedy = f"`registry cache list` shows what is kept; `registry download {record.id}` takes it in."
        raise CommandError(f"`{record.id}` is not kept here: found at `{path}`.", remedy, FAILED)
    return record.id


def values_of(record: ModelInfo, *fields: str) -> tuple[str, ...]:
    """Give what a record has in some fields, which hold one value, several or none."""
    found = (getattr(record, field, None) for field in fields)
    several = (value if isinstance(value, tuple) else () if value is None else (value,) for value in found)
    return tuple(str(each) for values in several for each in values)


def spelled(value: str | None, records: Iterable[ModelInfo], option: str, *fields: str) -> str | None:
    """Give the value that was meant as the records spell it; refuse one that none of them has in these fields."""
    return one_of(value, sorted({each for record in records for each in values_of(record, *fields)}), option)


def one_of(value: str | None, known: Iterable[str], option: str, unknown: str = "no model has") -> str | None:
    """Give the known value that was meant, whatever its case; refuse others, and name close ones."""
    if value is None:
        return None
    values = {str(each).casefold(): str(each) for each in known}
    if value.casefold() in values:
        return values[value.casefold()]
    from difflib import get_close_matches

    close = [values[match] for match in get_close_matches(value.casefold(), values, n=3)]
    if not close and len(values) <= 12:
        close = sorted(values.values())
    ending = f". Did you mean {' or '.join(filter(None, (', '.join(close[:-1]), close[-1])))}?" if close else ""
    raise typer.BadParameter(f"{unknown} `{value}`{ending}", param_hint=option)


def size_of(stated: str | None, option: str) -> int | None:
    """Read a size such as `16GB` in bytes."""
    if stated is None:
        return None
    from registry._settings import parse_size

    if (found := parse_size(stated)) is None:
        raise typer.BadParameter(f"expected a size such as `16GB` or `24GiB`, got `{stated}`", param_hint=option)
    return found


_AGE = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds_of(stated: str | None, option: str) -> float | None:
    """Read an age such as `30d` in seconds."""
    if stated is None:
        return None
    number, unit = stated.strip()[:-1], stated.strip()[-1:].lower()
    if unit not in _AGE or not number.isdecimal():
        raise typer.BadParameter(f"expected an age such as `30d`, `12h` or `2w`, got `{stated}`", param_hint=option)
    return int(number) * float(_AGE[unit])


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is deleted; without a terminal only `--yes` answers.

    Raises:
        CommandError: Nobody can be asked.
        Exit: The answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Without a terminal nobody can be asked.", "`--yes` is the answer.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
        print("Nothing was done.", file=sys.stderr)
        raise typer.Exit(1)
