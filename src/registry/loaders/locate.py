"""Where the files of a model are: where the caller says, or where `registry.hub` keeps them, and what proves them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from registry._home import models_folder
from registry._places import Place, key_of, places
from registry.errors import InvalidOptionError, ModelNotDownloadedError
from registry.hub._ensure import obtain
from registry.hub.manifest import Manifest, file_name
from registry.hub.policy import check_license
from registry.hub.proof import fits, is_unchanged, pinned_files
from registry.loaders.layout import inspect

if TYPE_CHECKING:
    from registry._places import Origin
    from registry.records import ModelInfo


class Located(NamedTuple):
    """Files of a model.

    Attributes:
        path: A GGUF file, or a folder as the model's repository has it.
        origin: Whether the caller gave it, or where it was found: the model folder, the Hugging Face cache, a package.
        is_revision: True when its weights were proven to be those of the commit that the record pins. It says nothing
            of settings and code: see `unproven_code`.
    """

    path: Path
    origin: Origin
    is_revision: bool = False


def locate(model: ModelInfo, path: str | os.PathLike[str] | None = None, *, download: bool = False) -> Located:
    """Find the files of a model: where the caller says, else as `registry.hub.ensure` does.

    Args:
        model: The record.
        path: Where the caller says that they are.
        download: True to fetch them where they are missing.

    Raises:
        InvalidOptionError: `path` is empty.
        ModelNotDownloadedError: They are in none of these places.
        ChecksumMismatchError: A file is there and is not the one that the record pins.
        LicenseNotAllowedError: The setting `licenses` does not allow the model's.
        The other errors of `ensure`, with `download`.
    """
    if path is None:
        kept = obtain(model, download=download)
        is_revision = model.revision is not None and kept.entry.revision == model.revision and kept.entry.is_proven
        return Located(kept.path, kept.origin, is_revision)
    check_license(model)
    if not os.fspath(path):
        raise InvalidOptionError("path", "a file or a folder", path, "Leave it out to look in the usual places.")
    given = Path(path).expanduser()
    if not given.exists():
        raise ModelNotDownloadedError(model.id, (f"{given} (given as `path`)",), "Give a file or folder that exists.")
    return Located(given, "path")


def unproven_code(model: ModelInfo, folder: Path) -> tuple[str, ...]:
    """Name the code in a kept folder, and the settings that choose code, for which neither record nor hub vouches.

    Args:
        model: The record.
        folder: Where the model is loaded from. One that is not kept here is the caller's choice: nothing is named.

    Returns:
        Names of files, sorted: those in Python; those with an `auto_map`, which may name code of any repository; and
        the lists of modules, where one is of no package that is known.

    Raises:
        ModelLoadError: Its configuration cannot be read.
    """
    entry = Manifest(models_folder()).read().get(key_of(model))
    if (entry is None or entry.path != folder) and Place(folder, "home") not in places(model):
        return ()
    proven: set[str] = set()
    if entry is not None and entry.path == folder and fits(entry, model) and is_unchanged(entry):
        pins = {file.name: file.sha256 for file in pinned_files(model).values()}
        proven = {file.name for file in entry.files if file.proof != "seen" or file.sha256 == pins.get(file.name)}
    has_foreign_modules = inspect(folder, model.id).remote_code is not None
    found = (file for file in folder.rglob("*") if file.is_file() and file_name(folder, file) not in proven)
    return tuple(sorted(file_name(folder, file) for file in found if _chooses_code(file, has_foreign_modules)))


def _chooses_code(file: Path, has_foreign_modules: bool) -> bool:
    if file.name in ("modules.json", "router_config.json") and has_foreign_modules:
        return True
    if file.suffix != ".json" or "config" not in file.name:
        return file.suffix == ".py"
    try:  # written anew, a name has no escapes that hide it
        return '"auto_map":' in json.dumps(json.loads(file.read_bytes()))
    except (ValueError, RecursionError):
        return True
