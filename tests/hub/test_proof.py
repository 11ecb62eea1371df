import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("filelock")

from hub.keeping import COMMIT, FOLDER, GGUF, OTHER_COMMIT, cached, chat, dense, fill, git_sha1, sha256, write
from registry.errors import ChecksumMismatchError
from registry.hub.manifest import CachedFile, CacheEntry
from registry.hub.proof import (
    Digests,
    Expected,
    expectations,
    fits,
    is_of_another_commit,
    is_unchanged,
    lacks,
    pinned_files,
    prove,
    read_digests,
    sha256_of,
)
from registry.records import ModelFile

TIME = datetime(2026, 1, 1, tzinfo=UTC)


def entry(path: Path, *files: CachedFile, revision: str | None = COMMIT, source: str = "download") -> CacheEntry:
    return CacheEntry("x", path, 1, None, revision, TIME, TIME, 0, False, source, files)  # type: ignore[arg-type]


def file_of(path: Path, name: str = "chat-q4.gguf") -> CachedFile:
    seen = path.stat()
    return CachedFile(name, seen.st_size, sha256(path.read_bytes()), seen.st_mtime_ns)


@pytest.mark.parametrize("size", [0, 1, 100, 16 * 2**20, 16 * 2**20 + 1])
def test_digests_are_those_of_the_bytes(tmp_path: Path, size: int) -> None:
    content = bytes(size)
    path = write(tmp_path / "file", content)
    assert read_digests(path, git=True) == Digests(size, sha256(content), git_sha1(content))
    assert read_digests(path) == Digests(size, sha256(content), None)
    assert sha256_of(path) == sha256(content)


def test_reading_tells_how_far_it_is(tmp_path: Path) -> None:
    seen: list[int] = []
    read_digests(write(tmp_path / "file", bytes(16 * 2**20 + 5)), on_bytes=seen.append)
    assert seen == [16 * 2**20, 16 * 2**20 + 5]


def test_file_with_the_right_sha256_is_proven(tmp_path: Path) -> None:
    path = write(tmp_path / "file")
    found = prove(path, "name", Expected(len(GGUF), sha256(GGUF), proof="record"), remedy="")
    assert found == CachedFile("name", len(GGUF), sha256(GGUF), path.stat().st_mtime_ns, "record")


def test_file_with_the_right_git_sha1_is_proven_and_its_sha256_written_down(tmp_path: Path) -> None:
    path = write(tmp_path / "file")
    found = prove(path, "name", Expected(None, None, git_sha1(GGUF), proof="hub"), remedy="")
    assert (found.sha256, found.proof) == (sha256(GGUF), "hub")


def test_file_that_nothing_is_known_of_is_seen(tmp_path: Path) -> None:
    found = prove(write(tmp_path / "file"), "name", Expected(proof="hub"), remedy="")
    assert (found.sha256, found.proof) == (sha256(GGUF), "seen")


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (Expected(5), "expected 5 bytes, got 10244 bytes."),
        (Expected(None, "0" * 64), f"expected {'0' * 64}, got {sha256(GGUF)}."),
        (Expected(None, None, "0" * 40), f"expected git blob {'0' * 40}, got git blob {git_sha1(GGUF)}."),
    ],
)
def test_file_with_other_bytes_is_an_error(tmp_path: Path, expected: Expected, said: str) -> None:
    path = write(tmp_path / "file")
    with pytest.raises(ChecksumMismatchError) as caught:
        prove(path, "name", expected, remedy="Fetch it.")
    assert str(caught.value) == f"`{path}` is not the file that the registry pins: {said} Fetch it."


def test_file_that_changes_while_it_is_read_is_read_again_next_time(tmp_path: Path) -> None:
    path = write(tmp_path / "file")
    os.utime(path, ns=(1, 1))
    found = prove(path, "chat-q4.gguf", Expected(), remedy="", on_bytes=lambda _: os.utime(path, ns=(2, 2)))
    assert not is_unchanged(entry(tmp_path / "file", found))


def test_pin_of_the_record_is_expected_over_all_else(tmp_path: Path) -> None:
    model, path = dense(pins=("model.safetensors",)), fill(tmp_path / "folder")
    known = entry(path, CachedFile("model.safetensors", 1, "0" * 64, 1))
    pin = Expected(len(FOLDER["model.safetensors"]), sha256(FOLDER["model.safetensors"]), proof="record")
    assert expectations(model, path, ["model.safetensors"], known) == {"model.safetensors": pin}


