"""Proof of bytes: what a file must be, what it is, and what is written down of it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry._places import FOLDER_ROLES, gguf_file
from registry.errors import ChecksumMismatchError
from registry.hub.manifest import CachedFile

if TYPE_CHECKING:
    from registry.hub.manifest import CacheEntry, Proof
    from registry.records import LoraAdapter, ModelFile, ModelInfo

# Large pieces: after each one a thread beside a busy one waits for its turn with the interpreter.
_PIECE_BYTES = 16 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Expected:
    """What the bytes of a file must be.

    Attributes:
        size_bytes: Size; `None` where it is not known.
        sha256: Digest; `None` where it is not known.
        git_sha1: Name of the content as a git blob, for files whose sha256 the hub does not know.
        proof: Who says so.
    """

    size_bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    proof: Proof = "seen"

    @property
    def is_known(self) -> bool:
        """True when there is a digest to compare with."""
        return bool(self.sha256 or self.git_sha1)


@dataclass(frozen=True)
class Digests:
    """What the bytes of a file are."""

    size_bytes: int
    sha256: str
    git_sha1: str | None


def read_digests(path: Path, *, git: bool = False, on_bytes: Callable[[int], None] | None = None) -> Digests:
    """Read a file once and give its digests.

    Args:
        path: The file.
        git: True to compute the name as a git blob too.
        on_bytes: Called with the number of bytes read so far.
    """
    size = path.stat().st_size
    sha256 = hashlib.sha256()
    blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if git else None
    buffer, done = memoryview(bytearray(min(_PIECE_BYTES, size + 1))), 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            sha256.update(buffer[:count])
            if blob is not None:
                blob.update(buffer[:count])
            done += count
            if on_bytes is not None:
                on_bytes(done)
    return Digests(done, sha256.hexdigest(), blob.hexdigest() if blob is not None else None)


def sha256_of(path: Path) -> str:
    """Give the sha256 of a file, 64 hexadecimal digits. Reads all of it."""
    return read_digests(path).sha256


def prove(
    path: Path, name: str, expected: Expected, *, remedy: str, on_bytes: Callable[[int], None] | None = None
) -> CachedFile:
    """Read a file and give what is to be written down of it.

    Args:
        path: The file.
        name: Its name in the repository.
        expected: What its bytes must be.
        remedy: What to do where they are not, for the error.
        on_bytes: Called with the number of bytes read so far.

    Raises:
        ChecksumMismatchError: It has another size or other bytes.
    """
    before = path.stat()
    if expected.size_bytes not in (None, before.st_size):
        raise ChecksumMismatchError(str(path), f"{expected.size_bytes} bytes", f"{before.st_size} bytes", remedy)
    got = read_digests(path, git=expected.sha256 is None and expected.git_sha1 is not None, on_bytes=on_bytes)
    if expected.sha256 not in (None, got.sha256):
        raise ChecksumMismatchError(str(path), str(expected.sha256), got.sha256, remedy)
    if got.git_sha1 is not None and got.git_sha1 != expected.git_sha1:
        raise ChecksumMismatchError(str(path), f"git blob {expected.git_sha1}", f"git blob {got.git_sha1}", remedy)
    proof: Proof = expected.proof if expected.is_known else "seen"
    return CachedFile(name, got.size_bytes, got.sha256, before.st_mtime_ns, proof)


def expectations(
    model: ModelInfo | LoraAdapter, path: Path, names: Iterable[str], entry: CacheEntry | None
) -> dict[str, Expected]:
    """Give what is known of files before they are read: by the record, by the manifest, by the Hugging Face cache.

    Args:
        model: The record.
        path: The GGUF file, or the folder.
        names: Names of the files in the repository.
        entry: What the manifest has for the same path.
    """
    pins = pinned_files(model)
    written = {file.name: file for file in entry.files} if entry is not None and entry.source != "placed" else {}
    known = {}
    for name in names:
        file = path if path.suffix == ".gguf" else path / name
        if (pin := pins.get(name)) is not None and pin.sha256 is not None:
            known[name] = Expected(pin.size_bytes, pin.sha256, proof="record")
        elif (seen := written.get(name)) is not None and seen.sha256 is not None:
            known[name] = Expected(seen.size_bytes, seen.sha256, proof=seen.proof)
        else:
            known[name] = _from_blob(file, pin.size_bytes if pin is not None else None)
    return known


def _from_blob(file: Path, size_bytes: int | None) -> Expected:
    """Read what a file of the Hugging Face cache must be off the name of its blob, which is the hub's word for it."""
    blob = Path(os.path.realpath(file))
    if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name):
        return Expected(size_bytes, blob.name, proof="hub")
    if blob.parent.name == "blobs" and _GIT_SHA1.fullmatch(blob.name):
        return Expected(size_bytes, None, blob.name, proof="hub")
    return Expected(size_bytes)


def pinned_files(model: ModelInfo | LoraAdapter) -> Mapping[str, ModelFile]:
    """Give the files that a record names, by name."""
    file: ModelFile | None = getattr(model, "file", None)
    return {file.name: file for file in ((file,) if file is not None else getattr(model, "files", ()))}


def is_unchanged(entry: CacheEntry) -> bool:
    """Tell by size and time of change whether the files of a model are those that were proven. Reads none of them."""
    for file in entry.files:
        try:
            seen = entry.file_path(file).stat()
        except OSError:
            return False
        if file.sha256 is None or (seen.st_size, seen.st_mtime_ns) != (file.size_bytes, file.modified_ns):
            return False
    return bool(entry.files)


def fits(entry: CacheEntry, model: ModelInfo | LoraAdapter) -> bool:
    """Tell whether what was proven of a model is what its record pins today."""
    pins = pinned_files(model)
    if lacks(entry, model):
        return False
    if any(file.sha256 != pins[file.name].sha256 for file in entry.files if _is_pinned(pins.get(file.name))):
        return False
    return not is_of_another_commit(entry, model)


def lacks(entry: CacheEntry, model: ModelInfo | LoraAdapter) -> tuple[str, ...]:
    """Give the names of files that the record says are needed, and that are not among those of a model."""
    gguf = gguf_file(model) if entry.path.suffix == ".gguf" else None
    named = [file.name for file in pinned_files(model).values() if file.role in FOLDER_ROLES]
    have = {file.name for file in entry.files}
    return tuple(name for name in ([gguf.name] if gguf is not None else named) if name not in have)


def is_of_another_commit(entry: CacheEntry, model: ModelInfo | LoraAdapter) -> bool:
    """Tell whether files were fetched at another commit than the record pins. One file with a digest needs none."""
    if len(entry.files) == 1 and _is_pinned(pinned_files(model).get(entry.files[0].name)):
        return False
    return None not in (entry.revision, model.revision) and entry.revision != model.revision


def _is_pinned(file: ModelFile | None) -> bool:
    return file is not None and file.sha256 is not None
