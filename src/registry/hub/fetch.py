"""Fetching a whole model: what it needs, from where, one file after the other, and into place when all are proven."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from registry._places import gguf_file, hub_cache, kept_at, key_of
from registry.errors import ChecksumMismatchError, DownloadError, UnpinnedModelError
from registry.hub.cache import Cache
from registry.hub.connections import origin
from registry.hub.disk import delete, has_one_name, link_file, put
from registry.hub.locks import WORK_FOLDER, locked
from registry.hub.manifest import CachedFile, CacheEntry, checksum_of, file_name, now
from registry.hub.needed import RepositoryFile, Wanted, needed
from registry.hub.progress import Meter
from registry.hub.proof import Expected, prove
from registry.hub.repository import hub_token, list_files
from registry.hub.sources import Source, addresses, folder_layouts, hub_endpoint, parse_sources
from registry.hub.transfer import fetch

if TYPE_CHECKING:
    from registry.hub._ensure import FetchKeywords
    from registry.hub.manifest import Manifest, Proof
    from registry.records import LoraAdapter, ModelInfo

LARGE_BYTES = 256 * 1024 * 1024
# Who knows digests is asked first.
_RANK = {"hub": 0, "endpoint": 0, "folder": 1, "template": 2}


@dataclass(frozen=True)
class _Plan:
    """What is to be fetched.

    Attributes:
        revision: Commit that it is, or `None` where nobody says.
        files: The files.
    """

    revision: str | None
    files: tuple[Wanted, ...]


def fetch_model(
    model: ModelInfo | LoraAdapter,
    manifest: Manifest,
    entry: CacheEntry | None,
    how: FetchKeywords,
    *,
    reuse: bool = True,
) -> CacheEntry:
    """Fetch the files of a model, prove them, and put them where they are kept. The caller holds the model's lock.

    Args:
        model: The record.
        manifest: The manifest of the model folder, which is not changed.
        entry: What is kept of it.
        how: How files are fetched.
        reuse: False to fetch every byte, even if it is on this machine, and to forget what was seen before.

    Returns:
        What is to be written down.

    Raises:
        The errors of `ensure`.
    """
    known = entry if reuse else None
    plan = _plan(model, known, how)
    target, cache = kept_at(model), Cache(manifest.folder)
    cache.clean_parts()
    draft = _Draft(model, manifest.folder / WORK_FOLDER / target.relative_to(manifest.folder))
    there = {wanted.name: found for wanted in plan.files if reuse and (found := draft.find(wanted, known))}
    missing = [wanted for wanted in plan.files if wanted.name not in there]
    size = draft.own_bytes(there.values()) + sum(wanted.size_bytes or 0 for wanted in missing)
    to_come = sum(max(0, (wanted.size_bytes or 0) - draft.begun_bytes(wanted)) for wanted in missing)
    meter, key = Meter(model.id, how.get("progress")), key_of(model)
    with ExitStack() as stack:
        if to_come >= LARGE_BYTES:  # two at once would take twice as long, and neither would be there sooner
            stack.enter_context(locked(manifest.folder / WORK_FOLDER / ".large.lock", waiting=meter.waiting))
        cache.make_room(model.id, size, key=key, to_come_bytes=to_come)
        there |= {wanted.name: draft.fetch(wanted, plan.revision, how, meter) for wanted in missing}
    files = tuple(there[wanted.name] for wanted in plan.files)
    # Sizes may not have been known, and others may have come meanwhile.
    cache.make_room(model.id, draft.own_bytes(files), key=key, to_come_bytes=0)
    draft.clear_all_but(there)
    put(draft.path, target, known=entry.own_names if entry is not None else ())
    meter.done()
    size = sum(file.size_bytes for file in files)
    time, counted = now(), (entry.use_count, entry.pinned) if entry is not None else (0, False)
    return CacheEntry(key, target, size, checksum_of(files), plan.revision, time, time, *counted, "download", files)


def needed_files(model: ModelInfo | LoraAdapter, how: FetchKeywords) -> Collection[str]:
    """Give the names of the files that a repository has for a model. Asks the hub.

    Raises:
        DownloadError: It cannot be asked.
    """
    return [wanted.name for wanted in needed(model, _listed(model, how)[1])]


class _Draft:
    """A model on its way: its files wait here, below the model folder, until all of them are there and proven."""

    def __init__(self, model: ModelInfo | LoraAdapter, path: Path) -> None:
        self.path = path
        self._model = model
        self._is_file = gguf_file(model) is not None

    def find(self, wanted: Wanted, entry: CacheEntry | None) -> CachedFile | None:
        """Give a file that waits already, or that can be linked: from where it was kept, or the hub's cache."""
        expected, staged = _expected(wanted, self._model), self._staged(wanted)
        if not expected.is_known:
            return None
        for found in (staged, *self._elsewhere(wanted, entry)):
            if found.is_file() and (proven := _proven(found, wanted, expected)):
                if found != staged:
                    delete(staged)
                    link_file(found, staged)
                return proven
        return None

    def own_bytes(self, files: Iterable[CachedFile]) -> int:
        """Give the room that files which wait here take: linked ones take none."""
        return sum(file.size_bytes for file in files if has_one_name(self._staged(file)))

    def begun_bytes(self, wanted: Wanted) -> int:
        """Give how much of a file has come."""
        part = self._part(wanted)
        return part.stat().st_size if part.is_file() else 0

    def fetch(self, wanted: Wanted, revision: str | None, how: FetchKeywords, meter: Meter) -> CachedFile:
        """Fetch a file to where it waits."""
        endpoint, part, staged = how.get("endpoint"), self._part(wanted), self._staged(wanted)
        fetched = fetch(
            self._model.id,
            wanted,
            part,
            addresses(self._model, wanted, sources=how.get("sources"), endpoint=endpoint, revision=revision),
            token=hub_token(how.get("token")),
            progress=partial(meter.downloading, wanted.name),
            rehashed=partial(meter.hashing, wanted.name),
        )
        part.replace(staged)
        proof = _expected(wanted, self._model).proof
        return CachedFile(wanted.name, fetched.size_bytes, fetched.sha256, staged.stat().st_mtime_ns, proof)

    def clear_all_but(self, names: Collection[str]) -> None:
        """Delete what an earlier try, for other files, has left."""
        for file in [] if self._is_file else self.path.rglob("*"):
            if file.is_file() and file_name(self.path, file) not in names:
                file.unlink()

    def _staged(self, file: Wanted | CachedFile) -> Path:
        return self.path if self._is_file else self.path / file.name

    def _part(self, wanted: Wanted) -> Path:
        staged = self._staged(wanted)
        return staged.with_name(f"{staged.name}.part")

    def _elsewhere(self, wanted: Wanted, entry: CacheEntry | None) -> list[Path]:
        kept = [entry.file_path(file) for file in entry.files if file.name == wanted.name] if entry is not None else []
        blobs = hub_cache() / f"models--{(self._model.huggingface_id or '').replace('/', '--')}" / "blobs"
        return [*kept, *(blobs / digest for digest in (wanted.sha256, wanted.git_sha1) if digest)]


