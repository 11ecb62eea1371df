import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("filelock")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")

from hub_server import Hub

from hub.keeping import COMMIT, FOLDER, GGUF, cached, chat, contents, dense, fill, manifest_of, sha256, write
from hub.keeping import hub_fixture as hub_fixture
from registry.errors import CacheFullError, ModelNotDownloadedError, RegistryError
from registry.hub import Cache, CacheEntry, disk, ensure
from registry.hub.locks import in_use, lock_of, locked
from registry.hub.manifest import CachedFile, Manifest

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 24 * 60 * 60


def keep(home: Path, id: str, size_bytes: int = 100, *, day: int = 0, **changes: Any) -> CacheEntry:
    """Put a model of so many bytes into the model folder, last used on a day."""
    path, used_at = write(home / "models" / f"{id}.gguf", b"x" * size_bytes), START + timedelta(days=day)
    file = CachedFile(f"{id}.gguf", size_bytes, sha256(b"x" * size_bytes), path.stat().st_mtime_ns, "record")
    facts = (f"sha256:{file.sha256}", COMMIT, used_at, used_at, 1, False, "download", (file,))
    entry = replace(CacheEntry(id, path, size_bytes, *facts), **changes)
    with Manifest(home / "models").changing() as entries:
        entries[id] = entry
    return entry


def part(home: Path, name: str, *, age_s: float, size_bytes: int = 10) -> Path:
    """Leave a part of a download that has not grown for so long."""
    path = write(home / "models" / ".downloading" / name, b"p" * size_bytes)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def ids(entries: tuple[CacheEntry, ...]) -> list[str]:
    return [entry.id for entry in entries]


def files(home: Path) -> set[str]:
    """Give the files of models that are there."""
    return {path.name for path in (home / "models").glob("*.gguf")}


# One model


def test_list_is_sorted_by_id(home: Path) -> None:
    entries = [keep(home, name) for name in ("b", "a", "c")]
    assert Cache().list() == tuple(sorted(entries, key=lambda entry: entry.id))


def test_list_of_a_folder_that_is_not_there_is_empty_and_makes_none(home: Path) -> None:
    assert Cache().list() == ()
    assert not home.exists()


def test_cache_of_another_folder_has_the_models_of_that(home: Path, tmp_path: Path) -> None:
    entry = keep(home, "a")
    (home / "models").rename(tmp_path / "other")
    assert ids(Cache(tmp_path / "other").list()) == [entry.id]
    assert Cache().list() == ()


def test_get_gives_what_is_known(home: Path) -> None:
    entry = keep(home, "a")
    assert Cache().get("a") == entry


def test_get_of_what_is_not_kept_is_an_error(home: Path) -> None:
    with pytest.raises(ModelNotDownloadedError) as caught:
        Cache().get("a")
    assert str(caught.value) == (
        f"The files of `a` are not on this machine. Looked in:\n  {home / 'models' / 'manifest.json'}\n"
        "`registry cache list` shows what is kept."
    )


@pytest.mark.parametrize("action", ["remove", "pin", "unpin", "touch", "verify"])
def test_what_is_not_kept_is_an_error_of_every_action(action: str) -> None:
    with pytest.raises(ModelNotDownloadedError):
        getattr(Cache(), action)("a")


def test_pin_and_unpin_are_written_down(home: Path) -> None:
    entry = keep(home, "a")
    assert Cache().pin("a") == replace(entry, pinned=True) == Cache().get("a")
    assert Cache().unpin("a") == entry == Cache().get("a")


def test_touch_counts_a_use(home: Path) -> None:
    keep(home, "a")
    before = datetime.now(UTC)
    touched = Cache().touch("a")
    assert (touched.use_count, touched.last_used >= before) == (2, True)


def test_remove_deletes_the_file_and_forgets_it(home: Path) -> None:
    entry = keep(home, "a")
    keep(home, "b")
    assert Cache().remove("a") == entry
    assert (files(home), ids(Cache().list())) == ({"b.gguf"}, ["b"])


