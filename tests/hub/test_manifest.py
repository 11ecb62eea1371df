import json
import multiprocessing
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("filelock")

from hub.keeping import COMMIT, FOLDER, GGUF, fill, sha256, write
from registry.errors import RegistryError
from registry.hub.manifest import CachedFile, CacheEntry, Manifest, are_proven, checksum_of, files_below, used

TIME = datetime(2026, 11, 20, 12, 30, 15, 123456, UTC)
FILE = CachedFile("chat-q4.gguf", len(GGUF), sha256(GGUF), 17, "record")


def entry(folder: Path, id: str = "a-chat", **changes: Any) -> CacheEntry:
    facts = (len(GGUF), f"sha256:{sha256(GGUF)}", COMMIT, TIME, TIME, 3, True, "download", (FILE,))
    return replace(CacheEntry(id, folder / f"{id}.gguf", *facts), **changes)  # type: ignore[arg-type]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest(tmp_path / "models")


def put(manifest: Manifest, *entries: CacheEntry) -> None:
    with manifest.changing() as found:
        found.update({entry.id: entry for entry in entries})


def raw(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manifest.path.read_text("utf-8"))
    return found


def test_manifest_has_the_form_of_its_documentation(manifest: Manifest) -> None:
    put(manifest, entry(manifest.folder))
    file = {"name": "chat-q4.gguf", "size_bytes": len(GGUF), "sha256": sha256(GGUF), "modified_ns": 17}
    assert raw(manifest) == {
        "version": 1,
        "models": {
            "a-chat": {
                "path": "a-chat.gguf",
                "size_bytes": len(GGUF),
                "checksum": f"sha256:{sha256(GGUF)}",
                "revision": COMMIT,
                "downloaded_at": "2026-11-20T12:30:15.123456+00:00",
                "last_used": "2026-11-20T12:30:15.123456+00:00",
                "use_count": 3,
                "pinned": True,
                "source": "download",
                "files": [file | {"proof": "record"}],
                "complete": True,
            }
        },
    }


def test_entry_is_read_as_it_was_written(manifest: Manifest, tmp_path: Path) -> None:
    inside, outside = entry(manifest.folder), entry(manifest.folder, "b", path=tmp_path / "other" / "b.gguf")
    put(manifest, inside, outside)
    assert Manifest(manifest.folder).read() == {"a-chat": inside, "b": outside}


def test_folder_that_moves_takes_its_models_along(manifest: Manifest, tmp_path: Path) -> None:
    put(manifest, entry(manifest.folder))
    manifest.folder.rename(tmp_path / "moved")
    assert Manifest(tmp_path / "moved").read()["a-chat"].path == tmp_path / "moved" / "a-chat.gguf"


def test_manifest_that_is_not_there_is_empty_and_stays_so(manifest: Manifest) -> None:
    assert manifest.read() == {}
    assert not manifest.folder.exists()


def test_file_in_place_of_the_folder_is_an_empty_manifest(manifest: Manifest) -> None:
    manifest.folder.write_text("no folder")
    assert manifest.read() == {}


def test_change_that_fails_writes_nothing(manifest: Manifest) -> None:
    put(manifest, entry(manifest.folder))
    before = manifest.path.read_bytes()
    with pytest.raises(KeyError), manifest.changing() as entries:
        del entries["a-chat"], entries["no such"]
    assert manifest.path.read_bytes() == before


def test_change_of_nothing_writes_nothing(manifest: Manifest) -> None:
    put(manifest, entry(manifest.folder))
    before = manifest.path.stat().st_ino
    with manifest.changing():
        pass
    assert manifest.path.stat().st_ino == before


