"""`registry bundle`, `registry install-bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from registry.cli._options import Json, ModelIds, Registry, models_of, registry_of
from registry.cli._output import Column, show_json, show_table, size


def bundle(
    models: ModelIds,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write; a new one.")],
    no_download: Annotated[bool, typer.Option("--no-download", help="Fetch nothing.")] = False,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Write models to a folder, for a machine without a network.

    The folder holds the files, what is known of them and their hashes. Models that are not on this machine are fetched
    first, unless `--no-download` is given. Every file is proven once more. Prints the folder.

    Examples:
        registry bundle colbert-v2 bge-small-en-v1.5 -o /media/usb/models
        registry install-bundle /media/usb/models
    """
    from registry.hub import bundle as write
    from registry.hub import rich_progress

    records = models_of(models, registry)
    with rich_progress() as progress:
        path = write(records, output, download=not no_download, progress=progress)
    if json:
        show_json({"path": path, "models": [record.id for record in records]})
    else:
        print(path)


def install_bundle(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that `registry bundle` has written.")],
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Verify and install such a folder.

    Every file is hashed and compared with what the bundle, and the registry, say of it. Uses no network. Columns: id,
    size in bytes, path.

    Examples:
        registry install-bundle /media/usb/models
    """
    from registry.hub import install_bundle as install
    from registry.hub import rich_progress

    with rich_progress() as progress:
        entries = install(folder, registry=registry_of(registry), progress=progress)
    if json:
        show_json({"entries": [entry.to_dict() for entry in entries]})
    else:
        columns = (Column("Model"), Column("Size", right=True, shown=size), Column("Path", wraps=True))
        show_table(columns, [(entry.id, entry.size_bytes, entry.path) for entry in entries])
