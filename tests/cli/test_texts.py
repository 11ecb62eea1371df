"""Texts from files and standard input."""

import io
import sys
from pathlib import Path

import pytest

pytest.importorskip("typer")
import typer

from registry.cli._texts import read_texts
from registry.errors import InvalidInputError


@pytest.fixture
def file(tmp_path: Path):
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_lines_are_texts(file) -> None:
    assert read_texts(file("a.txt", "\ufeffone\r\n\n  \ntwo \u2028 three\x0b\nlast"), None) == [
        "one",
        "two \u2028 three\x0b",
        "last",
    ]


def test_field_of_json_lines(file) -> None:
    path = file("a.jsonl", '{"text": "one", "id": 1}\n\n{"text": "zw\u00e4i\\nb"}\n')

    assert read_texts(path, "text") == ["one", "zw\u00e4i\nb"]


def test_column_of_a_table(file) -> None:
    path = file("a.csv", 'id,text\r\n1,"one, two\nthree"\r\n2,four\r\n')

    assert read_texts(path, "text") == ["one, two\nthree", "four"]


@pytest.mark.parametrize("path", [None, Path("-")])
def test_standard_input_has_lines_or_json_lines(path: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo\n"))
    assert read_texts(path, None) == ["one", "two"]

    monkeypatch.setattr(sys, "stdin", io.StringIO('{"t": "one"}\n'))
    assert read_texts(path, "t") == ["one"]


@pytest.mark.parametrize(
    ("name", "content", "place", "reason"),
    [
        ("a.jsonl", '{"text": "one"}\n{"text": 2}', ":2", "expected a text in `text`, got 2."),
        ("a.jsonl", '{"other": "one"}', ":1", "expected a text in `text`, got null."),
        ("a.jsonl", "[1]", ":1", "expected a text in `text`, got null."),
        (
            "a.jsonl",
            "one",
            ":1",
            "expected a JSON object on a line, got something else: Expecting value: line 1 column 1 (char 0)",
        ),
        ("a.csv", "id,body\n1,one\n", ":1", "expected a column `text`, got id, body."),
        ("a.csv", "", ":1", "expected a column `text`, got none."),
        ("a.csv", "id,text\n1\n", ":2", "expected a text in `text`, got null."),
        ("a.jsonl", b'{"text": "\xff"}', "", "expected UTF-8, got a byte that is none at 10."),
    ],
)
def test_line_without_the_text_is_named(name: str, content: str | bytes, place: str, reason: str, file) -> None:
    path = file(name, content)

    with pytest.raises(InvalidInputError) as error:
        read_texts(path, "text")

    assert (error.value.place, error.value.reason) == (f"{path}{place}", reason)


def test_field_of_plain_lines_is_wrong_usage(file) -> None:
    with pytest.raises(typer.BadParameter, match=r"expected a \.jsonl or a \.csv"):
        read_texts(file("a.txt", "one"), "text")


def test_table_without_a_field_is_wrong_usage(file) -> None:
    with pytest.raises(typer.BadParameter, match="name the column that has the text"):
        read_texts(file("a.csv", "text\none\n"), None)