def _plan(model: ModelInfo | LoraAdapter, entry: CacheEntry | None, how: FetchKeywords) -> _Plan:
    """Say what is to be fetched. Asks the hub, unless the record pins all there is to know.

    Raises:
        UnpinnedModelError: Nothing says which bytes are the right ones, and `allow_unpinned` is not set.
    """
    file = gguf_file(model)
    if file is not None and file.sha256 is not None:
        return _Plan(model.revision, needed(model))
    revision, listed = _listed(model, how)
    files = tuple(_as_written(wanted, model, entry) for wanted in needed(model, listed))
    unpinned = tuple(wanted.name for wanted in files if not _is_pinned(wanted, model))
    if unpinned and not how.get("allow_unpinned"):
        raise UnpinnedModelError(model.id, unpinned)
    return _Plan(model.revision or revision, files)


def _listed(model: ModelInfo | LoraAdapter, how: FetchKeywords) -> tuple[str | None, Sequence[RepositoryFile]]:
    """List a model's repository: at a hub, which knows digests; else in a folder; else there is what the record names.

    Raises:
        DownloadError: No source lists it.
    """
    failures: list[DownloadError] = []
    sources = parse_sources(how.get("sources"))
    for source in sorted(sources, key=lambda source: _RANK[source.kind]):
        try:
            return _list(source, model, how)
        except DownloadError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    each = "".join(f"\n  {failure.reason} {failure.remedy}".rstrip() for failure in failures)
    reason = f"none of {len(failures)} sources lists its files:{each}\n"
    raise DownloadError(model.id, reason, "Mend one of them, or add another source.")


