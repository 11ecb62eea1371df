"""The structure of the data: JSON Schema, with its findings put into words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path as FilePath
from typing import Any, TypeAlias

import jsonschema_rs

from registry_build.problems import BuildError, Path, Problem, one_of, shown

Schema: TypeAlias = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Keywords that `describe` puts into words; what others find is said as the validator says it.
_WORDED = {"type", "enum", "minimum", "maximum", "exclusiveMinimum", "minItems", "minLength"}
_NOUNS = {"array": "a list", "boolean": "true or false", "null": "null", "object": "an object", "string": "a string"}


def load_schema(file: str | FilePath | None = None) -> Schema:
    """Read a schema; without `file`, the one of this package.

    Raises:
        BuildError: The file is missing, or not a JSON Schema that stands on its own.
    """
    if file is None:
        return _own_schema()
    path = FilePath(file)
    reason: str | None
    try:
        schema = json.loads(path.read_text("utf-8"))
    except OSError as error:
        reason = error.strerror
    except (ValueError, RecursionError) as error:
        reason = str(error)
    else:
        reason = _fault(schema)
        if reason is None:
            made: Schema = schema
            return made
    raise BuildError([Problem(str(path), 0, "", "", f"expected a JSON Schema: {reason}")])


def check(data: Any, schema: Schema) -> Iterator[tuple[Path, str]]:
    """Give the place and the wording of everything in `data` that the schema does not allow."""
    words = _Words(schema)
    seen: set[Path] = set()
    try:
        errors, checked = _errors(data, schema)
    except (ValueError, RecursionError):  # the validator's own limit, below Python's
        yield (), "expected a few levels of nesting, got too many"
        return
    for error in errors:
        for path, message in words.of(error, checked):
            if path not in seen:  # one value can break several keywords: the first says enough
                seen.add(path)
                yield path, message
    ours = schema is _own_schema() and isinstance(data, dict)
    listed = {part: data[part] for part in ("models", "adapters") if part in data} if ours else {}
    for path, value, wanted in _fractions(listed, _integer_fields(schema)):
        if path not in seen:
            yield path, f"expected {words.describe(wanted)}, got {value}"


def _errors(data: Any, schema: Schema) -> tuple[list[jsonschema_rs.ValidationError], Any]:
    """Give what the validator finds, and the data it has seen: their paths are those of the errors."""
    validator = _validator(schema)
    try:
        return list(validator.iter_errors(data)), data
    except UnicodeEncodeError:
        data = _encodable(data)
        return list(validator.iter_errors(data)), data


def _encodable(value: Any) -> Any:
    """Give the same data without lone surrogates, which the validator cannot take and no schema asks for."""
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return list(map(_encodable, value))
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def _validator(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, offline=True)  # a schema never makes the build fetch anything


def _fault(schema: Any) -> str | None:
    """Say what keeps a value from being a schema, if anything does."""
    if not isinstance(schema, dict):
        return f"got {shown(schema)}"
    dialect = schema.get("$schema", _DIALECT)
    if not isinstance(dialect, str) or dialect.rstrip("#") != _DIALECT:  # any other would be fetched
        return f"expected `$schema` to be {_DIALECT}, got {shown(dialect)}"
    try:
        jsonschema_rs.meta.validate(schema)
        _validator(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return str(error).partition("\n")[0]
    return None


@cache
def _own_schema() -> Schema:
    """Read the copy inside the installed package, or in a checkout the one at its root; the tests check it."""
    here = FilePath(__file__).parent
    shipped = here / "models.schema.json"
    path = shipped if shipped.is_file() else here.parents[1] / "schema" / "models.schema.json"
    schema: Schema = json.loads(path.read_text("utf-8"))
    return schema


class _Words:
    """Sentences for what the validator finds."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def of(self, error: jsonschema_rs.ValidationError, data: Any) -> Iterator[tuple[Path, str]]:
        path = _place(error, data)
        *place, keyword = error.schema_path
        schema, value = _follow(self._schema, place), _follow(data, path)
        properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
        ours = isinstance(schema, dict) and ("x-expected" in schema or keyword in _WORDED)
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.PropertyNames):
            key = str(error.kind.error.instance)  # the path leads to what has the key
            yield (*path, key), f"expected a key of {self.describe(schema)}, got {shown(key)}"
        elif keyword == "required":
            for key in schema["required"]:
                if key not in value:
                    wanted = self.describe(properties.get(key, {}))
                    yield (*path, key), f"expected {wanted}, got nothing: the key is missing"
        elif keyword == "additionalProperties" and "patternProperties" not in schema:
            for key in sorted(value.keys() - properties.keys()):
                yield (*path, key), f"expected one of the known keys, got {shown(key)}{_hint(key, properties)}"
        elif keyword == "uniqueItems":
            yield path, "expected every item once, got one of them twice"
        elif ours:
            yield path, f"expected {self.describe(schema)}, got {shown(value)}"
        else:
            yield path, f"the schema refuses it: {error.message}"

    def describe(self, schema: Any) -> str:
        """Put into words what a schema asks of a value."""
        schema = _resolved(schema, self._schema)
        if not isinstance(schema, dict):  # a schema of somebody else can be `true`
            return "another value"
        if schema.get("enum"):
            return one_of(schema["enum"])
        types = _listed(schema.get("type"))
        parts = [schema["x-expected"]] if "x-expected" in schema else []
        parts = parts or [self._kind(name, schema) for name in types if name != "null"]
        parts = parts or [self.describe(schema[branch]) for branch in ("then", "else") if branch in schema]
        if "null" in types:
            parts.append("null")
        *first, last = parts or ["another value"]
        return f"{', '.join(first)} or {last}" if first else last

    def _kind(self, name: str, schema: Schema) -> str:
        if name == "integer" and schema.get("minimum") == 1:
            return "a positive integer"
        if name in ("integer", "number"):
            return ("an integer" if name == "integer" else "a number") + _bounds(schema)
        if name == "string" and schema.get("minLength"):
            return "a non-empty string"
        if name == "array":
            least = schema.get("minItems")
            return f"a list of at least {least} item{'s' if least > 1 else ''}" if least else "a list"
        return _NOUNS[name]


