import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("filelock")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")

from hub_server import Fault, Hub

from hub.keeping import (
    COMMIT,
    FOLDER,
    GGUF,
    OTHER_COMMIT,
    chat,
    contents,
    dense,
    fill,
    manifest_of,
    nothing_read_or_sent,
    sha256,
    write,
)
from hub.keeping import hub_fixture as hub_fixture
from registry.errors import ChecksumMismatchError, DownloadError, UnpinnedModelError, UnsafeWeightsError
from registry.hub import Cache, Progress, ensure
from registry.hub import fetch as fetch_module
from registry.records import ModelFile


def fetched(hub: Hub) -> list[str]:
    """Give the names of the files that were asked for, in order."""
    return [each.path.partition("/resolve/")[2].partition("/")[2] for each in hub.requests if "/resolve/" in each.path]


# What is fetched


def test_repository_with_unsafe_weights_alone_is_refused(hub: Hub) -> None:
    hub.add("org/dense", {"config.json": b"{}", "pytorch_model.bin": b"pickle"}, COMMIT)
    with pytest.raises(UnsafeWeightsError):
        ensure(dense())
    assert fetched(hub) == []


def test_repository_with_another_digest_than_the_record_is_refused(hub: Hub) -> None:
    hub.add("org/dense", FOLDER | {"model.safetensors": b"other"}, COMMIT)
    with pytest.raises(ChecksumMismatchError):
        ensure(dense(pins=("model.safetensors",)))
    assert fetched(hub) == []


def test_weights_in_parts_come_with_their_index(hub: Hub) -> None:
    parts = {f"model-0000{n}-of-00002.safetensors": bytes([n]) * 100 for n in (1, 2)}
    files = {"config.json": b"{}", "model.safetensors.index.json": b"{}", **parts}
    hub.add("org/dense", files, COMMIT)
    assert contents(ensure(dense(files))) == files


# From where


@pytest.mark.parametrize(("source", "sees"), [("hub", True), ("mirror", False)])
def test_token_goes_to_the_hub_and_to_no_mirror(
    hub: Hub, make_hub: Callable[..., Hub], source: str, sees: bool
) -> None:
    asked = hub if source == "hub" else make_hub()
    model = dense(revision=asked.add("org/dense", FOLDER))
    ensure(model, sources=["hub" if source == "hub" else asked.endpoint], token="hf_secret")
    assert asked.requests
    assert {("authorization" in request.headers) for request in asked.requests} == {sees}


def test_file_comes_from_a_folder_that_has_it(hub: Hub, tmp_path: Path) -> None:
    write(tmp_path / "mirror" / "a-chat.gguf")
    assert ensure(chat(), sources=[str(tmp_path / "mirror")]).read_bytes() == GGUF
    assert hub.requests == []


