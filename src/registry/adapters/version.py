"""One version of an adapter, its file proven."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AdapterVersion:
    """An adapter whose file is on this machine.

    Attributes:
        id: What requests call it.
        version: Which one it is, for people.
        base: Id of the record of the model that it goes on top of.
        sha256: Digest of the file, 64 hex digits: what tells two versions apart.
        path: The file on this machine; another one finds its own by the digest.
    """

    id: str
    version: str
    base: str
    sha256: str
    path: Path