def test_remove_deletes_a_folder_whole(home: Path, hub: Hub) -> None:
    folder = ensure(dense())
    write(folder / ".cache" / "hidden")
    Cache().remove("a-dense")
    assert not folder.exists()
    assert [path.name for path in (home / "models" / ".downloading").iterdir()] == ["a-dense.lock"]


def test_remove_of_what_was_deleted_by_hand_forgets_it(home: Path) -> None:
    keep(home, "a").path.unlink()
    Cache().remove("a")
    assert Cache().list() == ()


def test_remove_of_a_pinned_model_removes_it(home: Path) -> None:
    keep(home, "a", pinned=True)
    Cache().remove("a")
    assert Cache().list() == ()


def test_remove_of_a_model_in_use_is_refused(home: Path) -> None:
    keep(home, "a")
    with in_use(home / "models", "a"), pytest.raises(RegistryError) as caught:
        Cache().remove("a")
    assert str(caught.value) == "`a` is in use: a process has loaded it, or fetches it. Close it there first."
    assert files(home) == {"a.gguf"}


def test_remove_of_a_model_that_is_fetched_is_refused(home: Path) -> None:
    keep(home, "a")
    with locked(lock_of(home / "models", "a")), pytest.raises(RegistryError):
        Cache().remove("a")
    assert files(home) == {"a.gguf"}


def test_remove_that_cannot_move_the_file_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = keep(home, "a")

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        Cache().remove("a")
    assert Cache().list() == (entry,)


def test_remove_of_a_linked_model_leaves_the_hub_cache(home: Path, tmp_path: Path) -> None:
    snapshot = cached(tmp_path / "hub", dense(), FOLDER)
    found = ensure(dense())
    Cache().remove("a-dense")
    assert not found.exists()
    assert contents(snapshot) == FOLDER


def test_remove_of_a_linked_folder_removes_the_link_alone(home: Path, tmp_path: Path) -> None:
    fill(tmp_path / "mine")
    (home / "models").mkdir(parents=True)
    (home / "models" / "a-dense").symlink_to(tmp_path / "mine")
    ensure(dense(), download=False)
    Cache().remove("a-dense")
    assert not (home / "models" / "a-dense").is_symlink()
    assert contents(tmp_path / "mine") == FOLDER


def test_remove_of_a_link_to_nothing_removes_the_link(home: Path, tmp_path: Path) -> None:
    entry = keep(home, "a")
    entry.path.unlink()
    entry.path.symlink_to(tmp_path / "gone")
    Cache().remove("a")
    assert not entry.path.is_symlink()


# A manifest that was tampered with


@pytest.mark.parametrize("path", ["{outside}", "../outside", "a/../../outside", "link/inside", "link"])
def test_path_outside_of_the_folder_is_never_deleted(home: Path, path: str) -> None:
    outside = fill(home / "outside", {"inside/config.json": b"{}", "config.json": b"{}"})
    keep(home, "a")
    (home / "models" / "link").symlink_to(outside)
    manifest = home / "models" / "manifest.json"
    stated = json.loads(manifest.read_text())
    stated["models"]["a"]["path"] = path.format(outside=outside)
    manifest.write_text(json.dumps(stated))
    Cache().prune(0)
    Cache().clear(pinned=True)
    assert contents(outside) == {"inside/config.json": b"{}", "config.json": b"{}"}


@pytest.mark.parametrize("path", ["manifest.json", "adapters", ".downloading", ".in-use", ".manifest.json.lock"])
def test_path_of_the_folders_own_is_never_deleted(home: Path, path: str) -> None:
    keep(home, "a")
    keep(home, "b")
    write(home / "models" / "adapters" / "c.gguf")
    with in_use(home / "models", "b"):
        manifest = home / "models" / "manifest.json"
        stated = json.loads(manifest.read_text())
        stated["models"]["a"]["path"] = path
        manifest.write_text(json.dumps(stated))
        Cache().clear()
        assert {"a.gguf", "b.gguf"} == files(home)
        assert (home / "models" / "adapters" / "c.gguf").exists()
        assert ids(Cache().clear()) == []


