"""The adapters that this process serves now, and which of the old ones nobody uses any more."""

from __future__ import annotations

import logging
import threading
import weakref
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from registry._logfmt import log
from registry.adapters.decision import AdapterRef, Decision, facts_of, ref_of
from registry.adapters.files import AdapterFiles
from registry.adapters.rendezvous import Rendezvous
from registry.adapters.version import AdapterVersion

_LOG = logging.getLogger("registry.adapters")


class Retired(NamedTuple):
    """A version that is served no more, and that no request uses.

    Attributes:
        version: Equal to what requests had.
        marked: Keeps its file; to close it is to let the file be taken away.
    """

    version: AdapterVersion
    marked: ExitStack


class Current:
    """What is decided, as versions with files. For any number of threads.

    A request holds the `AdapterVersion` that it was given when it began. Once nobody holds one any more that is not
    served either, it is retired: that is known from the object itself, however a request ends.

    Args:
        rendezvous: Who decides.
        files: Where the files are, without which nothing is served; `None` where this worker has none, and paths are
            empty.
    """

    def __init__(self, rendezvous: Rendezvous, files: AdapterFiles | None) -> None:
        self._rendezvous = rendezvous
        self._files = files
        self._lock = threading.Lock()
        self._decision = Decision()
        self._versions: dict[str, AdapterVersion] = {}
        self._spoiled: frozenset[str] = frozenset()
        self._missing: tuple[AdapterRef, ...] = ()
        self._retired: SimpleQueue[Retired] = SimpleQueue()  # filled by the garbage collector, in any thread

    def prove(self) -> None:
        """Take the digests of the files of what is decided, before anything is served: a disk may have lost some."""
        if self._files is not None:
            decided = {ref.sha256 for ref in self._rendezvous.decided().adapters}
            self._spoiled = frozenset(digest for digest in decided if not self._files.prove(digest))

    def complete(self) -> None:
        """Serve what was left out as its file was not there or had other bytes, if the right one is there now."""
        with self._lock:
            if any(self._is_there(ref) for ref in self._missing):
                self._move(self._decision)

    def find(self, id: str) -> AdapterVersion | None:
        """Give the version of an adapter that a request which begins now is served with."""
        return self.versions().get(id)

    def versions(self) -> dict[str, AdapterVersion]:
        """Give what is served now: id -> version. Not to be changed."""
        with self._lock:
            decision = self._rendezvous.decided()
            if decision != self._decision:
                self._move(decision)
            return self._versions

    @property
    def decision(self) -> Decision:
        """What this process has moved to."""
        return self._decision

    def take_retired(self) -> list[Retired]:
        """Give what has been retired since last time. Whoever takes it closes it."""
        found = []
        while True:
            try:
                found.append(self._retired.get_nowait())
            except Empty:
                return found

    def _move(self, decision: Decision) -> None:
        before, made = self._versions, dict[str, AdapterVersion]()
        before_missing, self._missing = self._missing, ()
        for ref in decision.adapters:
            known = before.get(ref.id)
            if known is not None and ref_of(known) == ref:
                made[ref.id] = known
            elif self._is_there(ref):
                made[ref.id] = self._made(ref)
            else:
                self._missing += (ref,)
        self._versions, self._decision = made, decision
        number = decision.number
        for name, version in made.items():
            if version is not (old := before.get(name)):
                facts = {"id": name, "version": version.version, "was": None if old is None else old.version}
                log(_LOG, logging.INFO, "registry.adapters.serving", **facts, decision=number)
        for ref in self._missing:
            if ref not in before_missing:
                log(_LOG, logging.ERROR, "registry.adapters.missing", **facts_of(ref), decision=number)
        for name in before.keys() - made.keys():
            facts = {"id": name, "version": before[name].version}
            log(_LOG, logging.INFO, "registry.adapters.removed", **facts, decision=number)

    def _is_there(self, ref: AdapterRef) -> bool:
        files = self._files
        if files is None or files.has(ref.sha256):
            return True
        return ref.sha256 not in self._spoiled and files.path(ref.sha256).is_file()

    def _made(self, ref: AdapterRef) -> AdapterVersion:
        path, marked = Path(), ExitStack()
        if self._files is not None:
            path = self._files.path(ref.sha256)
            marked.enter_context(self._files.in_use(ref.sha256))
        version = AdapterVersion(ref.id, ref.version, ref.base, ref.sha256, path)
        retire = weakref.finalize(version, self._retired.put, Retired(replace(version), marked))
        retire.atexit = False
        return version