@pytest.mark.parametrize("source", ["download", "cache", "package", "bundle"])
def test_what_was_seen_is_expected_ever_after(tmp_path: Path, source: str) -> None:
    known = entry(tmp_path, CachedFile("config.json", 5, "0" * 64, 1, "hub"), source=source)
    assert expectations(dense(), tmp_path, ["config.json"], known) == {
        "config.json": Expected(5, "0" * 64, None, "hub")
    }


def test_what_was_seen_of_a_file_placed_by_hand_may_change(tmp_path: Path) -> None:
    known = entry(tmp_path, CachedFile("config.json", 5, "0" * 64, 1), source="placed")
    assert expectations(dense(), tmp_path, ["config.json"], known) == {"config.json": Expected()}


def test_name_of_a_blob_is_the_word_of_the_hub(tmp_path: Path) -> None:
    folder = cached(tmp_path, dense(), FOLDER)
    weights, config = FOLDER["model.safetensors"], FOLDER["config.json"]
    assert expectations(dense(), folder, ["model.safetensors", "config.json"], None) == {
        "model.safetensors": Expected(None, sha256(weights), None, "hub"),
        "config.json": Expected(None, None, git_sha1(config), "hub"),
    }


def test_file_that_only_looks_like_a_blob_proves_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "elsewhere" / sha256(GGUF))
    (tmp_path / "config.json").symlink_to(path)
    assert expectations(dense(), tmp_path, ["config.json"], None) == {"config.json": Expected()}


def test_pinned_files_of_a_record_are_those_it_names() -> None:
    assert pinned_files(chat()) == {"chat-q4.gguf": chat().file}
    assert list(pinned_files(dense(pins=("model.safetensors",)))) == ["model.safetensors"]


@pytest.mark.parametrize("size", [0, 1])
def test_file_with_another_time_size_or_name_is_changed(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.gguf")
    kept = file_of(path)
    assert is_unchanged(entry(path, kept))
    assert not is_unchanged(entry(path, replace(kept, modified_ns=kept.modified_ns and kept.modified_ns - 1)))
    assert not is_unchanged(entry(path, replace(kept, size_bytes=size)))
    assert not is_unchanged(entry(path, replace(kept, sha256=None)))
    assert not is_unchanged(entry(tmp_path / "gone.gguf", kept))
    assert not is_unchanged(entry(path))


def test_entry_with_the_pinned_bytes_fits() -> None:
    kept = CachedFile("chat-q4.gguf", len(GGUF), sha256(GGUF), 1)
    assert fits(entry(Path("a.gguf"), kept), chat())
    assert fits(entry(Path("a.gguf"), kept, revision=OTHER_COMMIT), chat())
    assert not fits(entry(Path("a.gguf"), replace(kept, sha256="0" * 64)), chat())
    assert not fits(entry(Path("a.gguf"), replace(kept, name="other.gguf")), chat())


def test_entry_of_the_pinned_commit_fits() -> None:
    kept = CachedFile("config.json", 1, "0" * 64, 1)
    assert fits(entry(Path("a"), kept), dense())
    assert fits(entry(Path("a"), kept, revision=None), dense())
    assert fits(entry(Path("a"), kept), dense(revision=None))
    assert not fits(entry(Path("a"), kept, revision=OTHER_COMMIT), dense())


def test_entry_of_one_unpinned_file_of_another_commit_does_not_fit() -> None:
    kept = CachedFile("chat-q4.gguf", len(GGUF), sha256(GGUF), 1)
    assert is_of_another_commit(entry(Path("a.gguf"), kept, revision=OTHER_COMMIT), chat(None))


@pytest.mark.parametrize("role", ["safetensors", "config", "tokenizer"])
def test_entry_without_a_file_that_the_record_names_does_not_fit(role: str) -> None:
    model = dense(files=(ModelFile("some.file", role),))
    kept = entry(Path("a"), CachedFile("config.json", 1, "0" * 64, 1))
    assert lacks(kept, model) == ("some.file",)
    assert not fits(kept, model)


@pytest.mark.parametrize("role", ["onnx", "pytorch", "gguf"])
def test_entry_without_a_file_that_folders_do_not_need_fits(role: str) -> None:
    kept = entry(Path("a"), CachedFile("config.json", 1, "0" * 64, 1))
    assert fits(kept, dense(files=(ModelFile("some.gguf", role),)))