# Making room


def test_clear_deletes_all_but_what_is_pinned(home: Path) -> None:
    keep(home, "a")
    keep(home, "b", pinned=True)
    assert ids(Cache().clear()) == ["a"]
    assert files(home) == {"b.gguf"}


def test_clear_of_pinned_models_too_deletes_all(home: Path) -> None:
    keep(home, "a")
    keep(home, "b", pinned=True)
    assert ids(Cache().clear(pinned=True)) == ["a", "b"]
    assert files(home) == set()


def test_clear_spares_what_is_in_use(home: Path) -> None:
    keep(home, "a")
    with in_use(home / "models", "a"):
        assert Cache().clear(pinned=True) == ()
    assert files(home) == {"a.gguf"}


def test_prune_deletes_the_least_recently_used_first(home: Path) -> None:
    for name, day in (("a", 3), ("b", 1), ("c", 2), ("d", 4)):
        keep(home, name, day=day)
    assert ids(Cache().prune(200)) == ["b", "c"]
    assert files(home) == {"a.gguf", "d.gguf"}


def test_prune_deletes_no_more_than_it_must(home: Path) -> None:
    for name, day in (("a", 1), ("b", 2), ("c", 3)):
        keep(home, name, day=day)
    assert ids(Cache().prune(299)) == ["a"]
    assert ids(Cache().prune(200)) == []


def test_prune_without_a_limit_deletes_nothing(home: Path) -> None:
    keep(home, "a")
    assert Cache().prune() == ()


