"""Watching a manifest: when adapters are prepared, refused, tried again, and given up."""

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from waiting import WAIT_S, until, within

from adapters.making import Clock, digest, entry, write_manifest
from registry.adapters import (
    AdapterEntry,
    AdapterFiles,
    AdapterManifest,
    Adapters,
    AdapterVersion,
    FileRendezvous,
    ManifestSource,
    Pace,
    attempts,
    watching,
)
from registry.adapters.proving import UnfitAdapterError
from registry.errors import AdapterError

pytest.importorskip("filelock")


class Worker:
    """A worker whose preparing is scripted.

    Attributes:
        prepared: Versions that were prepared, in order; those that were refused too.
        obtain: Gets the file, where there is one.
        faults: Version -> what preparing it raises.
        slow: Versions whose preparing lasts until the event is set.
        freed: Versions that were freed.
    """

    def __init__(self, folder: Path, pace: Pace | None = None, obtain: Any = None, **options: Any) -> None:
        self._obtain = obtain
        self.prepared: list[str] = []
        self.faults: dict[str, AdapterError] = {}
        self.slow: dict[str, threading.Event] = {}
        self.freed: list[str] = []
        self.rendezvous = FileRendezvous(folder / "meeting")
        self.adapters = Adapters(
            ManifestSource(str(folder / "adapters.json")),
            self.rendezvous,
            self._prepare,
            free=lambda version: self.freed.append(version.version),
            pace=pace or Pace(0.01, 0.01),
            **options,
        )

    def _prepare(self, manifest: AdapterManifest, entry: AdapterEntry) -> None:
        self.prepared.append(entry.version)
        if (released := self.slow.get(entry.version)) is not None:
            released.wait(WAIT_S)
        if (fault := self.faults.get(entry.version)) is not None:
            raise fault
        if self._obtain is not None:
            self._obtain(manifest, entry)

    def step(self) -> dict[str, str]:
        """Look and meet once, as the threads do; give what is served then: id -> version."""
        self.adapters.look()
        self.rendezvous.meet(self.adapters._ballot)
        return {version.id: version.version for version in self.adapters.versions()}

    def find(self, name: str = "tuned") -> AdapterVersion:
        found = self.adapters.find(name)
        assert found is not None
        return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watching, "time", clock)
    monkeypatch.setattr(attempts, "time", clock)
    return clock


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def worker(**options: Any) -> Worker:
        made.append(Worker(tmp_path, **options))
        return made[-1]

    yield worker
    for each in made:
        for released in each.slow.values():
            released.set()
        each.adapters.close()


@pytest.fixture
def hasty(make: Callable[..., Worker]) -> Worker:
    """A worker that waits for nothing that takes its time."""
    return make(pace=Pace(0.01, 0.01, 0.02))


@pytest.fixture
def worker(make: Callable[..., Worker]) -> Worker:
    return make()


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., None]:
    """Replace the manifest: versions of the adapter `tuned`, or entries."""

    def replace(*entries: Any) -> None:
        write_manifest(
            tmp_path / "adapters.json", *(_entry(given) if isinstance(given, str) else given for given in entries)
        )

    return replace


def _entry(version: str, **changes: str) -> dict[str, str]:
    given = {"id": "tuned", "base": "b", "file": "t.gguf", "sha256": version.rjust(64, "0"), "version": version}
    return given | changes


def _file(path: Path, **changes: str) -> dict[str, Any]:
    path.write_bytes(b"GGUF" + path.name.encode())
    return entry(path, base="b", version="1", **changes)


