"""Where the work of a request is done: in the event loop what is quick, in a thread what would keep others waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

T = TypeVar("T")

_QUICK_S = 0.003  # handing work to a thread and back costs a tenth of this, and more where many do so


class QuickOrNot:
    """Runs work of a kind where the last work of that kind says that it should be.

    A small store answers in less time than a change of threads takes; a search through a million models does not.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    async def run(self, kind: str, work: Callable[[], T]) -> T:
        """Do the work, and give what it gives."""
        if self._seconds.get(kind, _QUICK_S) < _QUICK_S:
            return self._timed(kind, work)
        return await run_in_threadpool(self._timed, kind, work)

    def _timed(self, kind: str, work: Callable[[], T]) -> T:
        started = time.thread_time()  # of this thread alone: waiting for others makes no work slow
        try:
            return work()
        finally:
            self._seconds[kind] = time.thread_time() - started