def test_file_comes_from_a_mirror_without_an_api(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_SOURCES", f"{hub.endpoint}/mirror/{{repo}}/{{revision}}/{{file}}")
    assert ensure(chat()).read_bytes() == GGUF
    assert [each.path for each in hub.requests] == [f"/mirror/org/chat-gguf/{COMMIT}/chat-q4.gguf"]


def test_folder_of_a_mirror_without_an_api_has_what_the_record_pins(hub: Hub) -> None:
    roles = {"config.json": "config", "model.safetensors": "safetensors"}
    files = tuple(ModelFile(name, role, sha256(FOLDER[name])) for name, role in roles.items())
    assert contents(ensure(dense(files=files), sources=[f"{hub.endpoint}/mirror/{{file}}"])).keys() == roles.keys()


def test_source_that_fails_is_followed_by_the_next(hub: Hub, tmp_path: Path) -> None:
    sources = [str(tmp_path / "nothing"), "hub"]
    assert ensure(chat(), sources=sources).read_bytes() == GGUF
    assert contents(ensure(dense(), sources=sources)) == FOLDER


def test_hub_says_what_there_is_whatever_is_asked_for_the_files_first(hub: Hub, tmp_path: Path) -> None:
    """A pattern can list nothing, and what a folder has proves nothing, and may be a part."""
    folder = fill(tmp_path / "mirror" / "org" / "dense", {name: FOLDER[name] for name in ("model.safetensors",)})
    write(folder / "config.json", b"other")
    pattern = f"{hub.endpoint}/nowhere/{{repo}}/{{file}}"
    found = ensure(dense(pins=("model.safetensors",)), sources=[pattern, str(tmp_path / "mirror"), "hub"])
    assert contents(found) == FOLDER
    assert "model.safetensors" not in [each.path.rpartition("/")[2] for each in hub.requests if "resolve" in each.path]


def test_mirror_without_an_api_cannot_give_a_folder_whose_record_names_the_weights_alone(hub: Hub) -> None:
    with pytest.raises(DownloadError) as caught:
        ensure(dense(pins=("model.safetensors",)), sources=[f"{hub.endpoint}/{{repo}}/resolve/{{revision}}/{{file}}"])
    assert str(caught.value) == (
        "Cannot fetch `a-dense`: its record names no config.json, and a mirror without the hub's interface lists no "
        "files. Add a source that lists them, such as `hub`, or name all in the record."
    )


def test_sources_that_all_fail_to_list_are_all_named(tmp_path: Path) -> None:
    sources = [str(tmp_path / "first"), str(tmp_path / "second")]
    with pytest.raises(DownloadError) as caught:
        ensure(dense(), sources=sources)
    said = str(caught.value)
    assert said.startswith("Cannot fetch `a-dense`: none of 2 sources lists its files:\n  ")
    assert all(f"`{source}` has no weights of it" in said for source in sources)


def test_folder_without_the_weights_says_where_it_looked(tmp_path: Path) -> None:
    mirror = fill(tmp_path / "mirror", {"config.json": b"{}"})
    with pytest.raises(DownloadError) as caught:
        ensure(dense(), sources=[str(mirror)])
    assert str(caught.value).startswith(f"Cannot fetch `a-dense`: `{mirror}` has no weights of it: looked in ")
    assert str(caught.value).endswith(". Put the files there, or add another source.")


def test_mirrors_that_want_a_user_get_it_and_it_is_kept_nowhere(home: Path, hub: Hub) -> None:
    mirror = hub.endpoint.replace("://", "://bob:s3cret@")
    ensure(chat(), sources=[f"{mirror}/mirror/{{file}}"])
    ensure(dense(), sources=[mirror], token="hf_secret")
    assert {each.headers["authorization"] for each in hub.requests} == {"Basic Ym9iOnMzY3JldA=="}
    assert not [file for file in home.rglob("*") if file.is_file() and b"s3cret" in file.read_bytes()]


@pytest.mark.parametrize("changed", [b"other weights!" * 70, b"of another size"])
def test_unpinned_file_that_a_folder_has_in_another_version_by_now_is_refused(tmp_path: Path, changed: bytes) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"weights so far" * 70}
    model, mirror = dense(files, revision=None), fill(tmp_path / "mirror", files)
    kept = ensure(model, sources=[str(mirror)], allow_unpinned=True)
    write(mirror / "model.safetensors", changed)
    (kept / "model.safetensors").unlink()
    with pytest.raises(ChecksumMismatchError) as caught:
        ensure(model, sources=[str(mirror)], allow_unpinned=True)
    assert caught.value.path == (mirror / "model.safetensors").as_uri()


def test_commit_that_the_hub_lists_is_the_one_that_is_fetched(hub: Hub) -> None:
    ensure(dense(revision=None), allow_unpinned=True)
    assert {each.path.split("/")[4] for each in hub.requests if "/resolve/" in each.path} == {COMMIT}


def test_unpinned_files_are_named(hub: Hub) -> None:
    with pytest.raises(UnpinnedModelError) as caught:
        ensure(dense(revision=None, pins=("model.safetensors",)))
    assert caught.value.files == ("1_Pooling/config.json", "config.json", "tokenizer.json")


# What is there is not fetched


def interrupted(model: Any, at: str) -> None:
    """Fetch a model, and end as by Ctrl-C when one of its files begins to come."""

    def interrupt(progress: Progress) -> None:
        if (progress.stage, progress.file) == ("downloading", at):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure(model, progress=interrupt)


def test_files_that_came_before_an_interruption_are_not_fetched_again(home: Path, hub: Hub) -> None:
    interrupted(dense(), "tokenizer.json")
    assert not (home / "models" / "a-dense").exists()
    hub.requests.clear()
    assert contents(ensure(dense())) == FOLDER
    assert set(fetched(hub)) <= {"tokenizer.json"}


def test_files_of_another_commit_that_wait_are_not_taken_along(home: Path, hub: Hub) -> None:
    old = FOLDER | {"added_tokens.json": b"old", "0_Transformer/config.json": b"old", "vocab.txt": b"old"}
    hub.add("org/dense", old, OTHER_COMMIT)
    interrupted(dense(revision=OTHER_COMMIT), "vocab.txt")
    waiting = home / "models" / ".downloading" / "a-dense"
    assert (waiting / "added_tokens.json").exists()
    assert (waiting / "0_Transformer" / "config.json").exists()
    assert contents(ensure(dense())) == FOLDER


