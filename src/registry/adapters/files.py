"""Files of adapters on this machine, each under its digest: fetched once for all processes, and proven."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from registry._extras import require
from registry._home import home
from registry.adapters.decision import decision_from
from registry.adapters.manifest import AdapterEntry, AdapterManifest, shown
from registry.adapters.wrong_bytes import WrongBytes
from registry.errors import AdapterError, CacheFullError, ChecksumMismatchError, DownloadError
from registry.hub.locks import WORK_FOLDER, free_locks, in_use, lock_of, locked, used_keys
from registry.hub.needed import Wanted
from registry.hub.sources import Address
from registry.hub.transfer import fetch

MOST_BYTES = 8 * 2**30  # rank 256 on all layers of the largest models takes less
_TIMEOUT_S = 15.0
_LONGEST_S = 3600.0
_OWN_NAME = re.compile(r"([0-9a-f]{64})\.(?:gguf(?:\.part(?:\.json)?)?|lock)")


@dataclass(frozen=True)
class FetchLimits:
    """How much is taken from an address, and how long that may last.

    Attributes:
        most_bytes: Largest file.
        timeout_s: Longest silence of a server.
        longest_s: Time for one file altogether.
    """

    most_bytes: int = MOST_BYTES
    timeout_s: float = _TIMEOUT_S
    longest_s: float = _LONGEST_S


class GivenUpError(AdapterError):
    """The file of an adapter is wanted no more."""


@dataclass
class _Mark:
    """That this process uses a file, and how many blocks of it do."""

    held: ExitStack = field(default_factory=ExitStack)
    users: int = 0


class AdapterFiles:
    """The folder of adapters: `<sha256>.gguf` each. For any number of threads and processes.

    Args:
        folder: Left out: `adapters` in the home folder.
        limits: What is too much.
    """

    def __init__(self, folder: Path | None = None, limits: FetchLimits | None = None) -> None:
        self.folder = folder or home() / "adapters"
        self._limits = limits or FetchLimits()
        self._proven: dict[str, tuple[int, int]] = {}
        self._wrong = WrongBytes(self._limits.timeout_s)
        self._wanted: frozenset[str] | None = None
        self._marks: dict[str, _Mark] = {}
        self._marking = threading.RLock()  # a block may end in the garbage collector, wherever that runs

    def path(self, sha256: str) -> Path:
        """Give where a file lies, or would lie."""
        return self.folder / f"{sha256}.gguf"

    def has(self, sha256: str) -> bool:
        """True when a file is there that this process has proven and nobody has changed since."""
        known = self._proven.get(sha256)
        return known is not None and known == _signature(self.path(sha256))

    def prove(self, sha256: str) -> bool:
        """True when a file is there with this digest, which is taken of all of it."""
        path = self.path(sha256)
        try:
            seen = _signature(path)
            if seen is None or _sha256(path) != sha256:
                return False
        except OSError:
            return False
        self._proven[sha256] = seen
        return True

    def want(self, digests: frozenset[str]) -> None:
        """Say which files are wanted from now on: fetches of others that are under way are given up."""
        self._wanted = digests
        self._wrong.keep(digests)

    @contextmanager
    def in_use(self, sha256: str) -> Iterator[None]:
        """Keep a file from being taken away by any process while the block runs.

        However many blocks keep it, this costs one open file.
        """
        with self._marking:
            mark = self._marks.setdefault(sha256, _Mark())
            if mark.users == 0:
                mark.held.enter_context(in_use(self.folder, sha256))
            mark.users += 1
        try:
            yield
        finally:
            with self._marking:
                mark.users -= 1
                if mark.users == 0:
                    del self._marks[sha256]
                    mark.held.close()

    def obtain(self, manifest: AdapterManifest, entry: AdapterEntry) -> Path:
        """Give the file of an adapter, and copy or fetch it where it is not there; its digest is proven.

        Where another process fetches it, this waits. The token of the hub is not sent. What had other bytes is not
        fetched again before it has changed: see `WrongBytes`.

        Raises:
            GivenUpError: It is not wanted any more.
            AdapterError: It cannot be had, or has other bytes.
        """
        path, digest = self.path(entry.sha256), entry.sha256
        if self.has(digest):
            return path
        try:
            with locked(lock_of(self.folder, digest)):
                if not self.prove(digest):
                    part = path.with_name(f"{path.name}.part")
                    self._fetch(manifest, entry, part)
                    part.replace(path)
                    if (seen := _signature(path)) is not None:
                        self._proven[digest] = seen
        except (ChecksumMismatchError, CacheFullError, DownloadError) as error:
            raise _refused(entry, error) from error
        except OSError as error:
            problem = f"`{error.filename or path}`: {error.strerror or error}."
            raise AdapterError(entry.id, entry.version, problem, "Make room, or make the folder writable.") from error
        return path

    def sweep(self) -> None:
        """Take away the files that no rendezvous of this home has decided on and no living process uses.

        What came of files that were never complete goes too. Whatever has no name of this class is somebody else's.
        """
        with suppress(OSError):
            left = (*self.folder.glob("*.gguf*"), *(self.folder / WORK_FOLDER).glob("*.lock"))
            there = {found[1] for path in left if (found := _OWN_NAME.fullmatch(path.name))} - self._decided()
            with ExitStack() as stack:
                # Who begins to use a file marks it first and takes its lock then: so one of the two sees the other.
                for digest in free_locks(stack, self.folder, there) - used_keys(self.folder):
                    self._proven.pop(digest, None)
                    for path in self.folder.glob(f"{digest}.gguf*"):
                        if _OWN_NAME.fullmatch(path.name):
                            path.unlink(missing_ok=True)
                    with suppress(PermissionError):  # of Windows, which deletes nothing that is open
                        lock_of(self.folder, digest).unlink(missing_ok=True)

    def _decided(self) -> set[str]:
        found = set[str]()
        for file in self.folder.glob("*/decision.json"):
            with suppress(ValueError, TypeError, KeyError):
                found.update(ref.sha256 for ref in decision_from(json.loads(file.read_bytes())).adapters)
        return found

    def _fetch(self, manifest: AdapterManifest, entry: AdapterEntry, part: Path) -> None:
        require("stamina", extra="hub", purpose="Fetching adapters")
        limits, ends_at = self._limits, time.monotonic() + self._limits.longest_s

        def watch(size: int, total: int | None) -> None:
            if self._wanted is not None and entry.sha256 not in self._wanted:
                raise GivenUpError(entry.id, entry.version, "its file is wanted no more.")
            if max(size, total or 0) > limits.most_bytes:
                raise DownloadError(entry.id, f"it has more than {limits.most_bytes} bytes.", "Use a smaller adapter.")
            if time.monotonic() > ends_at:
                reason = f"it took longer than {limits.longest_s:g} s."
                raise DownloadError(entry.id, reason, "Put it where it is nearer.")

        wanted = Wanted(f"{entry.sha256}.gguf", sha256=entry.sha256, pinned=True)
        url = manifest.address(entry)
        _check_is_file(entry, url)
        seen = self._wrong.check(entry.sha256, url)
        try:
            fetch(entry.id, wanted, part, (Address(url),), progress=watch, timeout_s=limits.timeout_s)
        except ChecksumMismatchError as error:
            self._wrong.note(entry.sha256, url, _refused(entry, error), seen)
            raise
        except DownloadError:
            if part.exists() and part.stat().st_size > limits.most_bytes:  # else what has come is gone on with
                part.unlink()
            raise


def _check_is_file(entry: AdapterEntry, url: str) -> None:
    """Refuse what is on this machine and no file: to open a pipe is to wait for who writes into it."""
    parts = urlsplit(url)
    if parts.scheme == "file" and (path := Path(url2pathname(parts.path))).exists() and not path.is_file():
        raise AdapterError(entry.id, entry.version, f"`{path}` is no file.", "Put the adapter there.")


def _refused(entry: AdapterEntry, error: ChecksumMismatchError | CacheFullError | DownloadError) -> AdapterError:
    if isinstance(error, ChecksumMismatchError):
        problem = f"`{error.path}` has other bytes: expected sha256 {error.expected}, got {error.got}."
        remedy = "Put the right file there, or correct `sha256` in the manifest."
        return AdapterError(entry.id, entry.version, problem, remedy)
    if isinstance(error, DownloadError):
        return AdapterError(entry.id, entry.version, f"it cannot be fetched: {error.reason}", error.remedy)
    problem = f"there is no room: it needs {error.needed_bytes} bytes, and `{shown(error.where)}` has "
    return AdapterError(entry.id, entry.version, f"{problem}{error.available_bytes}.", error.remedy)


def _signature(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
