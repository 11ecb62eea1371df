"""The fields of a model and of a measurement, and the one place where values for them are checked.

`FIELDS` and `METRIC_FIELDS` say what each may hold. `parse` takes a value of the right type, as Python, JSON and HTTP
have it; `parse_text` takes what a cell of a CSV file holds. Both give the value as it is stored, or raise
`InvalidFieldError`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from registry.errors import InvalidFieldError

Kind = Literal["name", "text", "number", "integer", "list", "mapping", "date", "time"]
MAX_NAME_LENGTH = 200
MAX_INTEGER = 2**53 - 1  # every JSON reader has it exactly
MAX_LIST_LENGTH = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]*", re.ASCII)
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,30}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_IN_TEXT = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Field:
    """One field: what it may hold.

    Attributes:
        name: As in `CatalogModel` or `Metric`.
        kind: What is stored.
        required: True where it cannot be empty.
        max_length: Characters of a text, or of one value of a list, or of a value of a mapping.
        minimum: Least number.
        maximum: Largest number.
        one_line: True where a text has no line breaks or other control characters, and is trimmed.
    """

    name: str
    kind: Kind
    required: bool = False
    max_length: int = 500
    minimum: float = 0
    maximum: float = MAX_INTEGER
    one_line: bool = True

    @property
    def expected(self) -> str:
        """What it may hold, in words."""
        return _EXPECTED[self.kind](self) + (
            "" if self.required or self.kind in ("list", "mapping") else ", or nothing"
        )

    def parse(self, value: object) -> Any:
        """Give a value as it is stored: `None` where it is empty, a tuple for a list, a dict for a mapping.

        Raises:
            InvalidFieldError: The field cannot hold it.
        """
        if value is None or (self.kind not in ("list", "mapping") and isinstance(value, str) and not value.strip()):
            if self.required:
                raise self._error(value)
            return _EMPTY.get(self.kind, tuple)() if self.kind in _EMPTY else None
        return _PARSERS[self.kind](self, value)

    def parse_text(self, text: str) -> Any:
        """Give the value of a CSV cell as it is stored. Lists are comma-joined, a mapping is a JSON object.

        Raises:
            InvalidFieldError: The field cannot hold it.
        """
        if not text.strip():
            return self.parse(None)
        if self.kind == "list":
            return self.parse([part for part in text.split(",") if part.strip()])
        if self.kind == "mapping":
            return self.parse(_json(self, text))
        if self.kind in ("integer", "number"):
            return self.parse(_number_of(self, text))
        return self.parse(text)

    def _error(self, got: object) -> InvalidFieldError:
        return InvalidFieldError(self.name, self.expected, got)


def _text(field: Field, value: object) -> str:
    if not isinstance(value, str) or _NOT_IN_TEXT.search(value):
        raise field._error(value)
    text = str(value)  # a member of a `StrEnum` is stored as its string
    if field.one_line:
        text = text.strip()
    if len(text) > field.max_length or (field.one_line and _CONTROL.search(text)):
        raise field._error(value)
    return text


def _name(field: Field, value: object) -> str:
    text = _text(field, value)
    if not _NAME.fullmatch(text) or text.isdigit():
        raise field._error(value)
    return text


def _date(field: Field, value: object) -> str:
    text = _text(field, value)
    if not _DATE.fullmatch(text):
        raise field._error(value)
    try:
        date.fromisoformat(text + "-01-01"[len(text) - 4 :])
    except ValueError:  # of no calendar: the 31st of February, the year 0
        raise field._error(value) from None
    return text


def _time(field: Field, value: object) -> str:
    text = _text(field, value)
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise field._error(value) from None
    return time_text(moment)


def _number(field: Field, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise field._error(value)
    try:
        number = float(value)
    except OverflowError:
        raise field._error(value) from None
    if not math.isfinite(number) or not field.minimum <= number <= field.maximum:
        raise field._error(value)
    return number + 0.0  # -0.0 is stored as 0.0


def _integer(field: Field, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, float) and value % 1 != 0):
        raise field._error(value)
    if not field.minimum <= value <= field.maximum:
        raise field._error(value)
    return int(value)


def _list(field: Field, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, Iterable) or isinstance(value, Mapping | bytes):
        raise field._error(value)
    parts = list(value)
    found: dict[str, str] = {}
    for part in parts:
        text = _text(field, part)
        if not text or "," in text:
            raise field._error(part)
        found.setdefault(text.casefold(), text)
    if len(found) > MAX_LIST_LENGTH:
        raise field._error(f"{len(found)} values")
    return tuple(found.values())


def _mapping(field: Field, value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > MAX_LIST_LENGTH:
        raise field._error(value)
    key_field = Field(field.name, "text", max_length=200)
    found: dict[str, str] = {}
    for key, part in value.items():
        name = _text(key_field, key)
        if not name or not isinstance(part, str):
            raise field._error({key: part})
        found[name] = _text(field, part)
    return dict(sorted(found.items()))


def _json(field: Field, text: str) -> object:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise field._error(text) from None


def _number_of(field: Field, text: str) -> float:
    stripped = text.strip()
    if not _NUMBER.fullmatch(stripped):  # `float` would take `1_000`, `nan` and digits of other scripts
        raise field._error(text)
    return int(stripped) if _INTEGER.fullmatch(stripped) else float(stripped)


def time_text(moment: datetime) -> str:
    """Give a time in UTC as it is stored."""
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def now_text() -> str:
    """Give the time as it is stored."""
    return time_text(datetime.now(UTC))


def _range(field: Field) -> str:
    return f"from {field.minimum:g} to {field.maximum:.16g}"


_PARSERS: Mapping[Kind, Callable[[Field, Any], Any]] = {
    "name": _name,
    "text": _text,
    "number": _number,
    "integer": _integer,
    "list": _list,
    "mapping": _mapping,
    "date": _date,
    "time": _time,
}
_EMPTY: Mapping[Kind, Callable[[], Any]] = {"list": tuple, "mapping": dict}
_EXPECTED: Mapping[Kind, Callable[[Field], str]] = {
    "name": lambda field: (
        f"letters, digits and `._:+-` that begin with a letter or digit and are not digits only, "
        f"at most {field.max_length} of them"
    ),
    "text": lambda field: f"{'one line of text' if field.one_line else 'text'}, at most {field.max_length} characters",
    "number": lambda field: f"a number {_range(field)}",
    "integer": lambda field: f"a whole number {_range(field)}",
    "list": lambda field: (
        f"at most {MAX_LIST_LENGTH} texts without commas and control characters, "
        f"each 1 to {field.max_length} characters long"
    ),
    "mapping": lambda field: (
        f"at most {MAX_LIST_LENGTH} texts by name, each at most {field.max_length} characters long"
    ),
    "date": lambda _: "a date such as 2024, 2024-05 or 2024-05-31",
    "time": lambda _: "a time such as 2026-11-21T09:15:00Z",
}
_MAX_PARAMETERS = 10**6  # in billions: a thousand times what anybody has trained

_MODEL_FIELDS = (
    Field("name", "name", required=True, max_length=MAX_NAME_LENGTH),
    Field("display_name", "text", required=True),
    Field("type", "text", max_length=100),
    Field("model_family", "text", max_length=200),
    Field("model_size", "text", max_length=50),
    Field("parameters", "number", maximum=_MAX_PARAMETERS),
    Field("quantization", "text", max_length=100),
    Field("file_format", "text", max_length=100),
    Field("organization", "text", max_length=200),
    Field("huggingface_id", "text", max_length=300),
    Field("license", "text", max_length=200),
    Field("release_date", "date"),
    Field("context_length", "integer", minimum=1),
    Field("embedding_dim", "integer", minimum=1),
    Field("file_size_bytes", "integer"),
    Field("ram_required_mb", "integer", maximum=10**9),
    Field("description", "text", max_length=100_000, one_line=False),
    Field("notes", "text", max_length=100_000, one_line=False),
    Field("languages", "list", max_length=100),
    Field("capabilities", "list", max_length=100),
    Field("tags", "list", max_length=100),
    Field("metadata", "mapping", max_length=100_000, one_line=False),
)
_METRIC_FIELDS = (
    Field("metric_type", "text", required=True, max_length=100),
    Field("metric_value", "number", required=True, minimum=-1e300, maximum=1e300),
    Field("unit", "text", required=True, max_length=50),
    Field("hardware_type", "text", required=True, max_length=100),
    Field("hardware_name", "text", required=True, max_length=300),
    Field("context_size", "integer", minimum=1),
    Field("measured_at", "time"),
)
FIELDS: Mapping[str, Field] = {field.name: field for field in _MODEL_FIELDS}
METRIC_FIELDS: Mapping[str, Field] = {field.name: field for field in _METRIC_FIELDS}
# Fields of `models` itself, and those whose values are rows of their own.
COLUMNS = tuple(field.name for field in _MODEL_FIELDS if field.kind not in ("list", "mapping"))
LISTS = ("capabilities", "tags", "languages")


def parse_fields(values: Mapping[str, object], fields: Mapping[str, Field] = FIELDS) -> dict[str, Any]:
    """Give the values as they are stored, in the order given.

    Raises:
        InvalidFieldError: There is no such field, or it cannot hold its value.
    """
    if unknown := [name for name in values if name not in fields]:
        raise InvalidFieldError(unknown[0], f"one of the fields {', '.join(fields)}", values[unknown[0]])
    return {name: fields[name].parse(value) for name, value in values.items()}
