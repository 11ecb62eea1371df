"""Profiles as JSON: what is stated of their roles, what that comes to, and how far provisioning has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.errors import RegistryError
from registry.profiles.resolution import surveys

if TYPE_CHECKING:
    from registry.profiles.resolution import Survey
    from registry.records import Profile, RoleModel
    from registry.server.admin.provisioner import Provisioner


def facts_of(provisioner: Provisioner) -> dict[str, Any]:
    """Give the active profile with what its roles come to, and all profiles. Reads settings, and asks nobody."""
    profiles, active = provisioner.profiles, provisioner.profile
    return {
        "active": None if active is None else _active(provisioner, active),
        "profiles": [_profile(provisioner, profiles.get(name)) for name in profiles.names],
    }


def _active(provisioner: Provisioner, profile: Profile) -> dict[str, Any]:
    states = provisioner.states()
    # Without asking whether providers are there, which would take as long as they like.
    found = surveys(provisioner.profiles, profile=profile.name, providers=provisioner.providers, check=False)
    roles = [
        _role(provisioner, profile, model)
        | _resolved(found[str(model.role)], profile, str(model.role))
        | {
            "state": states[str(model.role)],
            "outcomes": [outcome.to_dict() for outcome in provisioner.outcomes(str(model.role))],
        }
        for model in profile.models.values()
    ]
    return {"name": profile.name, "description": profile.description, "roles": roles}


def _profile(provisioner: Provisioner, profile: Profile) -> dict[str, Any]:
    roles = [_role(provisioner, profile, model) for model in profile.models.values()]
    return {"name": profile.name, "description": profile.description, "roles": roles}


def _role(provisioner: Provisioner, profile: Profile, model: RoleModel) -> dict[str, Any]:
    return {
        "role": str(model.role),
        "name": model.name,
        "provider": model.provider,
        "auto_download": model.auto_download,
        "parameters": dict(model.parameters),
        "description": model.description,
        "fallback": list(model.fallback),
        "origin": provisioner.profiles.origin(profile.name, str(model.role)),
    }


def _resolved(found: Survey, profile: Profile, role: str) -> dict[str, Any]:
    try:
        return {"resolved": found.resolution(role, profile.name).to_dict(), "problem": None}
    except RegistryError as error:  # such as a setting that is wrong: the rest can be told all the same
        return {"resolved": None, "problem": " ".join(str(error).split())}
