"""What happens while a role is served: for a user interface by a callback, for operators as lines of the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from registry.hub.progress import Progress

LOGGER = logging.getLogger("registry.profiles")

EventKind: TypeAlias = Literal[
    "resolving", "provisioning", "progress", "trying", "passed_on", "serving", "done", "broken"
]

_MAX_TEXT = 1000  # of one value: a line shall not be as long as what a server has sent


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


def log(logger: logging.Logger, level: int, event: str, /, **facts: object) -> None:
    """Write a line of the log: the event, then its facts as `name=value`, in the order in which they are given.

    The record carries them unformatted too, as `record.event` and `record.facts`. Facts that are `None` are left out.

    Args:
        logger: The logger.
        level: Level of `logging`.
        event: Full name of the event, such as `registry.profiles.degraded`.
        facts: What is known: text, numbers, truth values, or several of them.

    Example:
        >>> log(LOGGER, logging.DEBUG, "registry.profiles.degraded", role="general", reason="nothing listens")
    """
    if not logger.isEnabledFor(level):
        return
    known = {name: value for name, value in facts.items() if value is not None}
    line = " ".join([event, *(f"{name}={text_of(value)}" for name, value in known.items())])
    logger.log(level, line, extra={"event": event, "facts": known}, stacklevel=2)


def text_of(value: object) -> str:
    """Write a value as logfmt has it: in quotes where a reader could not tell its end, and always on one line."""
    text = _plain(value)
    text = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
    if not text or not text.isprintable() or any(mark in text for mark in ' "=\\'):
        quoted = json.dumps(text, ensure_ascii=not text.isprintable())
        return quoted.replace("\x7f", "\\u007f")  # the one control character that JSON leaves as it is
    return text


def _plain(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case str() | bytes() | Mapping():
            return str(value)
        case Iterable():
            return ",".join(_plain(each) for each in value)
        case _:
            return str(value)
