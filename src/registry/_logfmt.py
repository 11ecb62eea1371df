"""Lines of the log that people and programs can read: an event, then its facts as `name=value`, as logfmt has it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping

_MAX_TEXT = 1000  # of one value: a line shall not be as long as what a server has sent


def log(logger: logging.Logger, level: int, event: str, /, **facts: object) -> None:
    """Write a line of the log: the event, then its facts as `name=value`, in the order in which they are given.

    The record carries them unformatted too, as `record.event` and `record.facts`. Facts that are `None` are left out.

    Args:
        logger: The logger.
        level: Level of `logging`.
        event: Full name of the event, such as `registry.profiles.degraded`.
        facts: What is known: text, numbers, truth values, or several of them.

    Example:
        >>> log(logging.getLogger("registry"), logging.DEBUG, "registry.profiles.degraded", role="general")
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
