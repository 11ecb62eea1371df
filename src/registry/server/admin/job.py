"""One run of provisioning: done in a thread of its own, followed by any number of requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from registry.errors import ModelClosedError

if TYPE_CHECKING:
    from registry.profiles import Outcome, Report
    from registry.profiles.events import Event

NewsKind: TypeAlias = Literal["progress", "outcome"]


class News(NamedTuple):
    """Something that has happened.

    Attributes:
        kind: What: how far a file has come, or what came of a model.
        facts: What is known of it, as JSON has it.
    """

    kind: NewsKind
    facts: dict[str, Any]


class Job:
    """One run of provisioning. Whoever follows it may go: it goes on.

    Args:
        work: Does it, given what to call with events and with outcomes. Called in a thread of its own.
        done: Called at the end, in that thread.

    Attributes:
        error: What the work raised; `None` where it raised nothing, or is not over.
    """

    def __init__(
        self,
        work: Callable[[Callable[[Event], None], Callable[[Outcome], None]], Report],
        done: Callable[[Job], None],
    ) -> None:
        self._work = work
        self._done = done
        self._lock = threading.Lock()
        self._readers: list[_Reader] = []
        self._so_far: dict[_Key, News] = {}  # for who comes later: all outcomes, and how far the files have come
        self._report: Report | None = None
        self.error: Exception | None = None
        self._has_ended = False  # nobody is told more
        # It may take hours, and what was fetched so far is kept: the end of the process does not wait for it.
        self._thread = threading.Thread(target=self._run, name="provisioning", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def let_go(self) -> None:
        """Send away who follows it, and who comes: the server stops. The work goes on until the process ends."""
        with self._lock:
            self._end_news()

    async def report(self) -> Report:
        """Wait for what comes of it.

        Raises:
            ModelClosedError: The server stops, and it is not over.
            Exception: What the work raised.
        """
        async for _ in self.news():
            pass
        if self.error is not None:
            raise self.error
        if self._report is None:
            raise ModelClosedError("the server")
        return self._report

    async def news(self, idle_s: float | None = None) -> AsyncGenerator[News | None]:
        """Give what happens until it is over or the server stops, after how things stand.

        Of a file whose progress was not asked for in time only the latest is given: a slow reader takes no memory.

        Args:
            idle_s: Seconds without any news after which `None` is given; `None`: never.
        """
        reader = _Reader()
        with self._lock:
            for key, news in self._so_far.items():
                reader.put(key, news)
            self._readers.append(reader)
            if self._has_ended:
                reader.end()
        try:
            async for each in reader.read(idle_s):
                yield each
        finally:
            with self._lock:
                self._readers.remove(reader)

    def _run(self) -> None:
        try:
            self._report = self._work(self._hear_event, self._hear_outcome)
        except Exception as error:  # whatever it is, it is told to who waits
            self.error = error
        except BaseException as error:  # such as `sys.exit` of a provider: in who waits, it would end the server
            self.error = RuntimeError(f"a provider ended its thread with {error!r}")
            self.error.__cause__ = error
        self._done(self)
        with self._lock:
            self._end_news()

    def _end_news(self) -> None:
        self._has_ended = True
        for reader in self._readers:
            reader.end()

    def _hear_event(self, event: Event) -> None:
        if event.progress is None:
            return
        found = event.progress
        facts = {
            "role": event.role,
            "provider": event.provider,
            "model": event.model,
            "file": found.file,
            "stage": found.stage,
            "done_bytes": found.done_bytes,
            "total_bytes": found.total_bytes,
            "bytes_per_second": found.bytes_per_second,
            "eta_s": found.eta_s,
        }
        with self._lock:
            self._put(_Key(event.role, event.provider, event.model, found.file), News("progress", facts))

    def _hear_outcome(self, outcome: Outcome) -> None:
        place = (outcome.role, outcome.provider, outcome.model)
        with self._lock:
            self._so_far = {key: news for key, news in self._so_far.items() if key[:3] != place}
            self._put(_Key(*place, None), News("outcome", outcome.to_dict()))

    def _put(self, key: _Key, news: News) -> None:
        """Tell who follows, and note it for who comes later: under one lock, or somebody would hear it twice."""
        self._so_far[key] = news
        for reader in self._readers:
            reader.put(key, news)


class _Key(NamedTuple):
    """What news are of: a file, or without one the outcome of a model. Later news replace earlier ones."""

    role: str
    provider: str
    model: str
    file: str | None


class _Reader:
    """Who follows a job, in an event loop: what is new is put here by the thread of the job."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._has_news = asyncio.Event()
        self._lock = threading.Lock()
        self._pending: dict[_Key, News] = {}
        self._is_over = False

    def put(self, key: _Key, news: News) -> None:
        """Add news, in place of older ones of the same key."""
        with self._lock:
            self._pending.pop(key, None)
            self._pending[key] = news
        self._wake()

    def end(self) -> None:
        """Say that there will be no more."""
        with self._lock:
            self._is_over = True
        self._wake()

    async def read(self, idle_s: float | None) -> AsyncGenerator[News | None]:
        while True:
            try:
                await asyncio.wait_for(self._has_news.wait(), idle_s)
            except TimeoutError:
                yield None
                continue
            self._has_news.clear()
            with self._lock:
                found, self._pending = tuple(self._pending.values()), {}
                is_over = self._is_over
            for each in found:
                yield each
            if is_over:
                return

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody reads any more
            self._loop.call_soon_threadsafe(self._has_news.set)