def test_prune_keeps_to_the_setting(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(home, "a", day=1)
    keep(home, "b", day=2)
    monkeypatch.setenv("REGISTRY_MAX_CACHE_SIZE", "150B")
    assert ids(Cache().prune()) == ["a"]


def test_prune_spares_pinned_models_and_those_in_use(home: Path) -> None:
    keep(home, "a", day=1, pinned=True)
    keep(home, "b", day=2)
    keep(home, "c", day=3)
    with in_use(home / "models", "b"):
        assert ids(Cache().prune(0)) == ["c"]
    assert files(home) == {"a.gguf", "b.gguf"}


def test_prune_that_tries_changes_nothing(home: Path) -> None:
    keep(home, "a")
    old = part(home, "b.gguf.part", age_s=2 * DAY_S)
    assert ids(Cache().prune(0, dry_run=True)) == ["a"]
    assert (files(home), old.exists()) == ({"a.gguf"}, True)


def test_prune_deletes_what_was_not_used_for_long(home: Path) -> None:
    keep(home, "a", day=1)
    keep(home, "b", last_used=datetime.now(UTC))
    assert ids(Cache().prune(older_than_s=30 * DAY_S)) == ["a"]


def test_model_that_was_used_in_the_future_is_not_old(home: Path) -> None:
    keep(home, "a", last_used=datetime.now(UTC) + timedelta(days=900))  # the clock was wrong then, or is now
    assert Cache().prune(older_than_s=0) == ()


def test_linked_models_take_no_room_and_are_not_pruned_for_it(home: Path, tmp_path: Path) -> None:
    cached(tmp_path / "hub", dense(), FOLDER)
    ensure(dense())
    keep(home, "a")
    assert ids(Cache().prune(99)) == ["a"]
    assert ids(Cache().list()) == ["a-dense"]


def test_prune_goes_on_past_a_model_that_cannot_be_moved(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(home, "a", day=1)
    keep(home, "b", day=2)
    rename = Path.rename

    def busy(self: Path, target: Path) -> Path:
        if self.name == "a.gguf":
            raise OSError(16, "Device or resource busy", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", busy)
    assert ids(Cache().prune(0)) == ["b"]
    assert ids(Cache().list()) == ["a"]


def test_model_that_another_process_uses_is_spared_until_that_is_killed(home: Path) -> None:
    keep(home, "a")
    code = (
        "import sys\nfrom registry.hub.locks import in_use\nfrom registry._home import models_folder\n"
        "with in_use(models_folder(), 'a'):\n    print('marked', flush=True)\n    sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "marked\n"
    assert Cache().prune(0) == ()
    process.kill()
    process.communicate(timeout=30)
    assert ids(Cache().prune(0)) == ["a"]


def test_model_that_is_marked_while_it_is_pruned_is_fetched_anew(home: Path, hub: Hub) -> None:
    ensure(chat())
    seen: list[Path] = []
    original = disk.delete

    def delete_and_ensure(path: Path) -> None:
        original(path)
        seen.append(ensure(chat()))  # as another process that comes between

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "delete", delete_and_ensure)
        Cache().prune(0)
    assert [path.read_bytes() for path in seen] == [GGUF]
    assert ids(Cache().list()) == ["a-chat"]


# Parts


def test_old_parts_are_deleted_with_what_is_beside_them(home: Path) -> None:
    old = part(home, "a.gguf.part", age_s=DAY_S + 60)
    beside = part(home, "a.gguf.part.json", age_s=DAY_S + 60)
    inner = part(home, "b/1_Dense/model.safetensors.part", age_s=DAY_S + 60)
    young = part(home, "c.gguf.part", age_s=DAY_S - 60)
    assert set(Cache().clean_parts()) == {old, inner}
    assert not beside.exists()
    assert not (home / "models" / ".downloading" / "b").exists()
    assert young.exists()


def test_old_parts_are_only_given_where_nothing_shall_be_deleted(home: Path) -> None:
    old = part(home, "a.gguf.part", age_s=DAY_S + 60)
    part(home, "c.gguf.part", age_s=DAY_S - 60)
    assert Cache().clean_parts(dry_run=True) == (old,)
    assert old.exists()


def test_prune_deletes_old_parts(home: Path) -> None:
    old = part(home, "a.gguf.part", age_s=DAY_S + 60)
    Cache().prune()
    assert not old.exists()


@pytest.mark.parametrize("name", ["a.gguf.part", "a/model.safetensors", "a.links/config.json", "a.bundle/config.json"])
def test_old_parts_of_a_model_that_is_fetched_are_left(home: Path, name: str) -> None:
    old = part(home, name, age_s=2 * DAY_S)  # a linked file is as old as what it is linked to
    with locked(lock_of(home / "models", "a")):
        assert Cache().clean_parts() == ()
    assert old.exists()


@pytest.mark.parametrize("key", ["a.gguf", "a.part", "a.json", "adapters/a", "adapters/a.new"])
def test_old_parts_of_a_model_with_an_unlucky_id_are_left_while_it_is_fetched(home: Path, key: str) -> None:
    old = [part(home, f"{key}{end}", age_s=2 * DAY_S) for end in (".gguf.part", ".gguf", "")]
    with locked(lock_of(home / "models", key)):
        assert Cache().clean_parts() == ()
    assert all(path.exists() for path in old)


def test_locks_are_never_deleted(home: Path) -> None:
    lock = part(home, "a.lock", age_s=9 * DAY_S)
    part(home, "a.gguf.part", age_s=9 * DAY_S)
    Cache().clean_parts()
    assert lock.exists()


def test_part_that_vanishes_meanwhile_is_no_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part(home, "a.gguf.part", age_s=2 * DAY_S)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))
    assert Cache().clean_parts() == ()


def test_folder_that_is_deleted_by_two_at_once_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "folder")
    unlink = os.unlink

    def after_another(path: Any, **named: Any) -> None:
        monkeypatch.setattr(os, "unlink", unlink)
        shutil.rmtree(folder)
        unlink(path, **named)

    monkeypatch.setattr(os, "unlink", after_another)
    disk.delete(folder)
    assert not folder.exists()


