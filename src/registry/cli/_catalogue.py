"""The catalogue store as commands use it: which file, and which model of it is meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli._errors import FAILED, CommandError
from registry.cli._options import complete_ids, registry_of
from registry.errors import CatalogModelNotFoundError, ModelNotFoundError, RegistryError

if TYPE_CHECKING:
    from registry.catalog import Catalog, CatalogModel
    from registry.records import ModelInfo

CatalogFile = Annotated[
    Path | None,
    typer.Option("--catalog", metavar="FILE", help="Catalogue store. Left out: catalog.db in the home folder."),
]


def complete_models(context: typer.Context, incomplete: str) -> list[str]:
    """Give the names that begin like this, for the completion of shells: of the store, and ids of the registry."""
    from registry._home import catalog_file
    from registry.catalog import Catalog

    ids = complete_ids(context, incomplete)
    path = context.params.get("catalog") or catalog_file()
    if not Path(path).is_file():  # to open it would make it
        return ids
    try:
        with Catalog.open(path) as catalog:
            found = catalog.search(incomplete, limit=1000, sort="name").models
    except RegistryError:
        return ids
    return list(dict.fromkeys((*ids, *(model.name for model in found if model.name.startswith(incomplete)))))


StoredModel = Annotated[
    str, typer.Argument(metavar="ID", help="Name or number of a model.", autocompletion=complete_models)
]
StoredModels = Annotated[
    list[str], typer.Argument(metavar="ID", help="Names or numbers of models.", autocompletion=complete_models)
]
MaybeStoredModel = Annotated[
    str | None, typer.Argument(metavar="ID", help="Name or number of a model.", autocompletion=complete_models)
]


def opened(path: Path | None, *, writes: bool = True) -> Catalog:
    """Open the store; one that is named and not there is made only to write to it."""
    from registry.catalog import Catalog

    if path is not None and not writes and not path.exists():
        raise CommandError(f"There is no catalogue `{path}`.", "`registry import` makes it.", FAILED)
    return Catalog.open(path)


def model_in(catalog: Catalog, name: str, module: str | None) -> CatalogModel:
    """Give the model with a name or number; one that only the registry has is brought in first.

    Raises:
        CatalogModelNotFoundError: Neither has it.
        CommandError: A user has removed it from the store, or given it another name there.
    """
    try:
        return catalog.get(name)
    except CatalogModelNotFoundError as missing:
        registry = registry_of(module)
        try:
            record: ModelInfo = registry.lookup_model(name)
        except ModelNotFoundError as error:
            close = dict.fromkeys((*missing.close_matches, *error.close_matches))
            raise CatalogModelNotFoundError(name, tuple(close)[:3], missing.registry) from None
    catalog.sync(registry)
    try:
        return catalog.get(record.id)
    except CatalogModelNotFoundError:
        problem = f"The catalogue has no `{record.id}`: it was removed there, or given another name."
        remedy = "`Catalog.sync(restore=True)` brings removed models back; others go by their names in the catalogue."
        raise CommandError(problem, remedy, FAILED) from None
