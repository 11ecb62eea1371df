import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.catalog.fields import FIELDS, METRIC_FIELDS, parse_fields
from registry.errors import InvalidFieldError

WHOLE = "a whole number from 1 to 9007199254740991"
DATE = "a date such as 2024, 2024-05 or 2024-05-31"
LIST = "at most 1000 texts without commas and control characters, each 1 to 100 characters long"
PLAIN = st.none() | st.text() | st.integers() | st.floats()
VALUES = st.recursive(PLAIN, lambda each: st.lists(each) | st.dictionaries(st.text(), each))


def problem(field: str, value: object) -> str:
    with pytest.raises(InvalidFieldError) as caught:
        {**FIELDS, **METRIC_FIELDS}[field].parse(value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a", "Qwen2.5-Coder_7B:q4+x", "0a", "a" * 200])
def test_name_is_taken_as_it_is(name: str) -> None:
    assert FIELDS["name"].parse(name) == name


@pytest.mark.parametrize("name", ["", "-a", "7", "a/b", "é", "a b", "a" * 201, "a\n", "x\x00", 7, "\uff17", None])
def test_name_that_cannot_stand_in_an_address_is_refused(name: object) -> None:
    if isinstance(name, str) and name.strip() == "a":
        assert FIELDS["name"].parse(name) == "a"  # blanks round it are taken off
        return
    assert problem("name", name).startswith(
        "`name`: expected letters, digits and `._:+-` that begin with a letter or digit and are not digits only, "
        "at most 200 of them, got "
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("parameters", "7", "`parameters`: expected a number from 0 to 1000000, or nothing, got '7'."),
        ("parameters", math.nan, "`parameters`: expected a number from 0 to 1000000, or nothing, got nan."),
        ("parameters", -1, "`parameters`: expected a number from 0 to 1000000, or nothing, got -1."),
        ("parameters", True, "`parameters`: expected a number from 0 to 1000000, or nothing, got True."),
        ("context_length", 0, f"`context_length`: expected {WHOLE}, or nothing, got 0."),
        ("context_length", 1.5, f"`context_length`: expected {WHOLE}, or nothing, got 1.5."),
        ("release_date", "2024-02-31", f"`release_date`: expected {DATE}, or nothing, got '2024-02-31'."),
        ("release_date", "2024-13", f"`release_date`: expected {DATE}, or nothing, got '2024-13'."),
        ("type", "a\nb", "`type`: expected one line of text, at most 100 characters, or nothing, got 'a\\nb'."),
        ("notes", "a\x00b", "`notes`: expected text, at most 100000 characters, or nothing, got 'a\\x00b'."),
        ("notes", "\ud800", "`notes`: expected text, at most 100000 characters, or nothing, got '\\ud800'."),
        ("display_name", None, "`display_name`: expected one line of text, at most 500 characters, got None."),
        ("metric_value", math.inf, "`metric_value`: expected a number from -1e+300 to 1e+300, got inf."),
        ("measured_at", "now", "`measured_at`: expected a time such as 2026-11-21T09:15:00Z, or nothing, got 'now'."),
        (
            "tags",
            ["a,b"],
            f"`tags`: expected {LIST}, got 'a,b'.",
        ),
        (
            "metadata",
            {"a": 1},
            "`metadata`: expected at most 1000 texts by name, each at most 100000 characters long, got {'a': 1}.",
        ),
    ],
)  # fmt: skip
def test_value_that_the_field_cannot_hold_is_refused(field: str, value: object, message: str) -> None:
    assert problem(field, value) == message


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("type", "  chat ", "chat"),
        ("type", "", None),
        ("notes", " two\nlines ", " two\nlines "),
        ("parameters", 7, 7.0),
        ("parameters", -0.0, 0.0),
        ("context_length", 4096.0, 4096),
        ("tags", " a , b,A,, ", ("a", "b")),
        ("tags", ["x", "X", "y"], ("x", "y")),
        ("tags", None, ()),
        ("metadata", {"b": "2", "a": "1"}, {"a": "1", "b": "2"}),
        ("metadata", None, {}),
        ("measured_at", "2026-11-21T10:15:00+01:00", "2026-11-21T09:15:00Z"),
        ("measured_at", "2026-11-21T09:15:00.5", "2026-11-21T09:15:00.500000Z"),
    ],
)
def test_value_is_given_as_it_is_stored(field: str, value: object, stored: object) -> None:
    assert {**FIELDS, **METRIC_FIELDS}[field].parse(value) == stored


@pytest.mark.parametrize(
    ("field", "text", "stored"),
    [
        ("parameters", " 7.5e0 ", 7.5),
        ("context_length", "32768", 32768),
        ("context_length", "", None),
        ("tags", "a, b", ("a", "b")),
        ("metadata", '{"k": "v"}', {"k": "v"}),
    ],
)
def test_cell_is_given_as_it_is_stored(field: str, text: str, stored: object) -> None:
    assert FIELDS[field].parse_text(text) == stored


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("parameters", "1_000"),
        ("parameters", "nan"),
        ("parameters", "\u0667"),
        ("parameters", "1e999"),
        ("metadata", "{"),
    ],
)
def test_cell_that_is_no_number_or_json_is_refused(field: str, text: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        FIELDS[field].parse_text(text)
    assert caught.value.field == field


def test_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(InvalidFieldError) as caught:
        parse_fields({"name": "x", "colour": "red"})
    assert str(caught.value) == f"`colour`: expected one of the fields {', '.join(FIELDS)}, got 'red'."


@given(field=st.sampled_from(sorted(FIELDS)), value=VALUES)
def test_value_is_stored_the_same_again_or_refused(field: str, value: Any) -> None:
    try:
        stored = FIELDS[field].parse(value)
    except InvalidFieldError:
        return
    assert FIELDS[field].parse(stored) == stored
