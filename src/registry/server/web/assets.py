"""Files of pages: their addresses hold a digest of their content, so that browsers may keep them for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).with_name("static")
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """One file.

    Attributes:
        name: `site.css`.
        address: `/static/site.3f2a1b9c0d4e.css`.
        media_type: What it is, for the header `Content-Type`.
        content: The bytes.
    """

    name: str
    address: str
    media_type: str
    content: bytes


def load_assets(folder: Path = _FOLDER) -> Mapping[str, Asset]:
    """Read the files of a folder: name -> file. What is no style, script or drawing is passed over."""
    return {path.name: _asset(path) for path in sorted(folder.iterdir()) if path.suffix in _TYPES}


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(path.name, f"/static/{path.stem}.{digest}{path.suffix}", _TYPES[path.suffix], content)
