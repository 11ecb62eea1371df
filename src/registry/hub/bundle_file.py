"""What a bundle says of its models, in `bundle.json`: written here, and read with distrust there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry._places import is_file_name
from registry.errors import ChecksumMismatchError, InvalidInputError
from registry.hub.manifest import CachedFile, CacheEntry, checksum_of, now
from registry.hub.needed import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.records import LoraAdapter, ModelInfo

NAME, MODELS = "bundle.json", "models"
DAMAGED = "The bundle is damaged. Copy it again from where it was made."
_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


def inside(entry: CacheEntry, file: CachedFile) -> str:
    """Give the path of a file in a bundle."""
    start = f"{MODELS}/{entry.id}"
    return f"{start}.gguf" if entry.path.suffix == ".gguf" else f"{start}/{file.name}"


def stated(models: Iterable[tuple[CacheEntry, ModelInfo | LoraAdapter]]) -> str:
    """Give the text of `bundle.json` for kept models and their records."""
    found = {entry.id: _stated(entry, model) for entry, model in models}
    return json.dumps({"version": _VERSION, "models": found}, indent=1)


def _stated(entry: CacheEntry, model: ModelInfo | LoraAdapter) -> dict[str, Any]:
    facts = entry.to_dict()
    chosen = {name: facts[name] for name in ("size_bytes", "checksum", "revision")}
    files = [{key: file[key] for key in ("name", "size_bytes", "sha256")} for file in facts["files"]]
    more = {"license": model.license, "huggingface_id": model.huggingface_id}
    suffix = ".gguf" if entry.path.suffix == ".gguf" else ""
    return {"path": f"{MODELS}/{entry.id}{suffix}", **chosen, **more, "files": files}


def read(folder: Path) -> list[tuple[CacheEntry, str | None]]:
    """Read what a bundle says of its models, and their licences. It comes from outside, so every name is checked.

    Raises:
        InvalidInputError: It is no bundle.
    """
    try:
        data = json.loads((folder / NAME).read_bytes())
        if data["version"] != _VERSION:
            raise InvalidInputError(str(folder), f"expected a bundle of version {_VERSION}, got {data['version']!r}.")
        return [(_entry(folder, key, stated), _text(stated["license"])) for key, stated in data["models"].items()]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise InvalidInputError(str(folder), f"expected a folder with `{NAME}`, got none. Give a bundle.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(str(folder / NAME), f"it cannot be read: {error!r}. {DAMAGED}") from error


def _entry(folder: Path, key: str, stated: dict[str, Any]) -> CacheEntry:
    """Make an entry of what a bundle says of a model: its path is the one in the bundle."""
    one_file = stated["path"].endswith(".gguf")
    name = str(_text(key)).removeprefix("adapters/")
    if not is_file_name(name) or (not one_file and (name != key or name.endswith(".gguf"))):
        raise ValueError(key)
    files = tuple(
        CachedFile(Wanted(str(_text(file["name"]))).name, file["size_bytes"], file["sha256"], None)
        for file in stated["files"]
    )
    if not files or (one_file and len(files) != 1) or len({file.name for file in files}) != len(files):
        raise ValueError(f"files of {key}")
    for file in files:
        if type(file.size_bytes) is not int or file.size_bytes < 0 or not _SHA256.fullmatch(_text(file.sha256) or ""):
            raise ValueError(f"{key}: {file.name}")
    path = folder / MODELS / (f"{key}.gguf" if one_file else key)
    size, revision = sum(file.size_bytes for file in files), _text(stated["revision"])
    return CacheEntry(key, path, size, checksum_of(files), revision, now(), now(), 0, False, "bundle", files)


def _text(stated: object) -> str | None:
    """Give a text as it is, and refuse what a manifest could not hold.

    Raises:
        ValueError: It is no text, or one that cannot be written.
    """
    if stated is None:
        return None
    if not isinstance(stated, str) or "\0" in stated:
        raise ValueError(f"expected a text, got {stated!r}")
    stated.encode()  # half of a surrogate pair has no bytes
    return stated


def check_files(entry: CacheEntry, folder: Path) -> None:
    """Refuse a model whose files are not there, or are links or devices, which could be without end.

    Raises:
        InvalidInputError: One is none.
        ChecksumMismatchError: One has another size.
    """
    for file in entry.files:
        path = entry.file_path(file)
        is_inside = path.parent.resolve() == (folder.resolve() / path.parent.relative_to(folder))
        if not is_inside or path.is_symlink() or not path.is_file():
            raise InvalidInputError(str(path), f"expected a file, got none, or a link. {DAMAGED}")
        if (size_bytes := path.stat().st_size) != file.size_bytes:
            raise ChecksumMismatchError(str(path), f"{file.size_bytes} bytes", f"{size_bytes} bytes", DAMAGED)
