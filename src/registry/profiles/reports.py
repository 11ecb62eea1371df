"""What it took to have the models of roles ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

OutcomeAction: TypeAlias = Literal["already_present", "downloaded", "pulled", "skipped", "failed"]

READY: frozenset[OutcomeAction] = frozenset({"already_present", "downloaded", "pulled"})


@dataclass(frozen=True)
class Outcome:
    """What came of having one model of a role ready.

    Attributes:
        role: The role; empty where a model was wanted for none.
        model: Name of the model, as the role has it.
        provider: Name of the provider.
        action: What was done: it was `already_present`, was `downloaded` by this package or `pulled` by another;
            `skipped` where its provider cannot be asked or it may not be fetched; `failed`.
        seconds: How long it took.
        bytes: Bytes that were fetched; `None` where the provider does not tell.
        reason: Why it was skipped or has failed, and what to do. `None` where the model is ready.
        error: What was raised; `None` where nothing was.
    """

    role: str
    model: str
    provider: str
    action: OutcomeAction
    seconds: float = 0.0
    bytes: int | None = 0
    reason: str | None = None
    error: Exception | None = field(default=None, repr=False, compare=False)

    @property
    def is_ready(self) -> bool:
        """True where the provider can answer with the model now."""
        return self.action in READY

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON has it, without the error, whose words are the reason."""
        return {
            "role": self.role,
            "model": self.model,
            "provider": self.provider,
            "action": self.action,
            "seconds": round(self.seconds, 3),
            "bytes": self.bytes,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Report:
    """What came of having the models of a profile ready.

    Attributes:
        profile: Name of the profile.
        outcomes: One for each model that was looked at, role by role, in the order in which a role would ask them.
            The one that is ready is the last of its role.
    """

    profile: str
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """True where every role has a model that is ready, whatever came of those before it. See `unserved`."""
        return not self.unserved

    @property
    def unserved(self) -> tuple[str, ...]:
        """Roles that have no model that is ready."""
        served = {outcome.role for outcome in self.outcomes if outcome.is_ready}
        return tuple(dict.fromkeys(outcome.role for outcome in self.outcomes if outcome.role not in served))

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        outcomes = [outcome.to_dict() for outcome in self.outcomes]
        return {"profile": self.profile, "ok": self.ok, "unserved": list(self.unserved), "outcomes": outcomes}
