"""JSON arrays and JSON Lines: read piece by piece, with lines, and what is wrong with them."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.catalog import json_files, text_files
from registry.catalog.json_files import ArrayWriter, LinesWriter, read_array, read_lines
from registry.catalog.text_files import Lot, Text
from registry.errors import InvalidInputError

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.lists(st.dictionaries(st.text(max_size=4), _VALUES, max_size=4), max_size=4)


def _text(data: str | bytes) -> Text:
    return Text(io.BytesIO(data) if isinstance(data, bytes) else io.StringIO(data, newline=""), "f")


def _refused(read: Callable[..., Any], data: str | bytes) -> str:
    with pytest.raises(InvalidInputError) as caught:
        list(read(_text(data), 100))
    return str(caught.value)


@given(_OBJECTS, st.integers(1, 9), st.sampled_from([None, 1]), st.booleans())
def test_array_gives_what_json_gives_whatever_the_size_of_a_piece(
    objects: list[Any], size: int, indent: int | None, escaped: bool
) -> None:
    written = json.dumps(objects, indent=indent, ensure_ascii=escaped)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "BLOCK", size)
        found = [each for lot in read_array(_text(written.encode("utf-8", "surrogatepass")), 2) for each in lot.rows]

    assert found == json.loads(written)


def test_number_in_several_pieces_is_one_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "BLOCK", 3)
    (lot,) = read_array(_text('[1234567, {"a": 1}]'), 10)

    assert (lot.rows, lot.faults) == ([{"a": 1}], [(1, "expected a JSON object, got 1234567")])


@given(_OBJECTS)
def test_lines_give_what_was_written(objects: list[Any]) -> None:
    file = io.StringIO()
    LinesWriter(file).write(objects)

    assert [each for lot in read_lines(_text(file.getvalue()), 2) for each in lot.rows] == objects


@given(_OBJECTS)
def test_array_gives_what_was_written(objects: list[Any]) -> None:
    file = io.StringIO()
    writer = ArrayWriter(file)
    for each in objects:
        writer.write([each])
    writer.close()

    assert json.loads(file.getvalue()) == objects
    assert [each for lot in read_array(_text(file.getvalue()), 2) for each in lot.rows] == objects


def test_array_knows_the_line_that_each_object_begins_on() -> None:
    (lot,) = read_array(_text('\n[{"a":\r\n1},\r\r{"b": 2},3,{"c": 1, "c": 2},\n[], {"d": NaN}]\n'), 100)

    assert lot.lines[:2] == [2, 5]
    assert lot.rows[:2] == [{"a": 1}, {"b": 2}]
    assert lot.faults == [
        (5, "expected a JSON object, got 3"),
        (5, "`c` is given twice"),
        (6, "expected a JSON object, got []"),
    ]
    assert str(lot.rows[2]) == "{'d': nan}"  # what a value may be is said where values are checked


def test_lines_know_their_line_and_go_on_behind_a_wrong_one() -> None:
    (lot,) = read_lines(_text('{"a": 1}\r\n\r\n{"b": 2}\r7\n{"x": \n{} {}\n{"y": {"z": 1, "z": 1}}\n  {"c": 3}'), 100)

    assert lot == Lot(
        [1, 3, 8],
        [{"a": 1}, {"b": 2}, {"c": 3}],
        [
            (4, "expected a JSON object, got 7"),
            (5, "expected a JSON object, got what is none: Expecting value, at character 6"),
            (6, "expected one JSON object a line, got more behind it, at character 3"),
            (7, "`z` is given twice"),
        ],
    )


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        ("", 1, "expected a JSON array of objects, got the end of the file"),
        ('{"a": 1}', 1, "expected a JSON array of objects, got '{'"),
        ('[{"a": 1}\n{"b": 1}]', 2, "expected `,` or `]` behind an element, got '{'"),
        ('[{"a": 1},\n\n', 3, "expected JSON, got what is none: Expecting value"),
        ('[{"a": 1}', 1, "expected `,` or `]` behind an element, got the end of the file"),
        ('[\n{"a": tru}, ' + '{"b": 1}, ' * 9, 2, "expected JSON, got what is none: Expecting value"),
        ('[\n{"a": "b', 2, "expected JSON, got what is none: Unterminated string starting at"),
        ("[]\n]", 2, "expected the end of the file behind the array, got ']'"),
        ("[" * 100_000, 1, "expected an object, got one that is nested too deeply"),
    ],
)
def test_what_is_no_array_is_refused_by_its_line(data: str, line: int, problem: str) -> None:
    assert _refused(read_array, data) == f"`f:{line}`: {problem}. Mend the file: it was read up to there only."


def test_wrong_json_is_refused_before_the_rest_is_read() -> None:
    text = _text("[" + '{"a" 1}' + " " * 10_000_000)
    with pytest.raises(InvalidInputError):
        list(read_array(text, 100))

    assert text.done_bytes == text_files.BLOCK


def test_value_longer_than_can_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "LONGEST", 100)
    monkeypatch.setattr(text_files, "BLOCK", 10)

    assert _refused(read_array, '[{"a": "' + "x" * 1000) == (
        "`f:1`: expected JSON, got what is none: Unterminated string starting at. "
        "Mend the file: it was read up to there only."
    )


@pytest.mark.parametrize("read", [read_array, read_lines])
def test_what_is_not_utf8_is_refused_by_its_line(read: Callable[..., Any]) -> None:
    data = b'[{"a": 1},\n{"b": "\xe9 "}]'

    assert _refused(read, data) == (
        "`f:2`: expected UTF-8, got the byte 0xe9 (invalid continuation byte). Save the file as UTF-8."
    )


def test_integer_of_thousands_of_digits_is_a_number_that_no_field_takes() -> None:
    (lot,) = read_lines(_text('{"a": ' + "9" * 5000 + "}"), 1)

    assert lot.rows == [{"a": float("inf")}]


def test_empty_array_is_no_rows() -> None:
    assert list(read_array(_text(" [ \n ] "), 1)) == []


def test_array_writer_without_objects_writes_an_empty_array() -> None:
    file = io.StringIO()
    ArrayWriter(file).close()

    assert file.getvalue() == "[]\n"
