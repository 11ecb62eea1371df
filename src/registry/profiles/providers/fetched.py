"""How many bytes of a model come over the network, counted from the progress that the hub tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.hub.progress import Progress
    from registry.profiles.protocol import OnProgress


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