def test_manifest_that_cannot_be_written_stays_as_it_was(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    put(manifest, entry(manifest.folder))
    before = manifest.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        put(manifest, entry(manifest.folder, "b"))
    assert manifest.path.read_bytes() == before


def test_lost_manifest_is_made_up_from_the_folder(manifest: Manifest) -> None:
    write(manifest.folder / "a-chat.gguf")
    write(manifest.folder / "adapters" / "a-lora.gguf")
    fill(manifest.folder / "a-dense")
    fill(manifest.folder / "a-static", {"modules.json": b"[]"})
    fill(manifest.folder / ".hidden")
    write(manifest.folder / "notes.txt")
    found = manifest.read()
    assert {key: each.path.relative_to(manifest.folder).as_posix() for key, each in found.items()} == {
        "a-chat": "a-chat.gguf",
        "adapters/a-lora": "adapters/a-lora.gguf",
        "a-dense": "a-dense",
        "a-static": "a-static",
    }
    assert found["a-dense"].files == tuple(
        CachedFile(name, len(FOLDER[name]), None, None, "seen") for name in sorted(FOLDER)
    )
    assert (found["a-chat"].checksum, found["a-chat"].revision, found["a-chat"].use_count) == (None, None, 0)


def test_link_to_nothing_is_left_out_of_what_is_made_up(manifest: Manifest, tmp_path: Path) -> None:
    write(manifest.folder / "a-chat.gguf")
    (manifest.folder / "gone.gguf").symlink_to(tmp_path / "gone")
    assert list(manifest.read()) == ["a-chat"]


def _model(**changes: Any) -> str:
    """Give the text of a manifest with one value of its model changed; `...` takes it away."""
    stated = {
        "path": "a-chat.gguf",
        "size_bytes": 1,
        "checksum": None,
        "revision": None,
        "downloaded_at": TIME.isoformat(),
        "last_used": TIME.isoformat(),
        "use_count": 0,
        "pinned": False,
        "source": "download",
        "files": [{"name": "chat-q4.gguf", "size_bytes": 1, "sha256": None, "modified_ns": None, "proof": "seen"}],
        "complete": True,
    }
    kept = {name: value for name, value in (stated | changes).items() if value is not ...}
    return json.dumps({"version": 1, "models": {"a-chat": kept}})


def _file(**changes: Any) -> str:
    file = {"name": "chat-q4.gguf", "size_bytes": 1, "sha256": None, "modified_ns": None, "proof": "seen"}
    return _model(files=[file | changes])


def test_model_of_the_damaged_manifests_is_whole_without_its_damage(manifest: Manifest) -> None:
    write(manifest.path, _model().encode())
    assert list(manifest.read()) == ["a-chat"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "\udcff",
        "[]",
        "null",
        '{"version": 1}',
        '{"version": "1", "models": {}}',
        '{"version": 1, "models": []}',
        '{"version": 1, "models": {"a-chat": 5}}',
        "[" * 100_000,
        _model(path=5),
        _model(path=""),
        _model(path="../outside.gguf"),
        _model(path="a/../../outside"),
        _model(path="a\0b"),
        _model(path=...),
        _model(size_bytes="12"),
        _model(size_bytes=None),
        _model(use_count=None),
        _model(pinned="no"),
        _model(last_used="yesterday"),
        _model(last_used="2026-11-20T12:30:15"),
        _model(files=None),
        _model(files=[5]),
        _file(name="../../etc/passwd"),
        _file(size_bytes="1"),
        _file(modified_ns="x"),
        _file(more=1),
    ],
)
def test_damaged_manifest_is_made_up_from_the_folder_and_put_aside(manifest: Manifest, text: str) -> None:
    write(manifest.path, text.encode("utf-8", "surrogateescape"))
    write(manifest.folder / "b.gguf")
    assert list(manifest.read()) == ["b"]
    put(manifest, entry(manifest.folder))
    assert list(raw(manifest)["models"]) == ["a-chat", "b"]
    (aside,) = manifest.folder.glob("manifest.damaged-*.json")
    assert aside.read_bytes() == text.encode("utf-8", "surrogateescape")


def test_manifest_of_a_newer_version_is_refused_and_left_alone(manifest: Manifest) -> None:
    text = b'{"version": 2, "books": {}}'
    write(manifest.path, text)
    said = (
        f"`{manifest.path}` was written by a newer version of this library: expected version 1, got 2. "
        "Upgrade with `pip install --upgrade typed-model-registry`."
    )
    with pytest.raises(RegistryError) as caught:
        manifest.read()
    assert str(caught.value) == said
    with pytest.raises(RegistryError):
        put(manifest, entry(manifest.folder))
    assert [manifest.path.read_bytes()] == [file.read_bytes() for file in manifest.folder.glob("manifest*")]


def test_draft_that_a_killed_process_has_left_does_no_harm(manifest: Manifest) -> None:
    put(manifest, entry(manifest.folder))
    write(manifest.folder / "manifest.new", b'{"version": 1, "mod')
    put(manifest, entry(manifest.folder, "b"))
    assert list(manifest.read()) == ["a-chat", "b"]


