"""Where the files of this library live on a machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def home() -> Path:
    """Give the folder of this library's files: `REGISTRY_HOME`, or the platform's user data folder. Creates nothing."""
    if stated := os.environ.get("REGISTRY_HOME"):
        return Path(stated).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "typed-model-registry"


def models_folder() -> Path:
    """Give the folder that model files are kept in: `models` in the home folder. Creates nothing."""
    return home() / "models"


def catalog_file() -> Path:
    """Give the path of the catalogue store: `catalog.db` in the home folder. Creates nothing."""
    return home() / "catalog.db"
