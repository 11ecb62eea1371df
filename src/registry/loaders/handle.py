"""What every loaded model is: a thing with a record, a path, a lock and an end."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from registry.errors import ModelClosedError, RegistryError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from registry.loaders.locate import Located
    from registry.records import ModelInfo

M = TypeVar("M", bound="ModelInfo", covariant=True)


class Turn:
    """The time that one call has with a model; a stream that is read has it until its end.

    Attributes:
        thread: Thread that ran the call last. The pieces of a stream may be asked for by several.
        over: True when another call may begin.
    """

    __slots__ = ("over", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.over = False

    def waits_for_caller(self) -> bool:
        """True when this cannot end while the caller waits for it, because the caller itself is to read the rest.

        The same thread is not enough: servers have streams read by a pool, in which each thread soon does other work.
        """
        return self.thread == threading.get_ident() and (self in _TURNS.get() or _runs_event_loop())


def _runs_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # whoever runs a loop has it; importing it takes longer than all of this
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_TURNS: ContextVar[tuple[Turn, ...]] = ContextVar("turns that were begun in this context", default=())


class _Gate:
    """A lock that lets threads through in the order in which they came, so that none waits for ever."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # reentrant: the garbage collector may end a stream in the midst of `pass_on`
        self._busy = False
        self._queue: deque[threading.Lock] = deque()

    def wait(self) -> None:
        mine = threading.Lock()
        mine.acquire()
        with self._lock:
            if not self._busy:
                self._busy = True
                return
            self._queue.append(mine)
        try:
            mine.acquire()
        except BaseException:  # Ctrl-C: leave the queue, or pass on what was given meanwhile
            with self._lock:
                if mine in self._queue:
                    self._queue.remove(mine)
                else:
                    self.pass_on()
            raise

    def pass_on(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._busy = False


@contextmanager
def closing_on_error(resource: Closable) -> Iterator[None]:
    """Close what was opened when a check that follows finds fault with it."""
    try:
        yield
    except BaseException:
        resource.close()
        raise


class Closable(Protocol):
    """What has memory to free."""

    def close(self) -> None:
        """Free it."""
        ...


class Handle(Generic[M]):
    """A loaded model. Calls from several threads queue; use after `close` raises `ModelClosedError`.

    Attributes:
        model: The record it was loaded by.
        path: The GGUF file, or the folder, that it was loaded from.
        origin: Where that was found: `path` (the caller's), `home`, `cache` or `package`.
        load_seconds: Time that loading took.
        footprint_bytes: Memory that the weights take, and for GGUF models their context.
    """

    def __init__(self, model: M, located: Located) -> None:
        self.model = model
        self.path: Path = located.path
        self.origin = located.origin
        self._is_revision = located.is_revision
        self._kept: ExitStack | None = None
        self.load_seconds = 0.0
        self.footprint_bytes = 0
        self._closed = False
        self._gate = _Gate()
        self._now: Turn | None = None

    @property
    def closed(self) -> bool:
        """True after `close()`."""
        return self._closed

    def close(self) -> None:
        """Free the model. Waits for calls in other threads to end; a second call does nothing."""
        if self._closed:
            return
        with self._turn(closing=True):
            if not self._closed:
                self._closed = True
                try:
                    self._free()
                finally:
                    if self._kept is not None:
                        self._kept.close()

    def __enter__(self) -> Self:
        if self._closed:
            raise ModelClosedError(self.model.id)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._now is not None and self._now.waits_for_caller():
            self._end_streams()  # one that is left half read shall neither keep the model nor hide an error
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"from {self.origin}"
        return f"<{type(self).__name__} {self.model.id}: {state}>"

    def keep_until_closed(self, resources: ExitStack) -> None:
        """Hold what shall be let go of when the model is closed."""
        self._kept = resources

    def _free(self) -> None:
        raise NotImplementedError

    def _end_streams(self) -> None:
        """End what this thread was reading."""

    def _refuse_own_turn(self) -> None:
        """Refuse an asynchronous call while the same task has a stream open: the task would wait for itself.

        Raises:
            RegistryError: It has.
        """
        if self._now is not None and self._now in _TURNS.get():
            raise _waits_for_itself("call", self.model.id)

    @contextmanager
    def _turn(self, *, closing: bool = False) -> Iterator[Turn]:
        """Wait for one's turn with the model; calls come in the order in which they were made."""
        now = self._now
        if now is not None and now.waits_for_caller():
            raise _waits_for_itself("close" if closing else "call", self.model.id)
        self._gate.wait()
        turn = Turn()
        try:
            if self._closed and not closing:
                raise ModelClosedError(self.model.id)
            _TURNS.set((*_others(turn), turn))
            self._now = turn
            yield turn
        finally:
            self._now = None
            turn.over = True
            _TURNS.set(_others(turn))
            self._gate.pass_on()


def _waits_for_itself(what: str, model_id: str) -> RegistryError:
    reason = "while this thread reads a stream of it. Finish or close the stream."
    return RegistryError(f"Cannot {what} `{model_id}` {reason}")


def _others(turn: Turn) -> tuple[Turn, ...]:
    """Give the turns of this context that go on, but for one."""
    return tuple(other for other in _TURNS.get() if other is not turn and not other.over)