def _count(folder: Path, turns: int, id: str) -> None:
    manifest = Manifest(folder)
    for turn in range(turns):
        with manifest.changing(sync=False) as entries:
            entries["shared"] = used(entries["shared"])
            entries[f"{id}-{turn}"] = replace(entries["shared"], id=f"{id}-{turn}", path=folder / f"{id}-{turn}.gguf")


def test_changes_of_several_processes_are_all_kept(manifest: Manifest) -> None:
    put(manifest, entry(manifest.folder, "shared", use_count=0))
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_count, args=(manifest.folder, 10, f"w{number}")) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    found = manifest.read()
    assert found.pop("shared").use_count == 30
    assert found.keys() == {f"w{number}-{turn}" for number in range(3) for turn in range(10)}


def test_reader_beside_a_writer_reads_a_whole_manifest(manifest: Manifest) -> None:
    put(manifest, entry(manifest.folder))
    before = manifest.path.read_bytes()
    with manifest.path.open("rb", buffering=0) as reader:
        begun = reader.read(20)
        put(manifest, entry(manifest.folder, "b"))
        assert begun + reader.read() == before
    assert list(manifest.read()) == ["a-chat", "b"]


def test_change_of_another_process_is_seen_though_time_and_size_are_the_same(manifest: Manifest) -> None:
    put(manifest, entry(manifest.folder, use_count=3))
    seen, text = manifest.path.stat(), manifest.path.read_text("utf-8")
    manifest.path.write_text(text.replace('"use_count": 3', '"use_count": 4'), "utf-8")
    os.utime(manifest.path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert manifest.path.stat().st_size == seen.st_size
    assert manifest.read()["a-chat"].use_count == 4


def test_entries_that_were_lent_and_not_written_are_forgotten(manifest: Manifest) -> None:
    put(manifest, entry(manifest.folder))
    manifest.read().clear()
    with pytest.raises(KeyError), manifest.changing() as entries:
        del entries["a-chat"], entries["no such"]
    assert list(manifest.read()) == ["a-chat"]


def test_use_counts_and_sets_the_time(manifest: Manifest) -> None:
    before = datetime.now(UTC)
    found = used(entry(manifest.folder))
    assert found.use_count == 4
    assert before <= found.last_used <= datetime.now(UTC)
    assert found.downloaded_at == TIME


def test_checksum_of_a_file_is_its_digest() -> None:
    assert checksum_of((FILE,)) == f"sha256:{sha256(GGUF)}"


def test_checksum_of_a_folder_is_that_of_its_lines_as_sha256sum_prints_them() -> None:
    digests = {name: sha256(name.encode()) for name in ("b.json", "a.safetensors")}
    files = tuple(CachedFile(name, 1, digest, None) for name, digest in digests.items())
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    assert checksum_of(files) == f"sha256:{sha256(lines.encode())}"
    assert checksum_of(tuple(reversed(files))) == checksum_of(files)


def test_checksum_of_files_that_are_not_proven_is_none() -> None:
    assert checksum_of((FILE, replace(FILE, name="b", sha256=None))) is None
    assert checksum_of(()) is None


def test_weights_are_proven_by_the_record_or_the_hub() -> None:
    config = CachedFile("config.json", 1, "c" * 64, 1, "seen")
    weights = CachedFile("model.safetensors", 1, "a" * 64, 1, "hub")
    assert are_proven((FILE,))
    assert are_proven((config, weights))
    assert not are_proven((config, replace(weights, proof="seen")))
    assert not are_proven((config, replace(weights, sha256=None)))
    assert not are_proven((config,))


def test_files_below_a_folder_leave_hidden_ones_out(tmp_path: Path) -> None:
    fill(tmp_path / "a", {"b.json": b"", "1_Dense/a.json": b"", ".git/config": b"", ".DS_Store": b""})
    found = [path.relative_to(tmp_path / "a").as_posix() for path in files_below(tmp_path / "a")]
    assert found == ["1_Dense/a.json", "b.json"]


def test_entry_can_be_held_by_json(manifest: Manifest) -> None:
    found = entry(manifest.folder).to_dict()
    assert json.loads(json.dumps(found)) == found | {"files": [found["files"][0]]}
    assert (found["path"], found["last_used"]) == (str(manifest.folder / "a-chat.gguf"), TIME.isoformat())