# Limits


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], None]:
    """Set the limit, and what to do where it is reached."""

    def limit(size_bytes: int, when_full: str = "error") -> None:
        monkeypatch.setenv("REGISTRY_MAX_CACHE_SIZE", str(size_bytes))
        monkeypatch.setenv("REGISTRY_WHEN_FULL", when_full)

    return limit


def test_full_cache_is_an_error_before_anything_is_fetched(home: Path, hub: Hub, limited: Callable[..., None]) -> None:
    keep(home, "a", 5000)
    limited(len(GGUF) + 4999)
    with pytest.raises(CacheFullError) as caught:
        ensure(chat())
    assert str(caught.value) == (
        f"No room for `a-chat` in the limit of {len(GGUF) + 4999} bytes (`REGISTRY_MAX_CACHE_SIZE`): "
        f"expected {len(GGUF)} bytes free, got {len(GGUF) - 1}. "
        "Remove models with `registry remove`, raise the limit, or set `when_full` to `prune`."
    )
    assert (hub.requests, files(home)) == ([], {"a.gguf"})


def test_model_that_just_fits_is_fetched(home: Path, hub: Hub, limited: Callable[..., None]) -> None:
    keep(home, "a", 5000)
    limited(len(GGUF) + 5000)
    assert ensure(chat()).exists()


def test_full_cache_that_prunes_makes_room(home: Path, hub: Hub, limited: Callable[..., None]) -> None:
    keep(home, "a", 5000, day=2)
    keep(home, "b", 5000, day=1)
    limited(len(GGUF) + 5000, "prune")
    ensure(chat())
    assert files(home) == {"a.gguf", "a-chat.gguf"}


def test_full_cache_that_cannot_prune_enough_deletes_nothing(
    home: Path, hub: Hub, limited: Callable[..., None]
) -> None:
    keep(home, "a", 5000)
    keep(home, "b", 5000, pinned=True)
    limited(len(GGUF) + 4999, "prune")
    with pytest.raises(CacheFullError):
        ensure(chat())
    assert files(home) == {"a.gguf", "b.gguf"}


def test_model_that_is_fetched_again_needs_no_second_room(home: Path, hub: Hub, limited: Callable[..., None]) -> None:
    limited(len(GGUF) + 50)
    ensure(chat()).write_bytes(b"damaged")
    assert ensure(chat()).read_bytes() == GGUF


def test_model_is_not_pruned_for_itself(home: Path, hub: Hub, limited: Callable[..., None]) -> None:
    limited(len(GGUF) + 50, "prune")
    Cache().pin(ensure(chat()).stem)
    keep(home, "a", 50)
    (home / "models" / "a-chat.gguf").write_bytes(b"damaged")
    assert ensure(chat()).read_bytes() == GGUF
    assert Cache().get("a-chat").pinned


def test_full_cache_does_not_refuse_what_needs_no_room(
    home: Path, tmp_path: Path, hub: Hub, limited: Callable[..., None]
) -> None:
    keep(home, "a", 5000)
    limited(1)
    cached(tmp_path / "hub", dense(revision="f" * 40), FOLDER)
    assert contents(ensure(dense())) == FOLDER


def test_part_that_has_come_counts_for_the_limit(home: Path, hub: Hub, limited: Callable[..., None]) -> None:
    part(home, "a-chat.gguf.part", age_s=0, size_bytes=len(GGUF) - 1)
    keep(home, "a", 100)
    limited(len(GGUF) + 99)
    with pytest.raises(CacheFullError):
        ensure(chat())


