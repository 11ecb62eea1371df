"""The columns that a file of models may have, and what their values must be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, final

from registry.catalog.csv_files import restore
from registry.catalog.fields import FIELDS, LISTS, MAX_LIST_LENGTH, MAX_NAME_LENGTH, METRIC_FIELDS, Field
from registry.errors import InvalidFieldError, InvalidInputError

METADATA = "metadata."  # begins the name of a column that has the values of one key
_MODULE = re.compile(r"user|[^\W\d]\w*(\.[^\W\d]\w*)*")
_LOCALISED = re.compile(r"\s*[+-]?\d{1,3}([.,' \u00a0\u202f]?\d{3})*(,\d+)?\s*")
_QUOTED = re.compile(r"\s*[+-]?\d+(\.\d+)?\s*")
_REMEMBERED = 4096  # values of a column that are checked once only
_LONGEST_REMEMBERED = 64  # characters of one

# Where a model comes from. These make an export whole; they count for models that the store does not have yet.
_ORIGIN = {
    "source": Field("source", "text", max_length=500),
    "synced_as": Field("synced_as", "name", max_length=MAX_NAME_LENGTH),
    "edited": Field("edited", "list", max_length=50),
    "added": Field("added", "mapping"),
    "removed": Field("removed", "mapping"),
    "id": Field("id", "integer", minimum=1, maximum=10**12),
    "created_at": Field("created_at", "time"),
    "updated_at": Field("updated_at", "time"),
}
_FIRST = [
    "name",
    "display_name",
    "model_family",
    "model_size",
    "parameters",
    "quantization",
    "file_format",
    "capabilities",
    "tags",
    "description",
]
# All columns, in the order of an export.
COLUMNS: Final = (*_FIRST, *(name for name in FIELDS if name not in _FIRST), "metrics", *_ORIGIN)


@final
class Absent:
    """What stands for a value that a row does not have: it is left as it is."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


class MetricRow(NamedTuple):
    """A measurement of a file; one without a number gets the next, one without a time that of the import."""

    id: int | None
    hardware_type: str
    hardware_name: str
    metric_type: str
    metric_value: float
    unit: str
    context_size: int | None
    measured_at: str | None


class _Bad(NamedTuple):
    """Stands for a value that the field cannot hold."""

    reason: str


class Column:
    """Checks the values of one column, each different text only once.

    Attributes:
        name: Its name; `metadata.KEY` for the values of one key.
    """

    def __init__(self, name: str, *, cells: bool) -> None:
        """Choose the check.

        Args:
            name: One of `COLUMNS`, or `metadata.KEY`.
            cells: True for the texts of a table, False for values of any type.
        """
        self.name = name
        self._parse = _cell_parser(name) if cells else _value_parser(name)
        self._known = _Known(self._checked)
        self._found_bad = False

    def check(self, values: Iterable[Any]) -> tuple[list[Any], dict[int, str]]:
        """Give the values as they are stored, and the reason at each place where that cannot be."""
        self._found_bad = False
        known = self._known
        checked = [known[value] if value.__class__ is str else self._checked(value) for value in values]
        if not self._found_bad:
            return checked, {}
        return checked, {place: value.reason for place, value in enumerate(checked) if value.__class__ is _Bad}

    def _checked(self, value: Any) -> Any:
        if value is ABSENT:
            return ABSENT
        if self.name == "display_name" and not value:
            return ABSENT  # a model always has a name to show
        if self.name == "name" and not value:
            self._found_bad = True
            return _Bad("there is no `name`.")
        try:
            return self._parse(value)
        except InvalidFieldError as error:
            self._found_bad = True
            return _Bad(_reason(error))


class _Known(dict[str, Any]):
    """What texts are as values; short ones are remembered, and those that are wrong never."""

    def __init__(self, check: Callable[[str], Any]) -> None:
        super().__init__()
        self._check = check

    def __missing__(self, text: str) -> Any:
        value = self._check(text)
        if len(text) <= _LONGEST_REMEMBERED and value.__class__ is not _Bad:
            if len(self) == _REMEMBERED:
                self.clear()
            self[text] = value
        return value


def _reason(error: InvalidFieldError) -> str:
    text = str(error)
    if not error.expected.startswith(("a number", "a whole number")) or not isinstance(error.got, str):
        return text
    if _QUOTED.fullmatch(error.got):  # in JSON: of a table it would have been read
        return f"{text} Write it without quotation marks."
    if _LOCALISED.fullmatch(error.got):
        return f"{text} Write it with a decimal point, and nothing between thousands."
    return text


def _cell_parser(name: str) -> Callable[[str], Any]:
    if name in FIELDS:
        parse_text = FIELDS[name].parse_text
        return lambda cell: parse_text(restore(cell))
    if name.startswith(METADATA):
        return lambda cell: _metadata_value(name, restore(cell))
    if name in ("metrics", "added", "removed"):
        parse = _value_parser(name)
        return lambda cell: parse(_json(name, cell))
    if name == "edited":
        return lambda cell: _edited(_ORIGIN["edited"].parse_text(cell))
    if name == "source":
        return lambda cell: _source(restore(cell))
    return _ORIGIN[name].parse_text


