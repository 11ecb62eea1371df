"""The file of the catalogue store, watched: what is written into a file that was removed is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.errors import CatalogFileError

if TYPE_CHECKING:
    from pathlib import Path


class StoreFile:
    """The file that a server has open. SQLite goes on with it after somebody has removed it or put another in place.

    Args:
        path: The file, as it is now; `None`: the store is in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._opened = _identity(path)

    def check(self) -> None:
        """See that it is still in its place. Costs microseconds.

        Raises:
            CatalogFileError: It was removed, or is another one.
        """
        if _identity(self._path) != self._opened:
            problem = "was removed or replaced while the server had it open"
            raise CatalogFileError(str(self._path), problem, "Start the server again.")


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Tell one file from another of the same name."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
