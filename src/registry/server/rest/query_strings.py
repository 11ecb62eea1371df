"""Parameters of a query: one table says what may be asked, reads it strictly, and describes it for OpenAPI."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from registry._settings import parse_size
from registry.errors import InvalidOptionError

_MAX_PARAMETERS = 200
_MAX_REPEATED = 20
_MAX_INTEGER = 2**53 - 1  # the store's
_MAX_TEXT = 1000
_MAX_SIZE_TEXT = 20
_SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)? ?([kKmMgGtT][iI]?[bB]?|[bB])?$"


class Parameter(NamedTuple):
    """A parameter of a query.

    Attributes:
        name: Its name.
        meaning: What it does, a sentence.
        schema: JSON Schema of one value.
        expected: What a value may be, in words.
        read: Gives the value, or `None` where it cannot be one.
        repeats: True where it may stand there several times.
    """

    name: str
    meaning: str
    schema: Mapping[str, object]
    expected: str
    read: Callable[[str], object]
    repeats: bool = False

    def described(self) -> dict[str, object]:
        """Give it as OpenAPI has it."""
        schema = {"type": "array", "items": self.schema, "maxItems": _MAX_REPEATED} if self.repeats else self.schema
        return {"name": self.name, "in": "query", "required": False, "description": self.meaning, "schema": schema}


def text(name: str, meaning: str, *, repeats: bool = False) -> Parameter:
    """Make a parameter that is a text; an empty one says nothing."""
    schema = {"type": "string", "maxLength": _MAX_TEXT}
    expected = f"at most {_MAX_TEXT} characters"
    return Parameter(name, meaning, schema, expected, lambda said: said if len(said) <= _MAX_TEXT else None, repeats)


def integer(name: str, meaning: str, *, least: int, most: int, default: int) -> Parameter:
    """Make a parameter that is a number, in digits only."""
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}

    def read(said: str) -> int | None:
        is_number = said.isascii() and said.isdigit() and len(said) <= len(str(most))
        return int(said) if is_number and least <= int(said) <= most else None

    return Parameter(name, meaning, schema, f"a whole number from {least} to {most}", read)


def size(name: str, meaning: str) -> Parameter:
    """Make a parameter that is a size in memory or on disk, read as a number of bytes."""
    schema = {"type": "string", "maxLength": _MAX_SIZE_TEXT, "pattern": _SIZE_PATTERN, "example": "8GB"}

    def read(said: str) -> int | None:
        found = parse_size(said) if len(said) <= _MAX_SIZE_TEXT and said.isascii() else None
        return None if found is None else min(found, _MAX_INTEGER)

    return Parameter(name, meaning, schema, "a size such as `8GB` (10^9 bytes) or `8GiB` (2^30)", read)


def choice(name: str, meaning: str, words: Sequence[str]) -> Parameter:
    """Make a parameter that is one of some words."""
    allowed = frozenset(words)
    schema = {"type": "string", "enum": list(words)}
    return Parameter(
        name, meaning, schema, f"one of {', '.join(words)}", lambda said: said if said in allowed else None
    )


def read_query(query: bytes, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Read a query.

    Args:
        query: As it was sent.
        parameters: What may stand in it, by name.

    Returns:
        The value of each parameter that is there, a tuple where it may be there several times.

    Raises:
        InvalidOptionError: A parameter is unknown, stands there twice, or cannot have its value.
    """
    found: dict[str, Any] = {}
    for name, said in _pairs(query):
        parameter = parameters.get(name) or _unknown(name, parameters)
        value = parameter.read(said)
        if value is None:
            raise InvalidOptionError(name, parameter.expected, said[:_MAX_TEXT])
        if parameter.repeats:
            found[name] = (*found.get(name, ()), value) if said else found.get(name, ())
            if len(found[name]) > _MAX_REPEATED:
                raise InvalidOptionError(name, f"at most {_MAX_REPEATED} values", f"{len(found[name])} or more")
        elif name in found:
            raise InvalidOptionError(name, "the parameter once", said[:_MAX_TEXT], "Send it only once.")
        else:
            found[name] = value
    return found


def _pairs(query: bytes) -> list[tuple[str, str]]:
    if not query:
        return []
    try:
        return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        raise InvalidOptionError("query", f"at most {_MAX_PARAMETERS} parameters", "more") from error


def _unknown(name: str, parameters: Mapping[str, Parameter]) -> Parameter:
    close = get_close_matches(name, parameters, n=1)
    remedy = f"Did you mean `{close[0]}`?" if close else ""
    known = f"one of the parameters {', '.join(parameters)}" if parameters else "no parameter"
    raise InvalidOptionError(name[:_MAX_TEXT], known, name[:_MAX_TEXT], remedy)
