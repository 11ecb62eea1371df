"""Waiting for other threads, for no longer than a test may take: a test of deadlocks must not be one."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

WAIT_S = 30


def within(call: Callable[[], Any], seconds: float = WAIT_S) -> Any:
    """Call in a thread, and fail where it does not return."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result(seconds)


def until(condition: Callable[[], bool], seconds: float = WAIT_S) -> None:
    """Wait until something holds that another thread brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"does not hold after {seconds} s"
        time.sleep(0.001)
