"""One request on its way: made in the event loop, answered piece by piece in the thread of its model."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from starlette.exceptions import HTTPException

from registry.errors import ModelBusyError
from registry.server.failures import Failure

if TYPE_CHECKING:
    from registry.adapters import AdapterVersion
    from registry.server.v1.fair_queue import Client

T = TypeVar("T")

_NEWEST = 0.3  # weight of the newest duration in their mean
_LONGEST_RETRY_S = 600


class Working(Protocol):
    """What work may know of the request that it is done for."""

    @property
    def is_cancelled(self) -> bool:
        """True once nobody waits for the answer: work that comes in parts shall begin no other."""
        ...

    def stop_with(self, stop: Callable[[], None]) -> None:
        """Say how the work is stopped from another thread while it makes the next piece."""


Work: TypeAlias = Callable[[Any, Working], Generator[T, None, None]]
"""What is done with a loaded model; it gives the pieces of the answer."""


@dataclass(frozen=True)
class Limits:
    """How long a request may take.

    Attributes:
        queue_s: Until its model is lent, in seconds.
        request_s: Altogether, in seconds.
    """

    queue_s: float
    request_s: float


def mean_with(mean_s: float | None, took_s: float) -> float:
    """Give the mean duration of requests with one more; the newest counts most."""
    return took_s if mean_s is None else mean_s + _NEWEST * (took_s - mean_s)


def whole_wait_s(wait_s: float) -> int:
    """Give an estimated wait as `Retry-After` has it: whole seconds, at least one and at most ten minutes."""
    return min(max(math.ceil(wait_s), 1), _LONGEST_RETRY_S)


def too_late(model_id: str, limit_s: float, retry_after_s: int | None) -> Exception:
    """Make the error of a request whose time is over.

    Args:
        model_id: The model.
        limit_s: The time that it had.
        retry_after_s: When to try again, for one that waited in vain; `None` for one that was begun.
    """
    if retry_after_s is not None:
        return ModelBusyError(model_id, f"it was not ready within {limit_s:g} s.", retry_after_s)
    message = f"`{model_id}` was not done with the request after {limit_s:g} s."
    failure = Failure(504, "timeout", message, "Ask for less at once, such as a smaller `max_tokens`.")
    return HTTPException(504, detail=failure)  # type: ignore[arg-type] # what the app's handlers take


class Call(Generic[T]):
    """One request for a model. What the loop may do: `more` and `cancel`; all else is for the thread of the model.

    Attributes:
        model_id: The model.
        client: Who asks.
        adapter: What it is answered with, kept from being taken away until the call is over.
    """

    def __init__(
        self, model_id: str, client: Client, work: Work[T], limits: Limits, adapter: AdapterVersion | None = None
    ) -> None:
        self.model_id = model_id
        self.client = client
        self.adapter = adapter
        self._work = work
        self._limits = limits
        self._asked_at = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._lock = threading.Lock()
        self._pieces: list[T] = []
        self._error: BaseException | None = None
        self._is_lent = self._is_over = self._is_cancelled = False
        self._stop: Callable[[], None] | None = None
        self._leave: Callable[[Call[T]], None] | None = None
        self._retry_after_s: Callable[[], int] = lambda: 1

    # In the event loop

    async def more(self) -> list[T]:
        """Wait for pieces, and give all that were made since last time; none when the answer is at its end.

        Raises:
            ModelBusyError: The model was not lent in time, or the request had to give way to others.
            HTTPException: The request took too long (504).
            Exception: What the work raised, once all pieces before it were given.
        """
        while True:
            with self._lock:
                pieces, self._pieces = self._pieces, []
                is_over = self._is_over
                self._ready.clear()
            if pieces:
                return pieces
            if is_over:
                if self._error is not None:
                    raise self._error
                return []
            await self._wait()

    async def _wait(self) -> None:
        """Wait until something has changed, but not for longer than a request may take."""
        is_lent = self._is_lent
        limit_s = self._limits.request_s if is_lent else min(self._limits.queue_s, self._limits.request_s)
        try:
            async with asyncio.timeout(self._asked_at + limit_s - time.monotonic()):
                await self._ready.wait()
        except TimeoutError:
            if is_lent == self._is_lent:  # else it was lent just now, and another limit holds
                raise self._too_late(limit_s) from None

    def _too_late(self, limit_s: float) -> Exception:
        retry_after_s = None if self._is_lent else self._retry_after_s()
        return too_late(self.model_id, limit_s, retry_after_s)

    def cancel(self, error: Exception | None = None) -> None:
        """Leave the queue, or stop the work, at the next token where text is made. Nothing happens to what is over.

        Args:
            error: What to tell who waits for the answer all the same.
        """
        with self._lock:
            if self._is_over:
                return
            self._is_cancelled, self._error = True, error
            stop = self._stop
        if self._leave is not None:
            self._leave(self)
        if stop is not None:
            stop()

    # At the desk of the model

    def wait_at(self, leave: Callable[[Call[T]], None], retry_after_s: Callable[[], int]) -> None:
        """Say how to leave the queue, and who knows when to try again."""
        self._leave, self._retry_after_s = leave, retry_after_s

    @property
    def is_cancelled(self) -> bool:
        """True once nobody waits for the answer: work that comes in parts shall begin no other."""
        return self._is_cancelled

    def serve(self, handle: Any) -> None:
        """Do the work with the model, unless nobody waits for it any more."""
        self._is_lent = True
        if self._is_cancelled:
            return
        self._tell()  # another limit of time holds from here on
        with closing(self._work(handle, self)) as pieces:
            for piece in pieces:
                with self._lock:
                    if self._is_cancelled:
                        return
                    self._pieces.append(piece)
                    is_first = len(self._pieces) == 1
                if is_first:
                    self._tell()

    def stop_with(self, stop: Callable[[], None]) -> None:
        """Say how the work is stopped from another thread while it makes the next piece."""
        with self._lock:
            self._stop = stop
            is_late = self._is_cancelled
        if is_late:
            stop()

    def end(self, error: BaseException | None = None) -> None:
        """Say that no piece follows."""
        with self._lock:
            self._is_over, self._error = True, self._error or error
            self._stop = None
        self._tell()

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the loop is closed, so nobody waits
            self._is_cancelled = True
