"""Bytes cut into lines and events, however they come."""

import json
from collections.abc import Iterator
from itertools import pairwise, repeat
from typing import Any

import pytest

from registry.profiles.providers import lines
from registry.profiles.providers.lines import events_of, lines_of, object_of
from registry.profiles.providers.services import UnreadableError

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies


def cut(text: bytes, places: list[int]) -> Iterator[bytes]:
    """Cut bytes at these places."""
    ends = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return (text[start:end] for start, end in pairwise(ends))


@hypothesis.given(
    st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=9), max_size=2), max_size=5),
    st.lists(st.integers(0, 1000), max_size=9),
)
def test_lines_are_those_that_were_written_wherever_packets_end(values: list[Any], places: list[int]) -> None:
    sent = b"".join(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for value in values)

    assert [json.loads(line) for line in lines_of(cut(sent, places))] == values


@hypothesis.given(st.lists(st.integers(0, 1000), max_size=9))
def test_events_are_those_that_were_written_wherever_packets_end(places: list[int]) -> None:
    sent = b': alive\n\ndata: {"a":\ndata: 1}\n\nevent: x\nid: 5\ndata:two\r\n\r\n\n\ndata: [DONE]\n'

    assert list(events_of(cut(sent, places))) == [b'{"a":\n1}', b"two", b"[DONE]"]


def test_line_that_does_not_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 10)

    assert list(lines_of([b"12345", b"67890\n", b"1234567890"])) == [b"1234567890", b"1234567890"]
    with pytest.raises(UnreadableError, match=r"^a line of more than 10 bytes$"):
        list(lines_of(repeat(b"123", 10)))


def test_last_line_need_not_end() -> None:
    assert list(lines_of([b"a\n", b"\nb", b"c"])) == [b"a", b"", b"bc"]


@pytest.mark.parametrize("text", [b"[1]", b"x", b"", b"\xff", b"[" * 100_000])
def test_text_that_is_no_object_is_unreadable(text: bytes) -> None:
    with pytest.raises(UnreadableError):
        object_of(text)
