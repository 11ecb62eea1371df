import json
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("filelock")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")

from hub_server import Fault, Hub

from hub.keeping import COMMIT, FOLDER, GGUF, OTHER_COMMIT, chat, contents, dense, manifest_of, sha256
from hub.keeping import hub_fixture as hub_fixture
from registry.errors import DownloadError, ModelNotFoundError, UnpinnedModelError
from registry.hub import Cache, Update, check_weekly, ensure, update, updates
from registry.records import ModelInfo

NEWER = GGUF + b"newer"


class Records(dict[str, ModelInfo]):
    """What is asked of a registry here."""

    def lookup_model(self, name: str) -> ModelInfo:
        if name not in self:
            raise ModelNotFoundError(name)
        return self[name]


def registry_of(*models: ModelInfo) -> Any:
    return Records({model.id: model for model in models})


# What is newer


def test_model_that_is_what_its_record_pins_has_no_update(hub: Hub) -> None:
    ensure(chat())
    ensure(dense())
    assert updates(registry=registry_of(chat(), dense())) == ()


def test_record_that_pins_another_file_is_an_update(hub: Hub) -> None:
    ensure(chat())
    newer = chat(NEWER, changelog="Better.")
    assert updates(registry=registry_of(newer), commits=False) == (
        Update("a-chat", "files", f"sha256:{sha256(GGUF)}", f"sha256:{sha256(NEWER)}", "Better."),
    )


def test_record_that_pins_another_commit_is_an_update(hub: Hub) -> None:
    ensure(dense())
    newer = registry_of(dense(revision=OTHER_COMMIT))
    assert updates(registry=newer, commits=False) == (Update("a-dense", "files", COMMIT, OTHER_COMMIT),)


def test_newer_commit_of_the_hub_is_an_update(hub: Hub) -> None:
    ensure(dense())
    hub.add("org/dense", FOLDER | {"README.md": b"newer"}, OTHER_COMMIT)
    found = updates(registry=registry_of(dense(changelog="https://example.org/log")))
    assert found == (Update("a-dense", "commit", COMMIT, OTHER_COMMIT, "https://example.org/log"),)


def test_newer_commit_of_an_unpinned_model_is_compared_with_what_is_kept(hub: Hub) -> None:
    model = dense(revision=None)
    ensure(model, allow_unpinned=True)
    assert updates(registry=registry_of(model)) == ()
    hub.add("org/dense", FOLDER | {"README.md": b"newer"}, OTHER_COMMIT)
    assert updates(registry=registry_of(model)) == (Update("a-dense", "commit", COMMIT, OTHER_COMMIT),)


def test_successor_and_deprecation_are_updates(hub: Hub) -> None:
    models = (
        chat(id="old", superseded_by="new", deprecated=True, changelog="Twice as fast."),
        chat(id="poor", deprecated=True),
    )
    for model in models:
        ensure(model)
    assert updates(registry=registry_of(*models), commits=False) == (
        Update("old", "superseded", "old", "new", "Twice as fast."),
        Update("poor", "deprecated", "poor", None),
    )


def test_models_that_are_not_kept_are_not_looked_at(hub: Hub) -> None:
    assert updates(registry=registry_of(chat(deprecated=True))) == ()
    assert hub.requests == []


def test_models_that_the_registry_does_not_know_are_not_looked_at(hub: Hub) -> None:
    ensure(chat())
    assert updates(registry=registry_of()) == ()


def test_models_that_are_named_are_looked_at_though_they_are_not_kept(hub: Hub) -> None:
    registry = registry_of(chat(deprecated=True))
    assert updates(["a-chat"], registry=registry) == (Update("a-chat", "deprecated", "a-chat", None),)
    with pytest.raises(ModelNotFoundError):
        updates(["no-such-model"], registry=registry)


def test_model_whose_manifest_was_lost_has_no_update_until_it_is_proven(home: Path, hub: Hub) -> None:
    ensure(chat())
    (home / "models" / "manifest.json").unlink()
    assert updates(registry=registry_of(chat()), commits=False) == ()


def test_looking_changes_nothing(home: Path, hub: Hub) -> None:
    ensure(chat())
    before = manifest_of(home)
    updates(registry=registry_of(chat(NEWER)))
    assert manifest_of(home) == before


