"""Where the files of a model are: where the caller says, or where `registry.hub` keeps them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from registry.errors import InvalidOptionError, ModelNotDownloadedError
from registry.hub.policy import check_license

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
        from registry.hub._ensure import obtain  # a path that is given needs none of it

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
