"""Locks between processes: one at a time changes a model, and nobody takes away what another has loaded.

The operating system lets go of a lock when its process ends, however it ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import ModuleType

from registry._extras import require

WORK_FOLDER = ".downloading"
_MARKERS = ".in-use"


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock while the block runs. Waits for it as long as it takes.

    Args:
        path: File of the lock. It is made, and left there: to delete it would let two hold one lock.
        waiting: Called once where somebody else holds it.

    Raises:
        OSError: The folder cannot be written.
    """
    filelock = _filelock()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if waiting is not None:
            waiting()
        lock.acquire(poll_interval=0.02)
    try:
        yield
    finally:
        lock.release()


def lock_of(folder: Path, key: str) -> Path:
    """Give the file of the lock that whoever fetches, takes in or removes a model holds."""
    return folder / WORK_FOLDER / f"{key}.lock"


@contextmanager
def in_use(folder: Path, key: str) -> Iterator[None]:
    """Mark a model as in use by this process while the block runs. Where nothing can be written, nothing is marked."""
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(_marker(folder, key))
        yield


@contextmanager
def _marker(folder: Path, key: str) -> Iterator[None]:
    # Not the number of the process: two containers that share a folder may both be number 1.
    marker, owner = folder / _MARKERS / f"{_flat(key)}--{os.urandom(12).hex()}", os.getpid()
    marker.parent.mkdir(parents=True, exist_ok=True)
    lock = _filelock().FileLock(marker, thread_local=False)  # models are closed by any thread
    # Between making the file and locking it somebody might take it for one that was left behind.
    with locked(folder / _MARKERS / "lock"):
        lock.acquire()
    try:
        yield
    finally:
        if os.getpid() == owner:  # the end of a forked child ends this block too, and the parent still needs the mark
            with suppress(OSError):
                marker.unlink()
            lock.release()


def used_keys(folder: Path) -> set[str]:
    """Give the names of the models that a living process has marked; the marks of dead ones are taken away."""
    found: set[str] = set()
    markers = list((folder / _MARKERS).glob("*--*"))
    if not markers:
        return found
    filelock = _filelock()
    with locked(folder / _MARKERS / "lock"):
        for marker in markers:
            lock = filelock.FileLock(marker)
            try:
                if marker.exists():
                    lock.acquire(timeout=0)
            except filelock.Timeout:
                found.add(_unflat(marker.name.rpartition("--")[0]))
            else:
                with suppress(OSError):
                    marker.unlink()
                lock.release()
    return found


def _flat(key: str) -> str:
    return key.replace("%", "%25").replace("/", "%2F")


def _unflat(name: str) -> str:
    return name.replace("%2F", "/").replace("%25", "%")


def _filelock() -> ModuleType:
    return require("filelock", extra="hub", purpose="Keeping models")


def free_locks(stack: ExitStack, folder: Path, keys: Iterable[str]) -> set[str]:
    """Take the locks of models, until the stack unwinds, without waiting; give the names of those that were free."""
    filelock = _filelock()
    free = set()
    for key in keys:
        path = lock_of(folder, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(filelock.Timeout):
            stack.enter_context(filelock.FileLock(path).acquire(timeout=0))
            free.add(key)
    return free