def test_model_of_unknown_size_is_measured_when_it_has_come(
    home: Path, hub: Hub, limited: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = chat()
    limited(len(GGUF) - 1)
    with pytest.raises(CacheFullError):
        ensure(replace(record, file=replace(record.file, size_bytes=None)))
    assert not (home / "models" / "a-chat.gguf").exists()
    monkeypatch.setenv("REGISTRY_MAX_CACHE_SIZE", "1GB")
    before = len(hub.requests)
    assert ensure(record).read_bytes() == GGUF
    assert len(hub.requests) == before  # what had come was kept


def test_linked_file_counts_when_the_hub_cache_has_gone(home: Path, tmp_path: Path) -> None:
    cached(tmp_path / "hub", chat(), {"chat-q4.gguf": GGUF})
    ensure(chat(), download=False)
    assert Cache().stats().own_bytes == 0
    shutil.rmtree(tmp_path / "hub")
    assert Cache().stats().own_bytes == len(GGUF)
    assert ids(Cache().prune(0)) == ["a-chat"]


@pytest.mark.parametrize(("answer", "left"), [("y\n", {"a-chat.gguf"}), ("n\n", {"a.gguf"}), ("", {"a.gguf"})])
def test_full_cache_asks_on_a_terminal(
    home: Path,
    hub: Hub,
    limited: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    left: set[str],
) -> None:
    keep(home, "a", 5000)
    limited(len(GGUF), "ask")
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
    if answer == "y\n":
        ensure(chat())
    else:
        with pytest.raises(CacheFullError):
            ensure(chat())
    assert files(home) == left
    assert capsys.readouterr().err == "No room for a-chat. Remove a (0.0 GB)? [y/N] "


def test_full_cache_without_a_terminal_does_not_ask(
    home: Path, hub: Hub, limited: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(home, "a", 5000)
    limited(len(GGUF), "ask")
    monkeypatch.setattr(sys.stdin, "readline", lambda: pytest.fail("asked"), raising=False)
    with pytest.raises(CacheFullError):
        ensure(chat())


def test_full_disk_is_an_error_before_anything_is_fetched(
    home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5))
    with pytest.raises(CacheFullError) as caught:
        ensure(chat())
    assert str(caught.value) == (
        f"No room for `a-chat` in `{home / 'models'}`: expected {len(GGUF)} bytes free, got 5. "
        "Delete files, `registry cache prune` removes models, or set `REGISTRY_HOME` to another disk."
    )
    assert hub.requests == []


def test_room_for_a_part_that_was_begun_is_not_needed_twice(
    home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / "models" / ".downloading" / "a-chat.gguf.part", GGUF[:-5])
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5))
    assert ensure(chat()).read_bytes() == GGUF


# Numbers


def test_stats_of_an_empty_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Cache().stats()
    assert found.free_bytes > 0
    assert replace(found, free_bytes=0).to_dict() == {
        "models": 0,
        "size_bytes": 0,
        "own_bytes": 0,
        "max_bytes": None,
        "free_bytes": 0,
        "parts": 0,
        "parts_bytes": 0,
    }


def test_stats_count_models_links_and_parts(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_MAX_CACHE_SIZE", "1kB")
    cached(tmp_path / "hub", dense(), FOLDER)
    ensure(dense())
    keep(home, "a", 70)
    part(home, "b.gguf.part", age_s=0, size_bytes=11)
    part(home, "b.gguf.part.json", age_s=0)
    found = Cache().stats()
    assert (found.models, found.size_bytes) == (2, 70 + sum(map(len, FOLDER.values())))
    assert (found.own_bytes, found.max_bytes, found.parts, found.parts_bytes) == (70, 1000, 1, 11)


def test_manifest_that_was_lost_keeps_the_models(home: Path, hub: Hub) -> None:
    ensure(chat())
    ensure(dense())
    (home / "models" / "manifest.json").unlink()
    assert ids(Cache().list()) == ["a-chat", "a-dense"]
    hub.requests.clear()
    ensure(chat())
    assert hub.requests == []
    assert manifest_of(home)["a-chat"]["checksum"] == f"sha256:{sha256(GGUF)}"
