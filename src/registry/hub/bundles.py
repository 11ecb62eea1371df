"""Bundles: models in a folder that can be carried to a machine without a network, with what proves them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry import _settings
from registry._home import models_folder
from registry._places import key_of
from registry.errors import ChecksumMismatchError, InvalidInputError, LicenseNotAllowedError
from registry.hub._ensure import obtain, record_of
from registry.hub.bundle_file import DAMAGED, MODELS, NAME, check_files, inside, read, stated
from registry.hub.cache import Cache
from registry.hub.disk import delete, delete_all, delete_empty, existing, put
from registry.hub.locks import WORK_FOLDER, in_use, lock_of, locked
from registry.hub.manifest import CachedFile, CacheEntry, Manifest, now
from registry.hub.policy import check_license, is_allowed
from registry.hub.progress import Meter
from registry.hub.proof import fits, is_unchanged, lacks, pinned_files

if TYPE_CHECKING:
    from registry.hub.manifest import Proof
    from registry.hub.progress import OnProgress
    from registry.queries import ModelRegistry
    from registry.records import LoraAdapter, ModelInfo

_SUMS = "SHA256SUMS"
_PIECE_BYTES = 4 * 1024 * 1024


def bundle(
    ids: Iterable[str | ModelInfo | LoraAdapter],
    path: str | os.PathLike[str],
    *,
    registry: ModelRegistry[Any] | None = None,
    download: bool = True,
    progress: OnProgress | None = None,
) -> Path:
    """Write models into a folder that `install_bundle` takes on another machine.

    It holds the files, `bundle.json` with what is known of them, and `SHA256SUMS`, which `sha256sum -c` reads. Models
    that are not on this machine are fetched first. Every file is proven once more while it is copied. `bundle.json`
    comes last, so what was cut off is no bundle; after an error, what this call has written is deleted.

    Args:
        ids: Ids or aliases, records, adapters.
        path: The folder. It must not exist, or be empty, as the mount point of an empty disk is.
        registry: Registry in which ids are looked up; left out: this package's.
        download: False never to use the network.
        progress: Called with a `Progress` now and then.

    Returns:
        The folder, as an absolute path.

    Raises:
        InvalidInputError: The folder is not empty, or no model is named.
        The errors of `ensure`.
    """
    folder = Path(path).expanduser().absolute()
    _check_empty(folder)
    records = list({key_of(record): record for record in (record_of(model, registry) for model in ids)}.values())
    if not records:
        raise InvalidInputError("ids", "expected at least one model, got none.")
    with _begun(folder):
        entries = [_copy_in(record, folder, download, progress) for record in records]
        sums = [f"{file.sha256}  {inside(entry, file)}\n" for entry in entries for file in entry.files]
        (folder / _SUMS).write_text("".join(sums), "utf-8")
        (folder / NAME).write_text(stated(zip(entries, records, strict=True)), "utf-8")
    return folder


def install_bundle(
    path: str | os.PathLike[str],
    *,
    registry: ModelRegistry[Any] | None = None,
    progress: OnProgress | None = None,
) -> tuple[CacheEntry, ...]:
    """Take the models of a bundle into the model folder. Uses no network.

    Every byte is compared with the digests of the bundle, and those of files whose digest the record pins with that.
    What no record pins is as good as the bundle: it is marked as `seen`, and code among it is not run. A model that is
    here already is left as it is.

    Args:
        path: The folder that `bundle` wrote.
        registry: Registry whose records the models are compared with; left out: this package's.
        progress: Called with a `Progress` now and then.

    Returns:
        What is kept of each model, in the order of the bundle.

    Raises:
        InvalidInputError: The folder is no bundle.
        ChecksumMismatchError: A file has not the bytes that the bundle, or the record, says.
        LicenseNotAllowedError: The setting `licenses` does not allow the licence of a model: the one of its record, or,
            where the registry does not know it, the one that the bundle says.
        CacheFullError: There is no room.
    """
    folder = Path(path).expanduser()
    models = [(entry, said, _record(entry.id, registry)) for entry, said in read(folder)]
    for entry, said, record in models:
        _check_license(entry.id, said, record)
        check_files(entry, folder)
        _check(entry, record)
    return tuple(_install(entry, record, progress) for entry, _, record in models)


def _check_empty(folder: Path) -> None:
    """Refuse to write where something is.

    Raises:
        InvalidInputError: The path is no folder, or has something in it.
    """
    found = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    if MODELS in found <= {MODELS, _SUMS}:
        reason = (
            f"`{folder}` holds a bundle that was not finished: it has no `{NAME}`. Delete it, or give a new folder."
        )
        raise InvalidInputError("path", reason)
    if found or (folder.exists() and not folder.is_dir()):
        raise InvalidInputError("path", f"`{folder}` is there already, and not empty. Give a new folder.")


@contextmanager
def _begun(folder: Path) -> Iterator[None]:
    """Make the folder of a bundle, where it is not there; after an error delete what was made, and nothing else.

    It is written in place: a mount point cannot be renamed, and beside it is another disk.
    """
    top = existing(folder)
    try:
        (folder / MODELS).mkdir(parents=True)  # an error where another call writes here: then nothing here is ours
    except FileExistsError:
        _check_empty(folder)
        raise
    try:
        yield
    except BaseException:
        delete_all(folder / name for name in (NAME, _SUMS, MODELS))
        delete_empty(folder, top)
        raise


def _copy_in(model: ModelInfo | LoraAdapter, folder: Path, download: bool, progress: OnProgress | None) -> CacheEntry:
    with in_use(models_folder(), key_of(model)):
        kept = obtain(model, download=download, how={"progress": progress}).entry
        remedy = f"It was damaged on this disk. Fetch it again with `registry download --force {model.id}`."
        for file in kept.files:
            _copy(kept.file_path(file), folder / inside(kept, file), file, remedy, Meter(kept.id, progress))
    return kept


def _copy(source: Path, target: Path, file: CachedFile, remedy: str, meter: Meter) -> int:
    """Copy a file, and refuse it where its bytes are not the right ones; give the time of change of the copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with source.open("rb", buffering=0) as reader, target.open("wb", buffering=0) as writer:
        buffer = memoryview(bytearray(_PIECE_BYTES))
        while count := reader.readinto(buffer):
            digest.update(buffer[:count])
            writer.write(buffer[:count])
            size += count
            meter.copying(file.name, size, file.size_bytes)
        os.fsync(writer.fileno())
    if digest.hexdigest() != file.sha256:
        raise ChecksumMismatchError(str(source), str(file.sha256), digest.hexdigest(), remedy)
    return target.stat().st_mtime_ns


