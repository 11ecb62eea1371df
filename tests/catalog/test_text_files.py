"""Text in constant memory: encodings, ends of lines, and the line that is not UTF-8."""

import codecs
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.catalog import text_files
from registry.catalog.text_files import Text, count_lines, opened
from registry.errors import InvalidInputError

_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
_TEXTS = st.text(st.sampled_from("aé😀\n\r"), max_size=40)


def _refused(data: bytes) -> str:
    with pytest.raises(InvalidInputError) as caught:
        list(Text(io.BytesIO(data), "f").blocks())
    return str(caught.value)


@given(_TEXTS, st.integers(1, 5))
def test_blocks_join_to_the_text_whatever_the_size_of_a_block(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "BLOCK", size)
        blocks = list(Text(io.BytesIO(text.encode()), "f").blocks())
        chunks = list(Text(io.StringIO(text, newline=""), "f").chunks())

    assert "".join(blocks) == "".join(chunks) == text
    assert all(block.endswith(("\n", "\r")) for block in blocks[:-1])
    assert sum(map(count_lines, blocks)) == sum(map(count_lines, chunks)) == count_lines(text)


@given(_TEXTS.map(str.encode), st.integers(1, 5))
def test_blocks_of_what_is_not_utf8_name_the_line_whatever_the_size_of_a_block(before: bytes, size: int) -> None:
    line = count_lines(before.decode()) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "BLOCK", size)
        message = _refused(before + b"\xe9 x\n")

    assert message.startswith(f"`f:{line}`: expected UTF-8, got the byte 0xe9")


def test_byte_order_mark_is_no_part_of_the_text() -> None:
    assert list(Text(io.BytesIO(codecs.BOM_UTF8 + b"a\n"), "f").blocks()) == ["a\n"]
    assert "".join(Text(io.StringIO("\ufeffa\n"), "f").blocks()) == "a\n"


def test_latin1_is_refused_by_its_line() -> None:
    assert _refused("name\nCafé au lait\n".encode("latin-1")) == (
        "`f:2`: expected UTF-8, got the byte 0xe9 (invalid continuation byte). Save the file as UTF-8."
    )


def test_text_that_ends_within_a_character_is_refused_by_its_line() -> None:
    assert _refused(b"a\rb\r\xc3") == (
        "`f:3`: expected UTF-8, got the byte 0xc3 (unexpected end of data). Save the file as UTF-8."
    )


@pytest.mark.parametrize(
    ("data", "got"),
    [
        ("name\n".encode("utf-16"), "UTF-16. Save it as UTF-8 (`CSV UTF-8` in a spreadsheet)."),
        ("name\n".encode("utf-32"), "UTF-32. Save it as UTF-8."),
        ("name\n".encode("utf-16-le"), "NUL bytes, as UTF-16 has them. Save the file as UTF-8."),
        (b"PK\x03\x04...", "a workbook of a spreadsheet, or a ZIP archive. Save it as CSV, or unpack it."),
        (b"\x1f\x8b\x08", "compressed by gzip. Unpack it first."),
        (b"SQLite format 3\0", "a database. Export it to a text file first."),
    ],
)
def test_what_is_no_utf8_by_its_first_bytes_is_named(data: bytes, got: str) -> None:
    assert _refused(data) == f"`f:1`: expected text in UTF-8, got {got}"


def test_line_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "LONGEST", 10)
    monkeypatch.setattr(text_files, "BLOCK", 4)

    assert _refused(b"a\n" + b"b" * 30) == "`f:2`: expected lines of at most 10 characters."


def test_opened_file_knows_name_and_size(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b"name\r\n")
    with opened(path) as text:
        assert (text.name, text.total_bytes, text.done_bytes) == (str(path), 6, 0)
        assert list(text.blocks()) == ["name\r\n"]
        assert text.done_bytes == 6


def test_opened_stream_stays_open() -> None:
    stream = io.StringIO("a\n")
    with opened(stream) as text:
        assert (text.name, text.total_bytes, list(text.blocks())) == ("the stream", None, ["a\n"])
    assert not stream.closed
