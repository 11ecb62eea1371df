"""JSON: objects read one after the other from an array, or from lines, with the line that each begins on."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from registry.catalog.text_files import LONGEST, Lot, count_lines
from registry.errors import InvalidInputError

if TYPE_CHECKING:
    from typing import TextIO

    from registry.catalog.text_files import Text

_BLANKS = " \t\r\n"  # what JSON calls white space
_BLANK = re.compile(f"[{_BLANKS}]*")
_LONGEST_TOKEN = 16  # characters of a word, a sign or an escape that may be cut where a piece ends
_LONGEST_INTEGER = 19  # digits; longer ones are no number of this store, and Python refuses to read thousands of them


class _Decoder(json.JSONDecoder):
    """Reads JSON and tells of keys that stand twice in one object: nobody knows which value was meant."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=self._object, parse_int=_integer)
        self._twice: list[str] = []

    def read(self, text: str, start: int = 0) -> tuple[Any, int, str]:
        """Give a value, the place behind it, and what is wrong with it although it is JSON.

        Raises:
            JSONDecodeError: It is none.
            RecursionError: It is nested too deeply.
        """
        self._twice.clear()
        value, end = self.raw_decode(text, start)
        if self._twice:
            return value, end, f"`{self._twice[0]}` is given twice"
        if not isinstance(value, dict):
            return value, end, f"expected a JSON object, got {_shown(value)}"
        return value, end, ""

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            self._twice.append(next(key for key in keys if keys.count(key) > 1))
        return found


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


def _shown(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def read_lines(text: Text, size: int) -> Generator[Lot[dict[str, Any]]]:
    """Read JSON Lines in lots of at most `size`. Blank lines are passed over.

    Raises:
        InvalidInputError: The file is not UTF-8.
    """
    decoder, lot, number = _Decoder(), Lot[dict[str, Any]](), 0
    for block in text.blocks():
        for line in io.StringIO(block, newline=""):
            number += 1
            if written := line.strip(_BLANKS):
                _add(lot, number, *_parsed(decoder, written))
            if len(lot) == size:
                yield lot
                lot = Lot[dict[str, Any]]()
    if lot:
        yield lot


def _parsed(decoder: _Decoder, written: str) -> tuple[Any, str]:
    """Read one line; give its value, or what is wrong with it."""
    try:
        value, end, problem = decoder.read(written)
    except json.JSONDecodeError as error:
        return None, f"expected a JSON object, got what is none: {error.msg}, at character {error.pos + 1}"
    except RecursionError:
        return None, "expected a JSON object, got one that is nested too deeply"
    if end < len(written):
        return None, f"expected one JSON object a line, got more behind it, at character {end + 1}"
    return value, problem


def _add(lot: Lot[dict[str, Any]], line: int, value: dict[str, Any], problem: str) -> None:
    if problem:
        lot.faults.append((line, problem))
    else:
        lot.add(line, value)


def read_array(text: Text, size: int) -> Generator[Lot[dict[str, Any]]]:
    """Read the objects of a JSON array in lots of at most `size`, without ever holding the whole.

    Raises:
        InvalidInputError: It is not UTF-8, or no JSON array; the error says where.
    """
    cursor, lot = _Cursor(text), Lot[dict[str, Any]]()
    cursor.expect("[", "a JSON array of objects")
    more = cursor.peek() != "]"
    while more:
        line = cursor.line
        _add(lot, line, *cursor.value())
        if len(lot) == size:
            yield lot
            lot = Lot[dict[str, Any]]()
        more = cursor.peek() == ","
        if more:
            cursor.expect(",", "a comma")
            cursor.peek()
    cursor.expect("]", "`,` or `]` behind an element")
    if (rest := cursor.peek()) is not None:
        raise cursor.error(f"expected the end of the file behind the array, got {rest!r}")
    if lot:
        yield lot


class _Cursor:
    """A place in JSON that is read piece by piece.

    Attributes:
        line: Its line, from 1.
    """

    def __init__(self, text: Text) -> None:
        self.line = 1
        self._text = text
        self._chunks = text.chunks()
        self._decoder = _Decoder()
        self._held = ""  # what was read and is still needed; the place is in there
        self._at = 0

    def peek(self) -> str | None:
        """Pass over blanks and give the next character; `None` at the end."""
        while True:
            self._move(_BLANK.match(self._held, self._at).end())  # type: ignore[union-attr] # it matches nothing, too
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._read(1):
                return None

    def expect(self, sign: str, what: str) -> None:
        """Pass over a character that must come next."""
        if (found := self.peek()) != sign:
            raise self.error(f"expected {what}, got {'the end of the file' if found is None else repr(found)}")
        self._at += 1

    def value(self) -> tuple[Any, str]:
        """Pass over a value; give it, and what is wrong with it although it is JSON."""
        while True:
            length = len(self._held) - self._at
            try:
                found, end, problem = self._decoder.read(self._held, self._at)
            except json.JSONDecodeError as error:
                # Twice as much each time: a long value shall not be tried at every piece of it.
                if not self._may_go_on(error) or not self._read(length):
                    self._move(error.pos)
                    raise self.error(f"expected JSON, got what is none: {error.msg}") from None
            except RecursionError:
                raise self.error("expected an object, got one that is nested too deeply") from None
            else:
                # A number at the end of what was read may have more digits.
                if end < len(self._held) or not self._read(1):
                    self._move(end)
                    return found, problem

    def error(self, problem: str) -> InvalidInputError:
        """Say what is wrong at this place."""
        return InvalidInputError(self._text.at(self.line), f"{problem}. Mend the file: it was read up to there only.")

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Tell whether this may be the beginning of a value that has not been read to its end."""
        unfinished = error.msg.startswith("Unterminated string") or error.pos + _LONGEST_TOKEN > len(self._held)
        return unfinished and len(self._held) - self._at < LONGEST

    def _read(self, size: int) -> bool:
        """Read so many characters more, or what is left; false where nothing is."""
        pieces = [self._held[self._at :]]
        wanted = size
        try:
            while wanted > 0 and (piece := next(self._chunks, None)) is not None:
                pieces.append(piece)
                wanted -= len(piece)
        except UnicodeDecodeError as error:
            raise self._text.not_utf8(self.line - 1, "".join(pieces), error) from None
        if wanted == size:
            return False
        self._held, self._at = "".join(pieces), 0
        return True

    def _move(self, to: int) -> None:
        """Go forward, and count the lines that are passed over."""
        self.line += count_lines(self._held[self._at : to])
        self._at = to


class LinesWriter:
    """Writes JSON Lines."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Write objects, one a line."""
        self._file.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in objects)

    def close(self) -> None:
        """End the lines: nothing needs to be written."""


class ArrayWriter:
    """Writes a JSON array, one object a line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._before = "[\n"

    def write(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Write objects behind those that are there."""
        for each in objects:
            self._file.write(self._before + json.dumps(each, ensure_ascii=False))
            self._before = ",\n"

    def close(self) -> None:
        """End the array."""
        self._file.write("[]\n" if self._before == "[\n" else "\n]\n")
