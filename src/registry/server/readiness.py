"""Whether the server can do its work: the models of its profile are there, and its first adapters are decided on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.adapters import Adapters
    from registry.server.services import Services

Status: TypeAlias = Literal["ready", "provisioning", "preparing", "failed"]


def readiness_of(services: Services) -> dict[str, Any]:
    """Give what `/ready` says: `status`, and how far its parts have come; names alone, as everybody may ask."""
    provisioner, adapters = services.provisioner, services.adapters
    states = provisioner.states()
    profile = None if provisioner.profile is None else provisioner.profile.name
    found: Mapping[str, Any] = {} if adapters is None else {"adapters": _state_of(adapters)}
    status: Status = provisioner.status_of(states)
    if status == "ready" and adapters is not None and not adapters.is_ready:
        status = "preparing"
    return {"status": status, "profile": profile, "roles": states, **found}


def _state_of(adapters: Adapters) -> dict[str, Any]:
    state = "unusable" if adapters.fault is not None else "settled" if adapters.is_settled else "preparing"
    return {"manifest": state, "refused": [error.adapter_id for error in adapters.refused]}
