"""Getting adapters ready: several at a time, each until it is prepared, refused, or wanted no more."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import NamedTuple

from registry._logfmt import log
from registry.adapters.decision import Refusal, facts_of, ref_of
from registry.adapters.files import AdapterFiles, GivenUpError
from registry.adapters.manifest import AdapterEntry, AdapterManifest
from registry.adapters.proving import UnfitAdapterError
from registry.errors import AdapterError

_LOG = logging.getLogger("registry.adapters")

_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 60.0
_MOST_REMEMBERED = 1000
_MOST_AT_ONCE = 8


class _Refused(NamedTuple):
    error: AdapterError
    tries: int
    again_at: float | None  # of the monotonic clock; `None`: never


class Attempts:
    """What this worker has made of the adapters of a manifest. For any number of threads.

    Args:
        prepare: Prepares an adapter, or raises `AdapterError`. Called by several threads, never twice at a time for one
            adapter.
        files: Where files are kept; `None` where this worker has none.
    """

    def __init__(
        self, prepare: Callable[[AdapterManifest, AdapterEntry], None], files: AdapterFiles | None = None
    ) -> None:
        self._prepare = prepare
        self._files = files
        self._changed = threading.Condition()
        self._manifest: AdapterManifest | None = None
        self._waiting = deque[AdapterEntry]()
        self._running: set[AdapterEntry] = set()
        self._threads: set[threading.Thread] = set()
        self._prepared: set[AdapterEntry] = set()
        self._refused: dict[AdapterEntry, _Refused] = {}
        self._has_dropped = self._is_closed = False
        # Marks of files wait for other processes, and `_changed` must not: whoever asks how things stand takes it.
        self._marking = threading.Lock()
        self._marked: dict[str, ExitStack] = {}

    def begin(self, manifest: AdapterManifest, timeout_s: float) -> None:
        """Begin with what is new in a manifest, or due again, and give up what it does not list.

        Waits for what is begun now, but no longer than this: it goes on in other threads.
        """
        self._unmark_all_but(frozenset(entry.sha256 for entry in manifest.adapters))
        with self._changed:
            if self._is_closed:
                return
            self._manifest = manifest
            self._forget_all_but(frozenset(manifest.adapters))
            begun = [entry for entry in manifest.adapters if self._is_due(entry)]
            self._waiting.extend(begun)
            busy = len(self._threads) - len(self._running.difference(manifest.adapters))  # what is given up may hang
            for _ in range(min(len(self._waiting), _MOST_AT_ONCE - busy)):
                thread = threading.Thread(target=self._work, name="preparing adapters", daemon=True)
                self._threads.add(thread)
                thread.start()
            self._changed.wait_for(lambda: self._manifest is not manifest or self._are_over(begun), timeout_s)

    def is_prepared(self, entry: AdapterEntry) -> bool:
        """True once an adapter has been prepared, for as long as its file is there."""
        with self._changed:
            return entry in self._prepared

    def refusal(self, entry: AdapterEntry) -> AdapterError | None:
        """Give what is wrong with an adapter, where it is refused."""
        with self._changed:
            found = self._refused.get(entry)
            return None if found is None else found.error

    def refused(self, entries: tuple[AdapterEntry, ...]) -> tuple[Refusal, ...]:
        """Give what the other workers are told."""
        with self._changed:
            found = [(entry, self._refused[entry]) for entry in entries if entry in self._refused]
        return tuple(Refusal(ref_of(entry), told(each.error), each.again_at is None) for entry, each in found)

    def take_dropped(self) -> bool:
        """True where something has been given up since last time, whose file may be taken away."""
        with self._changed:
            dropped, self._has_dropped = self._has_dropped, False
            return dropped

    def close(self, ends_at: float) -> None:
        """Give everything up, and wait for it until a time of the monotonic clock.

        What is being fetched then ends when its server says something, and is gone on with at the next start.
        """
        with self._changed:
            self._manifest, self._is_closed = None, True
            self._forget_all_but(frozenset())
            self._changed.notify_all()
            threads = list(self._threads)
        self._unmark_all_but(frozenset())
        for thread in threads:
            thread.join(max(0.0, ends_at - time.monotonic()))

    def _forget_all_but(self, listed: frozenset[AdapterEntry]) -> None:
        """Forget what other manifests listed, but for bytes that can never be used."""
        self._prepared &= listed
        remembered = (
            (entry, each) for entry, each in self._refused.items() if entry in listed or each.again_at is None
        )
        self._refused = dict(remembered)
        self._waiting = deque(entry for entry in self._waiting if entry in listed)
        if self._files is not None:
            self._files.want(frozenset(entry.sha256 for entry in listed))

    def _mark(self, digest: str) -> None:
        """Keep a file from being taken away before it is decided on."""
        with self._marking:
            if self._files is not None and digest not in self._marked and not self._is_closed:
                mark = ExitStack()
                mark.enter_context(self._files.in_use(digest))
                self._marked[digest] = mark

    def _unmark_all_but(self, digests: frozenset[str]) -> None:
        with self._marking:
            dropped = [self._marked.pop(digest) for digest in self._marked.keys() - digests]
            for mark in dropped:
                mark.close()
        if dropped:
            with self._changed:
                self._has_dropped = True

    def _are_over(self, begun: Iterable[AdapterEntry]) -> bool:
        return not any(entry in self._running or entry in self._waiting for entry in begun)

    def _is_due(self, entry: AdapterEntry) -> bool:
        if entry in self._running or entry in self._waiting:
            return False
        if entry in self._prepared and (self._files is None or self._files.has(entry.sha256)):
            return False
        self._prepared.discard(entry)
        before = self._refused.get(entry)
        return before is None or (before.again_at is not None and before.again_at <= time.monotonic())

    # In the threads that prepare

    def _work(self) -> None:
        while (begun := self._next()) is not None:
            manifest, entry = begun
            try:
                self._mark(entry.sha256)
                self._prepare(manifest, entry)
                self._mark(entry.sha256)  # another manifest may have been there meanwhile, without it
            except GivenUpError:
                self._end(entry)
            except AdapterError as error:
                self._end(entry, error)
            except Exception:  # a fault here must not end the watching
                _LOG.exception("registry.adapters.failed")
                self._end(entry)
            else:
                self._end(entry, is_prepared=True)

    def _next(self) -> tuple[AdapterManifest, AdapterEntry] | None:
        with self._changed:
            if not self._waiting or self._manifest is None:
                self._threads.discard(threading.current_thread())
                return None
            entry = self._waiting.popleft()
            self._running.add(entry)
            return self._manifest, entry

    def _end(self, entry: AdapterEntry, error: AdapterError | None = None, *, is_prepared: bool = False) -> None:
        with self._changed:
            self._running.discard(entry)
            is_listed = self._manifest is not None and entry in self._manifest.adapters
            self._has_dropped = self._has_dropped or not is_listed
            if error is not None and (is_listed or isinstance(error, UnfitAdapterError)):
                self._refuse(entry, error)
            if is_prepared and is_listed:
                self._refused.pop(entry, None)
                self._prepared.add(entry)
                log(_LOG, logging.INFO, "registry.adapters.prepared", **facts_of(entry), base=entry.base)
            self._changed.notify_all()

    def _refuse(self, entry: AdapterEntry, error: AdapterError) -> None:
        """Write a refusal down, and say it in the log where it is another than last time."""
        before = self._refused.get(entry)
        tries = 1 if before is None else before.tries + 1
        wait_s = min(_FIRST_WAIT_S * 2 ** min(tries - 1, 10), _LONGEST_WAIT_S)
        again_at = None if isinstance(error, UnfitAdapterError) else time.monotonic() + wait_s
        self._refused[entry] = _Refused(error, tries, again_at)
        while len(self._refused) > _MOST_REMEMBERED:
            del self._refused[next(iter(self._refused))]
        if before is None or str(before.error) != str(error):
            log(_LOG, logging.ERROR, "registry.adapters.refused", **facts_of(entry), problem=told(error))


def told(error: AdapterError) -> str:
    """Give what is said of a refusal, where adapter and version are named already."""
    return f"{error.problem} {error.remedy}".rstrip()
