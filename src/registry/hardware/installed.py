"""Whether a package is installed, in which version and where: without importing it."""

from __future__ import annotations

import sys
from importlib import metadata, util
from pathlib import Path

from registry.hardware.diagnosis import Package


def installed(module: str, distribution: str) -> Package:
    """Look for a package.

    Args:
        module: Name that it is imported by.
        distribution: Name that it is installed by.
    """
    path = _folder(module)
    version = _version(distribution)
    if path is not None:
        return Package(installed=True, version=version, path=path)
    if version is None:
        return Package()
    problem = f"`{distribution}` {version} is installed, and Python does not find `{module}`: install it anew."
    return Package(installed=True, version=version, problem=problem)


def _version(distribution: str) -> str | None:
    try:
        # An installation that was broken off may leave metadata without a version.
        return metadata.version(distribution) or None
    except Exception:  # whatever is wrong with that folder of metadata, the version is not known
        return None


def _folder(module: str) -> str | None:
    if module in sys.modules and sys.modules[module] is None:
        return None  # somebody has forbidden to import it
    try:
        found = util.find_spec(module)
    except (ImportError, ValueError, AttributeError):  # a module that was put together by hand may have no spec
        return None
    if found is None or found.origin is None:
        return None  # a folder of that name that is no package, such as a checkout in the current folder
    return next(iter(found.submodule_search_locations or ()), str(Path(found.origin).parent))
