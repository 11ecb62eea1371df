"""Where workers meet to move together: what they need of such a place, and one made of files that they share."""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import ExitStack, suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from registry._home import home
from registry.adapters.decision import Ballot, Decision, ballot_from, decision_from, next_decision
from registry.hub.locks import in_use, locked, used_keys

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
        self._member = uuid.uuid4().hex
        self._own = folder / "members" / f"{self._member}.json"
        self._marked = ExitStack()
        self._told: str | None = None
        self._seen: tuple[tuple[int, ...], Decision] = ((), Decision())

    @property
    def folder(self) -> Path:
        """The folder."""
        return self._folder

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
        with locked(self._folder / "lock"):
            self._tell(ballot)
            current = self.decided()
            following = next_decision(current, [ballot, *self._ballots_of_others()])
            if following is not None or (current.number and not self._file.exists()):
                _replace(self._file, asdict(following or current), self._member, sync=True)
        return self.decided()

    def leave(self) -> None:
        """Count no more."""
        with suppress(OSError):
            self._own.unlink(missing_ok=True)
        self._marked.close()
        self._told = None

    def members(self) -> int:
        """Count the workers that live and are not silent, this one too if it has met the others."""
        return len(self._living())

    def _tell(self, ballot: Ballot | None) -> None:
        told = json.dumps({"ballot": None if ballot is None else asdict(ballot)})
        if told == self._told:
            with suppress(FileNotFoundError):
                os.utime(self._own)
                return
        _replace(self._own, json.loads(told), self._member)
        if self._told is None:
            self._marked.enter_context(in_use(self._folder, self._member))
        self._told = told

    def _ballots_of_others(self) -> list[Ballot | None]:
        living = self._living() - {self._member}
        for file in self._own.parent.glob("*.json"):
            if file.stem not in living and file != self._own:
                file.unlink(missing_ok=True)
        return [_read_ballot(self._own.with_name(f"{member}.json")) for member in sorted(living)]

    def _living(self) -> set[str]:
        """Give the workers whose processes hold their locks and have been heard of."""
        oldest = time.time() - self._stale_s
        found = set()
        for member in used_keys(self._folder):
            with suppress(OSError):
                if self._own.with_name(f"{member}.json").stat().st_mtime >= oldest:
                    found.add(member)
        return found


def file_rendezvous(source: str) -> FileRendezvous:
    """Give the rendezvous of the processes of this machine that share a home folder and watch one manifest."""
    return FileRendezvous(home() / "adapters" / f"manifest-{sha256(source.encode()).hexdigest()[:16]}")


def _read_ballot(file: Path) -> Ballot | None:
    try:
        stated = json.loads(file.read_bytes())["ballot"]
        return None if stated is None else ballot_from(stated)
    except (OSError, ValueError, TypeError, KeyError):
        return None  # it is about to say something, and not done


def _replace(file: Path, value: dict[str, Any], member: str, *, sync: bool = False) -> None:
    """Write a file whole: who reads it meanwhile sees the old one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{member}")
    with new.open("w", encoding="utf-8") as opened:
        json.dump(value, opened)
        opened.flush()
        if sync:
            os.fsync(opened.fileno())
    new.replace(file)
