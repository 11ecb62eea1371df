"""Taking in what is on this machine already: proven first, and linked where it lies in the Hugging Face cache."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from registry._home import models_folder
from registry._places import gguf_file, kept_at, key_of, missing, places
from registry.errors import ChecksumMismatchError, DownloadError, UnsafeWeightsError
from registry.hub.disk import delete, link_file
from registry.hub.locks import WORK_FOLDER
from registry.hub.manifest import CacheEntry, are_proven, checksum_of, file_name, files_below, now
from registry.hub.needed import RepositoryFile, needed
from registry.hub.proof import expectations, is_of_another_commit, is_unchanged, prove
from registry.records import EncoderModel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from registry._places import Origin, Place
    from registry.hub.manifest import Source
    from registry.records import LoraAdapter, ModelInfo

    OnBytes = Callable[[str, int, int | None], None]

_SOURCES: dict[Origin, Source] = {"home": "placed", "cache": "cache", "package": "package"}
_REMEDY = {
    "home": "The download was cut off, or this is another file. Delete it, or fetch the right one over it with "
    "`registry download {id}`, or give `path=` if you trust it.",
    "cache": "The Hugging Face cache is damaged. Fetch it again with `registry download {id}`.",
    "package": "The package carries other weights. Reinstall it, or give `path=` if you trust them.",
}


@dataclass(frozen=True)
class Looked:
    """What was found in the places where files of a model may lie.

    Attributes:
        entry: The model, where it was found and proven.
        reasons: For each place before that, why it was not taken.
    """

    entry: CacheEntry | None
    reasons: tuple[str, ...]


def files_of_others(model: ModelInfo | LoraAdapter, entries: Mapping[str, CacheEntry]) -> frozenset[Path]:
    """Give the GGUF files that were proven to be another model's: the name of a file may be that of many."""
    file = gguf_file(model)
    own = f"sha256:{file.sha256}" if file is not None and file.sha256 else None
    return frozenset(
        other.path
        for key, other in entries.items()
        if key != key_of(model) and other.checksum not in (None, own) and other.path.suffix == ".gguf"
        if is_unchanged(other)
    )


def look(
    model: ModelInfo | LoraAdapter,
    entry: CacheEntry | None,
    others: Collection[Path] = (),
    *,
    strict: bool,
    listing: Callable[[], Collection[str] | None] | None = None,
    on_bytes: OnBytes | None = None,
) -> Looked:
    """Look for a model in the places where it may lie, and prove the bytes of the first that is complete.

    Args:
        model: The record.
        entry: What the manifest has of it.
        others: Files that are other models'.
        strict: True to raise where the bytes are wrong; False to look further.
        listing: Gives the names of the files that the repository has for the model, or `None` where nobody can be
            asked. A folder of the Hugging Face cache has what somebody once needed of them.
        on_bytes: Called with file, bytes read and size while files are read.

    Raises:
        ChecksumMismatchError: The bytes are not those that the record pins, or that were proven before.
        UnsafeWeightsError: A folder has only weights that can run code.
    """
    reasons: list[str] = []
    for place in places(model):
        known = entry if entry is not None and entry.path == place.path else None
        reason, listed = _why_not(place, model, known, others), None
        if reason is None and listing is not None and _may_be_partial(place, known):
            listed = listing()
            reason = _lacking(place.path, listed or ())
        if reason is None:
            try:
                found = _adopt(place, model, known, on_bytes)
            except (DownloadError, UnsafeWeightsError, ChecksumMismatchError) as error:
                if strict and not isinstance(error, DownloadError):
                    raise
                reason = _in_short(error)
            else:
                complete = listed is not None or not _may_be_partial(place, known)
                return Looked(replace(found, complete=complete), tuple(reasons))
        reasons.append(f"{place.path} ({reason})")
    if model.revision is None:
        reasons.append("the Hugging Face cache is not used: the record pins no revision")
    return Looked(None, tuple(reasons))