def _value_parser(name: str) -> Callable[[Any], Any]:
    special = {"metrics": _metrics, "added": _added, "removed": _removed, "source": _source}
    if name == "edited":
        return lambda value: _edited(_ORIGIN["edited"].parse(value))
    return special.get(name) or (FIELDS.get(name) or _ORIGIN[name]).parse


def _json(name: str, cell: str) -> Any:
    if not cell.strip():
        return None
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise InvalidFieldError(name, "JSON, or nothing", cell) from None


def _metadata_value(name: str, cell: str) -> str | None:
    key = name.removeprefix(METADATA)
    if not cell:
        return None
    try:
        return str(FIELDS["metadata"].parse({key: cell})[key.strip()])
    except InvalidFieldError as error:
        raise InvalidFieldError(name, error.expected, cell) from None


def _source(value: object) -> str | None:
    text: str | None = _ORIGIN["source"].parse(value)
    if text is not None and not _MODULE.fullmatch(text):
        raise InvalidFieldError("source", "`user`, or the module of a registry, or nothing", value)
    return text


def _edited(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in FIELDS:
            raise InvalidFieldError("edited", "names of fields", name)
    return names


def _added(value: object) -> dict[str, tuple[str, ...]]:
    """Read which values of lists, and which keys, a user has added to a synced model."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not value.keys() <= {*LISTS, "metadata"}:
        raise InvalidFieldError("added", f"lists of values by {', '.join(LISTS)} or metadata, or nothing", value)
    keys = Field("added", "list", max_length=200)
    return {
        name: tuple(map(str, values)) if name == "metadata" and isinstance(values, list) else keys.parse(values)
        for name, values in value.items()
    }


def _removed(value: object) -> dict[str, tuple[str, ...]]:
    """Read which models of registries a user has removed: their ids by the registries' modules."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(
        source.strip() and isinstance(ids, list) for source, ids in value.items()
    ):
        raise InvalidFieldError("removed", "lists of ids by the modules of registries, or nothing", value)
    return {str(_source(source)): tuple(map(_ORIGIN["synced_as"].parse, ids)) for source, ids in value.items()}


def _metrics(value: object) -> tuple[MetricRow, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidFieldError("metrics", "a list of measurements, or nothing", value)
    return tuple(map(_metric, value))


def _metric(value: object) -> MetricRow:
    fields = {"id": _ORIGIN["id"], **METRIC_FIELDS}
    if not isinstance(value, Mapping) or not value.keys() <= fields.keys():
        raise InvalidFieldError("metrics", f"measurements with {', '.join(METRIC_FIELDS)}", value)
    try:
        return MetricRow(**{name: fields[name].parse(value.get(name)) for name in MetricRow._fields})
    except InvalidFieldError as error:
        raise InvalidFieldError(f"metrics.{error.field}", error.expected, error.got) from None


def known_columns(headings: Sequence[str], place: str) -> list[str]:
    """Give the names of the columns that the headings of a table name, whatever their case.

    Raises:
        InvalidInputError: Some are unknown or stand there twice, or `name` is missing; all of it is said.
    """
    columns = [_spelled(heading) for heading in headings]
    problems = [
        *(
            _unknown(column, heading, number)
            for number, (column, heading) in enumerate(zip(columns, headings, strict=True), start=1)
            if not _is_known(column)
        ),
        *(f"column `{column}` stands there {columns.count(column)} times" for column in _repeated(columns)),
    ]
    if (keys := sum(column.startswith(METADATA) for column in columns)) > MAX_LIST_LENGTH:
        problems.append(f"there are {keys:,} columns of single keys of `metadata`, which holds {MAX_LIST_LENGTH:,}")
    if "name" not in columns:
        problems.append("there is no column `name`")
    if "metadata" in columns and any(column.startswith(METADATA) for column in columns):
        problems.append("there is a column `metadata` and one for a single key of it: one way or the other")
    if problems:
        raise InvalidInputError(place, f"{'; '.join(problems)}. Known columns: {', '.join(COLUMNS)}, {METADATA}KEY.")
    return columns


def _spelled(heading: str) -> str:
    stripped = restore(heading).strip()
    prefix = stripped[: len(METADATA)]
    if prefix.casefold() == METADATA:
        return METADATA + stripped[len(METADATA) :]
    return re.sub(r"[\s-]+", "_", stripped.casefold())


def _is_known(column: str) -> bool:
    return column in COLUMNS or (column.startswith(METADATA) and len(column) > len(METADATA))


def _repeated(columns: Sequence[str]) -> list[str]:
    return [column for column in dict.fromkeys(columns) if columns.count(column) > 1 and column]


def _unknown(column: str, heading: str, number: int) -> str:
    if column:
        return f"column {heading!r} is unknown{did_you_mean(column)}"
    index = " (pandas writes its index there: `to_csv(..., index=False)`)" if number == 1 else ""
    return f"column {number} has no name{index}"


def did_you_mean(name: str) -> str:
    """Name the known column that is closest; empty where none is close."""
    close = get_close_matches(name, COLUMNS, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""
