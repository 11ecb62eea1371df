"""What is wrong with the data: one line each, collected and reported together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: The file, as the caller named it.
        line: Line in the file, from 1; 0 where no line can be named.
        model_id: Record or adapter it is in; empty elsewhere.
        path: Place in the record, or in the file: `specs.embedding_dim`.
        message: What was expected, what is there, what to do.
        severity: `warning` where the build goes on.
    """

    file: str
    line: int
    model_id: str
    path: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        label = "warning" if self.severity == "warning" else ""
        text = ": ".join(part for part in (place, label, self.model_id, self.path, self.message) if part)
        return printable(text)


class BuildError(Exception):
    """The data cannot become a registry.

    Attributes:
        problems: Everything found, in the order of the file.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


def printable(text: str) -> str:
    """Escape what a terminal or a page could not show as it stands: control characters, lone surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def dotted(path: Path) -> str:
    """Write a path as people do: `models[3].specs.embedding_dim`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def locate(data: Any, path: Path) -> tuple[str, str]:
    """Give the record or adapter that a path of the file leads into, empty elsewhere, and the rest of the path."""
    if len(path) < 2 or path[0] not in ("models", "adapters") or not isinstance(path[1], int):
        return "", dotted(path)
    listed = data.get(path[0]) if isinstance(data, dict) else None
    # Of a key that stands twice, the data hold the last value only.
    record = listed[path[1]] if isinstance(listed, list) and path[1] < len(listed) else None
    model_id = record.get("id") if isinstance(record, dict) else None
    return model_id if isinstance(model_id, str) else dotted(path[:2]), dotted(path[2:])


def shown(value: object) -> str:
    """Write a JSON value for a message, short and on one line."""
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


def one_of(values: Iterable[object], last: str = "or") -> str:
    """Write alternatives: `a`, `b` or `c`."""
    *first, final = map(shown, values)
    return f"{', '.join(first)} {last} {final}" if first else final
