"""The book of the models that are kept: `manifest.json` in the model folder.

Readers need no lock, because the file is only ever replaced as a whole. Who changes it holds one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple, TypeAlias

from registry.errors import RegistryError
from registry.hub.locks import locked

VERSION = 1
_NAME = "manifest.json"
_TEXT, _NUMBER = (str, type(None)), (int, type(None))
_ENTRY_TYPES: dict[str, tuple[type, ...]] = {"path": (str,), "checksum": _TEXT, "revision": _TEXT, "source": (str,)}
_ENTRY_TYPES |= {"size_bytes": (int,), "use_count": (int,), "pinned": (bool,), "complete": (bool,)}
_FILE_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "size_bytes": (int,),
    "sha256": _TEXT,
    "modified_ns": _NUMBER,
    "proof": (str,),
}
# What reading a manifest that is damaged raises: its text, its shape, or a value.
_DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)

Proof: TypeAlias = Literal["record", "hub", "seen"]
Source: TypeAlias = Literal["download", "placed", "cache", "package", "bundle"]


@dataclass(frozen=True)
class CachedFile:
    """One file of a kept model.

    Attributes:
        name: Path in the model's repository; for a GGUF file its name there.
        size_bytes: Size when its bytes were proven.
        sha256: Digest of the bytes; `None` after the manifest was lost, until they are proven anew.
        modified_ns: Time of change when they were proven, in ns since 1970. With another one they are read again.
        proof: Who said that these are the right bytes: the record, the hub at the pinned commit, or nobody: then this
            is what was seen first.
    """

    name: str
    size_bytes: int
    sha256: str | None
    modified_ns: int | None
    proof: Proof = "seen"


@dataclass(frozen=True)
class CacheEntry:
    """A model that is kept on this machine.

    Attributes:
        id: Id of its record; of an adapter, `adapters/` and its id.
        path: The GGUF file, or the folder.
        size_bytes: Size of its files.
        checksum: `sha256:` and the digest of the GGUF file; for a folder the digest of its lines as `sha256sum` prints
            them, sorted by name. `None` until they are proven.
        revision: Commit of the repository, 40 hexadecimal digits; `None` where it is not known.
        downloaded_at: When it was fetched or taken in.
        last_used: When it was last asked for.
        use_count: How often it was asked for.
        pinned: True when it is never removed to make room.
        source: How it came: `download`, `placed` by hand, from the Hugging Face `cache`, in a `package`, in a `bundle`.
        files: Its files.
        complete: False for a folder of the Hugging Face cache that was taken in without a network: whether it lacks
            files of the repository is not known.
    """

    id: str
    path: Path
    size_bytes: int
    checksum: str | None
    revision: str | None
    downloaded_at: datetime
    last_used: datetime
    use_count: int
    pinned: bool
    source: Source
    files: tuple[CachedFile, ...]
    complete: bool = True

    @property
    def is_proven(self) -> bool:
        """True when its weights were checked against the record, or against what the hub has at the commit."""
        return are_proven(self.files)

    @property
    def own_names(self) -> frozenset[str]:
        """Names of the files that this library has put where they are, so that nobody else misses them."""
        return frozenset(file.name for file in self.files) if self.source != "placed" else frozenset()

    def file_path(self, file: CachedFile) -> Path:
        """Give the path of one of its files."""
        return self.path if self.path.suffix == ".gguf" else self.path / file.name

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it; times in ISO 8601."""
        data = asdict(self) | {"path": str(self.path)}
        return data | {name: getattr(self, name).isoformat() for name in ("downloaded_at", "last_used")}


def are_proven(files: tuple[CachedFile, ...]) -> bool:
    """Tell whether the weights among the files of a model were checked against the record, or the hub."""
    weights = [file for file in files if file.name.endswith((".safetensors", ".gguf"))]
    return bool(weights) and all(file.sha256 and file.proof != "seen" for file in weights)


def checksum_of(files: tuple[CachedFile, ...]) -> str | None:
    """Give the checksum of a model with these files."""
    if not files or not all(file.sha256 for file in files):
        return None
    if len(files) == 1:
        return f"sha256:{files[0].sha256}"
    lines = "".join(f"{file.sha256}  {file.name}\n" for file in sorted(files, key=lambda file: file.name))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def now() -> datetime:
    """Give the time as it is written down."""
    return datetime.now(UTC)


class _Seen(NamedTuple):
    """A manifest as it was read or written last: its bytes, what they say, and the line of each entry."""

    text: bytes
    entries: Mapping[str, CacheEntry]
    lines: Mapping[str, str]


# By path. Whether it is still so is told by the bytes: times and sizes of two manifests may be the same.
_SEEN: dict[Path, _Seen] = {}
_SEEN_AT_MOST = 8


