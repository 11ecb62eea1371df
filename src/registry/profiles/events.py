"""What happens while a role is served: for a user interface by a callback, for operators as lines of the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from registry._logfmt import text_of

if TYPE_CHECKING:
    from registry.hub.progress import Progress

LOGGER = logging.getLogger("registry.profiles")

EventKind: TypeAlias = Literal[
    "resolving", "provisioning", "progress", "trying", "passed_on", "serving", "done", "broken"
]


@dataclass(frozen=True)
class Event:
    """One step on the way to an answer.

    Attributes:
        kind: `resolving` a role; `provisioning` a model, with its `progress`; `trying` a provider; `passed_on` to the
            next one, with the reason; `serving`: the answer begins; `done`; `broken`: nobody answers, or the answer
            broke off.
        role: The role.
        provider: Name of the provider; empty where the step concerns none.
        model: Name of the model, as the role has it; empty as for `provider`.
        detail: A sentence for people; empty where the kind says all.
        progress: How far fetching has come, for `progress`.
    """

    kind: EventKind
    role: str
    provider: str = ""
    model: str = ""
    detail: str = ""
    progress: Progress | None = None


OnEvent: TypeAlias = Callable[[Event], None]


def tell(on_event: OnEvent | None, event: Event) -> None:
    """Call a listener. What it raises is logged: a broken user interface must not take the answer with it."""
    if on_event is None:
        return
    try:
        on_event(event)
    except Exception:
        LOGGER.exception("registry.profiles.listener_failed kind=%s role=%s", event.kind, text_of(event.role))
