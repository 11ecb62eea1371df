"""Where workers meet to move together: what they need of such a place, and one made of files that they share."""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from registry._extras import require
from registry._home import home
from registry.adapters.decision import Ballot, Decision, Refusal, ballot_from, decision_from, next_decision, refused_in
from registry.adapters.manifest import is_address, place_of
from registry.hub.locks import locked

STALE_S = 10.0


class Rendezvous(Protocol):
    """Where the workers of one manifest meet. Two phases: all say what they have prepared, then one decision is made.

    Whoever makes an implementation keeps to `next_decision`, counts living workers only, and keeps what was decided
    where it outlives them.
    """

    def decided(self) -> Decision:
        """Give what is decided. Called at the beginning of every request, by any thread: it must cost next to nothing.

        Once it has given a decision to one worker, it gives no earlier one to any other; where that cannot be, for
        want of shared memory or disk, the difference must be short.
        """
        ...

    def meet(self, ballot: Ballot | None) -> Decision:
        """Say that this worker lives, and what it has prepared, and decide if all others have done so too.

        Called again and again, by one thread; a worker that has not called for a while counts no more.

        Args:
            ballot: `None` while this worker is not done with its first manifest.

        Returns:
            What is decided now.

        Raises:
            OSError: The others cannot be reached.
        """
        ...

    def refused(self) -> tuple[Refusal, ...]:
        """Give what the other workers refused when this one met them last, each version once."""
        ...

    def leave(self) -> None:
        """Count no more."""
        ...


class FileRendezvous:
    """A rendezvous of processes that share a folder.

    A worker that is killed counts no more at once, as the system lets go of its lock; one that hangs, after a while.
    What is decided is one file, which is replaced whole: a request that begins after that sees the new one, in whatever
    process. Its price is one look at the times of that file for each request.

    Args:
        folder: Of these workers alone; made if it is not there.
        stale_s: Silence after which a worker counts no more. One that goes on after all moves with its next request.
    """

    def __init__(self, folder: Path, *, stale_s: float = STALE_S) -> None:
        self._folder = folder
        self._file = folder / "decision.json"
        self._stale_s = stale_s
        self._own = folder / "members" / f"{uuid.uuid4().hex}.json"
        self._lock: Any = None  # held for as long as this worker counts
        self._told: str | None = None
        self._seen: tuple[tuple[int, ...], Decision] = ((), Decision())
        self._refused: tuple[Refusal, ...] = ()
        self._heard: dict[str, tuple[int, float]] = {}  # what others said last, and when that was seen here

    def decided(self) -> Decision:
        """Give what is decided. What cannot be read changes nothing."""
        signature, known = self._seen
        try:
            found = self._file.stat()
            now = (found.st_ino, found.st_mtime_ns, found.st_size)
            if now != signature:
                known = decision_from(json.loads(self._file.read_bytes()))
                self._seen = (now, known)
        except (OSError, ValueError, TypeError, KeyError):
            return known
        return known

    def meet(self, ballot: Ballot | None) -> Decision:
        """Say that this worker lives, and what it has prepared, and decide if all others have done so too.

        Raises:
            OSError: The folder cannot be written.
        """
        self._tell(ballot)
        if self._following(ballot) is not None:
            # Held by who decides, and not by who only looks: a worker that is stopped meanwhile holds up all.
            with locked(self._folder / "lock"):
                if (following := self._following(ballot)) is not None:
                    _replace(self._file, asdict(following), sync=True)
        return self.decided()

    def refused(self) -> tuple[Refusal, ...]:
        """Give what the other workers refused when this one met them last, each version once."""
        return self._refused

    def leave(self) -> None:
        """Count no more."""
        with suppress(OSError):
            self._own.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.release()
            with suppress(OSError):
                _lock_file(self._own).unlink(missing_ok=True)
        self._lock = self._told = None

    def _tell(self, ballot: Ballot | None) -> None:
        told = json.dumps({"ballot": None if ballot is None else asdict(ballot)})
        if told == self._told:
            with suppress(FileNotFoundError):
                os.utime(self._own)
                return
        if self._lock is None:  # before there is anything to be seen of this worker
            self._own.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _file_lock(self._own)
            self._lock.acquire()
        _replace(self._own, json.loads(told))
        self._told = told

    def _following(self, ballot: Ballot | None) -> Decision | None:
        """Give what is to be decided now, if anything is; or what was decided, where its file is gone."""
        current = self.decided()
        others = self._ballots_of_others()
        self._refused = refused_in(others)
        following = next_decision(current, [ballot, *others])
        is_gone = current.number > 0 and not self._file.exists()
        return current if following is None and is_gone else following

    def _ballots_of_others(self) -> list[Ballot | None]:
        before, self._heard, found = self._heard, {}, list[Ballot | None]()
        for file in sorted(self._own.parent.glob("*.json")):
            with suppress(OSError):
                if file != self._own and _is_alive(file) and self._is_heard(file, before.get(file.name)):
                    found.append(_read_ballot(file))
        return found

    def _is_heard(self, file: Path, before: tuple[int, float] | None) -> bool:
        """True unless a worker has been silent for long, by our own clock: those of other machines may differ."""
        said, now = file.stat().st_mtime_ns, time.monotonic()
        heard = self._heard[file.name] = before if before is not None and before[0] == said else (said, now)
        return now - heard[1] <= self._stale_s


def file_rendezvous(source: str) -> FileRendezvous:
    """Give the rendezvous of the processes of this machine that share a home folder and watch one manifest.

    However they write its path: a link to it stays what it is, as it may lead elsewhere tomorrow.
    """
    place = place_of(source)
    same = place if is_address(place) else os.path.abspath(Path(place).expanduser())  # noqa: PTH100 - ends `..` too
    return FileRendezvous(home() / "adapters" / f"manifest-{sha256(same.encode()).hexdigest()[:16]}")


def _read_ballot(file: Path) -> Ballot | None:
    try:
        stated = json.loads(file.read_bytes())["ballot"]
        return None if stated is None else ballot_from(stated)
    except (OSError, ValueError, TypeError, KeyError):
        return None  # it is about to say something, and not done


def _is_alive(file: Path) -> bool:
    """True when a process holds the lock of a worker; what a dead one has left is taken away."""
    lock = _file_lock(file)
    try:
        lock.acquire(timeout=0)
    except TimeoutError:
        return True
    file.unlink(missing_ok=True)
    _lock_file(file).unlink(missing_ok=True)
    lock.release()
    return False


def _file_lock(file: Path) -> Any:
    filelock = require("filelock", extra="hub", purpose="Serving adapters")
    return filelock.FileLock(_lock_file(file), thread_local=False)  # one thread joins, and another leaves


def _lock_file(file: Path) -> Path:
    return file.with_suffix(".lock")


def _replace(file: Path, value: dict[str, Any], *, sync: bool = False) -> None:
    """Write a file whole: who reads it meanwhile sees the old one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{os.getpid()}")
    with new.open("w", encoding="utf-8") as opened:
        json.dump(value, opened)
        opened.flush()
        if sync:
            os.fsync(opened.fileno())
    new.replace(file)
