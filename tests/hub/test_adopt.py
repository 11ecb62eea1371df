import os
from pathlib import Path

import pytest

pytest.importorskip("filelock")
pytest.importorskip("huggingface_hub")

from hub.keeping import COMMIT, FOLDER, GGUF, OTHER_COMMIT, cached, chat, contents, dense, fill, snapshot, write
from registry.errors import ChecksumMismatchError, UnsafeWeightsError
from registry.hub.adopt import Looked, files_of_others, look
from registry.hub.disk import link_file
from registry.hub.manifest import CacheEntry

WRONG = GGUF[::-1]


def adopted(model: object, **changes: object) -> CacheEntry:
    """Take a model in, and give its entry."""
    found = look(model, None, strict=True).entry  # type: ignore[arg-type]
    assert found is not None
    return found


def test_nothing_there_gives_a_reason_for_each_place(home: Path, tmp_path: Path) -> None:
    models, folder = home / "models", snapshot(tmp_path / "hub", chat())
    assert look(chat(), None, strict=True) == Looked(
        None,
        (
            f"{models / 'chat-q4.gguf'} (no such file)",
            f"{models / 'a-chat.gguf'} (no such file)",
            f"{folder / 'chat-q4.gguf'} (no such file)",
        ),
    )


def test_unpinned_model_says_that_the_hub_cache_is_not_used(home: Path) -> None:
    assert look(dense(revision=None), None, strict=True).reasons == (
        f"{home / 'models' / 'a-dense'} (no such folder)",
        "the Hugging Face cache is not used: the record pins no revision",
    )


def test_wrong_file_is_passed_over_where_that_is_allowed(home: Path, tmp_path: Path) -> None:
    placed = write(home / "models" / "chat-q4.gguf", WRONG)
    cached(tmp_path / "hub", chat(), {"chat-q4.gguf": GGUF})
    found = look(chat(), None, strict=False)
    assert found.entry is not None
    assert (found.entry.source, found.entry.path) == ("cache", home / "models" / "a-chat.gguf")
    assert placed.read_bytes() == WRONG


def test_wrong_file_is_an_error_where_nothing_else_is_allowed(home: Path) -> None:
    write(home / "models" / "chat-q4.gguf", WRONG)
    with pytest.raises(ChecksumMismatchError):
        look(chat(), None, strict=True)


