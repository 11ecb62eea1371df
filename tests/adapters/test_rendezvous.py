"""Meeting in a folder: who counts, what is decided, and what becomes of it when files are damaged."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import WAIT_S, until

from adapters.making import Clock
from registry.adapters import AdapterRef, Ballot, Decision, FileRendezvous, file_rendezvous, rendezvous
from registry.adapters.decision import digest_of

pytest.importorskip("filelock")

OLD, NEW = (AdapterRef("tuned", version, "base", version * 64) for version in "12")
Make = Callable[..., FileRendezvous]


def _ballot(*wanted: AdapterRef, refused: tuple[AdapterRef, ...] = ()) -> Ballot:
    return Ballot(digest_of(wanted), wanted, tuple(ref for ref in wanted if ref not in refused))


def _decided(*adapters: AdapterRef, number: int = 1) -> Decision:
    return Decision(number, digest_of(adapters), adapters)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make workers of one folder, which leave at the end."""
    made: list[FileRendezvous] = []

    def worker(**options: float) -> FileRendezvous:
        made.append(FileRendezvous(tmp_path / "meeting", **options))
        return made[-1]

    yield worker
    for worker_made in made:
        worker_made.leave()


def test_nothing_is_decided_before_anybody_has_met(make: Make, tmp_path: Path) -> None:
    assert make().decided() == Decision()
    assert not (tmp_path / "meeting").exists()


def test_one_alone_decides(make: Make) -> None:
    assert make().meet(_ballot(OLD)) == _decided(OLD)


def test_all_see_what_one_of_them_has_decided(make: Make) -> None:
    first, second, idle = make(), make(), make()
    first.meet(None)
    second.meet(_ballot(OLD))
    assert [worker.decided() for worker in (first, second, idle)] == [Decision()] * 3
    first.meet(_ballot(OLD))
    assert [worker.decided() for worker in (first, second, idle)] == [_decided(OLD)] * 3


def test_nobody_moves_before_the_last_has_prepared(make: Make) -> None:
    first, second = make(), make()
    for worker in (first, second, first):
        worker.meet(_ballot(OLD))
    assert first.meet(_ballot(NEW)) == _decided(OLD)
    assert second.meet(_ballot(OLD)) == _decided(OLD)
    assert second.meet(_ballot(NEW)) == _decided(NEW, number=2)


def test_worker_that_joins_serves_what_is_decided_and_holds_up_what_follows(make: Make) -> None:
    first, second = make(), make()
    first.meet(_ballot(OLD))
    assert second.meet(None) == _decided(OLD)
    assert first.meet(_ballot(NEW)) == _decided(OLD)
    second.meet(_ballot(NEW))
    assert first.decided() == _decided(NEW, number=2)


def test_worker_that_has_left_counts_no_more(make: Make) -> None:
    first, second = make(), make()
    first.meet(None)
    second.meet(None)
    first.leave()
    assert second.meet(_ballot(OLD)) == _decided(OLD)


def test_worker_that_has_left_may_come_back(make: Make) -> None:
    first, second = make(), make()
    first.meet(None)
    first.leave()
    first.meet(None)
    assert second.meet(_ballot(OLD)) == Decision()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rendezvous, "time", clock)
    return clock


def _say_at(tmp_path: Path, seconds: float) -> None:
    """Give what one worker has said a time, as the clock of another machine would."""
    (file,) = (tmp_path / "meeting" / "members").glob("*.json")
    os.utime(file, (seconds, seconds))


def test_worker_that_is_silent_counts_no_more_until_it_speaks(make: Make, clock: Clock) -> None:
    silent, speaking = make(stale_s=10.0), make(stale_s=10.0)
    silent.meet(None)
    assert speaking.meet(_ballot(OLD)) == Decision()
    clock.now = 10.0
    assert speaking.meet(_ballot(OLD)) == Decision()
    clock.now = 10.1
    assert speaking.meet(_ballot(OLD)) == _decided(OLD)
    silent.meet(None)
    assert speaking.meet(_ballot(NEW)) == _decided(OLD)


@pytest.mark.parametrize("seconds", [0.0, 2.0**33], ids=["late", "early"])
def test_worker_whose_clock_is_wrong_counts_as_any_other(
    seconds: float, make: Make, clock: Clock, tmp_path: Path
) -> None:
    wrong, right = make(stale_s=10.0), make(stale_s=10.0)
    wrong.meet(None)
    _say_at(tmp_path, seconds)
    assert right.meet(_ballot(OLD)) == Decision()
    clock.now = 10.1
    assert right.meet(_ballot(OLD)) == _decided(OLD)


