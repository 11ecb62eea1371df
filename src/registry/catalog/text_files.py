"""Text of any length in constant memory: UTF-8 from files and streams, in blocks of whole lines."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from registry.errors import InvalidInputError

if TYPE_CHECKING:
    import os
    from typing import BinaryIO, TextIO, TypeAlias

    Source: TypeAlias = "str | os.PathLike[str] | TextIO | BinaryIO"

Row = TypeVar("Row")

BLOCK = 2**18  # bytes, or characters, that are read at once
LONGEST = 2**26  # characters of one value; above that something is wrong with the file, and memory would be the next

# What other programs write where this one expects text: first bytes -> what it is, and what to do.
_FOREIGN = {
    codecs.BOM_UTF32_LE: ("UTF-32", "Save it as UTF-8."),
    codecs.BOM_UTF32_BE: ("UTF-32", "Save it as UTF-8."),
    codecs.BOM_UTF16_LE: ("UTF-16", "Save it as UTF-8 (`CSV UTF-8` in a spreadsheet)."),
    codecs.BOM_UTF16_BE: ("UTF-16", "Save it as UTF-8 (`CSV UTF-8` in a spreadsheet)."),
    b"PK\x03\x04": ("a workbook of a spreadsheet, or a ZIP archive", "Save it as CSV, or unpack it."),
    b"\x1f\x8b": ("compressed by gzip", "Unpack it first."),
    b"SQLite format 3\0": ("a database", "Export it to a text file first."),
}


@dataclass
class Lot(Generic[Row]):
    """Some rows of a file, in its order.

    Attributes:
        lines: Line of the file that each row begins on, from 1.
        rows: What each row holds.
        faults: Line and reason of each row that could not be read.
    """

    lines: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows) + len(self.faults)

    def add(self, line: int, row: Row) -> None:
        """Add a row."""
        self.lines.append(line)
        self.rows.append(row)


class Text:
    """Text that is read once, from the beginning.

    Attributes:
        name: What errors call it.
        total_bytes: Its size; `None` where that is not known.
        done_bytes: Bytes, of streams of text characters, that have been read.
    """

    def __init__(self, stream: IO[Any], name: str, total_bytes: int | None = None) -> None:
        self.name = name
        self.total_bytes = total_bytes
        self.done_bytes = 0
        self._stream = stream

    def chunks(self) -> Iterator[str]:
        """Give the text without its byte order mark, in pieces that end anywhere but within a CRLF.

        Raises:
            UnicodeDecodeError: What follows is not UTF-8.
            InvalidInputError: It is another encoding, or no text at all.
        """
        held = ""
        try:
            for piece in self._pieces():
                text = held + piece
                held = "\r" if text.endswith("\r") else ""
                yield text.removesuffix(held)
        except UnicodeDecodeError as error:
            if not error.object.startswith(b"\n"):  # or it belongs to what could not be read
                yield held
            raise
        yield held

    def _pieces(self) -> Iterator[str]:
        chunk: bytes | str = self._stream.read(BLOCK)
        if isinstance(chunk, str):
            chunk = chunk.removeprefix("\ufeff")
        else:
            _refuse_foreign(chunk, self.at(1))
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        while chunk:
            self.done_bytes += len(chunk)
            yield chunk if isinstance(chunk, str) else decoder.decode(chunk)
            chunk = self._stream.read(BLOCK)
        yield decoder.decode(b"", final=True)

    def blocks(self) -> Iterator[str]:
        """Give the text in pieces that end where a line does: after LF, CRLF or a lone CR.

        Raises:
            InvalidInputError: It is not UTF-8, or has a line that cannot be meant; the error says where.
        """
        lines, rest = 0, ""
        try:
            for chunk in self.chunks():
                rest += chunk
                end = max(rest.rfind("\n"), rest.rfind("\r")) + 1
                if end:
                    yield rest[:end]
                    lines, rest = lines + count_lines(rest[:end]), rest[end:]
                elif len(rest) > LONGEST:
                    raise InvalidInputError(self.at(lines + 1), f"expected lines of at most {LONGEST:,} characters.")
        except UnicodeDecodeError as error:
            raise self.not_utf8(lines, rest, error) from None
        if rest:
            yield rest

    def at(self, line: int) -> str:
        """Name a line, counted from 1."""
        return f"{self.name}:{line}"

    def not_utf8(self, lines: int, rest: str, error: UnicodeDecodeError) -> InvalidInputError:
        """Say where the text is not UTF-8: behind so many whole lines and the rest that was read of the next ones."""
        read = rest + error.object[: error.start].decode("utf-8", "replace")
        got = f"the byte 0x{error.object[error.start]:02x} ({error.reason})"
        reason = f"expected UTF-8, got {got}. Save the file as UTF-8."
        return InvalidInputError(self.at(lines + count_lines(read) + 1), reason)


def _refuse_foreign(chunk: bytes, place: str) -> None:
    """Say what a file is where its first bytes tell that it is no text in UTF-8."""
    for beginning, (kind, remedy) in _FOREIGN.items():
        if chunk.startswith(beginning):
            raise InvalidInputError(place, f"expected text in UTF-8, got {kind}. {remedy}")
    if b"\0" in chunk[:64]:
        reason = "expected text in UTF-8, got NUL bytes, as UTF-16 has them. Save the file as UTF-8."
        raise InvalidInputError(place, reason)


def count_lines(text: str) -> int:
    """Count the ends of lines: LF, CRLF and lone CR."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")


@contextmanager
def opened(source: Source) -> Iterator[Text]:
    """Open a file, or take an open stream of bytes or text as it is and leave it open.

    Raises:
        OSError: The file cannot be read.
    """
    read = getattr(source, "read", None)
    if read is not None:
        yield Text(source, stream_name(source))  # type: ignore[arg-type] # it can be read
        return
    path = Path(source)  # type: ignore[arg-type] # it is no stream
    with path.open("rb", buffering=0) as file:
        yield Text(file, str(path), path.stat().st_size or None)


def stream_name(stream: object) -> str:
    """Give the name of a stream as errors tell it."""
    name = getattr(stream, "name", None)
    if name == "<stdin>" or name == 0:
        return "standard input"
    return name if isinstance(name, str) else "the stream"