def _lines(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [line for line in caplog.messages if line.startswith(f"registry.adapters.{event} ")]


def test_adapter_of_the_manifest_is_prepared_once_and_served(worker: Worker, listed: Any) -> None:
    listed("1")
    assert [worker.step(), worker.step()] == [{"tuned": "1"}] * 2
    assert worker.prepared == ["1"]
    assert worker.adapters.is_settled


def test_nothing_is_served_before_the_manifest_is_there(worker: Worker, listed: Any) -> None:
    assert worker.step() == {}
    assert not worker.adapters.is_settled
    listed("1")
    assert worker.step() == {"tuned": "1"}


def test_same_manifest_written_otherwise_changes_nothing(worker: Worker, listed: Any, tmp_path: Path) -> None:
    listed("1")
    worker.step()
    file = tmp_path / "adapters.json"
    file.write_bytes(file.read_bytes().replace(b" ", b"\n\n"))
    worker.step()
    assert (worker.prepared, worker.adapters._current.decision.number) == (["1"], 1)


def test_version_is_one_object_until_it_changes(worker: Worker, listed: Any) -> None:
    listed("1", _entry("2", id="other"))
    worker.step()
    first = worker.find()
    listed("1", _entry("3", id="other"))
    worker.step()
    assert worker.find() is first


def test_version_is_found_by_its_id(worker: Worker, listed: Any, home: Path) -> None:
    listed("1")
    worker.step()
    assert worker.find() == AdapterVersion("tuned", "1", "b", "1".rjust(64, "0"), Path())
    assert worker.adapters.find("other") is None


def test_adapter_that_can_never_be_used_is_not_tried_again(
    worker: Worker, listed: Any, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    worker.faults["2"] = UnfitAdapterError("tuned", "2", "it is bad.", "Mend it.")
    for version in ("1", "2", "1", "2"):
        listed(version)
        for _ in range(3):
            assert worker.step() == {"tuned": "1"}
            clock.now += 1000
    assert worker.prepared.count("2") == 1
    digest = "2".rjust(64, "0")
    assert _lines(caplog, "refused") == [
        f'registry.adapters.refused id=tuned version=2 sha256={digest} problem="it is bad. Mend it."'
    ]


def test_adapter_that_may_be_used_later_is_tried_again_less_and_less_often(
    worker: Worker, listed: Any, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    worker.faults["1"] = AdapterError("tuned", "1", "it is not there.")
    listed("1")
    tried_at = []
    for _ in range(300):
        before = len(worker.prepared)
        worker.step()
        if len(worker.prepared) > before:
            tried_at.append(clock.now)
        clock.now += 1
    assert [after - before for before, after in pairwise(tried_at)] == [
        2,
        4,
        8,
        16,
        32,
        60,
        60,
        60,
    ]
    assert len(_lines(caplog, "refused")) == 1


def test_adapter_that_is_mended_is_served(worker: Worker, listed: Any, clock: Clock) -> None:
    worker.faults["2"] = AdapterError("tuned", "2", "it is not there.")
    listed("1")
    worker.step()
    listed("2")
    assert worker.step() == {"tuned": "1"}
    assert [str(error) for error in worker.adapters.refused] == ["Adapter `tuned`, version 2: it is not there."]
    del worker.faults["2"]
    clock.now += 5
    assert worker.step() == {"tuned": "2"}
    assert worker.adapters.refused == ()


def test_adapter_whose_place_is_corrected_is_tried_at_once(worker: Worker, listed: Any, clock: Clock) -> None:
    worker.faults["1"] = AdapterError("tuned", "1", "it is not there.")
    listed("1")
    worker.step()
    listed(_entry("1", file="other.gguf"))
    del worker.faults["1"]
    assert worker.step() == {"tuned": "1"}


def test_refused_adapter_holds_up_no_other(worker: Worker, listed: Any) -> None:
    worker.faults["1"] = AdapterError("tuned", "1", "it is not there.")
    listed("1", _entry("2", id="other"))
    assert worker.step() == {"other": "2"}


def test_slow_adapter_holds_up_no_other_and_moves_when_it_is_done(hasty: Worker, listed: Any) -> None:
    hasty.slow["2"] = threading.Event()
    listed(_entry("2", id="slow"), "1")
    assert (hasty.step(), hasty.adapters.is_settled, hasty.adapters.is_ready) == ({"tuned": "1"}, False, False)
    hasty.slow["2"].set()
    until(lambda: hasty.step() == {"slow": "2", "tuned": "1"})
    assert (hasty.prepared, hasty.adapters.is_settled) == (["2", "1"], True)


def test_adapters_are_taken_away_while_a_slow_one_is_prepared(hasty: Worker, listed: Any) -> None:
    hasty.slow["2"] = threading.Event()
    listed("1")
    hasty.step()
    listed(_entry("2", id="slow"))
    assert hasty.step() == {}
    listed("1")
    assert (hasty.step(), hasty.adapters.is_settled) == ({"tuned": "1"}, True)
    hasty.slow["2"].set()
    until(lambda: not hasty.adapters._attempts._threads)
    assert hasty.step() == {"tuned": "1"}


def test_slow_adapters_of_old_manifests_leave_room_for_new_ones(hasty: Worker, listed: Any) -> None:
    names = [f"{number}2" for number in range(9)]
    hasty.slow |= {name: threading.Event() for name in names}
    listed(*(_entry(name, id=f"s{name}") for name in names))
    hasty.step()
    until(lambda: len(hasty.prepared) == 8)
    listed("1")
    until(lambda: hasty.step() == {"tuned": "1"})


def test_old_version_is_served_while_the_new_one_is_prepared(hasty: Worker, listed: Any) -> None:
    hasty.slow["2"] = threading.Event()
    listed("1")
    hasty.step()
    listed("2")
    assert hasty.step() == {"tuned": "1"}
    hasty.slow["2"].set()
    until(lambda: hasty.step() == {"tuned": "2"})


def test_closing_does_not_wait_long_for_a_slow_adapter(
    hasty: Worker, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_CLOSING_S", 0.05)
    hasty.slow["1"] = threading.Event()
    listed("1")
    hasty.step()
    within(hasty.adapters.close, WAIT_S / 2)


def test_manifest_that_is_bad_is_told_once(worker: Worker, listed: Any, tmp_path: Path, caplog: Any) -> None:
    listed("1")
    worker.step()
    for content in (b"{", b"{", b"[]"):
        (tmp_path / "adapters.json").write_bytes(content)
        assert worker.step() == {"tuned": "1"}
    shown = tmp_path / "adapters.json"
    begin = f"registry.adapters.manifest_refused source={shown} problems="
    assert [line.removeprefix(begin)[:22] for line in _lines(caplog, "manifest_refused")] == [
        '"expected JSON, got wh',
        '"expected an object, g',
    ]


def test_manifest_that_is_gone_and_comes_back_changes_nothing(
    worker: Worker, listed: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed("1")
    worker.step()
    content = (tmp_path / "adapters.json").read_bytes()
    for _ in range(2):
        (tmp_path / "adapters.json").unlink()
        assert [worker.step(), worker.step()] == [{"tuned": "1"}] * 2
        (tmp_path / "adapters.json").write_bytes(content)
        assert worker.step() == {"tuned": "1"}
    assert worker.prepared == ["1"]
    assert len(_lines(caplog, "manifest_refused")) == 2


def test_version_is_freed_when_the_last_request_lets_go_of_it(worker: Worker, listed: Any) -> None:
    listed("1")
    worker.step()
    held = [worker.find(), worker.find()]
    listed("2")
    worker.step()
    worker.step()
    assert worker.freed == []
    held.pop()
    worker.step()
    assert worker.freed == []
    held.pop()
    gc.collect()
    worker.step()
    assert worker.freed == ["1"]


def test_file_that_another_version_uses_too_is_not_freed(worker: Worker, listed: Any) -> None:
    listed("1")
    worker.step()
    listed(_entry("2", sha256="1".rjust(64, "0")))
    assert worker.step() == {"tuned": "2"}
    gc.collect()
    worker.step()
    assert worker.freed == []


def test_workers_move_when_the_slower_one_is_done(make: Callable[..., Worker], listed: Any) -> None:
    fast, slow = make(), make()
    listed("1")
    fast.step()
    slow.step()
    listed("2")
    assert [fast.step(), fast.step()] == [{"tuned": "1"}] * 2
    assert not fast.adapters.is_settled
    assert slow.step() == {"tuned": "2"}
    assert fast.find().version == "2"


def test_version_that_one_worker_refuses_is_served_by_none(make: Callable[..., Worker], listed: Any) -> None:
    good, bad = make(), make()
    bad.faults["2"] = UnfitAdapterError("tuned", "2", "it is bad.")
    for version in ("1", "2"):
        listed(version)
        for worker in (good, bad):
            worker.step()
    assert [good.step(), bad.step()] == [{"tuned": "1"}] * 2
    assert good.adapters.is_settled


def test_refusal_of_another_worker_is_told_once(
    make: Callable[..., Worker], listed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = make(), make()
    bad.faults["2"] = UnfitAdapterError("tuned", "2", "it is bad.", "Mend it.")
    listed("2")
    for _ in range(2):
        for worker in (good, bad, good):
            worker.step()
            worker.adapters._tell_refused()
    told = [[str(error) for error in worker.adapters.refused] for worker in (good, bad)]
    assert told == [["Adapter `tuned`, version 2: it is bad. Mend it."]] * 2
    sha256 = "2".rjust(64, "0")
    problem = f'id=tuned version=2 sha256={sha256} problem="it is bad. Mend it."'
    assert _lines(caplog, "refused_elsewhere") == [f"registry.adapters.refused_elsewhere {problem}"]
    bad.faults.clear()
    listed("1")
    for worker in (good, bad, good):
        worker.step()
    assert good.adapters.refused == ()


def test_worker_says_what_it_has_prepared_and_not_tried_and_what_it_refuses(
    make: Callable[..., Worker], listed: Any
) -> None:
    worker = make(tries=lambda entry: entry.id == "tuned")
    worker.faults |= {"3": UnfitAdapterError("d", "3", "it is bad.", "Mend it."), "4": AdapterError("e", "4", "gone.")}
    listed("1", _entry("2", id="c"), _entry("3", id="d"), _entry("4", id="e"))
    worker.step()
    ballot = worker.adapters._ballot
    assert ballot is not None
    assert ([ref.id for ref in ballot.prepared], [ref.id for ref in ballot.untried]) == (["tuned", "c"], ["c"])
    assert [(refusal.ref.id, refusal.problem, refusal.is_final) for refusal in ballot.refused] == [
        ("d", "it is bad. Mend it.", True),
        ("e", "gone.", False),
    ]


def test_worker_says_that_it_waits_for_others(
    make: Callable[..., Worker], listed: Any, clock: Clock, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    waiting, other = make(), make()
    listed("1")
    other.rendezvous.meet(None)
    for now in (0.0, 29.0, 31.0, 62.0):
        clock.now = now
        waiting.step()
        waiting.adapters._tell_waiting()
    shown = tmp_path / "adapters.json"
    assert _lines(caplog, "waiting") == [f"registry.adapters.waiting source={shown} seconds=31"]


def test_lines_of_the_log_do_not_show_the_password_of_an_address(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    source = ManifestSource("http://me:secret@127.0.0.1:1/a.json?signature=secret")
    adapters = Adapters(source, FileRendezvous(tmp_path / "meeting"), lambda *_: None)
    adapters.look()
    adapters._voted_at, clock.now = 0.0, 31.0
    adapters._tell_waiting()
    assert [" ".join(line.split()[:2]) for line in caplog.messages] == [
        f"registry.adapters.{event} source=http://127.0.0.1:1/a.json" for event in ("manifest_refused", "waiting")
    ]
    assert "secret" not in caplog.text


def test_lines_of_the_log_say_what_happens(worker: Worker, listed: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "registry.adapters")
    for versions in (("1",), ("2",), ()):
        listed(*versions)
        worker.step()
    gc.collect()
    worker.step()
    assert [" ".join(line.split()[:3]).removeprefix("registry.adapters.") for line in caplog.messages] == [
        "prepared id=tuned version=1",
        "serving id=tuned version=1",
        "prepared id=tuned version=2",
        "serving id=tuned version=2",
        "retired id=tuned version=1",
        "removed id=tuned version=2",
        "retired id=tuned version=2",
    ]


def test_threads_serve_what_the_manifest_says_until_they_are_closed(worker: Worker, listed: Any) -> None:
    listed("1")
    before = threading.active_count()
    with worker.adapters:
        until(lambda: worker.adapters.is_settled)
        listed("2")
        until(lambda: worker.find().version == "2")
    assert threading.active_count() == before
    assert worker.find().version == "2"


def test_fault_of_a_look_ends_nothing(worker: Worker, listed: Any, caplog: pytest.LogCaptureFixture) -> None:
    worker.faults["1"] = RuntimeError("unforeseen")  # type: ignore[assignment]
    listed("1")
    with worker.adapters:
        until(lambda: "registry.adapters.failed" in caplog.messages)
        del worker.faults["1"]
        until(lambda: worker.adapters.is_settled)


def test_fault_of_a_meeting_ends_nothing(
    worker: Worker, listed: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "meeting").write_bytes(b"")
    listed("1")
    with worker.adapters:
        until(lambda: "registry.adapters.not_met" in caplog.messages)
        (tmp_path / "meeting").unlink()
        until(lambda: worker.adapters.is_settled)
    assert caplog.messages.count("registry.adapters.not_met") < 5


@pytest.mark.parametrize("content", [None, b"GGUF other"], ids=["gone", "changed"])
def test_decided_file_that_is_not_as_it_was_is_left_out_until_it_is_fetched_again(
    content: bytes | None, make: Callable[..., Worker], tmp_path: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [AdapterFiles(), AdapterFiles()]
    first, second = (make(files=each, obtain=each.obtain) for each in files)
    entries = [_file(tmp_path / f"{name}.gguf", id=name) for name in "ab"]
    write_manifest(tmp_path / "adapters.json", *entries)
    assert first.step() == {"a": "1", "b": "1"}
    first.adapters.close()
    kept = home / "adapters" / f"{entries[0]['sha256']}.gguf"
    kept.unlink() if content is None else kept.write_bytes(content)
    (tmp_path / "adapters.json").unlink()
    with second.adapters:
        assert {version.id for version in second.adapters.versions()} == {"b"}
        assert [line.split()[1] for line in _lines(caplog, "missing")] == ["id=a"]
        write_manifest(tmp_path / "adapters.json", *entries)
        until(lambda: {version.id for version in second.adapters.versions()} == {"a", "b"})
    assert digest(second.find("a").path) == entries[0]["sha256"]


# Ready or not


def test_worker_is_ready_when_its_first_manifest_is_settled(worker: Worker, listed: Callable[..., None]) -> None:
    listed("1")
    ready = [worker.adapters.is_ready]
    worker.adapters.look()
    ready.append(worker.adapters.is_ready)
    worker.step()
    assert [*ready, worker.adapters.is_ready] == [False, False, True]


def test_worker_that_refuses_an_adapter_is_ready_without_it(worker: Worker, listed: Callable[..., None]) -> None:
    worker.faults["1"] = AdapterError("tuned", "1", "it is gone.", "Put it back.")
    listed("1")
    assert (worker.step(), worker.adapters.is_ready) == ({}, True)


def test_worker_stays_ready_while_the_next_manifest_is_prepared(worker: Worker, listed: Callable[..., None]) -> None:
    listed("1")
    worker.step()
    assert worker.adapters.is_ready
    listed("2")
    worker.adapters.look()
    assert (worker.adapters.is_settled, worker.adapters.is_ready) == (False, True)


@pytest.mark.parametrize("content", [None, b"{"], ids=["missing", "wrong"])
def test_worker_whose_manifest_cannot_be_used_is_ready_and_says_so(
    content: bytes | None, worker: Worker, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "adapters.json").write_bytes(content)
    worker.step()
    worker.step()
    assert (worker.adapters.is_ready, worker.adapters.fault is None) == (True, False)


def test_manifest_that_is_mended_is_at_fault_no_more(worker: Worker, listed: Callable[..., None]) -> None:
    worker.step()
    listed("1")
    worker.step()
    assert worker.adapters.fault is None
