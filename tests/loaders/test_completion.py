"""Answers as values, and streams as things that threads share. No model is needed."""

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from registry.loaders.completion import Answer, Stream

WAIT_S = 30
CALL: Any = {"id": "call00000", "type": "function", "function": {"name": "add", "arguments": "{}"}}


def _answer(**changes: Any) -> Answer:
    return Answer("fox", 3, completion_tokens=4, created=5, **changes)


def test_completion_is_a_message_with_its_usage() -> None:
    answer = _answer()
    assert answer.completion("Hi.", "") == {
        "id": answer.id,
        "object": "chat.completion",
        "created": 5,
        "model": "fox",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }


@pytest.mark.parametrize(
    ("content", "reasoning", "calls", "expected"),
    [
        ("", "", (), {"content": ""}),
        ("Hi.", "Hm.", (), {"content": "Hi.", "reasoning_content": "Hm."}),
        ("", "", (CALL,), {"content": None, "tool_calls": [CALL]}),
        ("Hi.", "Hm.", (CALL,), {"content": "Hi.", "reasoning_content": "Hm.", "tool_calls": [CALL]}),
    ],
)
def test_message_has_thoughts_and_calls_only_where_there_are_some(
    content: str, reasoning: str, calls: Any, expected: dict[str, Any]
) -> None:
    answer = _answer(tool_calls=calls, finish_reason="tool_calls" if calls else "length")
    (choice,) = answer.completion(content, reasoning)["choices"]
    assert choice["message"] == {"role": "assistant", **expected}
    assert choice["finish_reason"] == ("tool_calls" if calls else "length")


def test_last_chunk_has_calls_reason_and_usage_and_others_have_not() -> None:
    answer = _answer(tool_calls=(CALL,), finish_reason="tool_calls")
    assert answer.chunk({"content": "Hi."}) == {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "fox",
        "choices": [{"index": 0, "delta": {"content": "Hi."}, "finish_reason": None}],
    }
    last = answer.last_chunk()
    assert last["choices"] == [
        {"index": 0, "delta": {"tool_calls": [{"index": 0, **CALL}]}, "finish_reason": "tool_calls"}
    ]
    assert last["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_text_is_a_continuation() -> None:
    answer = _answer(prefix="cmpl", finish_reason="length")
    made = answer.text(" and so on")
    assert (made["object"], made["id"][:5]) == ("text_completion", "cmpl-")
    assert made["choices"] == [{"index": 0, "text": " and so on", "finish_reason": "length"}]


class Source:
    """Gives numbers, and knows how it ended; can be held between two of them."""

    def __init__(self, most: int = 5) -> None:
        self.most = most
        self.cancelled = threading.Event()
        self.ended = threading.Event()
        self.inside = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.stream = Stream(self._numbers(), self.cancelled)

    def _numbers(self) -> Generator[int, None, None]:
        try:
            for number in range(self.most):
                self.inside.set()
                assert self.go_on.wait(WAIT_S)
                if self.cancelled.is_set():
                    return
                yield number
        finally:
            self.ended.set()


def test_stream_gives_all_and_then_nothing() -> None:
    source = Source()
    assert iter(source.stream) is source.stream
    assert list(source.stream) == [0, 1, 2, 3, 4]
    assert list(source.stream) == []
    source.stream.close()


def test_stream_that_is_closed_gives_no_more_and_its_source_ends() -> None:
    source = Source()
    with source.stream as stream:
        assert next(stream) == 0
    assert source.ended.is_set()
    assert source.cancelled.is_set()
    assert list(stream) == []


def test_stream_closed_before_its_first_piece_never_begins() -> None:
    source = Source()
    source.stream.close()
    assert list(source.stream) == []
    assert not source.inside.is_set()


def test_stream_closed_by_another_thread_does_not_wait_for_the_piece_that_is_made() -> None:
    source = Source()
    source.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(list, source.stream)
        assert source.inside.wait(WAIT_S)
        source.stream.close()
        assert not reading.done()
        source.go_on.set()
        assert reading.result(WAIT_S) == []
    assert source.ended.is_set()


def test_stream_of_several_threads_gives_each_piece_to_one() -> None:
    source = Source(2000)
    start = threading.Barrier(8)

    def read() -> list[int]:
        start.wait(WAIT_S)
        return list(source.stream)

    with ThreadPoolExecutor(8) as pool:
        parts = [job.result(WAIT_S) for job in [pool.submit(read) for _ in range(8)]]
    assert sorted(number for part in parts for number in part) == list(range(2000))
    assert all(part == sorted(part) for part in parts)