def test_worker_that_was_killed_counts_no_more_and_leaves_nothing(
    make: Make, tmp_path: Path, run_python: Callable[..., str]
) -> None:
    members = tmp_path / "meeting" / "members"
    program = (
        "import os, pathlib, registry.adapters as a\n"
        f"a.FileRendezvous(pathlib.Path({str(tmp_path / 'meeting')!r})).meet(None)\n"
        f"print(len(os.listdir({str(members)!r})), flush=True)\n"
        "os._exit(0)\n"
    )
    assert run_python(program) == "2\n"
    living = make()
    assert living.meet(_ballot(OLD)) == _decided(OLD)
    living.leave()
    assert list(members.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"number": 1}', b'{"number": 1, "manifest": "", "adapters": [1]}']
)
def test_decision_that_is_damaged_changes_nothing(content: bytes, make: Make, tmp_path: Path) -> None:
    worker = make()
    worker.meet(_ballot(OLD))
    (tmp_path / "meeting" / "decision.json").write_bytes(content)
    assert worker.decided() == _decided(OLD)
    assert worker.meet(_ballot(NEW)) == make().decided() == _decided(NEW, number=2)


def test_decision_that_is_lost_is_written_again(make: Make, tmp_path: Path) -> None:
    worker = make()
    worker.meet(_ballot(OLD))
    (tmp_path / "meeting" / "decision.json").unlink()
    assert worker.decided() == _decided(OLD)
    worker.meet(_ballot(OLD))
    assert make().decided() == _decided(OLD)


def test_ballot_that_is_damaged_holds_up_until_it_is_given_again(make: Make, tmp_path: Path) -> None:
    first, second = make(), make()
    first.meet(_ballot(OLD))
    (file,) = (tmp_path / "meeting" / "members").glob("*.json")
    file.write_bytes(b'{"ballot": {"manifest": 1}}')
    assert second.meet(_ballot(NEW)) == _decided(OLD)
    first.meet(_ballot(NEW))
    assert second.decided() == _decided(NEW, number=2)


def test_what_is_decided_outlives_its_workers(make: Make) -> None:
    worker = make()
    worker.meet(_ballot(OLD))
    worker.leave()
    assert make().decided() == _decided(OLD)


def test_reader_never_sees_half_a_decision(make: Make) -> None:
    writer, reader, seen = make(), make(), set()
    ending = threading.Event()

    def read() -> None:
        while not ending.is_set():
            seen.add(reader.decided())

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for number in range(1, 101):
            writer.meet(_ballot(OLD if number % 2 else NEW))
        until(lambda: writer.decided() in seen)
    finally:
        ending.set()
        thread.join(WAIT_S)
    assert seen <= {Decision(), *(_decided(OLD if number % 2 else NEW, number=number) for number in range(1, 101))}


def test_workers_that_vote_at_once_decide_once(make: Make) -> None:
    workers = [make() for _ in range(8)]
    for worker in workers:
        worker.meet(None)
    start = threading.Barrier(len(workers))

    def vote(worker: FileRendezvous) -> None:
        start.wait(WAIT_S)
        worker.meet(_ballot(OLD))

    threads = [threading.Thread(target=vote, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert {worker.decided() for worker in workers} == {_decided(OLD)}


def test_manifests_have_meetings_of_their_own(home: Path) -> None:
    one, same, other = (file_rendezvous(source) for source in ("a.json", "a.json", "b.json"))
    one.meet(_ballot(OLD))
    assert (same.decided(), other.decided()) == (_decided(OLD), Decision())
    one.leave()
    assert {path.parent.parent for path in home.rglob("decision.json")} == {home / "adapters"}


@pytest.mark.parametrize("source", ["./a.json", "b/../a.json", "{here}/a.json", "file://{here}/a.json"])
def test_rendezvous_is_the_same_however_the_path_is_written(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, same = file_rendezvous("a.json"), file_rendezvous(source.format(here=tmp_path))
    try:
        one.meet(_ballot(OLD))
        assert same.decided() == _decided(OLD)
    finally:
        one.leave()


def test_rendezvous_of_equal_names_in_two_folders_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for name in "ab":
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        made.append(file_rendezvous("adapters.json"))
    try:
        made[0].meet(_ballot(OLD))
        assert made[1].decided() == Decision()
    finally:
        made[0].leave()
