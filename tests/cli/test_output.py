"""What is printed where there is no terminal, and how values are written. On a terminal: test_terminal."""

import json
from pathlib import Path

import pytest

pytest.importorskip("typer")

from registry.cli._output import Column, cell, number, printable, show_facts, show_json, show_table, size

SIZES = [
    (None, None),
    (0, "0 B"),
    (999, "999 B"),
    (1000, "1.0 kB"),
    (99_949, "99.9 kB"),
    (99_950, "100 kB"),
    (999_499, "999 kB"),
    (999_500, "1.0 MB"),
    (5_444_831_232, "5.4 GB"),
    (1_234 * 10**12, "1234 TB"),
]
CELLS = [
    (None, "-"),
    (True, "yes"),
    (False, "no"),
    ((), "-"),
    (("a", "b"), "a, b"),
    (0.5, "0.5"),
    (8192, "8192"),
    ("two\nlines\tand a tab", "two lines and a tab"),
    ("\x1b[31mred", "\\x1b[31mred"),
]


@pytest.mark.parametrize(("count", "text"), SIZES)
def test_size_is_written_in_powers_of_1000(count: int | None, text: str | None) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("value", "text"), CELLS)
def test_cell_is_one_line_that_no_terminal_obeys(value: object, text: str) -> None:
    assert cell(value) == text


def test_number_has_commas() -> None:
    assert (number(None), number(32768)) == (None, "32,768")


def test_printable_leaves_letters_of_every_language() -> None:
    assert printable("größer 模型") == "größer 模型"


def test_table_without_a_terminal_has_tabs_and_bare_values(capsys: pytest.CaptureFixture[str]) -> None:
    show_table((Column("Model"), Column("Size", shown=size)), [("a", 5_000), ("b", None)])

    assert capsys.readouterr() == ("a\t5000\nb\t-\n", "")


def test_table_that_is_headed_has_headings_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_table((Column("Model"), Column("Size")), [("a", 1)], headed=True)

    assert capsys.readouterr().out == "Model\tSize\na\t1\n"


def test_table_without_rows_says_so_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    show_table((Column("Model"),), [], empty="Nothing here.")

    assert capsys.readouterr() == ("", "Nothing here.\n")


def test_facts_leave_out_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    show_facts({"id": "a", "license": None, "languages": (), "layers": 0, "note": ""})

    assert capsys.readouterr().out == "id\ta\nlayers\t0\n"


def test_json_holds_paths_tuples_and_every_letter(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"path": Path("a") / "b", "words": ("ä", "b")})

    assert json.loads(capsys.readouterr().out) == {"path": str(Path("a") / "b"), "words": ["ä", "b"]}


def test_json_of_a_thing_that_is_none_is_an_error() -> None:
    with pytest.raises(TypeError, match="no JSON for <object"):
        show_json({"thing": object()})