def _why_not(
    place: Place, model: ModelInfo | LoraAdapter, known: CacheEntry | None, others: Collection[Path]
) -> str | None:
    """Say what speaks against a place before anything there is read."""
    if reason := missing(place.path, model) or _gone(known):
        return reason
    if place.path in others:
        return "this is the file of another model"
    if place.origin == "package" and not _pins_weights(model):
        return "not used: the record pins no sha256 that its weights could be checked by"
    if known is not None and is_of_another_commit(known, model):
        return f"this is commit {known.revision}, and the record pins {model.revision}"
    return None


def _in_short(error: DownloadError | UnsafeWeightsError | ChecksumMismatchError) -> str:
    """Say why files were not taken in."""
    if isinstance(error, DownloadError):  # the folder lacks what a repository would have
        return f"incomplete: {error.reason.rstrip('.')}"
    if isinstance(error, UnsafeWeightsError):
        return f"`{error.path}` is in a format that can run code"
    return f"expected {error.expected}, got {error.got}"


def _may_be_partial(place: Place, known: CacheEntry | None) -> bool:
    """True for a folder that has what somebody else has fetched for a purpose of his own."""
    if place.path.suffix == ".gguf":
        return False
    return place.origin == "cache" if known is None else not known.complete


def _lacking(folder: Path, names: Collection[str]) -> str | None:
    """Say which files a folder lacks; `None` where it has all."""
    absent = sorted(name for name in names if not (folder / name).is_file())
    return f"incomplete: no {', '.join(absent)}" if absent else None


def _gone(known: CacheEntry | None) -> str | None:
    """Say what a folder once had and lacks now. What was put there by hand may change."""
    if known is None or known.source == "placed":
        return None
    gone = [file.name for file in known.files if not known.file_path(file).is_file()]
    return f"incomplete: no {', '.join(gone)}" if gone else None


def _adopt(
    place: Place, model: ModelInfo | LoraAdapter, known: CacheEntry | None, on_bytes: OnBytes | None
) -> CacheEntry:
    """Prove the files of a place, and give the entry that is to be written down."""
    path = place.path
    names = _names(path, model)
    expected = expectations(model, path, names, known)
    remedy = _REMEDY[place.origin].format(id=model.id)
    files = tuple(
        prove(names[name], name, expected[name], remedy=remedy, on_bytes=on_bytes and _of(name, names[name], on_bytes))
        for name in names
    )
    if place.origin == "cache":
        path = _link(path, names, model) or path
    source = known.source if known is not None else _SOURCES[place.origin]
    revision = model.revision if source != "placed" or are_proven(files) else None
    size = sum(file.size_bytes for file in files)
    time = now() if known is None else known.downloaded_at
    counted = (known.use_count, known.pinned) if known is not None else (0, False)
    return CacheEntry(key_of(model), path, size, checksum_of(files), revision, time, time, *counted, source, files)


def _names(path: Path, model: ModelInfo | LoraAdapter) -> dict[str, Path]:
    """Give the files of a place that loading needs, by their names in the repository."""
    if path.suffix == ".gguf":
        file = gguf_file(model)
        return {file.name if file is not None else path.name: path}
    found = {file_name(path, file): file for file in files_below(path)}
    listed = [RepositoryFile(name, None, None, None) for name in found]
    if isinstance(model, EncoderModel):  # the folder is there in place of a GGUF file
        model = replace(model, files=tuple(file for file in model.files if file.role != "gguf"))
    return {wanted.name: found[wanted.name] for wanted in needed(model, listed) if wanted.name in found}


def _of(name: str, path: Path, on_bytes: OnBytes) -> Callable[[int], None]:
    size = path.stat().st_size
    return lambda done: on_bytes(name, done, size)


def _link(path: Path, names: dict[str, Path], model: ModelInfo | LoraAdapter) -> Path | None:
    """Link proven files of the Hugging Face cache into the model folder; `None` where that cannot be done."""
    target = kept_at(model)
    draft = models_folder() / WORK_FOLDER / f"{target.name}.links"
    try:
        delete(draft)
        for name, file in names.items():
            link_file(file, draft if path.suffix == ".gguf" else draft / name)
        delete(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(target)
    except OSError:
        with suppress(OSError):
            delete(draft)
        return None
    return target


def _pins_weights(model: ModelInfo | LoraAdapter) -> bool:
    weights = [file for file in getattr(model, "files", ()) if file.role == "safetensors"]
    return bool(weights) and all(file.sha256 for file in weights)
