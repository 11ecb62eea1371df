"""What a test scripts of the server in `ollama_server`: what models say, and what goes wrong; and what was asked."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fault:
    """What is done instead of a right answer. Times are in seconds; `math.inf` waits until the client goes away.

    Attributes:
        status: Answer with this status and an error.
        error: Text of that error, or of the one that `error_after` sends.
        body: Body of an answer with a status, in place of an error as Ollama writes it.
        headers: Sent with any answer.
        before_headers_s: Wait before anything is sent.
        before_first_s: Wait between the headers and the first line.
        between_s: Wait between two lines.
        between_bytes_s: Send the body byte by byte, and wait between two.
        packet_bytes: Send the body in pieces of so many bytes, which need not end where a line does.
        error_after: Send an error after so many lines, and end the answer.
        cut_after: Close the connection after so many lines.
        end_after: End the answer properly after so many lines.
        raw_after: Lines after which `raw` is sent.
        raw: Sent as it stands, in place of the line that would come.
        hang_up: Close the connection without an answer.
        reset: Close connections with a reset.
    """

    status: int | None = None
    error: str = "something went wrong"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    before_headers_s: float = 0.0
    before_first_s: float = 0.0
    between_s: float = 0.0
    between_bytes_s: float = 0.0
    packet_bytes: int | None = None
    error_after: int | None = None
    cut_after: int | None = None
    end_after: int | None = None
    raw_after: int | None = None
    raw: bytes = b""
    hang_up: bool = False
    reset: bool = False


@dataclass
class Request:
    """One request that was made.

    Attributes:
        method: HTTP method.
        path: Path.
        headers: Names in lower case.
        body: What was sent, read as JSON; `None` where nothing was.
        client: Address of the client: one for each connection.
        lines: Lines that were sent in answer.
        left: Set when the client has gone away before the answer was complete.
        done: Set when the answer was sent to its end.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    client: tuple[str, int] = ("", 0)
    lines: int = 0
    left: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


@dataclass
class Model:
    """What a model says.

    Attributes:
        pieces: Its answer, a line each.
        thinking: What it thinks before, a line each, where a request does not forbid it.
        tool_calls: Calls that it makes where a request has tools: name and arguments.
        done_reason: Why it ends.
        dimensions: Size of its vectors.
        layers: Sizes of the files that a pull fetches, in bytes.
        prompt_tokens: Tokens that it says the prompt has.
    """

    pieces: Sequence[str] = ("Hello", " there", "!")
    thinking: Sequence[str] = ()
    tool_calls: Sequence[tuple[str, Mapping[str, Any]]] = ()
    done_reason: str = "stop"
    dimensions: int = 8
    layers: Sequence[int] = (4_000_000, 1_500)
    prompt_tokens: int = 7
