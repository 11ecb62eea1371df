"""Providers that do what a test tells them, and registries whose roles are served by them."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from registry.profiles import Availability, Ensured, Providers, Target

Act = Callable[["Fake", Target], Any]


def chunk(content: str | None = None, *, end: str | None = None, **more: Any) -> Any:
    """A chunk of an answer; without content, the one that has nothing but the role."""
    delta = {"role": "assistant", "content": ""} if content is None and end is None else {}
    if content is not None:
        delta["content"] = content
    choice = {"index": 0, "delta": {**delta, **more}, "finish_reason": end}
    made = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice]}
    return made | ({"usage": USAGE} if end else {})


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def completion(content: str) -> Any:
    """A whole answer."""
    message = {"role": "assistant", "content": content}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": choices,
        "usage": USAGE,
    }


class Fake:
    """A provider. `fault` is raised by every call, `chunks` are given; both can be changed at any time.

    Attributes:
        calls: Models that it was asked for, in order.
        seen: Parameters of these calls.
        dimensions: Size of its vectors.
        open_streams: Streams that were begun and are not closed.
        closed: How often it was closed.
        ensured: Models that it was to have ready.
        gate: Waited for in each call.
    """

    def __init__(self, name: str, fault: Exception | None = None, chunks: Sequence[Any] | None = None) -> None:
        self.name = name
        self.fault = fault
        self.chunks = chunks if chunks is not None else [chunk(), chunk("Hel"), chunk("lo"), chunk(end="stop")]
        self.calls: list[str] = []
        self.seen: list[Any] = []
        self.dimensions = 4
        self.open_streams = 0
        self.closed = 0
        self.ensured: list[str] = []
        self.gate: threading.Event | None = None

    def available(self) -> Availability:
        return Availability()

    def has(self, _: Target) -> bool:
        return False

    def ensure(self, model: Target, **_: Any) -> Ensured:
        self.ensured.append(model.name)
        if self.fault is not None:
            raise self.fault
        return Ensured("pulled", 7)

    def chat(self, model: Target, _: Any, parameters: Any) -> Any:
        self._asked(model, parameters)
        return completion(f"{self.name} answers")

    def stream(self, model: Target, _: Any, parameters: Any) -> Generator[Any, None, None]:
        self._asked(model, parameters)
        self.open_streams += 1
        try:
            for each in self.chunks:
                if isinstance(each, Exception):
                    raise each
                if callable(each):
                    each()
                else:
                    yield each
        finally:
            self.open_streams -= 1

    def embed(self, model: Target, texts: Sequence[str], parameters: Any, **_: Any) -> Any:
        import numpy as np

        self._asked(model, parameters)
        return np.ones((len(texts), self.dimensions), np.float32)

    def close(self) -> None:
        self.closed += 1

    def _asked(self, model: Target, parameters: Any) -> None:
        self.calls.append(model.name)
        self.seen.append(dict(parameters))
        if self.gate is not None:
            assert self.gate.wait(30)
        if self.fault is not None:
            raise self.fault


def providers(*fakes: Fake) -> Providers:
    """Providers of these alone, beside those of this package, which no test of these names."""
    return Providers(providers={fake.name: cast("Any", fake) for fake in fakes})


@contextmanager
def held(fake: Fake) -> Iterator[threading.Event]:
    """Have a provider wait in each call until the block is left or the event is set."""
    fake.gate = threading.Event()
    try:
        yield fake.gate
    finally:
        fake.gate.set()
        fake.gate = None
