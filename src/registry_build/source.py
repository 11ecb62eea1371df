"""Strict reading of a JSON file that knows on which line every value stands."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any, NoReturn

from registry_build.problems import BuildError, Path, Problem, locate, shown

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)


_DIGITS = 4000


class _NotStrictError(ValueError):
    """The text is JSON to Python and not to the standard."""


@dataclass(frozen=True)
class Source:
    """A JSON file that was read.

    Attributes:
        file: The file, as the caller named it.
        text: Its content.
        data: The value in it.
    """

    file: str
    text: str
    data: Any

    def line(self, path: Path) -> int:
        """Give the line, from 1, of the value at `path`, or of the nearest thing around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    @cached_property
    def _lines(self) -> dict[Path, int]:
        # Only a file with problems needs this, so reading stays as fast as `json` is.
        lines: dict[Path, int] = {}
        for path, _, line in _walk(self.text):
            lines.setdefault(path, line)
        return lines


def read(file: str | FilePath) -> Source:
    """Read a file as strict JSON: UTF-8, no NaN or infinity, no key twice.

    Raises:
        BuildError: It cannot be read, or is not such a file.
    """
    name = str(file)
    text = _text(name, FilePath(file))
    try:
        try:
            data = json.loads(
                text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite, parse_int=_integer
            )
        except _NotStrictError:
            lenient = json.loads(text, parse_int=str)  # broken further on? Then that is what to say
            raise BuildError(_oddities(name, text, lenient)) from None
    except json.JSONDecodeError as error:
        message = f"expected JSON, got something else: {error.msg[:1].lower()}{error.msg[1:]} (column {error.colno})"
        raise BuildError([Problem(name, error.lineno, "", "", message)]) from None
    except RecursionError:
        raise BuildError([Problem(name, 1, "", "", "expected a few levels of nesting, got too many")]) from None
    return Source(name, text, data)


def _text(name: str, file: FilePath) -> str:
    def fail(message: str, line: int = 0) -> NoReturn:
        raise BuildError([Problem(name, line, "", "", message)]) from None

    try:
        content = file.read_bytes()
    except FileNotFoundError:
        fail("expected a JSON file, got nothing: there is no such file")
    except IsADirectoryError:
        fail("expected a JSON file, got a directory")
    except OSError as error:
        fail(f"expected a readable JSON file: {error.strerror or error}")
    if content.startswith(b"\xef\xbb\xbf"):
        fail("expected UTF-8 without a byte order mark: save the file again without it", 1)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fail(f"expected UTF-8, got byte 0x{content[error.start]:02x}: save the file again as UTF-8", line)
    if not text.strip():
        fail("expected a JSON object, got an empty file", 1)
    return text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _NotStrictError
    return made


def _refuse(_: str) -> NoReturn:
    raise _NotStrictError


def _integer(text: str) -> int:
    if len(text) > _DIGITS:  # Python itself refuses to convert more than about as many
        raise _NotStrictError
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _NotStrictError
    return number


def _oddities(name: str, text: str, data: Any) -> Iterator[Problem]:
    """Find what made reading stop, all of it, with lines."""
    seen: dict[Path, int] = {}
    repeated: set[Path] = set()
    for path, lexeme, line in _walk(text):
        messages = []
        if path in seen:
            repeated.add(path)
            if path[:-1] not in repeated:
                messages.append(f"expected every key once, got `{path[-1]}` again (first on line {seen[path]})")
        if re.fullmatch(r"-?(NaN|Infinity)", lexeme):
            messages.append(f"expected a number, got {lexeme}: write null where it is unknown")
        elif re.match(r"-?\d", lexeme) and not _is_sane(lexeme):
            messages.append(f"expected a number of ordinary size, got {shown(lexeme)}")
        seen.setdefault(path, line)
        yield from (Problem(name, line, *locate(data, path), message) for message in messages)


def _is_sane(lexeme: str) -> bool:
    return len(lexeme) <= _DIGITS and math.isfinite(float(lexeme))


def _walk(text: str) -> Iterator[tuple[Path, str, int]]:
    """Give path, first lexeme and line of every value; the text is known to be JSON.

    A member of an object stands where its key does. No recursion: nesting is kept in a list.
    """
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    stack: list[str | int] = []  # where we are: a key, or an index, for every open container
    path: Path = ()
    key_expected = False
    key_line = 0
    for match in _TOKEN.finditer(text):
        lexeme = match.group()
        line = bisect_right(starts, match.start())
        if lexeme in ":":
            continue
        if lexeme in "}]":
            stack.pop()
            path = tuple(stack)
            key_expected = False
        elif lexeme == ",":
            top = stack[-1]
            if isinstance(top, int):
                stack[-1] = top + 1
            else:
                key_expected = True
        elif key_expected:
            stack[-1] = json.loads(lexeme)
            key_expected, key_line = False, line
        else:
            path = tuple(stack)
            yield path, lexeme, key_line or line
            key_line = 0
            if lexeme == "{":
                stack.append("")
                key_expected = True
            elif lexeme == "[":
                stack.append(0)