class Manifest:
    """The manifest of a model folder.

    Args:
        folder: The model folder. It need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / _NAME

    def read(self) -> dict[str, CacheEntry]:
        """Give the entries by id. A manifest that is not there, or is damaged, is made up from the folder."""
        return self._read(put_aside=False)

    @contextmanager
    def changing(self, *, sync: bool = True) -> Iterator[dict[str, CacheEntry]]:
        """Lend the entries to be changed; they are written when the block ends without an error.

        Args:
            sync: False for what may be lost when the machine loses power, such as counts.

        Raises:
            OSError: The folder cannot be written.
        """
        with locked(self.folder / f".{_NAME}.lock"):
            entries = self._read(put_aside=True)
            before = dict(entries)
            yield entries
            if entries != before or not self.path.exists():
                self._write(entries, sync=sync)

    def _read(self, *, put_aside: bool) -> dict[str, CacheEntry]:
        """Read the file, and, where it is damaged, put it aside: nothing that was in it is lost."""
        try:
            text = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return self._rebuilt() if self.folder.is_dir() else {}
        if (seen := _SEEN.get(self.path)) is not None and seen.text == text:
            return dict(seen.entries)
        try:
            entries = self._parse(text)
        except _DAMAGED:
            if put_aside:
                self.path.replace(self.path.with_suffix(f".damaged-{now():%Y%m%dT%H%M%S%f}.json"))
            return self._rebuilt()
        self._remember(text, entries, {})
        return dict(entries)

    def _write(self, entries: Mapping[str, CacheEntry], *, sync: bool) -> None:
        seen = _SEEN.get(self.path, _Seen(b"", {}, {}))
        lines = {
            key: seen.lines[key] if seen.entries.get(key) is entry and key in seen.lines else self._line(key, entry)
            for key, entry in sorted(entries.items())
        }
        models = ",\n".join(lines.values())
        text = f'{{"version": {VERSION}, "models": {{\n{models}\n}}}}\n'.encode()
        draft = self.path.with_suffix(".new")  # one at a time is written: the lock is held
        with draft.open("wb") as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(self.path)
        self._remember(text, entries, lines)

    def _remember(self, text: bytes, entries: Mapping[str, CacheEntry], lines: Mapping[str, str]) -> None:
        if len(_SEEN) >= _SEEN_AT_MOST:
            _SEEN.clear()
        _SEEN[self.path] = _Seen(text, dict(entries), lines)

    def _line(self, key: str, entry: CacheEntry) -> str:
        path = entry.path
        stated = vars(entry) | {
            "path": path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else str(path),
            "downloaded_at": entry.downloaded_at.isoformat(),
            "last_used": entry.last_used.isoformat(),
            "files": [vars(file) for file in entry.files],
        }
        del stated["id"]
        return f"{json.dumps(key)}: {json.dumps(stated)}"

    def _parse(self, text: bytes) -> dict[str, CacheEntry]:
        data = json.loads(text)
        if data["version"] > VERSION:
            raise RegistryError(
                f"`{self.path}` was written by a newer version of this library: expected version {VERSION}, got "
                f"{data['version']}. Upgrade with `pip install --upgrade typed-model-registry`."
            )
        return {key: self._entry(key, stated) for key, stated in data["models"].items()}

    def _entry(self, key: str, stated: Mapping[str, Any]) -> CacheEntry:
        _check_types(stated, _ENTRY_TYPES)
        for file in stated["files"]:
            _check_types(file, _FILE_TYPES)
        path, files = PurePath(stated["path"]), tuple(CachedFile(**file) for file in stated["files"])
        for inside in (path, *(PurePath(file.name) for file in files)):
            if not inside.parts or ".." in inside.parts:  # nothing outside is a model's, or is deleted for one
                raise ValueError(str(inside))
        times = {name: datetime.fromisoformat(stated[name]) for name in ("downloaded_at", "last_used")}
        if any(time.tzinfo is None for time in times.values()):
            raise ValueError(key)
        return CacheEntry(**{**stated, **times, "id": key, "path": self.folder / path, "files": files})

    def _rebuilt(self) -> dict[str, CacheEntry]:
        """Make entries of what lies in the folder. Their bytes are proven when they are next asked for."""
        found = [*self.folder.glob("*.gguf"), *self.folder.glob("adapters/*.gguf")]
        found += [path.parent for path in self.folder.glob("[!.]*/config.json")]
        found += [path.parent for path in self.folder.glob("[!.]*/modules.json") if path.parent not in found]
        entries: dict[str, CacheEntry] = {}
        for path in found:
            with suppress(OSError):  # a link to nothing, or somebody has just taken it away
                entry = self._unproven(path)
                entries[entry.id] = entry
        return entries

    def _unproven(self, path: Path) -> CacheEntry:
        key = path.relative_to(self.folder).as_posix().removesuffix(".gguf")
        files = tuple(CachedFile(file_name(path, file), file.stat().st_size, None, None) for file in files_below(path))
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        size = sum(file.size_bytes for file in files)
        return CacheEntry(key, path, size, None, None, changed, changed, 0, False, "placed", files)


def _check_types(stated: Mapping[str, Any], types: Mapping[str, tuple[type, ...]]) -> None:
    """Refuse what would be an error only where it is used; `True` is no number here."""
    for name, expected in types.items():
        if type(stated[name]) not in expected or "\0" in str(stated[name]):
            raise TypeError(name)


def files_below(path: Path) -> list[Path]:
    """Give the files of a model: the GGUF file itself, or those of a folder, sorted; hidden ones left out."""
    if path.suffix == ".gguf":
        return [path]
    found = (file for file in path.rglob("*") if file.is_file())
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts))


def file_name(path: Path, file: Path) -> str:
    """Give the name of a file below the path of a model."""
    return file.name if file == path else file.relative_to(path).as_posix()


def used(entry: CacheEntry) -> CacheEntry:
    """Give an entry with one more use."""
    return replace(entry, last_used=now(), use_count=entry.use_count + 1)
