"""One of many: of those who want the same done at the same time, one does it, and all have what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Event, Lock
from typing import Generic, TypeVar

T = TypeVar("T")
N = TypeVar("N")

_OF_NOBODY = object()


class Flights(Generic[T, N]):
    """Work that is under way, by what it is for. Any number of threads may use it at the same time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: dict[Hashable, _Flight[T, N]] = {}

    def share(
        self,
        key: Hashable,
        work: Callable[[Callable[[N], None]], T],
        listener: Callable[[N], None] | None = None,
        *,
        anew: bool = False,
    ) -> T:
        """Do some work, or wait for who does it already.

        Where the thread that does it is interrupted, as by Ctrl-C, one of those that wait begins it again.

        Args:
            key: What the work is for.
            work: Does it in the calling thread. It is given what to call with its news, and raises no `Exception`:
                what went wrong is part of what comes of it.
            listener: Called with the news, in the thread that works. Raises nothing.
            anew: True where work that was begun without this does not do.

        Returns:
            What came of the work, the same object for all.
        """
        while True:
            with self._lock:
                flight = self._running.get(key)
                if flight is None:
                    flight = self._running[key] = _Flight(anew=anew)
                    flight.join(listener)
                    break
            is_mine = flight.anew or not anew
            seat = flight.join(listener if is_mine else None)
            try:
                flight.is_over.wait()
            finally:
                flight.leave(seat)
            if is_mine and flight.result is not _OF_NOBODY:
                return flight.result  # type: ignore[return-value] # what the work gave, as it is not the mark
        try:
            flight.result = work(flight.tell)
            return flight.result
        finally:
            with self._lock:
                del self._running[key]
            flight.is_over.set()


class _Flight(Generic[T, N]):
    """Work that is under way."""

    def __init__(self, *, anew: bool) -> None:
        self.anew = anew
        self.result: T | object = _OF_NOBODY
        self.is_over = Event()
        self._lock = Lock()
        self._listeners: dict[object, Callable[[N], None]] = {}

    def join(self, listener: Callable[[N], None] | None) -> object:
        """Take a seat: the same listener may have several."""
        seat = object()
        if listener is not None:
            with self._lock:
                self._listeners[seat] = listener
        return seat

    def leave(self, seat: object) -> None:
        with self._lock:
            self._listeners.pop(seat, None)

    def tell(self, news: N) -> None:
        with self._lock:
            listeners = tuple(self._listeners.values())
        for listener in listeners:
            listener(news)
