"""The structure of the data: JSON Schema, with its findings put into words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from registry_build.problems import BuildError, Path, Problem, one_of, shown

_NOUNS = {"array": "a list", "boolean": "true or false", "null": "null", "object": "an object", "string": "a string"}

# Python's True is an int and JSON Schema takes 1.0 for an integer; a count is neither.
_CHECKER = Draft202012Validator.TYPE_CHECKER.redefine(
    "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
)


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    """Match as the standard says: to Python `$` also stands before a line end."""
    if isinstance(instance, str) and not re.search(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), instance):
        yield ValidationError("does not match")


_Validator = extend(  # type: ignore[no-untyped-call] # as typeshed has it
    Draft202012Validator, validators={"pattern": _pattern}, type_checker=_CHECKER
)


def load_schema(file: str | FilePath | None = None) -> dict[str, Any]:
    """Read a schema; without `file`, the one of this package.

    Raises:
        BuildError: The file is missing, or not a JSON Schema.
    """
    if file is None:  # the package's own is checked by its tests
        own: dict[str, Any] = json.loads(_own_schema().read_text("utf-8"))
        return own
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
            made: dict[str, Any] = schema
            return made
    raise BuildError([Problem(str(path), 0, "", "", f"expected a JSON Schema: {reason}")])


def _fault(schema: Any) -> str | None:
    """Say what keeps a value from being a schema, if anything does."""
    if not isinstance(schema, dict):
        return f"got {shown(schema)}"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"{error.json_path}: {error.message}"
    return None


def check(data: Any, schema: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Give the place and the wording of everything in `data` that the schema does not allow."""
    words = _Words(schema)
    seen: set[Path] = set()
    try:
        # With an empty registry the validator never fetches what a schema refers to.
        for error in _Validator(schema, registry=Registry()).iter_errors(data):
            for path, message in words.of(error):
                if path not in seen:  # one value can break several keywords: the first says enough
                    seen.add(path)
                    yield path, message
    except RecursionError:
        yield (), "expected a few levels of nesting, got too many"
    except Unresolvable as error:
        message = f"expected a JSON Schema that stands on its own: {error}"
        raise BuildError([Problem(schema.get("$id", "the schema"), 0, "", "", message)]) from None


@cache
def _own_schema() -> FilePath:
    """The copy inside the installed package, or in a checkout the one at its root."""
    here = FilePath(__file__).parent
    shipped = here / "models.schema.json"
    return shipped if shipped.is_file() else here.parents[1] / "schema" / "models.schema.json"


class _Words:
    """Sentences for what the validator finds."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._definitions = schema.get("$defs", {})

    def of(self, error: ValidationError) -> Iterator[tuple[Path, str]]:
        path: Path = tuple(error.absolute_path)
        schema: dict[str, Any] = error.schema if isinstance(error.schema, dict) else {}
        instance: Any = error.instance
        properties = schema.get("properties", {})
        if "propertyNames" in error.absolute_schema_path:  # the instance is the key
            yield (*path, instance), f"expected a key of {self._describe(schema)}, got {shown(instance)}"
            return
        match error.validator:
            case "required":
                for key in schema["required"]:
                    if key not in instance:
                        wanted = self._describe(properties.get(key, {}))
                        yield (*path, key), f"expected {wanted}, got nothing: the key is missing"
            case "additionalProperties":
                for key in sorted(instance.keys() - properties.keys()):
                    yield (*path, key), f"expected one of the known keys, got {shown(key)}{_hint(key, properties)}"
            case "uniqueItems":
                yield path, "expected every item once, got one of them twice"
            case _:
                yield path, f"expected {self._describe(schema)}, got {shown(instance)}"

    def _describe(self, schema: Any) -> str:
        """Put into words what a schema asks of a value."""
        while isinstance(schema, dict) and "$ref" in schema:
            schema = self._definitions.get(schema["$ref"].rpartition("/")[2])
        if not isinstance(schema, dict):  # a schema of somebody else can be `true`, or refer elsewhere
            return "another value"
        if "enum" in schema:
            return one_of(schema["enum"])
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        parts = [schema["x-expected"]] if "x-expected" in schema else []
        parts = parts or [self._kind(name, schema) for name in types if name != "null"]
        parts = parts or [self._describe(schema[branch]) for branch in ("then", "else") if branch in schema]
        if "null" in types:
            parts.append("null")
        *first, last = parts or ["another value"]
        return f"{', '.join(first)} or {last}" if first else last

    def _kind(self, name: str, schema: dict[str, Any]) -> str:
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


def _bounds(schema: dict[str, Any]) -> str:
    low, above, high = (schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return f" above {above}" if above is not None else ""


def _hint(key: str, known: dict[str, Any]) -> str:
    close = get_close_matches(key, known, n=1)
    return f": did you mean `{close[0]}`?" if close else ": remove it"
