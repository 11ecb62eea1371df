"""Files and folders of models on the disk: put into place, linked, set aside, deleted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from registry._home import models_folder
from registry._places import OWN_NAMES
from registry.hub.locks import WORK_FOLDER
from registry.hub.manifest import file_name, files_below, now


def put(draft: Path, target: Path, *, known: Collection[str] = ()) -> None:
    """Move a finished model to where it is kept, in place of what is there.

    Args:
        draft: The file, or the folder.
        target: Where it goes.
        known: Names of the files there that this library has put there. A folder with others in it, which somebody may
            miss, is kept beside the new one: as `<name>.replaced-` and the time.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not draft.is_dir() or not target.exists():
        draft.replace(target)
        return
    if any(file_name(target, file) not in known for file in files_below(target)):
        target.rename(target.with_name(f"{target.name}.replaced-{now():%Y%m%dT%H%M%S%f}"))
        draft.rename(target)
        return
    old = set_aside(target, target.parent)  # a folder cannot take the place of another in one step
    draft.rename(target)
    delete(old)


def has_one_name(path: Path) -> bool:
    """True for a file that goes when this name of it goes: it is neither a link nor linked from elsewhere."""
    try:
        return path.lstat().st_nlink == 1 and not path.is_symlink()
    except OSError:
        return False


def set_aside(path: Path, folder: Path) -> Path:
    """Take what is about to be deleted out of its place, in one step; give where it is now."""
    aside = folder / WORK_FOLDER / f".removed-{uuid4().hex}"  # no id begins like this
    aside.parent.mkdir(parents=True, exist_ok=True)
    return path.rename(aside)


def delete(path: Path) -> None:
    """Delete a file, a link or a folder with all that is in it; what is not there is no error."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for _ in range(2):  # once more where somebody else deletes it too
        shutil.rmtree(path, ignore_errors=True)
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


def delete_all(paths: Iterable[Path]) -> None:
    """Delete several."""
    for path in paths:
        delete(path)


def delete_empty(folder: Path, top: Path) -> None:
    """Delete a folder, and those around it below another, as far as they are empty."""
    with suppress(OSError):
        while folder != top:
            folder.rmdir()
            folder = folder.parent


def is_a_models(path: Path, folder: Path) -> bool:
    """True for a path in the folder that a model can have: a manifest that was tampered with deletes nothing else."""
    parts = path.relative_to(folder).parts if path.is_relative_to(folder) else ("..",)
    if not parts or parts[0].startswith(".") or parts in [(name,) for name in OWN_NAMES]:
        return False
    return ".." not in parts and path.parent.resolve().is_relative_to(folder.resolve())


def existing(folder: Path) -> Path:
    """Give the folder, or the nearest one above it that exists."""
    return next((path for path in (folder, *folder.parents) if path.exists()), Path())


def link_file(file: Path, target: Path) -> None:
    """Give a file a second name: a hard link, which outlives the first, or where that cannot be, a symbolic one.

    One of the model folder is copied then, as what is replaced there goes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    real = Path(os.path.realpath(file))
    try:
        target.hardlink_to(real)
    except OSError:
        if real.is_relative_to(os.path.realpath(models_folder())):
            shutil.copy2(real, target)
        else:
            target.symlink_to(real)
