import os
import shutil
import socket
from pathlib import Path

import pytest

pytest.importorskip("filelock")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")

from hub_server import Hub

from hub.keeping import FOLDER, GGUF, chat, contents, dense, manifest_of, sha256, write
from hub.keeping import hub_fixture as hub_fixture
from registry.errors import ModelNotDownloadedError, ModelNotFoundError
from registry.hub import Cache, Progress, Verification, ensure, verify

SIZE = sum(map(len, FOLDER.values()))


def damage(path: Path) -> None:
    """Change a byte, and leave size and time as they are: a failing disk tells nobody."""
    seen, content = path.stat(), bytearray(path.read_bytes())
    content[0] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def test_models_that_are_whole_are_verified(home: Path, hub: Hub) -> None:
    ensure(chat())
    ensure(dense())
    models = home / "models"
    assert verify() == (
        Verification("a-chat", models / "a-chat.gguf", (), (), len(GGUF)),
        Verification("a-dense", models / "a-dense", (), (), SIZE),
    )
    assert [found.ok for found in verify()] == [True, True]


def test_verifying_needs_no_network_and_no_record(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure(dense())
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was opened"))
    assert [found.ok for found in verify(["a-dense"])] == [True]


@pytest.mark.parametrize("name", FOLDER)
def test_each_damaged_file_is_named_with_both_digests(hub: Hub, name: str) -> None:
    folder = ensure(dense())
    damage(folder / name)
    got = sha256((folder / name).read_bytes())
    (found,) = verify()
    assert found.problems == (f"{name}: expected sha256 {sha256(FOLDER[name])}, got {got}",)
    assert not found.ok


def test_file_that_is_not_there_is_named(hub: Hub) -> None:
    (ensure(dense()) / "config.json").unlink()
    (found,) = verify()
    assert (found.problems, found.checked_bytes) == (("config.json: not there",), SIZE - len(FOLDER["config.json"]))


def test_file_that_cannot_be_read_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opens = ensure(chat()), Path.open

    def fail(self: Path, *given: object, **named: object) -> object:
        if self == path:
            raise OSError(5, "Input/output error", str(self))
        return opens(self, *given, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", fail)
    (found,) = verify()
    assert found.problems == ("chat-q4.gguf: cannot be read: Input/output error",)


def test_files_that_were_added_are_no_problem(hub: Hub) -> None:
    write(ensure(dense()) / "notes.txt")
    assert [found.ok for found in verify()] == [True]


def test_damage_that_was_found_is_fetched_anew_by_the_next_ensure(hub: Hub) -> None:
    folder = ensure(dense())
    damage(folder / "model.safetensors")
    assert ensure(dense()) == folder  # nothing tells of it
    verify()
    assert contents(ensure(dense())) == FOLDER
    assert [found.ok for found in verify()] == [True]


def test_damage_that_was_found_leaves_counts_and_pins(home: Path, hub: Hub) -> None:
    damage(ensure(chat()))
    Cache().pin("a-chat")
    before = manifest_of(home)["a-chat"]
    verify()
    before["files"][0]["modified_ns"] = None
    assert manifest_of(home)["a-chat"] == before


def test_model_that_was_removed_meanwhile_does_not_come_back(hub: Hub) -> None:
    path = ensure(chat())
    damage(path)

    def remove(progress: Progress) -> None:
        if Cache().list():
            Cache().remove("a-chat")

    verify(progress=remove)
    assert Cache().list() == ()


def test_damage_in_a_folder_that_cannot_be_written_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(ensure(chat()))

    def refuse(self: Path, target: Path) -> None:
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "replace", refuse)
    assert [found.ok for found in verify()] == [False]


def test_what_nothing_proves_is_told_and_not_ok(home: Path) -> None:
    write(home / "models" / "a-chat.gguf")  # and no manifest
    (found,) = verify()
    assert (found.ok, found.problems, found.unproven, found.checked_bytes) == (False, (), ("a-chat.gguf",), 0)


@pytest.mark.parametrize("content", [GGUF, GGUF[::-1]])
def test_lost_manifest_is_made_up_for_by_the_record(home: Path, hub: Hub, content: bytes) -> None:
    write(ensure(chat()), content)
    (home / "models" / "manifest.json").unlink()
    (found,) = verify([chat()])
    assert found.ok is (content == GGUF)
    assert found.unproven == ()


def test_lost_manifest_is_mended_by_the_next_ensure(home: Path, hub: Hub) -> None:
    ensure(chat())
    (home / "models" / "manifest.json").unlink()
    assert not verify()[0].ok
    ensure(chat(), download=False)
    assert verify()[0].ok


def test_some_models_are_verified_in_the_order_of_their_names(hub: Hub) -> None:
    for number in range(3):
        ensure(chat(id=f"chat-{number}"))
    assert [found.id for found in verify(["chat-2", chat(id="chat-0")])] == ["chat-2", "chat-0"]


def test_name_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ModelNotFoundError):
        verify(["no-such-model"])


def test_model_that_is_not_kept_is_an_error(hub: Hub) -> None:
    with pytest.raises(ModelNotDownloadedError):
        verify([chat()])


def test_nothing_kept_is_nothing_to_verify() -> None:
    assert verify() == ()


def test_progress_counts_what_is_read(hub: Hub) -> None:
    ensure(chat())
    seen: list[Progress] = []
    verify(progress=seen.append)
    assert [(each.stage, each.file, each.done_bytes, each.total_bytes) for each in seen] == [
        ("hashing", "chat-q4.gguf", len(GGUF), len(GGUF)),
        ("done", "", 0, None),
    ]


def test_verification_can_be_held_by_json(home: Path, hub: Hub) -> None:
    path = ensure(chat())
    path.unlink()
    (found,) = verify()
    assert found.to_dict() == {
        "id": "a-chat",
        "path": str(path),
        "problems": ("chat-q4.gguf: not there",),
        "unproven": (),
        "checked_bytes": 0,
        "ok": False,
    }


def test_folder_that_became_a_link_to_nothing_has_no_files(home: Path, tmp_path: Path, hub: Hub) -> None:
    shutil.rmtree(ensure(dense()))
    (home / "models" / "a-dense").symlink_to(tmp_path / "nowhere")
    (found,) = verify()
    assert found.problems == tuple(f"{name}: not there" for name in sorted(FOLDER))
