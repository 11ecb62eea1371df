"""`Cache`: what is kept on this machine, how much room it takes, and what goes when there is no room."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry import _settings
from registry._home import models_folder
from registry.errors import CacheFullError, ModelNotDownloadedError, RegistryError
from registry.hub.disk import delete_all, delete_empty, existing, has_one_name, is_a_models, set_aside
from registry.hub.locks import WORK_FOLDER, free_locks, lock_of, used_keys
from registry.hub.manifest import CacheEntry, Manifest, now, used
from registry.hub.verification import Verification, verify_entries

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.hub.progress import OnProgress

PART_LIFETIME_S = 24 * 60 * 60
_WHEN_FULL = ("error", "prune", "ask")
_WORK_SUFFIX = re.compile(r"\.(bundle|gguf|links|part|json|new)$")


@dataclass(frozen=True)
class CacheStats:
    """How much room models take.

    Attributes:
        models: Number of models.
        size_bytes: Size of the files of all.
        own_bytes: Size of those that removing them would free: not linked ones, nor those in packages.
        max_bytes: Most that they may take; `None`: no limit is set.
        free_bytes: Free room on the disk.
        parts: Number of downloads that were cut off.
        parts_bytes: Size of what has come of them.
    """

    models: int
    size_bytes: int
    own_bytes: int
    max_bytes: int | None
    free_bytes: int
    parts: int
    parts_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return asdict(self)


class Cache:
    """The models that are kept in a folder.

    Args:
        folder: The model folder; left out: the one of `REGISTRY_HOME`. It need not exist.

    Example:
        >>> from registry.hub import Cache
        >>> [entry.id for entry in Cache().list()]  # doctest: +SKIP
        ['colbert-v2', 'qwen2.5-coder-3b-q4_k_m']
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = models_folder() if folder is None else Path(folder)
        self._manifest = Manifest(self.folder)

    def list(self) -> tuple[CacheEntry, ...]:
        """Give what is kept, sorted by id. Reads the manifest, and none of the models."""
        return tuple(sorted(self._manifest.read().values(), key=lambda entry: entry.id))

    def get(self, id: str) -> CacheEntry:
        """Give what is known of a kept model.

        Raises:
            ModelNotDownloadedError: It is not kept.
        """
        entry = self._manifest.read().get(id)
        if entry is None:
            raise self._not_kept(id)
        return entry

    def remove(self, id: str) -> CacheEntry:
        """Delete the files of a model, and forget it. What lies outside the model folder is forgotten, and stays.

        Raises:
            ModelNotDownloadedError: It is not kept.
            RegistryError: It is loaded by some process.
            OSError: A file cannot be deleted.
        """
        entry = self.get(id)
        if not self._take([entry], strict=True):
            raise RegistryError(f"`{id}` is in use: a process has loaded it, or fetches it. Close it there first.")
        return entry

    def clear(self, *, pinned: bool = False) -> tuple[CacheEntry, ...]:
        """Delete everything that is neither pinned nor loaded.

        Args:
            pinned: True to delete what is pinned too.

        Returns:
            What was deleted.
        """
        return self._take([entry for entry in self.list() if pinned or not entry.pinned])

    def prune(
        self, max_bytes: int | None = None, *, older_than_s: float | None = None, dry_run: bool = False
    ) -> tuple[CacheEntry, ...]:
        """Delete models until the rest takes at most so much room, the least recently used ones first.

        Pinned models and those that some process has loaded stay. Parts of downloads that nobody has gone on with for
        24 hours are deleted too.

        Args:
            max_bytes: Room that the rest may take; left out: the setting `max_cache_size`, and where that is not set
                nothing is deleted for its size.
            older_than_s: Delete all that was not used for so many seconds as well.
            dry_run: True to delete nothing, and give what would be deleted.

        Returns:
            What was deleted, in the order in which it went.
        """
        if not dry_run:
            self.clean_parts()
        limit = _settings.size_bytes("max_cache_size") if max_bytes is None else max_bytes
        chosen = self._doomed(limit, older_than_s)
        return chosen if dry_run else self._take(chosen)

    def clean_parts(self, *, older_than_s: float = PART_LIFETIME_S, dry_run: bool = False) -> tuple[Path, ...]:
        """Delete parts of downloads that were cut off and have not grown for so many seconds.

        Args:
            older_than_s: The seconds.
            dry_run: True to delete nothing, and give what would be deleted.

        Returns:
            The parts that were deleted.
        """
        before = time.time() - older_than_s
        old = {part: self._keys_of_part(part) for part, seen in self._parts() if seen.st_mtime < before}
        gone = []
        with ExitStack() as stack:  # who fetches a model, links old files too while it has the lock
            free = free_locks(stack, self.folder, set().union(*old.values()))
            for part, keys in old.items():
                with suppress(OSError):
                    if keys <= free:
                        if not dry_run:
                            part.unlink()
                            delete_empty(part.parent, self.folder / WORK_FOLDER)
                        gone.append(part)
        return tuple(part for part in gone if part.suffix == ".part")

    def verify(self, id: str | None = None, *, progress: OnProgress | None = None) -> tuple[Verification, ...]:
        """Read the files of one model, or of all, and compare them with what was proven. Needs no network.

        Raises:
            ModelNotDownloadedError: The model is not kept.
        """
        return verify_entries([self.get(id)] if id is not None else self.list(), self._manifest, progress)

    def stats(self) -> CacheStats:
        """Give how much room models take, and how much there is."""
        entries, parts = self.list(), [seen for part, seen in self._parts() if part.suffix == ".part"]
        return CacheStats(
            len(entries),
            sum(entry.size_bytes for entry in entries),
            sum(map(own_bytes, entries)),
            _settings.size_bytes("max_cache_size"),
            shutil.disk_usage(existing(self.folder)).free,
            len(parts),
            sum(seen.st_size for seen in parts),
        )

    def pin(self, id: str) -> CacheEntry:
        """Keep a model whatever happens: no pruning takes it.

        Raises:
            ModelNotDownloadedError: It is not kept.
        """
        return self._change(id, lambda entry: replace(entry, pinned=True))

    def unpin(self, id: str) -> CacheEntry:
        """Let a model go when there is no room.

        Raises:
            ModelNotDownloadedError: It is not kept.
        """
        return self._change(id, lambda entry: replace(entry, pinned=False))

    def touch(self, id: str) -> CacheEntry:
        """Count a use of a model now.

        Raises:
            ModelNotDownloadedError: It is not kept.
        """
        return self._change(id, used)

    def make_room(
        self, model_id: str, size_bytes: int, *, key: str | None = None, to_come_bytes: int | None = None
    ) -> None:
        """See to it that a model can come: under the limit that is set, and on the disk.

        Where the limit is reached, the setting `when_full` says whether that is an error, whether older models go, or
        whether whoever sits at the terminal is asked.

        Args:
            model_id: The model, for messages.
            size_bytes: Size of the model, as far as it is known.
            key: What it is kept as; what is there under this name goes when it comes.
            to_come_bytes: What of it is not on the disk yet; left out: all.

        Raises:
            CacheFullError: There is no room, and none could be made.
        """
        limit = _settings.size_bytes("max_cache_size")
        if limit is not None and size_bytes and self._taken_bytes(key) + size_bytes > limit:
            self._keep_to(limit, model_id, size_bytes, key)
        needed_bytes = size_bytes if to_come_bytes is None else to_come_bytes
        free = shutil.disk_usage(existing(self.folder)).free
        if free < needed_bytes:
            remedy = "Delete files, `registry cache prune` removes models, or set `REGISTRY_HOME` to another disk."
            raise CacheFullError(model_id, needed_bytes, free, f"`{self.folder}`", remedy)

    def _keep_to(self, limit: int, model_id: str, needed_bytes: int, key: str | None) -> None:
        taken, doomed = self._taken_bytes(key), self._doomed(limit - needed_bytes, None, key)
        action = _settings.choice("when_full", _WHEN_FULL)
        enough = taken - sum(map(own_bytes, doomed)) + needed_bytes <= limit
        if enough and (action == "prune" or (action == "ask" and _agreed(doomed, model_id))):
            self._take(doomed)
            taken = self._taken_bytes(key)  # some may have been loaded meanwhile
            if taken + needed_bytes <= limit:
                return
        where = f"the limit of {limit} bytes ({_settings.stated_in('max_cache_size')})"
        remedy = "Remove models with `registry remove`, raise the limit, or set `when_full` to `prune`."
        raise CacheFullError(model_id, needed_bytes, max(0, limit - taken), where, remedy)

    def _taken_bytes(self, but_for: str | None) -> int:
        return sum(own_bytes(entry) for entry in self.list() if entry.id != but_for)

    def _doomed(
        self, limit: int | None, older_than_s: float | None, but_for: str | None = None
    ) -> tuple[CacheEntry, ...]:
        """Choose what goes, of what is neither pinned nor in use."""
        used_now = used_keys(self.folder)
        oldest = sorted((entry for entry in self.list() if entry.id != but_for), key=lambda entry: entry.last_used)
        free = [entry for entry in oldest if not entry.pinned and entry.id not in used_now]
        return tuple(_to_delete(oldest, free, limit, older_than_s))

    def _take(self, doomed: Sequence[CacheEntry], *, strict: bool = False) -> tuple[CacheEntry, ...]:
        """Take models out of the manifest and out of the way, then delete them; those in use stay.

        What cannot be moved stays too, or is an error where this is strict.

        Gives those that were taken. Both happen under the lock of the manifest, which whoever uses a model must have
        held after marking it: so nothing is taken away from under anybody.
        """
        taken: list[CacheEntry] = []
        trash: list[Path] = []
        with ExitStack() as stack:
            stack.callback(delete_all, trash)  # last, when nobody waits for it any more
            free = free_locks(stack, self.folder, [entry.id for entry in doomed])
            entries = stack.enter_context(self._manifest.changing())
            used_now = used_keys(self.folder)
            for entry in doomed:
                if entry.id not in free or entry.id in used_now or entry.id not in entries:
                    continue
                path = entries[entry.id].path
                try:
                    if is_a_models(path, self.folder) and os.path.lexists(path):
                        trash.append(set_aside(path, self.folder))
                except OSError:
                    if strict:
                        raise
                else:
                    taken.append(entries.pop(entry.id))
        return tuple(taken)

    def _change(self, id: str, change: Callable[[CacheEntry], CacheEntry]) -> CacheEntry:
        with self._manifest.changing() as entries:
            if id not in entries:
                raise self._not_kept(id)
            entries[id] = change(entries[id])
            return entries[id]

    def _parts(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Give what downloads have left: parts, what is noted beside them, and what was about to be deleted."""
        for folder, _, names in os.walk(self.folder / WORK_FOLDER):  # which takes no notice of what vanishes meanwhile
            for path in (Path(folder, name) for name in sorted(names) if not name.endswith(".lock")):
                with suppress(OSError):
                    yield path, path.lstat()

    def _keys_of_part(self, part: Path) -> set[str]:
        """Give the models that a part may belong to: an id may end with what is added to it."""
        first, *more = part.relative_to(self.folder / WORK_FOLDER).parts
        name = f"{first}/{more[0]}" if first == "adapters" and more else first
        names = {name}
        while (match := _WORK_SUFFIX.search(name)) is not None:
            name = name[: match.start()]
            names.add(name)
        return {name for name in names if lock_of(self.folder, name).exists()}

    def _not_kept(self, id: str) -> ModelNotDownloadedError:
        remedy = "`registry cache list` shows what is kept."
        return ModelNotDownloadedError(id, (str(self._manifest.path),), remedy)


def own_bytes(entry: CacheEntry) -> int:
    """Give the room that removing a model would free: none for what lies in a package, or has another name."""
    if entry.source == "package":
        return 0
    return sum(file.size_bytes for file in entry.files if has_one_name(entry.file_path(file)))


def _to_delete(
    oldest: Iterable[CacheEntry], free: Sequence[CacheEntry], limit: int | None, older_than_s: float | None
) -> list[CacheEntry]:
    """Choose what goes: what was not used for so long, and then the oldest until the rest is within the limit."""
    before = None if older_than_s is None else now() - timedelta(seconds=older_than_s)
    chosen = [entry for entry in free if before is not None and entry.last_used < before]
    left = sum(map(own_bytes, oldest)) - sum(map(own_bytes, chosen))
    for entry in free:
        if limit is None or left <= limit:
            break
        if entry not in chosen and own_bytes(entry):
            chosen.append(entry)
            left -= own_bytes(entry)
    return chosen


def _agreed(doomed: Iterable[CacheEntry], model_id: str) -> bool:
    """Ask whoever sits at the terminal; nobody there means no."""
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        return False
    names = ", ".join(f"{entry.id} ({entry.size_bytes / 1e9:.1f} GB)" for entry in doomed)
    print(f"No room for {model_id}. Remove {names}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
