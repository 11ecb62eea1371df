"""A manifest: profiles of the user's own, in the form that `profiles` of models.json has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry._frozen import FrozenDict
from registry.errors import ManifestError
from registry.profiles.findings import dotted, line_of
from registry.profiles.rules import findings
from registry.profiles.strict_json import read
from registry.records import Profile, RoleModel

if TYPE_CHECKING:
    from registry.queries import ModelRegistry


@dataclass(frozen=True)
class Manifest:
    """Profiles that were read from a file.

    Attributes:
        source: The file.
        profiles: The profiles by name, read-only.
    """

    source: str
    profiles: Mapping[str, Profile]


def read_manifest(path: str | os.PathLike[str], *, registry: ModelRegistry[Any] | None = None) -> Manifest:
    """Read a manifest: a JSON file such as `{"profiles": {"default": {"models": {"general": "qwen3:8b"}}}}`.

    It is held against the rules that `profiles` of models.json is built under. The file is read once, and again when it
    has changed. A provider that nobody has heard of is no problem here: the role is passed over when it is used.

    Args:
        path: The file.
        registry: Registry that its models may be records of. Left out: this package's own.

    Raises:
        ManifestError: It cannot be used; the error has everything that is wrong with it.
    """
    source, known = str(Path(path).expanduser()), registry if registry is not None else own_registry()
    try:
        seen = Path(source).stat()
    except (OSError, ValueError):  # reading says what is the matter
        return _read(source, known, None)
    return _read(source, known, (seen.st_mtime_ns, seen.st_size, seen.st_ino))


def own_registry() -> ModelRegistry[Any]:
    """Give the registry of this package."""
    from registry._registry import MODEL_REGISTRY  # here: larger than all of this

    return MODEL_REGISTRY


@lru_cache(maxsize=8)
def _read(source: str, registry: ModelRegistry[Any], _state: object) -> Manifest:
    document = read(source)
    found = findings(document.data, dict(registry._names()))
    if found:
        in_order = sorted(found.items(), key=lambda finding: (document.line(finding[0]), dotted(finding[0])))
        raise ManifestError(source, tuple(line_of(document.line(finding[0]), finding) for finding in in_order))
    profiles = document.data["profiles"].items()
    return Manifest(source, FrozenDict({name: _profile(name, stated) for name, stated in profiles}))


def _profile(name: str, stated: Mapping[str, Any]) -> Profile:
    models = {role: _role_model(role, model) for role, model in stated["models"].items()}
    return Profile(name, stated.get("description"), FrozenDict(models))


def _role_model(role: str, stated: str | Mapping[str, Any]) -> RoleModel:
    if isinstance(stated, str):
        return RoleModel(role, stated)
    parameters = {name: _frozen(value) for name, value in stated.get("parameters", {}).items()}
    return RoleModel(
        role,
        stated["name"],
        stated.get("provider"),
        stated.get("auto_download"),
        FrozenDict(parameters),
        stated.get("description"),
        tuple(stated.get("fallback", ())),
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
