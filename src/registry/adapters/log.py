"""Lines of the log: an event and its facts, for people and for programs that read logs."""

from __future__ import annotations

import json
import logging

LOGGER = logging.getLogger("registry.adapters")


def log(level: int, event: str, **facts: object) -> None:
    """Write a line: `registry.adapters.<event>`, then the facts as `name=value`; the record has both as they are."""
    known = {name: value for name, value in facts.items() if value is not None}
    line = " ".join([f"registry.adapters.{event}", *(f"{name}={_text(value)}" for name, value in known.items())])
    LOGGER.log(level, "%s", line, extra={"event": f"registry.adapters.{event}", "facts": known}, stacklevel=2)


def _text(value: object) -> str:
    text = str(value)
    plain = text and text.isprintable() and not any(mark in text for mark in ' "=\\')
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