def test_folder_with_unsafe_weights_alone_is_an_error(home: Path) -> None:
    fill(home / "models" / "a-dense", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    with pytest.raises(UnsafeWeightsError):
        look(dense(), None, strict=True)


def test_folder_with_unsafe_weights_alone_is_passed_over_where_others_may_be_fetched(home: Path) -> None:
    folder = fill(home / "models" / "a-dense", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    looked = look(dense(), None, strict=False)
    assert looked.entry is None
    assert looked.reasons[0] == f"{folder} (`pytorch_model.bin` is in a format that can run code)"


@pytest.mark.parametrize(("listed", "complete"), [(tuple(FOLDER), True), (None, False)])
def test_snapshot_of_the_hub_cache_is_complete_where_the_repository_says_so(
    tmp_path: Path, listed: tuple[str, ...] | None, complete: bool
) -> None:
    cached(tmp_path / "hub", dense(), FOLDER)
    found = look(dense(), None, strict=False, listing=lambda: listed).entry
    assert found is not None
    assert found.complete is complete


def test_snapshot_of_the_hub_cache_that_lacks_files_is_passed_over(tmp_path: Path) -> None:
    folder = cached(tmp_path / "hub", dense(), FOLDER)
    looked = look(dense(), None, strict=False, listing=lambda: [*FOLDER, "modules.json", "vocab.txt"])
    assert looked.entry is None
    assert looked.reasons[1] == f"{folder} (incomplete: no modules.json, vocab.txt)"


def test_folder_that_lacks_a_part_of_its_weights_is_incomplete(home: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors.index.json": b"{}", "model-00001-of-00002.safetensors": b"w"}
    folder = fill(home / "models" / "a-dense", files)
    reason = "incomplete: the repository lacks part 2 of 2 of the weights in `.`"
    assert look(dense(), None, strict=True).reasons[0] == f"{folder} ({reason})"


def test_files_that_loading_does_not_need_are_not_read(home: Path) -> None:
    fill(home / "models" / "a-dense", FOLDER | {"onnx/model.onnx": b"", "big.bin": b"", ".git/config": b""})
    assert [file.name for file in adopted(dense()).files] == sorted(FOLDER)


def test_reading_tells_how_far_it_is(home: Path) -> None:
    write(home / "models" / "chat-q4.gguf")
    seen: list[tuple[str, int, int | None]] = []
    look(chat(), None, strict=True, on_bytes=lambda *step: seen.append(step))
    assert seen == [("chat-q4.gguf", len(GGUF), len(GGUF))]


def test_model_that_was_kept_keeps_its_counts_when_it_is_read_again(home: Path) -> None:
    write(home / "models" / "chat-q4.gguf")
    first = adopted(chat())
    os.utime(first.path, ns=(1, 1))
    again = look(chat(), first, strict=True).entry
    assert again is not None
    assert (again.downloaded_at, again.use_count, again.source) == (first.downloaded_at, 0, "placed")
    assert again.files[0].modified_ns == 1


def test_files_of_others_are_those_with_other_bytes_that_are_unchanged(home: Path) -> None:
    path = write(home / "models" / "chat-q4.gguf", WRONG)
    other = adopted(chat(WRONG, id="other"))
    entries = {"other": other}
    assert files_of_others(chat(), entries) == {path}
    assert files_of_others(chat(WRONG), entries) == set()  # the same bytes by another name
    assert files_of_others(chat(WRONG, id="other"), entries) == set()
    path.write_bytes(GGUF)  # somebody has put the right file there
    assert files_of_others(chat(), entries) == set()


def test_folder_of_another_commit_is_not_taken(home: Path, tmp_path: Path) -> None:
    cached(tmp_path / "hub", dense(), FOLDER)
    first = adopted(dense())
    reason = f"this is commit {COMMIT}, and the record pins {OTHER_COMMIT}"
    assert look(dense(revision=OTHER_COMMIT), first, strict=True).reasons[0] == f"{first.path} ({reason})"


def test_incomplete_folder_makes_way_for_the_one_of_the_hub_cache(home: Path, tmp_path: Path) -> None:
    fill(home / "models" / "a-dense", {"config.json": b"old"})
    cached(tmp_path / "hub", dense(), FOLDER)
    assert contents(adopted(dense()).path) == FOLDER


def test_linking_leaves_nothing_in_the_work_folder(home: Path, tmp_path: Path) -> None:
    cached(tmp_path / "hub", dense(), FOLDER)
    adopted(dense())
    assert list((home / "models" / ".downloading").iterdir()) == []


def test_linking_that_fails_leaves_nothing_and_gives_the_files_where_they_lie(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, replace = cached(tmp_path / "hub", dense(), FOLDER), Path.replace

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(18, "Invalid cross-device link", str(self))

    monkeypatch.setattr(Path, "replace", refuse)
    assert adopted(dense()).path == folder
    monkeypatch.setattr(Path, "replace", replace)
    assert list((home / "models" / ".downloading").iterdir()) == []


def test_link_is_a_hard_one(tmp_path: Path) -> None:
    file = write(tmp_path / "blob")
    (tmp_path / "snapshot").symlink_to(file)
    link_file(tmp_path / "snapshot", tmp_path / "deep" / "target")
    assert not (tmp_path / "deep" / "target").is_symlink()
    assert (tmp_path / "deep" / "target").stat().st_nlink == 2


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link", str(self))

    monkeypatch.setattr(Path, "hardlink_to", refuse)


def test_link_to_another_disk_is_a_symbolic_one(tmp_path: Path, no_hard_links: None) -> None:
    file = write(tmp_path / "blob")
    (tmp_path / "snapshot").symlink_to(file)
    link_file(tmp_path / "snapshot", tmp_path / "target")
    assert (tmp_path / "target").readlink() == file


def test_link_within_the_model_folder_is_a_copy_where_there_are_no_hard_ones(home: Path, no_hard_links: None) -> None:
    file = write(home / "models" / "a" / "file")
    link_file(file, home / "models" / "b" / "file")
    file.unlink()
    assert (home / "models" / "b" / "file").read_bytes() == GGUF
