"""A manifest: profiles of the user's own, in the form that `profiles` of models.json has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry._frozen import FrozenDict
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


def read_manifest(path: str | os.PathLike[str], *, registry: ModelRegistry[Any] | None = None) -> Manifest:  # noqa: ARG001
    """Read a manifest."""
    import json

    data = json.loads(Path(path).read_text("utf-8-sig"))
    found = {name: _profile(name, stated) for name, stated in data.get("profiles", {}).items()}
    return Manifest(os.fspath(path), FrozenDict(found))


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
