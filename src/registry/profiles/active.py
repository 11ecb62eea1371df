"""The profiles that are in force: those of the registry, with the user's own manifest laid over them."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

from registry import _settings
from registry._frozen import FrozenDict
from registry.errors import ManifestError, ProfileNotFoundError, RoleNotFoundError
from registry.profiles.manifest import Manifest, own_registry, read_manifest
from registry.profiles.protocol import LOCAL
from registry.records import Profile, RoleModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.queries import ModelRegistry

PathLike: TypeAlias = str | os.PathLike[str]

COMPILED = "compiled"
GIVEN = "given"
DEFAULT = "default"


class Profiles:
    """Profiles by name.

    Attributes:
        registry: The registry whose records they name, and whose own profiles come first.
        manifest: The manifest that is laid over those; `None` where there is none.

    Example:
        >>> Profiles.load().role("coding").name
        'qwen2.5-coder-7b-q5'
    """

    def __init__(self, registry: ModelRegistry[Any], manifest: Manifest | None = None) -> None:
        self.registry = registry
        self.manifest = manifest
        self._profiles = _laid_over(registry.profiles, manifest.profiles if manifest else {})
        self._given: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def load(cls, *, manifest: PathLike | None = None, registry: ModelRegistry[Any] | None = None) -> Profiles:
        """Read the manifest, where there is one, and lay it over the profiles of the registry.

        Args:
            manifest: File with profiles of the user's own. Left out: what the setting `manifest` names, if anything.
            registry: Registry that the profiles belong to. Left out: this package's own.

        Raises:
            ManifestError: The manifest cannot be used; the error has everything that is wrong with it.
        """
        chosen = registry if registry is not None else own_registry()
        if manifest is not None:
            return cls(chosen, read_manifest(manifest, registry=chosen))
        path = _settings.text("manifest")
        try:
            return cls(chosen, None if path is None else read_manifest(path, registry=chosen))
        except ManifestError as error:
            raise ManifestError(error.source, error.problems, _settings.stated_in("manifest")) from error.__cause__

    @classmethod
    def of(cls, registry: ModelRegistry[Any], *profiles: Profile) -> Profiles:
        """Give these profiles alone, whatever else the registry and the settings have."""
        made = cls(registry)
        made._profiles = {profile.name: profile for profile in profiles}
        return made

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all profiles, sorted."""
        return tuple(self._profiles)

    def get(self, name: str | None = None) -> Profile:
        """Give a profile.

        Args:
            name: Its name. Left out: what the setting `profile` names, else `default`.

        Raises:
            ProfileNotFoundError: There is none of this name; the error names close matches.
        """
        stated = _settings.text("profile") if name is None else None
        wanted = name if name is not None else stated or DEFAULT
        found = self._profiles.get(wanted)
        if found is None:
            close = tuple(get_close_matches(wanted.lower(), self._profiles, n=3))
            stated_in = _settings.stated_in("profile") if stated else ""
            raise ProfileNotFoundError(wanted, close, self.names, self.registry._name, stated_in)
        return found

    def find(self, name: str | None = None) -> Profile | None:
        """Give a profile as `get` does; `None` where nobody names one and there is no `default`.

        Raises:
            ProfileNotFoundError: There is none of this name; the error names close matches.
        """
        is_named = name is not None or _settings.text("profile") is not None
        return self.get(name) if is_named or DEFAULT in self._profiles else None

    def role(self, role: str, profile: str | None = None) -> RoleModel:
        """Give the model that a profile has for a role.

        Raises:
            ProfileNotFoundError: There is no such profile; the error names close matches.
            RoleNotFoundError: The profile has no such role; the error names close matches.
        """
        chosen = self.get(profile)
        found = chosen.models.get(role)
        if found is None:
            roles = tuple(map(str, chosen.models))
            close = get_close_matches(role.lower(), roles, n=3)
            raise RoleNotFoundError(role, chosen.name, tuple(close), roles)
        return found

    def with_roles(self, profile: str, models: Mapping[str, str]) -> Profiles:
        """Give profiles in one of which records play some roles, whatever is stated of those.

        Args:
            profile: Name of the one; it is made where there is none.
            models: Role to the id of the record.
        """
        made = Profiles(self.registry, self.manifest)
        stated = {role: RoleModel(role, name, LOCAL) for role, name in models.items()}
        made._profiles = _laid_over(self._profiles, {profile: Profile(profile, None, stated)})
        made._given = self._given | {(profile, role) for role in models}
        return made

    def origin(self, profile: str, role: str) -> str:
        """Say who states the model of a role: `compiled`, the path of the manifest, or `given` by `with_roles`."""
        if (profile, role) in self._given:
            return GIVEN
        theirs = self.manifest.profiles.get(profile) if self.manifest else None
        return str(self.manifest.source) if self.manifest and theirs and role in theirs.models else COMPILED


def _laid_over(compiled: Mapping[str, Profile], own: Mapping[str, Profile]) -> dict[str, Profile]:
    """Lay profiles over others, role by role."""
    made = dict(compiled)
    for name, profile in own.items():
        below = compiled.get(name, Profile(name))
        roles = FrozenDict(sorted((dict(below.models) | dict(profile.models)).items()))
        description = below.description if profile.description is None else profile.description
        made[name] = Profile(name, description, roles)
    return dict(sorted(made.items()))
