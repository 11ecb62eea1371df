"""YAML, written: dicts, lists, texts and numbers. Every text is quoted, so that none means anything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


class Lines(str):
    """A text of several printable lines that is written as such, without quotes."""

    __slots__ = ()


def yaml_text(document: Mapping[str, Any]) -> str:
    """Write a document."""
    return "".join(f"{line}\n" for line in _mapping(document, ""))


def quoted(text: str) -> str:
    r"""Write a text in double quotes, whatever is in it.

    Example:
        >>> quoted('a: "b"')
        '"a: \\"b\\""'
    """
    return f'"{"".join(map(_sign, text))}"'


def _sign(sign: str) -> str:
    if sign in _ESCAPES:
        return _ESCAPES[sign]
    if sign.isprintable():
        return sign
    number = ord(sign)
    if 0xD800 <= number <= 0xDFFF:  # half a character, which no file in UTF-8 can hold
        return "\ufffd"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _mapping(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in values.items():
        yield from _entry(f"{indent}{quoted(name)}:", value, indent)


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        yield head
        yield from _mapping(value, f"{indent}  ")
    elif isinstance(value, Lines):
        yield f"{head} |-"
        yield from (f"{indent}  {line}" for line in value.split("\n"))
    elif isinstance(value, list | tuple) and value:
        yield head
        yield from (f"{indent}  - {_scalar(each)}" for each in value)
    else:
        yield f"{head} {_scalar(value)}"


def _scalar(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return quoted(value)
        case _ if not value:
            return "{}" if isinstance(value, Mapping) else "[]"
        case _:
            raise TypeError(f"expected a text, a number or a truth value, got {value!r}")
