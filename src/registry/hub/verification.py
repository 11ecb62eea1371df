"""`verify`: whether the bytes on the disk are still those that were proven. Needs no network, now or ever."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.hub.manifest import CacheEntry, Manifest
from registry.hub.progress import Meter
from registry.hub.proof import read_digests

if TYPE_CHECKING:
    from registry.hub.progress import OnProgress


@dataclass(frozen=True)
class Verification:
    """What reading the files of a model has shown.

    Attributes:
        id: The model.
        path: The GGUF file, or the folder.
        problems: What is wrong, a sentence each.
        unproven: Names of files that there is nothing to compare with.
        checked_bytes: How much was read.
    """

    id: str
    path: Path
    problems: tuple[str, ...]
    unproven: tuple[str, ...]
    checked_bytes: int

    @property
    def ok(self) -> bool:
        """True when every file is there and has the bytes that were proven."""
        return not self.problems and not self.unproven

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return asdict(self) | {"path": str(self.path), "ok": self.ok}


def verify_entries(
    entries: Iterable[CacheEntry],
    manifest: Manifest,
    progress: OnProgress | None = None,
) -> tuple[Verification, ...]:
    """Read the files of models and compare them with what was proven.

    What is damaged is noted, so that the next `ensure` reads it again and fetches it anew.

    Args:
        entries: The models.
        manifest: Where they are written down.
        progress: Called with a `Progress` now and then.
    """
    return tuple(_verify(entry, manifest, Meter(entry.id, progress)) for entry in entries)


def _verify(entry: CacheEntry, manifest: Manifest, meter: Meter) -> Verification:
    problems: list[str] = []
    unproven: list[str] = []
    damaged: set[str] = set()
    checked = 0
    for file in entry.files:
        path = entry.file_path(file)
        if file.sha256 is None:
            unproven.append(file.name)
            continue
        if not path.is_file():
            problems.append(f"{file.name}: not there")
            damaged.add(file.name)
            continue
        try:
            got = read_digests(path, on_bytes=partial(meter.hashing, file.name, total_bytes=file.size_bytes))
        except OSError as error:
            problems.append(f"{file.name}: cannot be read: {error.strerror or error}")
            damaged.add(file.name)
            continue
        checked += got.size_bytes
        if got.sha256 != file.sha256:
            problems.append(f"{file.name}: expected sha256 {file.sha256}, got {got.sha256}")
            damaged.add(file.name)
    meter.done()
    if damaged:
        _note(entry, damaged, manifest)
    return Verification(entry.id, entry.path, tuple(problems), tuple(unproven), checked)


def _note(entry: CacheEntry, damaged: set[str], manifest: Manifest) -> None:
    """Forget when damaged files were proven, so that they are not taken for unchanged."""
    with suppress(OSError), manifest.changing() as entries:  # a folder that cannot be written is left as it is
        current = entries.get(entry.id)
        if current is not None and current.path == entry.path:
            files = (replace(file, modified_ns=None) if file.name in damaged else file for file in current.files)
            entries[entry.id] = replace(current, files=tuple(files))
