import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_build.problems import BuildError
from registry_build.source import Source, read

BROKEN = {
    "empty": (b"", ":1: expected a JSON object, got an empty file"),
    "blank": (b" \n\n", ":1: expected a JSON object, got an empty file"),
    "byte order mark": (
        b"\xef\xbb\xbf{}",
        ":1: expected UTF-8 without a byte order mark: save the file again without it",
    ),
    "latin-1": ('{\n"a": "é"}'.encode("latin-1"), ":2: expected UTF-8, got byte 0xe9: save the file again as UTF-8"),
    "utf-16": ("{}".encode("utf-16"), ":1: expected UTF-8, got byte 0xff: save the file again as UTF-8"),
    "encoded surrogate": (b'"\xed\xa0\x80"', ":1: expected UTF-8, got byte 0xed: save the file again as UTF-8"),
    "truncated": (b'{"models": [\n{"id": ', ":2: expected JSON, got something else: expecting value (column 8)"),
    "single quotes": (
        b"{'a': 1}",
        ":1: expected JSON, got something else: expecting property name enclosed in double quotes (column 2)",
    ),
    "two values": (b"{}\n{}", ":2: expected JSON, got something else: extra data (column 1)"),
    "comment": (b"// models\n{}", ":1: expected JSON, got something else: expecting value (column 1)"),
    "raw line end in a string": (
        b'{"a": "x\ny"}',
        ":1: expected JSON, got something else: invalid control character at (column 9)",
    ),
    "open brackets": (b"[" * 100_000, ":1: expected a few levels of nesting, got too many"),
    "nested brackets": (b"[" * 100_000 + b"]" * 100_000, ":1: expected a few levels of nesting, got too many"),
    "nested objects": (
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        ":1: expected a few levels of nesting, got too many",
    ),
    "5000 digits": (
        b'{\n"a": ' + b"7" * 5000 + b"}",
        f":2: a: expected a number of ordinary size, got `{'7' * 60}...`",
    ),
    "-5000 digits": (
        b'{"a": -' + b"7" * 5000 + b"}",
        f":1: a: expected a number of ordinary size, got `-{'7' * 59}...`",
    ),
    "NaN": (b'{"a": [1, NaN]}', ":1: a[1]: expected a number, got NaN: write null where it is unknown"),
    "too large": (b'{"a": -1e999}', ":1: a: expected a number of ordinary size, got `-1e999`"),
    "infinity": (b"-Infinity", ":1: expected a number, got -Infinity: write null where it is unknown"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_read_broken_file_says_where_and_why(name: str, tmp_path: Path) -> None:
    content, message = BROKEN[name]
    file = tmp_path / "models.json"
    file.write_bytes(content)

    with pytest.raises(BuildError) as caught:
        read(file)

    assert str(caught.value) == f"{file}{message}"


def test_read_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        read(tmp_path / "none.json")

    assert str(caught.value) == f"{tmp_path / 'none.json'}: expected a JSON file, got nothing: there is no such file"


def test_read_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        read(tmp_path)

    assert str(caught.value) == f"{tmp_path}: expected a JSON file, got a directory"


def test_read_path_through_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BuildError) as caught:
        read(tmp_path / "file" / "models.json")

    assert str(caught.value) == f"{tmp_path / 'file' / 'models.json'}: expected a readable JSON file: Not a directory"


def test_read_several_oddities_reports_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text('{"a": NaN,\n "a": 1e999,\n "b": {"c": 1, "\\u0063": 2}}')

    with pytest.raises(BuildError) as caught:
        read(file)

    assert [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems] == [
        "1: a: expected a number, got NaN: write null where it is unknown",
        "2: a: expected a number of ordinary size, got `1e999`",
        "2: a: expected every key once, got `a` again (first on line 1)",
        "3: b.c: expected every key once, got `c` again (first on line 3)",
    ]


@pytest.mark.parametrize(
    "text",
    ['{"a": NaN}}', '{"a": NaN ]]', '{"a": 1, "a": 2} }', '[1e999, "', "[NaN] 5: {", '{"a": NaN, 5: 1}', "NaN NaN"],
)
def test_read_oddity_before_broken_json_is_a_build_error(text: str, tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text(text)

    with pytest.raises(BuildError) as caught:
        read(file)

    assert caught.value.problems


def test_read_strict_json_gives_file_text_and_value(tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text('{"a": ["\\ud800", 1.5, 1e300, -0, true, null, "NaN"]}\n')

    source = read(file)

    assert (source.file, source.text) == (str(file), file.read_text())
    assert source.data == {"a": ["\ud800", 1.5, 1e300, 0, True, None, "NaN"]}


TEXT = """{
  "version": "1.0",
  "models": [
    {"id": "a}]", "specs": {"x": 1},
     "list": [
       1, {"deep":
         2}
     ],
     "empty": {}, "nothing": []
    },
    7
  ]
}
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("version",), 2),
        (("models", 0), 4),
        (("models", 0, "id"), 4),
        (("models", 0, "specs", "x"), 4),
        (("models", 0, "list"), 5),
        (("models", 0, "list", 0), 6),
        (("models", 0, "list", 1), 6),
        (("models", 0, "list", 1, "deep"), 6),  # where its key is, for that is what people look for
        (("models", 0, "empty"), 9),
        (("models", 0, "nothing"), 9),
        (("models", 1), 11),
        (("models", 0, "missing"), 4),
        (("models", 0, "specs", "y", "z"), 4),
        (("models", 9, "id"), 3),
        (("profiles",), 1),
    ],
)
def test_line_of_a_path_is_that_of_the_nearest_value(path: tuple[str | int, ...], line: int, line_end: str) -> None:
    text = TEXT.replace("\n", line_end)

    assert Source("models.json", text, json.loads(text)).line(path) == line


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(JSON)
def test_line_of_any_json_points_at_the_value(value: Any) -> None:
    text = json.dumps(value, indent=1)
    lines = text.splitlines()
    source = Source("models.json", text, value)

    for path, inner in _places(value):
        line = lines[source.line(path) - 1].strip().rstrip(",")
        shown = json.dumps(inner, indent=1).splitlines()[0]
        key = f"{json.dumps(path[-1])}: " if path and isinstance(path[-1], str) else ""
        assert line == key + shown


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _places(item, (*path, key))


@given(text=st.text(alphabet='{}[]:,"\\ \naNI1e9-.é\ud7ff'))
def test_read_any_text_gives_a_value_or_problems_with_lines(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_bytes(text.encode("utf-8"))
    lines = ["a value"]

    with contextlib.suppress(BuildError):
        try:
            read(file)
        except BuildError as error:
            lines = [str(problem).removeprefix(str(file)) for problem in error.problems]
            raise

    assert lines
    assert all(line == "a value" or re.match(r":\d+: ", line) for line in lines)


@pytest.mark.parametrize("last", ["[]", "null", "{}", "3"])
def test_read_models_twice_names_the_problems_of_both(last: str, tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text(f'{{"models": [{{"id": "a", "id": "b"}}],\n"models": {last}}}')

    with pytest.raises(BuildError) as caught:
        read(file)

    assert [(problem.line, problem.path) for problem in caught.value.problems] == [(1, "id"), (2, "models")]