def _record(key: str, registry: ModelRegistry[Any] | None) -> ModelInfo | LoraAdapter | None:
    """Give the record that an id of a bundle belongs to, or `None` where the registry does not know it."""
    if registry is None:
        from registry import MODEL_REGISTRY

        registry = MODEL_REGISTRY
    if key.startswith("adapters/"):
        adapters = (adapter for record in registry.values() for adapter in getattr(record, "adapters", ()))
        return next((adapter for adapter in adapters if key_of(adapter) == key), None)
    found: ModelInfo | None = registry.find_model(key)
    return found


def _check_license(key: str, license: str | None, model: ModelInfo | LoraAdapter | None) -> None:
    """Refuse a licence that is not allowed: the record's, or of a model without one what the bundle says.

    Raises:
        LicenseNotAllowedError: The setting `licenses` does not allow it.
    """
    if model is not None:
        check_license(model)
        return
    allowed = _settings.words("licenses")
    if allowed is not None and not is_allowed(license, allowed):
        raise LicenseNotAllowedError(key, license, allowed, _settings.stated_in("licenses"))


def _check(entry: CacheEntry, model: ModelInfo | LoraAdapter | None) -> None:
    """Refuse a model that is not what its record pins, before anything is copied.

    Raises:
        ChecksumMismatchError: The bundle says other digests, or another commit, than the record.
    """
    if model is None:
        return
    pins = pinned_files(model)
    for file in entry.files:
        if (pin := pins.get(file.name)) is not None and pin.sha256 not in (None, file.sha256):
            remedy = "The bundle was made with another version of the registry, or tampered with. Make it again."
            raise ChecksumMismatchError(str(entry.file_path(file)), str(pin.sha256), str(file.sha256), remedy)
    remedy = "The bundle was made with another version of the registry. Make it again."
    if lacking := lacks(entry, model):
        raise ChecksumMismatchError(str(entry.path), f"a file `{lacking[0]}`", "none", remedy)
    if not fits(entry, model):
        raise ChecksumMismatchError(str(entry.path), f"commit {model.revision}", f"commit {entry.revision}", remedy)


def _install(entry: CacheEntry, model: ModelInfo | LoraAdapter | None, progress: OnProgress | None) -> CacheEntry:
    """Copy a model of a bundle to where it is kept, unless it is there."""
    cache, manifest = Cache(), Manifest(models_folder())
    with in_use(cache.folder, entry.id), locked(lock_of(cache.folder, entry.id)):
        there = manifest.read().get(entry.id)
        if there is not None and there.checksum == entry.checksum and is_unchanged(there):
            return there
        cache.make_room(entry.id, entry.size_bytes, key=entry.id)
        suffix = ".gguf" if entry.path.suffix == ".gguf" else ""
        draft = cache.folder / WORK_FOLDER / f"{entry.id}.bundle{suffix}"
        delete(draft)
        copied = replace(entry, path=draft)
        meter = Meter(entry.id, progress)
        files = tuple(_take_over(entry, copied, file, _proof(file, model), meter) for file in entry.files)
        target = cache.folder / f"{entry.id}{suffix}"
        put(draft, target, known=there.own_names if there is not None else ())
        kept = replace(entry, path=target, files=files, downloaded_at=now(), last_used=now())
        if there is not None:
            kept = replace(kept, use_count=there.use_count, pinned=there.pinned)
        with manifest.changing() as entries:
            entries[entry.id] = kept
    return kept


def _take_over(entry: CacheEntry, copied: CacheEntry, file: CachedFile, proof: Proof, meter: Meter) -> CachedFile:
    modified_ns = _copy(entry.file_path(file), copied.file_path(file), file, DAMAGED, meter)
    return replace(file, modified_ns=modified_ns, proof=proof)


def _proof(file: CachedFile, model: ModelInfo | LoraAdapter | None) -> Proof:
    """Say who vouches for a file of a bundle: the record, or nobody but the bundle."""
    pin = pinned_files(model).get(file.name) if model is not None else None
    return "record" if pin is not None and pin.sha256 is not None else "seen"
