"""CSV: rows with their lines, quotes and ends of lines of every kind, and cells that no spreadsheet runs."""

import csv
import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.catalog import csv_files, text_files
from registry.catalog.csv_files import CsvWriter, defuse, read_records, restore
from registry.catalog.text_files import Lot, Text
from registry.errors import InvalidInputError

_CELLS = st.text(st.sampled_from("a'\"=+-@＝＋－＠\t\r\n ,;é"), max_size=6)  # noqa: RUF001 - these forms are meant


def _read(data: str | bytes, size: int = 100) -> list[Lot[list[str]]]:
    stream = io.BytesIO(data) if isinstance(data, bytes) else io.StringIO(data, newline="")
    return list(read_records(Text(stream, "f"), size))


def _rows(data: str | bytes) -> list[tuple[int, list[str]]]:
    return [found for lot in _read(data) for found in zip(lot.lines, lot.rows, strict=True)]


def test_rows_have_the_line_that_they_begin_on() -> None:
    data = 'name,notes\r\na,"1\r\n2\r3\n4"\r\n\r\nb,x\rc,y\nd,z'

    assert _rows(data) == [
        (1, ["name", "notes"]),
        (2, ["a", "1\r\n2\r3\n4"]),
        (7, ["b", "x"]),
        (8, ["c", "y"]),
        (9, ["d", "z"]),
    ]


def test_rows_come_in_lots_and_the_heading_alone() -> None:
    assert [len(lot) for lot in _read("name\n" + "a\n" * 5, 2)] == [1, 2, 2, 1]


def test_rows_without_a_value_are_passed_over() -> None:
    assert _rows("name,notes\n,\n\n  \na,\n") == [(1, ["name", "notes"]), (4, ["  "]), (5, ["a", ""])]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_cells_are_separated_by_what_separates_the_headings(separator: str) -> None:
    data = f"name{separator}parameters\na{separator}1,5\n"

    assert _rows(data) == [(1, ["name", "parameters"]), (2, ["a", "1,5"])]


def test_commas_between_headings_win() -> None:
    assert _rows("name,metadata.a;b\nx;y,z\n") == [(1, ["name", "metadata.a;b"]), (2, ["x;y", "z"])]


def test_empty_file_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        _read(b"\xef\xbb\xbf\r\n")

    assert str(caught.value) == "`f:1`: expected a line with the names of the columns, got an empty file."


def test_wrong_quotes_are_a_fault_of_their_row_and_reading_goes_on() -> None:
    heading, lot = _read('name,notes\na,1\nb,"x"y\nc,3\nd,"open\n\n')

    assert heading.rows == [["name", "notes"]]
    assert lot == Lot(
        [2, 4],
        [["a", "1"], ["c", "3"]],
        [
            (3, "a quotation mark that ends a cell must be followed by a separator or the end of the line"),
            (5, "a quotation mark opens a cell that never ends, so that the last 2 lines are one row"),
        ],
    )


def test_cell_longer_than_the_csv_module_likes_is_read() -> None:
    cell = "x" * (csv.field_size_limit() + 1)

    assert _rows(f"name,notes\na,{cell}\n")[1] == (2, ["a", cell])


def test_cell_that_never_ends_is_refused_by_the_line_that_it_begins_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "LONGEST", 100)
    with pytest.raises(InvalidInputError) as caught:
        _read('name,notes\na,1\nb,"' + "x,y\n" * 100)

    assert str(caught.value) == (
        "`f:3`: expected cells of at most 100 characters. Is a quotation mark missing that ends one?"
    )


def test_limit_of_the_csv_module_is_what_it_was_after_readers_that_overlap() -> None:
    before = csv.field_size_limit()
    first, second = (read_records(Text(io.StringIO("name\na\nb\n"), "f"), 1) for _ in range(2))
    next(first), next(second)
    list(first)
    assert csv.field_size_limit() == text_files.LONGEST
    threading.Thread(target=second.close).run()

    assert csv.field_size_limit() == before


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "＝1", "'=1", "''-1", " =1", "\u3000@x"])  # noqa: RUF001
def test_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(cell: str) -> None:
    assert defuse(cell) == f"'{cell}"
    assert restore(f"'{cell}") == cell


@pytest.mark.parametrize("cell", ["", "a", "'a", "a=1", "'", "''", "1-2", "—", "[-1]"])
def test_cell_that_is_no_formula_stays(cell: str) -> None:
    assert defuse(cell) == restore(cell) == cell


@given(_CELLS | st.text(max_size=4))
def test_restore_undoes_defuse(cell: str) -> None:
    assert restore(defuse(cell)) == cell
    assert not defuse(cell).startswith(("\t", "\r", "\n"))
    assert not defuse(cell).lstrip().startswith(tuple("=+-@＝＋－＠"))  # noqa: RUF001 - these forms are meant


@given(st.lists(st.lists(_CELLS, min_size=2, max_size=2), max_size=5))
def test_what_is_written_is_read_as_it_was(rows: list[list[str]]) -> None:
    file = io.StringIO(newline="")
    CsvWriter(file, ["name", "notes"]).write_cells(rows)

    found = [[restore(cell) for cell in row] for _, row in _rows(file.getvalue().encode())[1:]]

    assert found == [row for row in rows if any(row)]


def test_what_is_written_is_rfc_4180() -> None:
    file = io.StringIO(newline="")
    CsvWriter(file, ["name", "notes"]).write_cells([["a", 'say "hi", then\rgo'], ["b", "=1"]])

    assert file.getvalue() == 'name,notes\r\na,"say ""hi"", then\rgo"\r\nb,\'=1\r\n'