def test_offline_looks_at_the_records_only(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure(chat())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was opened"))
    assert [found.kind for found in updates(registry=registry_of(chat(NEWER)))] == ["files"]


def test_hub_that_does_not_answer_is_an_error(hub: Hub) -> None:
    ensure(chat())
    hub.misbehave("api:org/chat-gguf", *[Fault(hang_up=True)] * 3)
    with pytest.raises(DownloadError):
        updates(registry=registry_of(chat()))


def test_repository_that_is_gone_does_not_hide_what_is_known_of_the_others(hub: Hub) -> None:
    ensure(chat())
    ensure(dense())
    hub.add("org/dense", FOLDER | {"README.md": b"newer"}, OTHER_COMMIT)
    hub.misbehave("api:org/chat-gguf", Fault(status=404))
    gone, newer = updates(registry=registry_of(chat(), dense()))
    assert (gone.id, gone.kind, gone.current, gone.newest) == ("a-chat", "unknown", COMMIT, None)
    assert gone.error is not None
    assert (gone.error.model_id, gone.error.status) == ("a-chat", 404)
    assert gone.to_dict()["error"] == str(gone.error)
    assert newer == Update("a-dense", "commit", COMMIT, OTHER_COMMIT)


def test_updates_takes_records_and_ids(hub: Hub) -> None:
    ensure(chat())
    newer = chat(NEWER)
    assert updates([newer], commits=False) == updates(["a-chat"], commits=False, registry=registry_of(newer))


def test_update_can_be_held_by_json() -> None:
    found = Update("a", "files", None, "new").to_dict()
    assert json.loads(json.dumps(found)) == {
        "id": "a",
        "kind": "files",
        "current": None,
        "newest": "new",
        "changelog": None,
        "error": None,
    }


# Fetched


def test_update_fetches_what_the_record_pins(hub: Hub) -> None:
    ensure(dense())
    newer = FOLDER | {"config.json": b'{"model_type": "newer"}'}
    hub.add("org/dense", newer, OTHER_COMMIT)
    hub.requests.clear()
    assert contents(update(dense(newer, revision=OTHER_COMMIT))) == newer
    assert [each.path.rpartition("/")[2] for each in hub.requests if "/resolve/" in each.path] == ["config.json"]


def test_update_of_what_is_up_to_date_fetches_nothing(hub: Hub) -> None:
    found = ensure(chat())
    hub.requests.clear()
    assert update("a-chat", registry=registry_of(chat())) == found
    assert hub.requests == []


def test_update_of_an_unpinned_model_takes_the_newest_commit_where_that_is_allowed(home: Path, hub: Hub) -> None:
    model = dense(revision=None)
    ensure(model, allow_unpinned=True)
    newer = FOLDER | {"config.json": b'{"model_type": "newer"}'}
    hub.add("org/dense", newer, OTHER_COMMIT)
    assert contents(update(model)) == FOLDER
    assert contents(update(model, allow_unpinned=True)) == newer
    assert manifest_of(home)["a-dense"]["revision"] == OTHER_COMMIT


def test_update_of_an_unpinned_model_that_is_not_kept_needs_leave(hub: Hub) -> None:
    with pytest.raises(UnpinnedModelError):
        update(dense(revision=None))


# Once a week


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_CHECK_UPDATES", "1")


def noted(home: Path, ago: timedelta) -> Path:
    """Note when the last look was."""
    path = home / "models" / "checked.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"checked_at": (datetime.now(UTC) - ago).isoformat()}))
    return path


def test_nobody_who_does_not_ask_is_told(home: Path, hub: Hub) -> None:
    ensure(chat())
    hub.requests.clear()
    assert check_weekly(registry=registry_of(chat(NEWER))) == ()
    assert hub.requests == []
    assert not (home / "models" / "checked.json").exists()


def test_first_time_looks_and_the_second_does_not(hub: Hub, asked: None) -> None:
    ensure(chat())
    registry = registry_of(chat(NEWER))
    assert [found.kind for found in check_weekly(registry=registry)] == ["files"]
    hub.requests.clear()
    assert check_weekly(registry=registry) == ()
    assert hub.requests == []


@pytest.mark.parametrize(
    ("ago", "looks"),
    [
        (timedelta(days=6, hours=23), False),
        (timedelta(days=7, minutes=1), True),
        (timedelta(days=-400), True),  # the clock was wrong then
    ],
)
def test_it_is_looked_again_after_a_week(home: Path, hub: Hub, asked: None, ago: timedelta, looks: bool) -> None:
    ensure(chat())
    noted(home, ago)
    assert bool(check_weekly(registry=registry_of(chat(NEWER)))) is looks


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"checked_at": 5}', b'{"checked_at": "2026-01-01"}', b"\xff"])
def test_note_that_is_damaged_is_none(home: Path, hub: Hub, asked: None, content: bytes) -> None:
    ensure(chat())
    noted(home, timedelta(0)).write_bytes(content)
    assert check_weekly(registry=registry_of(chat(NEWER))) != ()