def test_file_that_waits_and_is_damaged_is_fetched_again(home: Path, hub: Hub) -> None:
    write(home / "models" / ".downloading" / "a-chat.gguf", GGUF[::-1])
    assert ensure(chat()).read_bytes() == GGUF


def test_file_that_waits_whole_is_put_into_place(home: Path, hub: Hub) -> None:
    write(home / "models" / ".downloading" / "a-chat.gguf")
    assert ensure(chat()).read_bytes() == GGUF
    assert hub.requests == []


def test_files_are_copied_where_there_are_no_hard_links(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported", str(self))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    ensure(dense())
    newer = FOLDER | {"config.json": b'{"model_type": "newer"}'}
    hub.add("org/dense", newer, OTHER_COMMIT)
    found = ensure(dense(newer, revision=OTHER_COMMIT))
    assert contents(found) == newer
    assert not any(path.is_symlink() for path in found.rglob("*"))


def test_old_parts_of_others_are_cleaned_when_something_is_fetched(home: Path, hub: Hub) -> None:
    old = write(home / "models" / ".downloading" / "other.gguf.part", b"p")
    os.utime(old, (0, 0))
    ensure(chat())
    assert not old.exists()


def test_old_part_of_the_model_itself_is_continued(home: Path, hub: Hub) -> None:
    old = write(home / "models" / ".downloading" / "a-chat.gguf.part", GGUF[:5000])
    os.utime(old, (0, 0))
    assert ensure(chat()).read_bytes() == GGUF
    assert [each.headers.get("range") for each in hub.requests] == ["bytes=5000-"]


def test_pin_that_was_set_while_it_was_fetched_is_kept(home: Path, hub: Hub) -> None:
    ensure(chat()).write_bytes(b"damaged")

    def pin(progress: Progress) -> None:
        if progress.stage == "downloading":
            Cache().pin("a-chat")

    ensure(chat(), progress=pin)
    assert manifest_of(home)["a-chat"]["pinned"] is True


# Several at once


def at_once(first: Any, second: Any) -> list[str]:
    """Fetch a model, and a second one while the first comes, which goes on when the second waits or is there."""
    said: list[str] = []
    go_on = threading.Event()

    def of_second(progress: Progress) -> None:
        said.append(progress.stage)
        if progress.stage in ("waiting", "done"):
            go_on.set()

    thread = threading.Thread(target=lambda: ensure(second, progress=of_second))

    def of_first(progress: Progress) -> None:
        if progress.stage == "downloading" and thread.ident is None:
            thread.start()
            assert go_on.wait(30)

    ensure(first, progress=of_first)
    thread.join(30)
    return said


def test_two_large_models_come_one_after_the_other(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "LARGE_BYTES", len(GGUF))
    assert at_once(chat(), chat(id="other"))[0] == "waiting"


def test_small_model_does_not_wait_for_a_large_one(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "LARGE_BYTES", len(GGUF))
    assert "waiting" not in at_once(chat(), dense())


def test_model_named_as_a_lock_of_its_own_is_fetched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "LARGE_BYTES", 1)
    assert ensure(chat(id="large")).read_bytes() == GGUF


# Given up


def test_file_with_wrong_bytes_twice_is_not_kept(home: Path, hub: Hub) -> None:
    wrong = Fault(content=GGUF[::-1])
    hub.misbehave("chat-q4.gguf", wrong, wrong)
    with pytest.raises(ChecksumMismatchError):
        ensure(chat())
    assert [path.name for path in home.rglob("*.gguf*")] == []
    assert Cache().list() == ()


def test_file_with_wrong_bytes_once_is_fetched_once_more(hub: Hub) -> None:
    hub.misbehave("chat-q4.gguf", Fault(content=GGUF[::-1]))
    assert ensure(chat()).read_bytes() == GGUF


def test_file_that_the_hub_does_not_have_says_so_and_leaves_nothing(home: Path, hub: Hub) -> None:
    hub.add("org/chat-gguf", {"README.md": b""}, COMMIT)
    with pytest.raises(DownloadError) as caught:
        ensure(chat())
    assert caught.value.status == 404
    assert [path.name for path in home.rglob("*.gguf*")] == []


def test_failed_fetch_can_be_done_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.misbehave("config.json", Fault(status=403))
    model = dense()
    with pytest.raises(DownloadError):
        ensure(model)
    assert contents(ensure(model)) == FOLDER
    with nothing_read_or_sent(monkeypatch):
        ensure(model)
