"""Code that comes with a model, and who vouches for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from registry._home import models_folder
from registry._places import Place, key_of, places
from registry.hub.manifest import Manifest, file_name
from registry.hub.proof import fits, is_unchanged, pinned_files
from registry.loaders.layout import inspect

if TYPE_CHECKING:
    from registry.records import ModelInfo


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