def _integer_fields(schema: Schema) -> dict[str, Schema]:
    """Give the properties of a schema that hold integers or lists of them, wherever they are defined."""
    found: dict[str, Schema] = {}
    parts: list[Any] = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            parts += part.values()
            properties = part.get("properties")
            for name, field in properties.items() if isinstance(properties, dict) else ():
                field = _resolved(field, schema)
                item = _resolved(field.get("items", field), schema) if isinstance(field, dict) else field
                if isinstance(item, dict) and "integer" in _listed(item.get("type")):
                    found[name] = item
    return found


def _fractions(data: Any, integers: dict[str, Schema]) -> Iterator[tuple[Path, float, Schema]]:
    """Give the fractions that stand where integers belong: JSON Schema takes 128.0 for one, a count is none."""
    holding = (dict, list, float)
    waiting: list[tuple[Path, str | int, Any]] = [((), "", data)]
    while waiting:
        path, key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, k), k, inner) for k, inner in value.items() if isinstance(inner, holding)]
        elif isinstance(value, list):
            waiting += [((*path, n), key, inner) for n, inner in enumerate(value) if isinstance(inner, holding)]
        elif isinstance(value, float) and key in integers:
            yield path, value, integers[str(key)]


def _place(error: jsonschema_rs.ValidationError, data: Any) -> Path:
    """Give the place that an error is about: the validator takes keys of digits for numbers, and loses empty keys."""
    for path, value in _meant(data, error.instance_path):
        if type(value) is type(error.instance) and value == error.instance:
            return path
    return ()


def _meant(value: Any, steps: list[str | int]) -> Iterator[tuple[Path, Any]]:
    """Give every place that the validator can mean by its steps, with what stands there."""
    if isinstance(value, dict) and "" in value:
        yield from ((("", *path), inner) for path, inner in _meant(value[""], steps))
    if not steps:
        yield (), value
    elif isinstance(value, list) and isinstance(steps[0], int):
        yield from (((steps[0], *path), inner) for path, inner in _meant(value[steps[0]], steps[1:]))
    elif isinstance(value, dict):
        for key in (key for key in value if key == steps[0] or _is_number(key, steps[0])):
            yield from (((key, *path), inner) for path, inner in _meant(value[key], steps[1:]))


def _is_number(key: str, step: str | int) -> bool:
    digits = key.removeprefix("+")
    return digits.isascii() and digits.isdecimal() and (digits.lstrip("0") or "0") == str(step)


def _follow(value: Any, path: list[str | int] | Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _resolved(schema: Any, root: Schema) -> Any:
    """Follow references to the definitions of the same schema, where they lead somewhere."""
    seen: set[str] = set()
    while isinstance(schema, dict) and str(schema.get("$ref", "")).startswith("#/$defs/"):
        reference = schema["$ref"]
        if reference in seen:
            return True
        seen.add(reference)
        schema = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), True)
    return schema


def _listed(types: Any) -> list[str]:
    return types if isinstance(types, list) else [types] if isinstance(types, str) else []


def _bounds(schema: Schema) -> str:
    low, above, high = (schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if above is not None and high is not None:
        return f" above {above}, at most {high}"
    if low is not None:
        return f" of at least {low}"
    if high is not None:
        return f" of at most {high}"
    return f" above {above}" if above is not None else ""


def _hint(key: str, known: dict[str, Any]) -> str:
    close = get_close_matches(key, known, n=1)
    return f": did you mean `{close[0]}`?" if close else ": remove it"
