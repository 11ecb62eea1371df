"""What is wrong at which place of a JSON document, in the words that the build has for it."""

from __future__ import annotations

from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
Finding: TypeAlias = tuple[Path, str]
"""A place in a document, and what was expected and found there."""


def dotted(path: Path) -> str:
    """Write a path as people do: `profiles.default.models.general.fallback[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """Write a JSON value for a message, short."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "an object"
        case list():
            return "a list" if value else "an empty list"
        case str():
            return f"`{value[:60]}...`" if len(value) > 60 else f"`{value}`"
        case _:
            return str(value)[:60]


def line_of(line: int, finding: Finding) -> str:
    """Write a finding as one line, whatever signs the document has."""
    path, message = finding
    text = ": ".join(filter(None, (f"line {line}" if line else "", dotted(path), message)))
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
