"""Files of adapters: copied or fetched once, proven, kept while they are used, taken away at last."""

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hub_server import Fault, Hub
from waiting import WAIT_S, within

from registry.adapters import (
    AdapterEntry,
    AdapterFiles,
    AdapterManifest,
    AdapterRef,
    Ballot,
    FileRendezvous,
    wrong_bytes,
)
from registry.adapters.files import FetchLimits, GivenUpError
from registry.errors import AdapterError

pytest.importorskip("stamina")
pytest.importorskip("truststore")

CONTENT = b"GGUF" + bytes(range(256)) * 64
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def _entry(file: str = "tuned.gguf", **changes: str) -> AdapterEntry:
    return AdapterEntry(**({"id": "tuned", "base": "b", "file": file, "sha256": DIGEST, "version": "1"} | changes))


@pytest.fixture
def manifest(tmp_path: Path) -> AdapterManifest:
    """A manifest in a folder that has the adapter."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "tuned.gguf").write_bytes(CONTENT)
    return AdapterManifest(str(tmp_path / "here" / "adapters.json"), ())


def _refusal(files: AdapterFiles, manifest: AdapterManifest, entry: AdapterEntry) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        files.obtain(manifest, entry)
    assert (caught.value.adapter_id, caught.value.version) == (entry.id, entry.version)
    return caught.value


def test_file_beside_the_manifest_is_copied(manifest: AdapterManifest, home: Path) -> None:
    files = AdapterFiles()
    path = files.obtain(manifest, _entry())
    assert path == files.path(DIGEST) == home / "adapters" / f"{DIGEST}.gguf"
    assert (path.read_bytes(), files.has(DIGEST)) == (CONTENT, True)


def test_copy_does_not_change_with_the_file(manifest: AdapterManifest, tmp_path: Path) -> None:
    path = AdapterFiles().obtain(manifest, _entry())
    (tmp_path / "here" / "tuned.gguf").write_bytes(b"other")
    assert AdapterFiles().obtain(manifest, _entry()).read_bytes() == path.read_bytes() == CONTENT


def test_file_of_an_address_is_fetched_once(manifest: AdapterManifest, hub: Hub) -> None:
    hub.add("org/tuned", {"tuned.gguf": CONTENT})
    entry = _entry(hub.url("org/tuned", "tuned.gguf"))
    paths = {AdapterFiles().obtain(manifest, entry) for _ in range(3)}
    assert [path.read_bytes() for path in paths] == [CONTENT]
    assert len(hub.asked("tuned.gguf")) == 1


def test_file_that_several_want_at_once_is_fetched_once(manifest: AdapterManifest, hub: Hub) -> None:
    hub.add("org/tuned", {"tuned.gguf": CONTENT})
    entry = _entry(hub.url("org/tuned", "tuned.gguf"))
    threads = [threading.Thread(target=AdapterFiles().obtain, args=(manifest, entry)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(hub.asked("tuned.gguf")) == 1


def test_token_of_the_hub_is_not_sent(manifest: AdapterManifest, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    hub.add("org/tuned", {"tuned.gguf": CONTENT})
    AdapterFiles().obtain(manifest, _entry(hub.url("org/tuned", "tuned.gguf")))
    assert "authorization" not in hub.requests[0].headers


def test_fetch_that_breaks_off_goes_on(manifest: AdapterManifest, hub: Hub) -> None:
    hub.add("org/tuned", {"tuned.gguf": CONTENT})
    hub.misbehave("tuned.gguf", Fault(cut_after=1000))
    AdapterFiles().obtain(manifest, _entry(hub.url("org/tuned", "tuned.gguf")))
    assert [request.headers.get("range") for request in hub.asked("tuned.gguf")] == [None, "bytes=1000-"]


def test_redirect_is_followed(manifest: AdapterManifest, hub: Hub) -> None:
    hub.add("org/tuned", {"tuned.gguf": CONTENT})
    hub.add("org/other", {"other.gguf": b""})
    hub.misbehave("other.gguf", Fault(location=hub.url("org/tuned", "tuned.gguf")))
    assert AdapterFiles().obtain(manifest, _entry(hub.url("org/other", "other.gguf"))).read_bytes() == CONTENT


def test_redirect_to_a_file_of_this_machine_is_refused(manifest: AdapterManifest, hub: Hub, tmp_path: Path) -> None:
    hub.add("org/tuned", {"tuned.gguf": b""})
    hub.misbehave("tuned.gguf", *[Fault(location=(tmp_path / "here" / "tuned.gguf").as_uri())] * 9)
    refusal = _refusal(AdapterFiles(), manifest, _entry(hub.url("org/tuned", "tuned.gguf")))
    assert refusal.problem.startswith("it cannot be fetched: ")


def test_wrong_bytes_are_refused_and_not_kept(manifest: AdapterManifest, tmp_path: Path, home: Path) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    refusal = _refusal(AdapterFiles(), manifest, _entry(sha256=other))
    shown = (tmp_path / "here" / "tuned.gguf").as_uri()
    assert refusal.problem == f"`{shown}` has other bytes: expected sha256 {other}, got {DIGEST}."
    assert refusal.remedy == "Put the right file there, or correct `sha256` in the manifest."
    assert list((home / "adapters").glob("*.gguf*")) == []


def test_wrong_bytes_of_a_file_are_read_again_when_it_has_changed(manifest: AdapterManifest, tmp_path: Path) -> None:
    files, entry, path = AdapterFiles(), _entry(), tmp_path / "here" / "tuned.gguf"
    path.write_bytes(b"other")
    first = _refusal(files, manifest, entry)
    times = path.stat()
    path.write_bytes(CONTENT[:5])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert str(_refusal(files, manifest, entry)) == str(first)  # of other bytes, which nobody has looked at
    path.write_bytes(CONTENT)
    assert files.obtain(manifest, entry).read_bytes() == CONTENT


def test_wrong_bytes_of_an_address_are_fetched_again_when_its_server_has_others(
    manifest: AdapterManifest, hub: Hub
) -> None:
    hub.add("org/tuned", {"tuned.gguf": b"other"})
    files, entry = AdapterFiles(), _entry(hub.url("org/tuned", "tuned.gguf"))
    for _ in range(5):
        _refusal(files, manifest, entry)
    methods = [request.method for request in hub.asked("tuned.gguf")]
    assert methods == ["GET", "GET", "HEAD", "GET", "GET", "HEAD", "HEAD", "HEAD"]
    hub.add("org/tuned", {"tuned.gguf": CONTENT})
    assert files.obtain(manifest, entry).read_bytes() == CONTENT


def test_wrong_bytes_of_a_server_that_says_nothing_of_their_version_are_fetched_less_and_less_often(
    manifest: AdapterManifest, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(wrong_bytes.time, "monotonic", lambda: now[0])
    hub.add("org/tuned", {"tuned.gguf": b"other"})
    hub.misbehave("tuned.gguf", *[Fault(headers={"ETag": "", "Last-Modified": ""})] * 999)
    files, entry = AdapterFiles(), _entry(hub.url("org/tuned", "tuned.gguf"))
    fetched_at = []
    for minute in range(240):
        now[0], before = minute * 60.0, len(hub.requests)
        _refusal(files, manifest, entry)
        if "GET" in [request.method for request in hub.requests[before:]]:
            fetched_at.append(minute)
    assert fetched_at == [0, 1, 2, 4, 8, 16, 32, 64, 124, 184]


def test_file_that_is_not_there_yet_is_refused_until_it_is(manifest: AdapterManifest, tmp_path: Path) -> None:
    files, entry = AdapterFiles(), _entry("late.gguf")
    shown = (tmp_path / "here" / "late.gguf").as_uri()
    problem = f"it cannot be fetched: {shown}: No such file or directory."
    assert _refusal(files, manifest, entry).problem == problem
    (tmp_path / "here" / "late.gguf").write_bytes(CONTENT)
    assert files.obtain(manifest, entry).read_bytes() == CONTENT


def test_pipe_and_folder_are_refused(manifest: AdapterManifest, tmp_path: Path) -> None:
    pipe, folder = tmp_path / "here" / "pipe.gguf", tmp_path / "here" / "folder.gguf"
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (pipe, folder):
        refusal = within(lambda path=path: _refusal(AdapterFiles(), manifest, _entry(path.name)))
        assert (refusal.problem, refusal.remedy) == (f"`{path}` is no file.", "Put the adapter there.")


def test_file_that_the_server_has_not_is_refused(manifest: AdapterManifest, hub: Hub) -> None:
    url = hub.url("org/tuned", "tuned.gguf")
    assert "(status 404" in _refusal(AdapterFiles(), manifest, _entry(url)).problem


def test_server_that_stalls_is_given_up(manifest: AdapterManifest, hub: Hub) -> None:
    hub.add("org/tuned", {"tuned.gguf": CONTENT})
    hub.misbehave("tuned.gguf", *[Fault(stall=100)] * 9)
    files = AdapterFiles(limits=FetchLimits(timeout_s=0.1))
    refusal = _refusal(files, manifest, _entry(hub.url("org/tuned", "tuned.gguf")))
    assert "the server did not answer in time." in refusal.problem


def test_server_that_takes_too_long_is_given_up(manifest: AdapterManifest, hub: Hub) -> None:
    hub.add("org/tuned", {"tuned.gguf": CONTENT})
    files = AdapterFiles(limits=FetchLimits(longest_s=0))
    refusal = _refusal(files, manifest, _entry(hub.url("org/tuned", "tuned.gguf")))
    assert refusal.problem == "it cannot be fetched: it took longer than 0 s."


@pytest.mark.parametrize("fault", [Fault(), Fault(chunked=True), Fault(bare=True)])
def test_file_that_is_too_large_is_given_up(fault: Fault, manifest: AdapterManifest, hub: Hub, home: Path) -> None:
    hub.add("org/tuned", {"tuned.gguf": CONTENT * 100})
    hub.misbehave("tuned.gguf", fault)
    files = AdapterFiles(limits=FetchLimits(most_bytes=10_000))
    refusal = _refusal(files, manifest, _entry(hub.url("org/tuned", "tuned.gguf")))
    assert refusal.problem == "it cannot be fetched: it has more than 10000 bytes."
    assert sum(path.stat().st_size for path in (home / "adapters").glob("*.part")) <= 10_000


def test_fetch_of_a_file_that_is_wanted_no_more_is_given_up(manifest: AdapterManifest, hub: Hub) -> None:
    hub.add("org/tuned", {"tuned.gguf": CONTENT})
    files, entry = AdapterFiles(), _entry(hub.url("org/tuned", "tuned.gguf"))
    files.want(frozenset({"0" * 64}))
    with pytest.raises(GivenUpError):
        files.obtain(manifest, entry)
    files.want(frozenset({DIGEST}))
    assert files.obtain(manifest, entry).read_bytes() == CONTENT


def test_file_that_was_changed_here_is_copied_again(manifest: AdapterManifest) -> None:
    files = AdapterFiles()
    path = files.obtain(manifest, _entry())
    path.write_bytes(b"other")
    assert not files.has(DIGEST)
    assert files.obtain(manifest, _entry()).read_bytes() == CONTENT


def test_folder_that_cannot_be_written_is_told(manifest: AdapterManifest, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    refusal = _refusal(AdapterFiles(tmp_path / "file"), manifest, _entry())
    assert refusal.remedy == "Make room, or make the folder writable."


# What is taken away


def _decide(home: Path, *adapters: AdapterRef) -> None:
    rendezvous = FileRendezvous(home / "adapters" / "manifest-1")
    rendezvous.meet(Ballot("m", adapters, adapters))
    rendezvous.leave()


def test_file_that_nobody_uses_is_taken_away(manifest: AdapterManifest) -> None:
    files = AdapterFiles()
    path = files.obtain(manifest, _entry())
    AdapterFiles().sweep()
    assert not path.exists()
    assert not files.has(DIGEST)


def test_nothing_is_left_of_a_file_that_is_taken_away(manifest: AdapterManifest, home: Path) -> None:
    files = AdapterFiles()
    files.obtain(manifest, _entry())
    _refusal(files, manifest, _entry("gone.gguf", sha256="0" * 64))
    files.sweep()
    assert [path for path in (home / "adapters").rglob("*") if path.is_file()] == []


def test_file_that_is_in_use_stays(manifest: AdapterManifest) -> None:
    files = AdapterFiles()
    with files.in_use(DIGEST), files.in_use(DIGEST):
        path = files.obtain(manifest, _entry())
        with ExitStack() as other:
            other.enter_context(files.in_use(DIGEST))
        AdapterFiles().sweep()
        assert path.exists()
    AdapterFiles().sweep()
    assert not path.exists()


def test_file_that_is_kept_many_times_costs_one_open_file(manifest: AdapterManifest, home: Path) -> None:
    files = AdapterFiles()
    files.obtain(manifest, _entry())
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(files.in_use(DIGEST))
        assert len(list((home / "adapters" / ".in-use").glob("*--*"))) == 1
    assert list((home / "adapters" / ".in-use").glob("*--*")) == []


def test_file_that_is_decided_on_stays(manifest: AdapterManifest, home: Path) -> None:
    files = AdapterFiles()
    path = files.obtain(manifest, _entry())
    _decide(home, AdapterRef("tuned", "1", "b", DIGEST))
    files.sweep()
    assert path.exists()
    _decide(home)
    files.sweep()
    assert not path.exists()


def test_file_that_is_being_fetched_stays(manifest: AdapterManifest, home: Path) -> None:
    from registry.hub.locks import lock_of, locked

    files = AdapterFiles()
    path = files.obtain(manifest, _entry())
    with locked(lock_of(home / "adapters", DIGEST)):
        AdapterFiles().sweep()
    assert path.exists()


def test_what_came_of_a_file_that_nobody_wants_any_more_is_taken_away(
    manifest: AdapterManifest, hub: Hub, home: Path
) -> None:
    hub.add("org/tuned", {"tuned.gguf": CONTENT})
    hub.misbehave("tuned.gguf", *[Fault(cut_after=100)] * 9)
    files = AdapterFiles()
    with files.in_use(DIGEST):
        _refusal(files, manifest, _entry(hub.url("org/tuned", "tuned.gguf")))
        files.sweep()
        assert len(list((home / "adapters").glob("*.part*"))) == 2
    files.sweep()
    assert list((home / "adapters").glob("*.part*")) == []


def test_files_of_others_in_the_folder_stay(home: Path) -> None:
    folder, names = home / "adapters", ["mine.gguf", f"{DIGEST}.gguf.bak", f"{DIGEST}-2.gguf", f"{'g' * 64}.gguf"]
    folder.mkdir(parents=True)
    for name in [*names, f"{DIGEST}.gguf"]:
        (folder / name).write_bytes(CONTENT)
    AdapterFiles().sweep()
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == sorted(names)


def test_nothing_is_taken_away_where_there_is_nothing(home: Path) -> None:
    AdapterFiles().sweep()
    assert not home.exists()


def test_file_of_a_process_that_was_killed_is_taken_away(
    manifest: AdapterManifest, run_python: Callable[..., str]
) -> None:
    path = AdapterFiles().obtain(manifest, _entry())
    program = f"import os, registry.adapters as a\na.AdapterFiles().in_use({DIGEST!r}).__enter__()\nos._exit(0)\n"
    run_python(program)
    AdapterFiles().sweep()
    assert not path.exists()
