"""Trying again: only after faults that may pass, a few times, and not before the server wants to be asked again."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from registry._extras import require
from registry.errors import DownloadError

_T = TypeVar("_T")

ATTEMPTS = 3
_FIRST_WAIT_S, _LONGEST_WAIT_S, _JITTER_S = 0.5, 8.0, 1.0
# The hub counts requests in windows of five minutes: whoever is told to wait longer than one is told so instead.
LONGEST_RETRY_AFTER_S = 300.0
# An attempt that brings this much is no failure: a line that is cut again and again gets to the end all the same.
PROGRESS_BYTES = 1024 * 1024
_NOWHERE = logging.NullHandler()


class PassingFaultError(DownloadError):
    """A fault that may pass: a cut connection, a timeout, a server that is busy. Callers see it after the last attempt.

    Attributes:
        retry_after_s: When the server wants to be asked again, in seconds from now, where it says so.
    """

    def __init__(
        self,
        model_id: str,
        reason: str,
        remedy: str,
        url: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(model_id, reason, remedy, url, status)
        self.args = (model_id, reason, remedy, url, status, retry_after_s)
        self.retry_after_s = retry_after_s


def persist(work: Callable[[], _T], position: Callable[[], int] = lambda: 0, *, attempts: int = ATTEMPTS) -> _T:
    """Do a piece of work, and again while it fails with a `PassingFaultError`, three times at most.

    Between two attempts there is a wait that doubles, from half a second to 8, with up to a second of chance in it; or
    the wait that the server asks for, up to five minutes. One that asks for more is not asked again.

    Args:
        work: Done again from its beginning.
        position: How far the work has come, in bytes. An attempt that gets 1 MiB beyond the farthest point so far
            starts the count again. Where each attempt begins from nothing, that point does not move, and they end.
        attempts: How often at most, where that is not three times.

    Raises:
        MissingExtraError: `stamina` is not installed.
        DownloadError: The work's own, of the last attempt.
    """
    stamina = require("stamina", extra="hub", purpose="Fetching models")
    # stamina logs each wait. Programs that set up logging see it; others would get a bare name on the standard error.
    logging.getLogger("stamina").addHandler(_NOWHERE)
    waits = {"wait_initial": _FIRST_WAIT_S, "wait_max": _LONGEST_WAIT_S, "wait_jitter": _JITTER_S}
    # The attempts are counted here, not by stamina, which knows nothing of progress.
    for attempt in stamina.retry_context(on=_Patience(position, attempts), attempts=None, timeout=None, **waits):
        with attempt:
            return work()
    raise AssertionError("unreachable: stamina lets the last error through")


class _Patience:
    """Says of an error whether to try again: stamina's hook. A number is how long to wait, in seconds."""

    def __init__(self, position: Callable[[], int], attempts: int = ATTEMPTS) -> None:
        self._position = position
        self._attempts = attempts
        self._farthest = position()
        self._fruitless = 0

    def __call__(self, error: Exception) -> bool | float:
        if not isinstance(error, PassingFaultError):
            return False
        self._fruitless += 1
        if (position := self._position()) >= self._farthest + PROGRESS_BYTES:
            self._farthest, self._fruitless = position, 1
        wait_s = error.retry_after_s
        if self._fruitless >= self._attempts or (wait_s is not None and wait_s > LONGEST_RETRY_AFTER_S):
            return False
        return True if wait_s is None else wait_s


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read when a server wants to be asked again, in seconds from now.

    `Retry-After` is a number of seconds or a date; the hub says the same in `RateLimit`, as `"api";r=0;t=55`.

    Returns:
        At least 0; `None` where nothing is said, or nothing that can be read.
    """
    stated = (headers.get("Retry-After") or "").strip()
    if stated.isdecimal():
        return float(stated)
    if stated:
        return _until(stated, now or datetime.now(UTC))
    exhausted = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("RateLimit") or "")
    return float(exhausted[1]) if exhausted else None


def _until(date: str, now: datetime) -> float | None:
    try:
        when = parsedate_to_datetime(date)
    except ValueError:
        return None
    if when.tzinfo is None:  # `-0000`: the zone is not known, and the only one that HTTP has is UTC
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())
