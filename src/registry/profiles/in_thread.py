"""Work that blocks, done in a thread of its own for those who must not: tasks of an event loop."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing, suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Queue

T = TypeVar("T")


@dataclass(frozen=True)
class _Made(Generic[T]):
    item: T


@dataclass(frozen=True)
class _End:
    error: BaseException | None = None


async def call_in_thread(work: Callable[[], T], cancelled: threading.Event) -> T:
    """Do some work and give what comes of it. A task that is cancelled goes on at once, and sets the event."""

    def make() -> Generator[T, None, None]:
        yield work()

    async with aclosing(iterate_in_thread(make, cancelled)) as items:
        async for item in items:
            return item
    raise AssertionError("unreachable: the work gives one item, or raises")


async def iterate_in_thread(
    make: Callable[[], Generator[T, None, None]], cancelled: threading.Event
) -> AsyncGenerator[T, None]:
    """Run a generator and give what it yields. Whoever closes this one sets the event, and does not wait for it.

    Each has a thread of its own: the few of the event loop's pool would be taken by models that are slow to answer.
    """
    import asyncio  # as long in coming as a small model is in loading

    queue: Queue[_Made[T] | _End] = asyncio.Queue()
    pump = _Pump(make, cancelled, asyncio.get_running_loop(), queue)
    # A daemon: a program can end while a server is waited for that may never answer.
    threading.Thread(target=copy_context().run, args=(pump.run,), name="registry-role", daemon=True).start()
    try:
        while isinstance(received := await queue.get(), _Made):
            yield received.item
        if received.error is not None:
            raise received.error
    finally:
        cancelled.set()


@dataclass(frozen=True)
class _Pump(Generic[T]):
    """Moves what a generator yields from its thread to an event loop."""

    make: Callable[[], Generator[T, None, None]]
    cancelled: threading.Event
    loop: AbstractEventLoop
    queue: Queue[_Made[T] | _End]

    def run(self) -> None:
        end = _End()
        try:
            with closing(self.make()) as items:
                for item in items:
                    self._put(_Made(item))
                    if self.cancelled.is_set():
                        break
        except BaseException as error:  # the task is to have it, whatever it is
            end = _End(error)
        finally:
            self._put(end)

    def _put(self, what: _Made[T] | _End) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits for it
            self.loop.call_soon_threadsafe(self.queue.put_nowait, what)
