"""Answers in pieces: put together, and ended from any thread."""

import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
from waiting import until

from registry.profiles.chunks import Chunks, is_empty, joined


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> Any:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "m",
        "choices": [choice],
        **more,
    }


@pytest.mark.parametrize(
    ("made", "empty"),
    [
        (chunk({"role": "assistant", "content": ""}), True),
        (chunk({}), True),
        (chunk({"content": "a"}), False),
        (chunk({"reasoning_content": "a"}), False),
        (chunk({"tool_calls": [{"index": 0}]}), False),
        (chunk({}, "stop"), False),
        (chunk({}, usage={"prompt_tokens": 1}), False),
    ],
)
def test_chunk_is_empty_where_it_tells_nothing_of_the_answer(made: Any, empty: bool) -> None:
    assert is_empty(made) is empty


def test_joined_puts_text_thoughts_and_calls_together() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    first = {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}
    whole = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    chunks = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "I "}),
        chunk({"reasoning_content": "think."}),
        chunk({"content": "Let "}),
        chunk({"content": "me."}),
        chunk({"tool_calls": [first]}),
        chunk({"tool_calls": [{"index": 1, "function": {"arguments": '{"x": '}}, whole]}),
        chunk({"tool_calls": [{"index": 1, "function": {"arguments": "1}"}}]}),
        chunk({}, "tool_calls", usage=usage),
    ]

    assert joined(iter(chunks)) == {
        "id": "c",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Let me.",
                    "reasoning_content": "I think.",
                    "tool_calls": [
                        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                        {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"x": 1}'}},
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": usage,
    }


@pytest.fixture
def made() -> tuple[Chunks, list[str], Callable[[], None]]:
    """An answer that waits for its second piece until it is stopped; and what has happened to it."""
    happened: list[str] = []
    stopped = threading.Event()

    def pieces() -> Generator[Any, None, None]:
        try:
            yield chunk({"content": "a"})
            happened.append("waits")
            stopped.wait(30)
        finally:
            happened.append("closed")

    def stop() -> None:
        happened.append("stopped")
        stopped.set()

    return Chunks(pieces(), stop), happened, stopped.set


def test_close_in_the_reading_thread_closes_at_once(made: Any) -> None:
    chunks, happened, _ = made
    next(chunks)

    chunks.close()

    assert happened == ["stopped", "closed"]
    assert list(chunks) == []


def test_close_in_another_thread_ends_the_waiting(made: Any) -> None:
    chunks, happened, _ = made
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.append(len(list(chunks))), daemon=True)
    reader.start()
    until(lambda: "waits" in happened)

    chunks.close()

    reader.join(10)
    assert (found, happened) == ([1], ["waits", "stopped", "closed"])


def test_throw_raises_where_the_next_piece_would_be_made(made: Any) -> None:
    chunks, happened, _ = made
    next(chunks)

    with pytest.raises(ValueError, match=r"^enough$"):
        chunks.throw(ValueError("enough"))
    assert happened == ["closed"]
