"""How far fetching and hashing have come: for programs by a callback, for people by a bar on a terminal."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from registry._extras import require

if TYPE_CHECKING:
    from rich.console import Console

Stage: TypeAlias = Literal["waiting", "hashing", "downloading", "copying", "done"]

_INTERVAL_S = 0.1  # a callback that draws must not slow down what it draws
_MEMORY_S = 5.0  # how far back the speed looks: short pauses do not show, a slower line does


@dataclass(frozen=True)
class Progress:
    """How far one file has come.

    Attributes:
        model_id: The model.
        file: Its name in the repository; empty while another process is waited for.
        stage: `waiting` for another process, `hashing` what is there, `downloading`, `copying`, `done` with the model.
        done_bytes: Bytes of the file so far, those that an earlier call has fetched too.
        total_bytes: Size of the file, where it is known.
        bytes_per_second: Speed of the last seconds; `None` at the beginning.
        eta_s: Time to the end of the file at this speed, in seconds; `None` where it cannot be told.
    """

    model_id: str
    file: str
    stage: Stage
    done_bytes: int = 0
    total_bytes: int | None = None
    bytes_per_second: float | None = None
    eta_s: float | None = None


OnProgress: TypeAlias = Callable[[Progress], None]


class Meter:
    """Makes `Progress` of counts of bytes, some ten times a second, and at the beginning and end of each file."""

    def __init__(self, model_id: str, callback: OnProgress | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to measure.

        Args:
            model_id: The model.
            callback: Called from the thread that counts. What it raises ends the work. `None`: nothing is measured.
            clock: Gives seconds.
        """
        self._model_id = model_id
        self._callback = callback
        self._clock = clock
        self._of: tuple[str, Stage] | None = None
        self._last_s, self._last_bytes = 0.0, 0
        self._speed: float | None = None

    def waiting(self) -> None:
        """Say that another process is waited for."""
        self._tell(Progress(self._model_id, "", "waiting"))

    def done(self) -> None:
        """Say that all files of the model are there."""
        self._tell(Progress(self._model_id, "", "done"))

    def hashing(self, file: str, done_bytes: int, total_bytes: int | None) -> None:
        """Count bytes of a file that is on this machine and read."""
        self._count(file, "hashing", done_bytes, total_bytes)

    def downloading(self, file: str, done_bytes: int, total_bytes: int | None) -> None:
        """Count bytes of a file that comes over the network."""
        self._count(file, "downloading", done_bytes, total_bytes)

    def copying(self, file: str, done_bytes: int, total_bytes: int | None) -> None:
        """Count bytes of a file that is copied on this machine."""
        self._count(file, "copying", done_bytes, total_bytes)

    def _count(self, file: str, stage: Stage, done_bytes: int, total_bytes: int | None) -> None:
        if self._callback is None:
            return
        now = self._clock()
        if self._of != (file, stage) or done_bytes < self._last_bytes:  # fewer: it was begun again from nothing
            self._of, self._speed = (file, stage), None
        elif now - self._last_s < _INTERVAL_S and done_bytes != total_bytes:
            return
        else:
            self._speed = _smoothed(self._speed, done_bytes - self._last_bytes, now - self._last_s)
        self._last_s, self._last_bytes = now, done_bytes
        eta_s = (total_bytes - done_bytes) / self._speed if self._speed and total_bytes is not None else None
        self._tell(Progress(self._model_id, file, stage, done_bytes, total_bytes, self._speed, eta_s))

    def _tell(self, progress: Progress) -> None:
        if self._callback is not None:
            self._callback(progress)


def _smoothed(before: float | None, size_bytes: int, took_s: float) -> float | None:
    """Give the exponential moving average of a speed in bytes per second, weighted by the time that was measured."""
    if took_s <= 0:
        return before
    speed = size_bytes / took_s
    if before is None:
        return speed
    return before + (speed - before) * (1 - math.exp(-took_s / _MEMORY_S))


@contextmanager
def rich_progress(console: Console | None = None) -> Iterator[OnProgress]:
    """Give a callback that draws a bar for each file, with size, speed and time left, on the standard error.

    It draws nothing where that is no terminal, and in CI, where `CI` is set: logs would fill with halves of bars.

    Args:
        console: Where to draw instead.

    Raises:
        MissingExtraError: `rich` is not installed.

    Example:
        >>> from registry.hub import ensure
        >>> with rich_progress() as progress:  # doctest: +SKIP
        ...     ensure("colbert-v2", progress=progress)
    """
    require("rich", extra="cli", purpose="Drawing progress")
    from rich.console import Console

    console = console or Console(stderr=True)
    if not console.is_interactive or os.environ.get("CI", "").lower() not in ("", "0", "false"):
        yield lambda _: None
        return
    with _bars(console) as bars:
        tasks: dict[tuple[str, str], Any] = {}
        yield lambda progress: _draw(bars, tasks, progress)


def _bars(console: Console) -> Any:
    from rich import progress
    from rich.table import Column

    return progress.Progress(
        progress.TextColumn("{task.description}", table_column=Column(no_wrap=True, ratio=1)),
        progress.BarColumn(bar_width=20),
        progress.DownloadColumn(),
        progress.TextColumn("{task.fields[speed]}"),
        progress.TextColumn("{task.fields[left]}"),
        console=console,
        transient=True,
        expand=True,
    )


def _draw(bars: Any, tasks: dict[tuple[str, str], Any], progress: Progress) -> None:
    """Bring the bar of a file up to date; a model's first one replaces the word that it waits, a full one goes."""
    key = (progress.model_id, progress.file)
    if progress.stage == "done":
        for done in [each for each in tasks if each[0] == progress.model_id]:
            bars.remove_task(tasks.pop(done))
        return
    if progress.file and progress.done_bytes == progress.total_bytes:
        if key in tasks:
            bars.remove_task(tasks.pop(key))
        return
    if progress.file and (waiting := tasks.pop((progress.model_id, ""), None)) is not None:
        bars.remove_task(waiting)
    shown = {
        "description": _label(progress),
        "completed": progress.done_bytes,
        "total": progress.total_bytes,
        "speed": "" if progress.bytes_per_second is None else f"{progress.bytes_per_second / 1e6:.1f} MB/s",
        "left": "" if progress.eta_s is None else _clock_time(progress.eta_s),
    }
    if key in tasks:
        bars.update(tasks[key], **shown)
    else:
        tasks[key] = bars.add_task(**shown)


def _label(progress: Progress) -> str:
    """Name what is done to which file; the name of a GGUF file says which model it is."""
    if progress.stage == "waiting":
        return f"{progress.model_id}: waiting for another process"
    name = progress.file if progress.file.endswith(".gguf") else f"{progress.model_id}: {progress.file}"
    return name if progress.stage == "downloading" else f"{progress.stage} {name}"


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