def _list(
    source: Source, model: ModelInfo | LoraAdapter, how: FetchKeywords
) -> tuple[str | None, Sequence[RepositoryFile]]:
    if source.kind == "template":
        _refuse_without_settings(model)
        return model.revision, ()
    if source.kind == "folder":
        return model.revision, _in_folder(source, model)
    hub = hub_endpoint(how.get("endpoint"))
    endpoint = source.where or hub
    token = hub_token(how.get("token")) if origin(endpoint) == origin(hub) else None  # no mirror sees it
    return list_files(model, endpoint=endpoint, token=token)


def _refuse_without_settings(model: ModelInfo | LoraAdapter) -> None:
    """Refuse to fetch a folder of which the record names the weights alone: it could not be loaded.

    Raises:
        DownloadError: It does.
    """
    if gguf_file(model) is None and not any(file.role == "config" for file in getattr(model, "files", ())):
        reason = "its record names no config.json, and a mirror without the hub's interface lists no files."
        raise DownloadError(model.id, reason, "Add a source that lists them, such as `hub`, or name all in the record.")


def _in_folder(source: Source, model: ModelInfo | LoraAdapter) -> list[RepositoryFile]:
    """List a folder that has a model's files. Their sizes prove nothing, and are not given."""
    layouts = folder_layouts(Path(source.where), model, model.revision or "main")
    for folder in layouts:
        found = [file for depth in ("*", "*/*") for file in folder.glob(depth) if file.is_file()]
        if any(file.name.endswith((".safetensors", ".gguf")) for file in found):
            return [RepositoryFile(file_name(folder, file), None, None, None) for file in found]
    reason = f"`{source.where}` has no weights of it: looked in {', '.join(f'`{folder}`' for folder in layouts)}."
    raise DownloadError(model.id, reason, "Put the files there, or add another source.")


def _as_written(wanted: Wanted, model: ModelInfo | LoraAdapter, entry: CacheEntry | None) -> Wanted:
    """Lay what was seen of an unpinned file over what the source says: it must be the same ever after."""
    seen = next((file for file in entry.files if file.name == wanted.name), None) if entry is not None else None
    if seen is None or seen.sha256 is None or _is_pinned(wanted, model):
        return wanted
    return replace(wanted, sha256=seen.sha256, size_bytes=seen.size_bytes)


def _is_pinned(wanted: Wanted, model: ModelInfo | LoraAdapter) -> bool:
    """True where the record says which bytes a file has: by their digest, or by a commit whose digest the hub gives."""
    return wanted.pinned or (model.revision is not None and bool(wanted.sha256 or wanted.git_sha1))


def _expected(wanted: Wanted, model: ModelInfo | LoraAdapter) -> Expected:
    proof: Proof = "record" if wanted.pinned else "hub" if _is_pinned(wanted, model) else "seen"
    return Expected(wanted.size_bytes, wanted.sha256, wanted.git_sha1, proof)


def _proven(path: Path, wanted: Wanted, expected: Expected) -> CachedFile | None:
    try:
        return prove(path, wanted.name, expected, remedy="")
    except (ChecksumMismatchError, OSError):
        return None
