"""A desk for each model: requests queue, clients take turns, and one thread does the work with the model."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from registry._places import find_files
from registry.errors import ModelBusyError, ModelClosedError
from registry.loaders.texts import TruncationWarning
from registry.server.v1.calls import Call, Limits, mean_with, whole_wait_s
from registry.server.v1.contract import DeskStatus
from registry.server.v1.fair_queue import FairQueue

if TYPE_CHECKING:
    from registry.adapters.version import AdapterVersion
    from registry.loaders import ModelManager
    from registry.records import ModelInfo
    from registry.server.options import ServerOptions
    from registry.server.v1.calls import Work
    from registry.server.v1.fair_queue import Client

T = TypeVar("T")
_Key: TypeAlias = tuple[str, str | None]  # id of a record, digest of an adapter

_IDLE_S = 60.0  # after which a thread ends: one that is kept has the threads of its libraries ready
_CLOSING_S = 10.0


class Desks:
    """Takes requests to the desks of their models. Its coroutines and calls are for the event loop.

    A model with an adapter on top has a desk of its own, and so has each version of the adapter.

    Args:
        manager: Lends the models; loads those that are missing.
        options: How many may wait, and for how long.
    """

    def __init__(self, manager: ModelManager, options: ServerOptions) -> None:
        self._manager = manager
        self._length = options.queue_length
        self._limits = Limits(options.queue_timeout_s, options.request_timeout_s)
        self._lock = threading.Lock()
        self._desks: dict[_Key, _Desk] = {}
        self._is_closed = False
        # What was cut is said in the answers; the log of a server is the wrong place for it.
        warnings.filterwarnings("ignore", category=TruncationWarning, module=r"registry\.server\.")

    def open(self, record: ModelInfo, work: Work[T], client: Client, adapter: AdapterVersion | None = None) -> Call[T]:
        """Put a request into the queue of a model. Whoever opens a call must cancel it in the end.

        Args:
            record: The model.
            work: What to do with the loaded model. It runs in the thread of the model, which is lent meanwhile.
            client: Who asks.
            adapter: What to load on top of the model.

        Raises:
            ModelBusyError: The queue is full, and this client has no fewer requests in it than others.
            ModelClosedError: The server is being stopped.
        """
        with self._lock:
            if self._is_closed:
                raise ModelClosedError("the server")
            key = (record.id, None if adapter is None else adapter.sha256)
            desk = self._desks.get(key)
            if desk is None:
                self._forget_idle_versions()
                # A copy: the version itself is to be known as unused when the last call that holds it is over.
                copied = None if adapter is None else replace(adapter)
                desk = self._desks[key] = _Desk(record, copied, self._manager, self._length)
        call = Call(record.id, client, work, self._limits, adapter)
        desk.enter(call)
        return call

    async def ask(self, record: ModelInfo, work: Work[T], client: Client, adapter: AdapterVersion | None = None) -> T:
        """Wait for the one piece that the work gives. Otherwise as `open`; a cancelled task stops the work.

        Raises:
            The errors of `open`, of `Call.more` and of the work.
        """
        call = self.open(record, work, client, adapter)
        try:
            (piece,) = await call.more()
            return piece
        finally:
            call.cancel()

    def has(self, record: ModelInfo) -> bool:
        """True when the files of a model are on this machine. A look at the disk."""
        return find_files(record) is not None

    def status(self) -> tuple[DeskStatus, ...]:
        """Give what goes on at the desks that have been used."""
        with self._lock:
            desks = tuple(self._desks.values())
        return tuple(desk.status() for desk in desks)

    async def close(self) -> None:
        """Take no more requests, send away those that wait, stop those that are served, and wait for the threads.

        A thread that loads a model cannot be stopped; it is waited for a few seconds.
        """
        with self._lock:
            self._is_closed = True
            desks = tuple(self._desks.values())
        for desk in desks:
            desk.close()
        ends_at = time.monotonic() + _CLOSING_S
        for desk in desks:
            await asyncio.to_thread(desk.join, ends_at)

    def _forget_idle_versions(self) -> None:
        """Forget desks of adapters whose threads have ended: versions come and go for as long as a server runs."""
        for key, desk in list(self._desks.items()):
            if desk.adapter is not None and desk.has_ended:
                del self._desks[key]


class _Desk:
    """The queue of one model, and the thread that serves it.

    Attributes:
        adapter: What is loaded on top of the model.
    """

    def __init__(self, record: ModelInfo, adapter: AdapterVersion | None, manager: ModelManager, length: int) -> None:
        self.adapter = adapter
        self._record = record
        self._manager = manager
        self._length = length
        self._queue: FairQueue[Call[Any]] = FairQueue()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._now: Call[Any] | None = None
        self._since = 0.0
        self._mean_s: float | None = None
        self._is_closed = False

    def enter(self, call: Call[Any]) -> None:
        """Put a call into the queue; where that is full, someone with more of them gives way, or this one does."""
        call.wait_at(self.leave, self.retry_after_s)
        with self._changed:
            if self._is_closed:
                raise ModelClosedError("the server")
            displaced = None
            if (self._now is not None or self._queue) and len(self._queue) >= self._length:
                displaced = self._queue.displace(call.client)
                if displaced is None:
                    raise self._full()
            self._queue.put(call.client, call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"desk of {self._record.id}", daemon=True)
                self._thread.start()
            self._changed.notify()
            problem = self._full()
        if displaced is not None:
            displaced.end(problem)

    def leave(self, call: Call[Any]) -> None:
        """Take a call out of the queue, if it is in it."""
        with self._changed:
            if not self._queue.remove(call.client, call):
                return
        call.end()

    def retry_after_s(self) -> int:
        """Estimate when all that wait now will have been served, by what the latest took."""
        with self._changed:
            return self._wait_s()

    def status(self) -> DeskStatus:
        """Give what goes on."""
        with self._changed:
            adapter_id = None if self.adapter is None else self.adapter.id
            return DeskStatus(self._record.id, len(self._queue), self._now is not None, self._mean_s, adapter_id)

    @property
    def has_ended(self) -> bool:
        """True when nothing has been asked for so long that the thread has ended."""
        with self._changed:
            return self._thread is None and not self._queue

    def close(self) -> None:
        """Send away who waits, and stop what is being done."""
        with self._changed:
            self._is_closed = True
            waiting = [self._queue.take() for _ in range(len(self._queue))]
            now = self._now
            self._changed.notify()
        for call in waiting:
            call.end(ModelClosedError("the server"))
        if now is not None:
            now.cancel(ModelClosedError("the server"))

    def join(self, ends_at: float) -> None:
        """Wait for the thread, until a time of the monotonic clock."""
        thread = self._thread
        if thread is not None:
            thread.join(max(0.0, ends_at - time.monotonic()))

    def _run(self) -> None:
        while (call := self._next()) is not None:
            error: BaseException | None = None
            try:
                with self._lent() as handle:
                    call.serve(handle)
            except BaseException as raised:  # whatever it is, it is told to who waits for the answer
                error = raised
            with self._changed:
                took_s = time.monotonic() - self._since
                self._mean_s = mean_with(self._mean_s, took_s)
                self._now = None
            call.end(error)
            del call, error  # or the last request would be kept until the next one

    def _lent(self) -> AbstractContextManager[Any]:
        if self.adapter is None:
            return self._manager.use(self._record)
        return self._manager.use(self._record, options=replace(self._manager.options, adapter=self.adapter.path))

    def _next(self) -> Call[Any] | None:
        """Wait for the next call; `None` when the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed, _IDLE_S)
            if not self._queue:
                self._thread = None
                return None
            self._now = self._queue.take()
            self._since = time.monotonic()
            return self._now

    def _full(self) -> ModelBusyError:
        waiting = len(self._queue)
        reason = f"{waiting} request{' is' if waiting == 1 else 's are'} waiting for it already."
        return ModelBusyError(self._record.id, reason if waiting else "it answers another request.", self._wait_s())

    def _wait_s(self) -> int:
        running_s = time.monotonic() - self._since if self._now is not None else 0.0
        each_s = max(self._mean_s or 0.0, running_s if self._mean_s is None else 0.0)
        return whole_wait_s(each_s * (len(self._queue) + 1))
