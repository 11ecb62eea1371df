"""`ensure`: a record in, proven files on this machine out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from registry import _settings
from registry._home import models_folder
from registry._places import extra_of, gguf_file, is_one_file, kept_at, key_of, missing, places
from registry.errors import DownloadError, ModelNotDownloadedError
from registry.hub.adopt import files_of_others, look
from registry.hub.locks import in_use, lock_of, locked
from registry.hub.manifest import CacheEntry, Manifest, used
from registry.hub.policy import check_license
from registry.hub.proof import fits, is_unchanged
from registry.records import LoraAdapter

if TYPE_CHECKING:
    from registry._places import Origin
    from registry.hub.progress import OnProgress
    from registry.queries import ModelRegistry
    from registry.records import ModelInfo

_ORIGINS: dict[str, Origin] = {"cache": "cache", "package": "package"}


class FetchKeywords(TypedDict, total=False):
    """How files are fetched; what each means is said at `ensure`."""

    allow_unpinned: bool
    endpoint: str | None
    sources: Sequence[str] | None
    token: str | None
    offline: bool | None
    progress: OnProgress | None


@dataclass(frozen=True)
class Kept:
    """Proven files of a model on this machine.

    Attributes:
        path: A GGUF file, or a folder as the model's repository has it.
        origin: Where they were found: the model folder, the Hugging Face cache, a package.
        entry: What is written down of them.
    """

    path: Path
    origin: Origin
    entry: CacheEntry


def ensure(
    model: str | ModelInfo | LoraAdapter,
    *,
    download: bool = True,
    force: bool = False,
    registry: ModelRegistry[Any] | None = None,
    **how: Unpack[FetchKeywords],
) -> Path:
    """Give the path of a model's files, proven by the digests of its record, and fetch them where they are missing.

    They are looked for in the model folder of `REGISTRY_HOME` (under `<id>`, or put there by hand under their own
    name), in the Hugging Face cache at the pinned commit, and in a package that carries the model. Bytes are read when
    they are first seen, and again when size or time of a file changes. A file of the Hugging Face cache is linked.
    What is fetched comes in `.part` files, and a later call goes on where one was cut off. Where another process
    fetches the same model, this waits, and takes what that has fetched.

    Args:
        model: A record or adapter of any generated registry, or an id or alias.
        download: False never to use the network.
        force: True to fetch anew what is there.
        registry: Registry in which an id is looked up; left out: this package's.
        how: How files are fetched:

            * `allow_unpinned`: True to fetch a model whose record pins neither a commit nor a sha256. What is seen is
              written down, and must be the same ever after.
            * `endpoint`: Hub to ask in place of `HF_ENDPOINT`.
            * `sources`: Where to fetch from, tried in order, in place of the setting `sources`: `hub`, the address of
              a hub, a directory, a `file://` address, or the address of a mirror with `{repo}`, `{revision}` and
              `{file}` in it.
            * `token`: Token for the hub; left out: the one of the settings, or of `hf auth login`.
            * `offline`: True to fail at once where files would have to be fetched.
            * `progress`: Called with a `Progress` now and then.

    Returns:
        The GGUF file, or the folder.

    Raises:
        ModelNotFoundError: No record has this id or alias.
        LicenseNotAllowedError: The setting `licenses` does not allow its licence.
        ModelNotDownloadedError: `download` is false, or this is offline, and the files are not on this machine.
        ChecksumMismatchError: The bytes are not the pinned ones, after a second try where they were fetched.
        UnpinnedModelError: Nothing says which bytes are the right ones.
        UnsafeWeightsError: The repository has no weights in a safe format.
        DownloadError: They could not be fetched.
        CacheFullError: There is no room for them.

    Example:
        >>> from registry import COLBERT_V2
        >>> ensure(COLBERT_V2)  # doctest: +SKIP
        PosixPath('/home/me/.local/share/typed-model-registry/models/colbert-v2')
    """
    return obtain(record_of(model, registry), download=download, force=force, how=how).path


@contextmanager
def use(
    model: str | ModelInfo | LoraAdapter,
    *,
    download: bool = True,
    registry: ModelRegistry[Any] | None = None,
    **how: Unpack[FetchKeywords],
) -> Iterator[Path]:
    """Lend the path of a model's files, as `ensure` gives it: while the block runs, nothing takes them away.

    Example:
        >>> with use("colbert-v2") as path:  # doctest: +SKIP
        ...     sorted(file.name for file in path.iterdir())
    """
    record = record_of(model, registry)
    with in_use(models_folder(), key_of(record)):
        yield obtain(record, download=download, how=how).path


def record_of(
    model: str | ModelInfo | LoraAdapter, registry: ModelRegistry[Any] | None = None
) -> ModelInfo | LoraAdapter:
    """Give the record that a model is named by.

    Raises:
        ModelNotFoundError: No record has this id or alias.
    """
    if not isinstance(model, str):
        return model
    if registry is not None:
        found: ModelInfo = registry.lookup_model(model)
        return found
    from registry import lookup_model

    return lookup_model(model)


def obtain(
    model: ModelInfo | LoraAdapter, *, download: bool = False, force: bool = False, how: FetchKeywords | None = None
) -> Kept:
    """Do what `ensure` does, and give what is known of the files with their path. Counts a use.

    Raises:
        The errors of `ensure`.
    """
    check_license(model)
    manifest, options = Manifest(models_folder()), how or {}
    _refuse_unknown(options)
    online = download and not _is_offline(options)
    if not force and (kept := _kept(model, manifest, online=online)):
        return kept
    if not online and _kept_nowhere(model):
        reasons = look(model, None, strict=False).reasons
        raise ModelNotDownloadedError(model.id, reasons, _remedy(model, offline=download))
    with ExitStack() as stack:
        _be_alone(stack, model, options)
        if not force and (kept := _kept(model, manifest, online=online)):
            return kept
        return _take_in_or_fetch(model, manifest, download=download, force=force, how=options)


def _refuse_unknown(how: FetchKeywords) -> None:
    """Refuse a keyword that does not exist: a misspelt `offline` would go to the network.

    Raises:
        TypeError: One does not exist.
    """
    for name in how.keys() - FetchKeywords.__annotations__.keys():
        from difflib import get_close_matches

        close = get_close_matches(name, FetchKeywords.__annotations__, n=1)
        known = ", ".join(FetchKeywords.__annotations__)
        raise TypeError(f"`{name}` is no keyword. {f'Did you mean `{close[0]}`?' if close else f'There are {known}.'}")


def _is_offline(how: FetchKeywords) -> bool:
    stated = how.get("offline")
    return _settings.flag("hf_hub_offline") if stated is None else stated


def _be_alone(stack: ExitStack, model: ModelInfo | LoraAdapter, how: FetchKeywords) -> None:
    """Hold the lock of a model until the stack unwinds. A folder that cannot be written needs none to be read.

    Raises:
        DownloadError: It cannot be written, and the model has to be fetched.
    """
    from registry.hub.progress import Meter

    meter, folder = Meter(model.id, how.get("progress")), models_folder()
    try:
        stack.enter_context(locked(lock_of(folder, key_of(model)), waiting=meter.waiting))
    except OSError as error:
        if _kept_nowhere(model):
            reason = f"`{folder}` cannot be written: {error.strerror or error}."
            raise DownloadError(model.id, reason, "Set `REGISTRY_HOME` to a folder that can.") from error


def _kept_nowhere(model: ModelInfo | LoraAdapter) -> bool:
    return all(missing(place.path, model) for place in places(model))


def _kept(model: ModelInfo | LoraAdapter, manifest: Manifest, *, online: bool) -> Kept | None:
    """Give a model that was proven before and has not changed, without reading it, and count the use."""
    entries = manifest.read()
    entry = entries.get(key_of(model))
    if entry is None or (online and not entry.complete):
        return None
    for place in places(model):
        if place.path == entry.path:
            return _counted(entry, manifest) if fits(entry, model) and is_unchanged(entry) else None
        is_pinned_file = entry.path.suffix == place.path.suffix == ".gguf" and entry.is_proven
        if is_pinned_file or missing(place.path, model) or place.path in files_of_others(model, entries):
            continue  # what is there has the same bytes, or wrong ones
        return None  # somebody has put files where they are looked for first
    return None


def _counted(entry: CacheEntry, manifest: Manifest) -> Kept | None:
    """Count a use, where that can be written down. `None` where somebody has removed the model meanwhile."""
    with suppress(OSError), manifest.changing(sync=False) as entries:
        current = entries.get(entry.id)
        if current is None or current.path != entry.path:
            return None
        entry = entries[entry.id] = used(current)
    return _as_kept(entry)


def _as_kept(entry: CacheEntry) -> Kept:
    return Kept(entry.path, _ORIGINS.get(entry.source, "home"), entry)


def _take_in_or_fetch(
    model: ModelInfo | LoraAdapter, manifest: Manifest, *, download: bool, force: bool, how: FetchKeywords
) -> Kept:
    from registry.hub.progress import Meter

    entries = manifest.read()
    entry, offline = entries.get(key_of(model)), _is_offline(how)
    if force and download:
        if offline:
            reason = "it is to be fetched anew (`force`), and this is offline."
            raise DownloadError(model.id, reason, "Leave `force` out to use what is here, or go online.")
        return _fetch(model, manifest, entry, how, reuse=False)
    meter = Meter(model.id, how.get("progress"))
    others = files_of_others(model, entries)
    listing = None if offline or not download else partial(_listing, model, how)
    looked = look(model, entry, others, strict=not download, listing=listing, on_bytes=meter.hashing)
    if looked.entry is not None:
        meter.done()
        return _write(manifest, looked.entry)
    if not download or offline:
        raise ModelNotDownloadedError(model.id, looked.reasons, _remedy(model, offline=download))
    return _fetch(model, manifest, entry, how)


def _listing(model: ModelInfo | LoraAdapter, how: FetchKeywords) -> Collection[str] | None:
    """Give the names of the files that the repository has for a model, or `None` where it cannot be asked."""
    from registry.hub.fetch import needed_files

    try:
        return needed_files(model, how)
    except DownloadError:
        return None


def _fetch(
    model: ModelInfo | LoraAdapter,
    manifest: Manifest,
    entry: CacheEntry | None,
    how: FetchKeywords,
    *,
    reuse: bool = True,
) -> Kept:
    from registry.hub.fetch import fetch_model  # what fetching needs is imported when something is fetched

    return _write(manifest, fetch_model(model, manifest, entry, how, reuse=reuse))


def _write(manifest: Manifest, entry: CacheEntry) -> Kept:
    """Write an entry down with its first use, in place of others for the same files.

    A folder that cannot be written is left as it is.
    """
    with suppress(OSError), manifest.changing() as entries:
        if (current := entries.get(entry.id)) is not None:  # it may have been pinned while it was fetched
            entry = replace(entry, pinned=current.pinned, use_count=current.use_count)
        entry = used(entry)
        for key in [key for key, other in entries.items() if other.path == entry.path]:
            del entries[key]
        entries[entry.id] = entry
    return _as_kept(entry)


def _remedy(model: ModelInfo | LoraAdapter, *, offline: bool) -> str:
    """Say how to get the files."""
    target = kept_at(model)
    is_adapter = isinstance(model, LoraAdapter)
    command = "" if is_adapter else f"`registry download {model.id}` or "
    fetch = f"fetch them with {command}`registry.hub.ensure(...)`"
    ways = [f"{fetch} without `HF_HUB_OFFLINE`" if offline else fetch]
    if extra := extra_of(model):
        ways.insert(0, f'install them with `pip install "typed-model-registry[{extra}]"`')
    file = gguf_file(model)
    ways.append(f"put them at `{models_folder() / file.name if file and is_one_file(model) else target}`")
    said = f"{', or '.join(ways)}, or give {'the path as `adapter=`' if is_adapter else '`path=`'}."
    return said[0].upper() + said[1:]
