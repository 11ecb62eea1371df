"""Strict reading of a JSON file: every key once, numbers that are numbers, and the line of every value."""

from __future__ import annotations

import json
import math
import os
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any, NoReturn

from registry.errors import ManifestError
from registry.profiles.findings import Path, line_of, shown

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_DIGITS = 4000  # Python itself refuses to convert more than about as many


class _NotStrictError(ValueError):
    """The text is JSON to Python and not to the standard."""


@dataclass(frozen=True)
class Document:
    """A JSON file that was read.

    Attributes:
        source: The file, as the caller named it.
        text: Its content.
        data: The value in it.
    """

    source: str
    text: str
    data: Any

    def line(self, path: Path) -> int:
        """Give the line, from 1, of the value at `path`, or of the nearest thing around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    @cached_property
    def _lines(self) -> dict[Path, int]:
        return {path: line for path, _, line in reversed(list(_walk(self.text)))}


def read(file: str | os.PathLike[str]) -> Document:
    """Read a file as strict JSON: UTF-8, with or without a mark at its beginning; no NaN or infinity, no key twice.

    Raises:
        ManifestError: It cannot be read, or is not such a file.
    """
    source = os.fspath(file)
    text = _text(source)
    try:
        data = _parsed(text)
    except json.JSONDecodeError as error:
        _fail(source, f"expected JSON, got something else: {_lowered(error.msg)} (column {error.colno})", error.lineno)
    except _NotStrictError:
        raise ManifestError(source, tuple(_oddities(text))) from None
    except RecursionError:
        _fail(source, "expected a few levels of nesting, got too many", 1)
    return Document(source, text, data)


def _text(source: str) -> str:
    try:
        content = FilePath(source).read_bytes()
    except FileNotFoundError:
        _fail(source, "expected a JSON file, got nothing: there is no such file")
    except IsADirectoryError:
        _fail(source, "expected a JSON file, got a directory")
    except (OSError, ValueError) as error:  # ValueError: a path that no system takes
        _fail(source, f"expected a readable JSON file: {getattr(error, 'strerror', None) or error}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _fail(source, f"expected UTF-8, got byte 0x{content[error.start]:02x}: save the file again as UTF-8", line)
    if not text.strip():
        _fail(source, "expected a JSON object, got an empty file", 1)
    return text


def _parsed(text: str) -> Any:
    """Parse strictly; where only strictness is broken, and the rest is JSON, say that."""
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite, parse_int=_integer
        )
    except _NotStrictError:
        json.loads(text, parse_int=str)  # broken further on? Then that is what to say
        raise


def _fail(source: str, message: str, line: int = 0) -> NoReturn:
    raise ManifestError(source, (line_of(line, ((), message)),)) from None


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _NotStrictError
    return made


def _refuse(_: str) -> NoReturn:
    raise _NotStrictError


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise _NotStrictError
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _NotStrictError
    return number


def _oddities(text: str) -> Iterator[str]:
    """Find what made reading stop, all of it, with lines."""
    seen: dict[Path, int] = {}
    repeated: set[Path] = set()
    for path, lexeme, line in _walk(text):
        if path in seen:
            repeated.add(path)
            if path[:-1] not in repeated:
                message = f"expected every key once, got `{path[-1]}` again (first on line {seen[path]})"
                yield line_of(line, (path, message))
        if re.fullmatch(r"-?(NaN|Infinity)", lexeme):
            yield line_of(line, (path, f"expected a number, got {lexeme}: leave the key out where it is unknown"))
        elif re.match(r"-?\d", lexeme) and not (len(lexeme) <= _DIGITS and math.isfinite(float(lexeme))):
            yield line_of(line, (path, f"expected a number of ordinary size, got {shown(lexeme)}"))
        seen.setdefault(path, line)


def _walk(text: str) -> Iterator[tuple[Path, str, int]]:
    """Give path, first lexeme and line of every value; the text is known to be JSON.

    A member of an object stands where its key does. No recursion: nesting is kept in a list.
    """
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    stack: list[str | int] = []  # where we are: a key, or an index, for every open container
    path: Path = ()
    key_expected, key_line = False, 0
    for match in _TOKEN.finditer(text):
        lexeme, line = match.group(), bisect_right(starts, match.start())
        if lexeme == ":":
            continue
        if lexeme in "}]":
            stack.pop()
            path, key_expected = tuple(stack), False
        elif lexeme == ",":
            top = stack[-1]
            key_expected = isinstance(top, str)
            if isinstance(top, int):
                stack[-1] = top + 1
        elif key_expected:
            stack[-1] = json.loads(lexeme)
            key_expected, key_line = False, line
        else:
            path = tuple(stack)
            yield path, lexeme, key_line or line
            key_line, key_expected = 0, lexeme == "{"
            if lexeme in "{[":
                stack.append("" if key_expected else 0)
