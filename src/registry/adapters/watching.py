"""Watching a manifest: what is new is prepared here, and served once all workers have prepared it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from registry._logfmt import log
from registry.adapters.attempts import Attempts
from registry.adapters.current import Current
from registry.adapters.decision import Ballot, Refusal, digest_of, facts_of, ref_of, refs_of
from registry.adapters.files import AdapterFiles
from registry.adapters.manifest import AdapterEntry, AdapterManifest, parse_manifest, shown
from registry.adapters.rendezvous import Rendezvous
from registry.adapters.source import ManifestSource
from registry.adapters.version import AdapterVersion
from registry.errors import AdapterError, ManifestError

_LOG = logging.getLogger("registry.adapters")

_PATIENCE_S = 30.0  # after which the log says that others are waited for
_CLOSING_S = 5.0


class Pace(NamedTuple):
    """How often something is looked at, in seconds.

    Attributes:
        manifest_s: The manifest; a tenth more or less, so that many workers do not ask one server at once.
        others_s: What the other workers say.
        patience_s: How long adapters are waited for that are new in a manifest, so that all move at once. Those that
            take longer move later, and hold up no other.
    """

    manifest_s: float = 2.0
    others_s: float = 1.0
    patience_s: float = 10.0


class Adapters:
    """The adapters that a manifest lists, as this worker serves them.

    Between `start` and `close` two threads run, and more while adapters are prepared.

    A manifest that cannot be read, or is none, changes nothing: what is served goes on. So does one that is gone; an
    empty list is what takes all adapters away.

    Args:
        source: Where the manifest is.
        rendezvous: Where this worker meets the others.
        prepare: Prepares an adapter, or raises `AdapterError`.
        files: Where files are kept; `None` where this worker has none.
        tries: Says of an adapter whether `prepare` tries it with its model, and does not only prove its bytes. Left
            out: it tries all.
        hands_on: True for a worker that hands requests on to others: that these have the files is enough.
        free: Called with versions that nobody uses any more.
        pace: How often to look.
    """

    def __init__(
        self,
        source: ManifestSource,
        rendezvous: Rendezvous,
        prepare: Callable[[AdapterManifest, AdapterEntry], None],
        *,
        files: AdapterFiles | None = None,
        tries: Callable[[AdapterEntry], bool] = lambda _: True,
        hands_on: bool = False,
        free: Callable[[AdapterVersion], None] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.source = source.where
        self._source = source
        self._rendezvous = rendezvous
        self._files = files
        self._free = free
        self._pace = pace or Pace()
        self._tries = tries
        self._attempts = Attempts(prepare, files)
        self._current = Current(rendezvous, None if hands_on else files)
        self._ballot: Ballot | None = None
        self._content: bytes | None = None
        self._manifest: AdapterManifest | None = None
        self._is_complete = False
        self._fault: ManifestError | None = None
        self._unfit: ManifestError | None = None
        self._told: set[Refusal] = set()
        self._has_swept = self._has_been_ready = False
        self._voted_at: float | None = None
        self._closing, self._voted, self._has_looked = threading.Event(), threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    def find(self, id: str) -> AdapterVersion | None:
        """Give the version of an adapter that a request which begins now is served with, or `None`.

        The request keeps it to its end; its file stays for as long.
        """
        return self._current.find(id)

    def versions(self) -> tuple[AdapterVersion, ...]:
        """Give what is served now, in the order of the manifest."""
        return tuple(self._current.versions().values())

    @property
    def is_settled(self) -> bool:
        """True when what is served was decided by the manifest that was read last, and none of it is fetched still."""
        ballot, decision = self._ballot, self._current.decision
        return self._is_complete and ballot is not None and decision.manifest == ballot.manifest

    @property
    def is_ready(self) -> bool:
        """True once a manifest is settled or cannot be used: the next ones are prepared beside what is served."""
        self._has_been_ready = self._has_been_ready or self.is_settled or self._fault is not None
        return self._has_been_ready

    @property
    def fault(self) -> ManifestError | None:
        """What is wrong with the manifest, where it could not be used when it was last looked at."""
        return self._fault

    @property
    def refused(self) -> tuple[AdapterError, ...]:
        """What is wrong with adapters of the manifest that this worker cannot serve, and then what others cannot."""
        entries = () if self._manifest is None else self._manifest.adapters
        own = {ref_of(entry): error for entry in entries if (error := self._attempts.refusal(entry)) is not None}
        told = {each.ref: each.problem for each in self._rendezvous.refused()}
        others = [ref for ref in refs_of(entries) if ref in told and ref not in own]
        return (*own.values(), *(AdapterError(ref.id, ref.version, told[ref]) for ref in others))

    def start(self) -> None:
        """Begin to watch. What was decided before, by workers that may be gone, is served from now on.

        Reads all of the files that were decided on: what has other bytes by now is left out until it is fetched again.
        """
        self._current.prove()
        self._current.versions()
        for run, name in ((self._look_on, "manifest of adapters"), (self._meet_on, "meeting about adapters")):
            thread = threading.Thread(target=run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def wait(self, timeout_s: float) -> None:
        """Wait until this worker has gone through a manifest, or found none, after `start`; no longer than this."""
        self._has_looked.wait(timeout_s)

    def close(self) -> None:
        """Watch no more. A file that is being fetched is waited for a few seconds, and goes on at the next start."""
        self._closing.set()
        self._voted.set()
        ends_at = time.monotonic() + _CLOSING_S
        self._attempts.close(ends_at)
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        self._rendezvous.leave()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # In the thread that reads the manifest

    def _look_on(self) -> None:
        while not self._closing.is_set():
            try:
                self.look()
            except Exception:  # a fault here must not end the watching
                _LOG.exception("registry.adapters.failed")
            self._has_looked.set()
            jitter = random.uniform(0.9, 1.1)  # noqa: S311 - no secret
            self._closing.wait(self._pace.manifest_s * jitter)

    def look(self) -> None:
        """Look at the manifest once, prepare what is new, and clean up behind what is old.

        What takes longer than the patience of this worker goes on in other threads, and the next look sees it done.
        """
        self._read()
        if (manifest := self._manifest) is not None:
            self._attempts.begin(manifest, self._pace.patience_s)
            self._vote(manifest)
        self._current.complete()
        self._clean_up()

    def _read(self) -> None:
        try:
            content = self._source.read()
        except ManifestError as error:
            self._note(error)
            return
        if content is not None and content != self._content:
            self._content = content
            try:
                self._manifest, self._unfit = parse_manifest(content, self.source), None
                self._is_complete = False
            except ManifestError as error:
                self._unfit = error
        self._note(self._unfit)

    def _note(self, fault: ManifestError | None) -> None:
        """Write down what is wrong with the manifest, and say it in the log where it is not the same as last time."""
        before, self._fault = self._fault, fault
        if fault is not None and str(fault) != str(before):
            problems = "; ".join(fault.problems)
            log(_LOG, logging.WARNING, "registry.adapters.manifest_refused", source=fault.source, problems=problems)

    def _vote(self, manifest: AdapterManifest) -> None:
        entries = manifest.adapters
        prepared = [entry for entry in entries if self._attempts.is_prepared(entry)]
        untried = [entry for entry in prepared if not self._tries(entry)]
        refused, wanted = self._attempts.refused(entries), refs_of(entries)
        ballot = Ballot(digest_of(wanted), wanted, refs_of(prepared), refs_of(untried), refused)
        if ballot != self._ballot:
            self._ballot, self._voted_at = ballot, time.monotonic()
            self._voted.set()
        self._is_complete = len(prepared) + len(refused) == len(entries)

    def _clean_up(self) -> None:
        retired = self._current.take_retired()
        used = {(version.base, version.sha256) for version in self.versions()}
        for version, marked in retired:
            with marked:
                if self._free is not None and (version.base, version.sha256) not in used:
                    self._free(version)
            log(_LOG, logging.INFO, "registry.adapters.retired", **facts_of(version))
        if self._files is not None and (self._attempts.take_dropped() or retired or not self._has_swept):
            self._files.sweep()
            self._has_swept = True

    # In the thread that meets the others

    def _meet_on(self) -> None:
        told = ""
        while not self._closing.is_set():
            try:
                self._rendezvous.meet(self._ballot)
                self._current.versions()
                self._tell_refused()
                self._tell_waiting()
                told = ""
            except Exception as error:  # a fault here must not end the meetings
                if (problem := f"{type(error).__name__}: {error}") != told:
                    told = problem
                    _LOG.exception("registry.adapters.not_met")
            self._voted.wait(self._pace.others_s)
            self._voted.clear()

    def _tell_refused(self) -> None:
        """Say once that another worker refuses what this one has prepared."""
        prepared = () if self._ballot is None else self._ballot.prepared
        before, self._told = self._told, {each for each in self._rendezvous.refused() if each.ref in prepared}
        for each in self._told - before:
            facts = {**facts_of(each.ref), "problem": each.problem}
            log(_LOG, logging.ERROR, "registry.adapters.refused_elsewhere", **facts)

    def _tell_waiting(self) -> None:
        """Say once of a manifest that the others are long in preparing it."""
        since = self._voted_at
        if since is None or self.is_settled or time.monotonic() - since < _PATIENCE_S:
            return
        self._voted_at, seconds = None, round(time.monotonic() - since)
        log(_LOG, logging.WARNING, "registry.adapters.waiting", source=shown(self.source), seconds=seconds)
