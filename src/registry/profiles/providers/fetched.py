"""Models that the hub fetches for a provider, and how many bytes of them come over the network."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from registry.errors import ModelNotDownloadedError
from registry.profiles.protocol import Ensured

if TYPE_CHECKING:
    from registry.hub.progress import Progress
    from registry.profiles.protocol import OnProgress
    from registry.records import ModelInfo


def ensure_files(record: ModelInfo, *, force: bool = False, progress: OnProgress | None = None, **how: Any) -> Ensured:
    """Have the proven files of a record on this machine.

    Args:
        record: The record.
        force: True to read files that are there, and fetch anew what is not as it was proven.
        progress: Called now and then. What it raises ends the work.
        how: Other keywords of `registry.hub.ensure`.

    Raises:
        RegistryError: What `registry.hub.ensure` raises.
    """
    from registry.hub import ensure, verify

    fetched = Fetched(progress)
    if force:
        with suppress(ModelNotDownloadedError):  # of files that were never proven, which `ensure` does
            verify([record], progress=fetched)
    ensure(record, progress=fetched, **how)
    return Ensured("downloaded", fetched.bytes) if fetched.bytes else Ensured("already_present")


class Fetched:
    """Counts, and hands the progress on.

    Args:
        progress: Called with the same.

    Attributes:
        bytes: Bytes so far; not those that an earlier call has left, which are read before fetching goes on.
    """

    def __init__(self, progress: OnProgress | None = None) -> None:
        self._progress = progress
        self._there: dict[str, int] = {}  # by file
        self.bytes = 0

    def __call__(self, progress: Progress) -> None:
        """Hear how far a file has come. What the listener raises ends the work."""
        if progress.stage == "downloading":
            before = self._there.get(progress.file, 0)
            # Less than there was: what was there is thrown away, and fetching began anew.
            self.bytes += progress.done_bytes - (before if progress.done_bytes >= before else 0)
        if progress.stage in ("hashing", "downloading"):
            self._there[progress.file] = progress.done_bytes
        if self._progress is not None:
            self._progress(progress)