def test_folder_that_cannot_be_written_is_never_looked_at(home: Path, asked: None) -> None:
    home.write_text("no folder")
    assert check_weekly(registry=registry_of()) == ()


def test_hub_that_does_not_answer_is_no_error_and_the_records_still_count(hub: Hub, asked: None) -> None:
    ensure(chat())
    hub.misbehave("api:org/chat-gguf", Fault(status=403))
    assert [found.kind for found in check_weekly(registry=registry_of(chat(NEWER)))] == ["files"]


def test_weekly_look_asks_a_hub_that_fails_once(hub: Hub, asked: None) -> None:
    ensure(chat())
    hub.misbehave("api:org/chat-gguf", Fault(status=503), Fault(status=503))
    hub.requests.clear()
    assert [found.kind for found in check_weekly(registry=registry_of(chat(NEWER)))] == ["files"]
    assert len(hub.requests) == 1


def test_weekly_look_ends_in_time_where_the_hub_never_answers(
    hub: Hub, asked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.hub.outdated._LOOK_S", 0.2)
    ensure(chat())
    ensure(dense())
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are taken, and nobody reads them
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        before = time.monotonic()
        found = check_weekly(registry=registry_of(chat(NEWER), dense(deprecated=True)))
    assert [each.kind for each in found] == ["files", "deprecated"]
    assert time.monotonic() - before < 2


def test_weekly_look_keeps_what_was_told_in_time(hub: Hub, asked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure(chat())
    ensure(dense())
    for name in ("org/chat-gguf", "org/dense"):
        hub.add(name, {"README.md": b"newer"}, OTHER_COMMIT)
    times = iter([0.0, 1.0, 4.0])
    monkeypatch.setattr("registry.hub.outdated.monotonic", lambda: next(times))
    assert [found.id for found in check_weekly(registry=registry_of(chat(), dense()))] == ["a-chat"]


def test_weekly_look_does_not_tell_of_a_repository_that_is_gone(hub: Hub, asked: None) -> None:
    ensure(chat())
    hub.misbehave("api:org/chat-gguf", Fault(status=404))
    assert check_weekly(registry=registry_of(chat())) == ()


def test_nothing_changes_by_itself(home: Path, hub: Hub, asked: None) -> None:
    ensure(chat())
    hub.add("org/chat-gguf", {"chat-q4.gguf": NEWER}, OTHER_COMMIT)
    before = manifest_of(home)
    check_weekly(registry=registry_of(chat(NEWER, revision=OTHER_COMMIT)))
    assert manifest_of(home) == before


def test_auto_update_fetches_what_records_pin_and_tells_the_rest(
    hub: Hub, asked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_AUTO_UPDATE", "1")
    ensure(chat())
    ensure(dense())
    hub.add("org/chat-gguf", {"chat-q4.gguf": NEWER}, OTHER_COMMIT)
    registry = registry_of(chat(NEWER, revision=OTHER_COMMIT), dense(deprecated=True))
    assert [(found.id, found.kind) for found in check_weekly(registry=registry)] == [("a-dense", "deprecated")]
    assert Cache().get("a-chat").checksum == f"sha256:{sha256(NEWER)}"


def test_auto_update_fetches_as_the_caller_says(hub: Hub, asked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_AUTO_UPDATE", "1")
    ensure(chat())
    fetched: list[str] = []
    assert check_weekly(registry=registry_of(chat(NEWER)), fetch=fetched.append) == ()
    assert fetched == ["a-chat"]


def test_auto_update_that_fails_is_told_and_keeps_the_old_model(
    hub: Hub, asked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_AUTO_UPDATE", "1")
    found = ensure(chat())
    hub.misbehave("chat-q4.gguf", Fault(status=404))
    told = check_weekly(registry=registry_of(chat(NEWER)))
    assert [(each.id, each.kind) for each in told] == [("a-chat", "files")]
    assert found.read_bytes() == GGUF


def test_auto_update_alone_does_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_AUTO_UPDATE", "1")
    ensure(chat())
    assert check_weekly(registry=registry_of(chat(NEWER))) == ()
    assert Cache().get("a-chat").checksum == f"sha256:{sha256(GGUF)}"
