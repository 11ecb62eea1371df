"""What a worker makes of a manifest while files are waited for."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from waiting import until

from registry.adapters import AdapterManifest
from registry.adapters.attempts import Attempts
from registry.adapters.manifest import AdapterEntry

ENTRY = AdapterEntry("tone", "a-chat", "tone.gguf", "0" * 64, "1")
LISTED, EMPTY = AdapterManifest("adapters.json", (ENTRY,)), AdapterManifest("adapters.json", ())


class Files:
    """Files whose marks may have to be waited for."""

    def __init__(self) -> None:
        self.marked: list[str] = []
        self.waiting = 0
        self.free = threading.Event()
        self.free.set()

    @contextmanager
    def in_use(self, digest: str) -> Iterator[None]:
        self.waiting += 1
        assert self.free.wait(10)
        self.marked.append(digest)
        try:
            yield
        finally:
            self.marked.remove(digest)

    def want(self, digests: frozenset[str]) -> None:
        pass

    def has(self, _: str) -> bool:
        return True


def attempts(prepare: Callable[..., None], files: Any) -> Attempts:
    return Attempts(prepare, files)


def test_who_asks_how_things_stand_does_not_wait_for_the_files_of_other_processes() -> None:
    files = Files()
    files.free.clear()
    made = attempts(lambda *_: None, files)
    made.begin(LISTED, 0)
    until(lambda: files.waiting > 0)

    asked = threading.Thread(target=made.refusal, args=(ENTRY,), daemon=True)
    asked.start()
    asked.join(5)

    assert not asked.is_alive()
    files.free.set()
    made.close(time.monotonic() + 10)


def test_adapter_that_is_listed_again_while_it_is_fetched_is_kept_from_being_taken_away() -> None:
    files, has_begun, may_end = Files(), threading.Event(), threading.Event()

    def prepare(*_: object) -> None:
        has_begun.set()
        assert may_end.wait(10)

    made = attempts(prepare, files)
    made.begin(LISTED, 0)
    assert has_begun.wait(10)
    made.begin(EMPTY, 0)
    assert files.marked == []
    made.begin(LISTED, 0)
    may_end.set()
    made.begin(LISTED, 0)
    until(lambda: made.is_prepared(ENTRY))

    assert files.marked == [ENTRY.sha256]
    made.close(time.monotonic() + 10)
    assert files.marked == []
