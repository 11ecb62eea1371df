"""What a name means, and where its files are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.errors import InvalidOptionError, ProviderModelError
from registry.hub.progress import Progress
from registry.profiles import Chat, Providers, TransformersProvider, provision
from registry.profiles.checkpoints.files import (
    checkpoint_of,
    fetch_checkpoint,
    find_checkpoint,
    locate_checkpoint,
)
from registry.profiles.protocol import Ensured, Target
from registry.records import RoleModel

from ..small import chat_record, dense_record, registry_of
from .machines import isolate

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


def made(folder: Path) -> Path:
    """A folder that looks like a checkpoint."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_checkpoint_of_a_record_is_that_record() -> None:
    record = dense_record("small")

    assert checkpoint_of(Target("small", record)).record is record


def test_checkpoint_of_a_repository_at_a_commit_pins_it() -> None:
    record = checkpoint_of(Target(f"org/my-model@{COMMIT}")).record

    assert (record.id, record.huggingface_id, record.revision) == ("org--my-model@0123456789ab", "org/my-model", COMMIT)


def test_checkpoint_of_a_repository_takes_the_commit_of_the_parameters() -> None:
    found = checkpoint_of(Target("org/my-model", revision=COMMIT))

    assert (found.record.revision, found.allow_unpinned) == (COMMIT, False)


def test_checkpoint_of_a_repository_without_a_commit_is_not_pinned() -> None:
    found = checkpoint_of(Target("org/my-model", allow_unpinned=True))

    assert (found.record.id, found.record.revision, found.allow_unpinned) == ("org--my-model", None, True)


@pytest.mark.parametrize("name", ["./models/mine", "~/mine", "../mine"])
def test_checkpoint_of_a_name_that_is_a_path_is_a_folder(name: str) -> None:
    found = checkpoint_of(Target(name))

    assert (found.record.id, found.folder) == ("mine", Path(name).expanduser().absolute())


def test_checkpoint_of_a_chat_record_is_the_model_that_its_file_was_made_from() -> None:
    record = chat_record("small", base_model="org/base")

    found = checkpoint_of(Target("small", record, revision=COMMIT)).record

    assert (found.huggingface_id, found.revision) == ("org/base", COMMIT)


def test_checkpoint_of_a_chat_record_whose_base_is_a_record_is_that_record() -> None:
    base, record = dense_record("base"), chat_record("small", base_model="base")

    assert checkpoint_of(Target("small", record), registry_of(base, record)).record is base


def test_checkpoint_of_a_chat_record_whose_base_is_nowhere_says_so() -> None:
    record = chat_record("small", base_model="gone")

    with pytest.raises(ProviderModelError) as caught:
        checkpoint_of(Target("small", record), registry_of(record))

    assert str(caught.value) == (
        "`transformers`, asked for `small`: The record says that it was made from `gone`, which is in no registry "
        "here. Correct `base_model`, or name a checkpoint `org/model`."
    )


def test_checkpoint_of_a_chat_record_without_a_base_says_who_serves_it() -> None:
    with pytest.raises(ProviderModelError) as caught:
        checkpoint_of(Target("small", chat_record("small")))

    assert str(caught.value) == (
        "`transformers`, asked for `small`: The record has a GGUF file only, and names no model that it was made from. "
        "Serve it with `local`, or name a checkpoint `org/model`."
    )


@pytest.mark.parametrize("name", ["llama3.2:3b", "model", "a/b/c", "org/model@main", "org/..", "org/mo del"])
def test_checkpoint_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(ProviderModelError) as caught:
        checkpoint_of(Target(name))

    assert str(caught.value) == (
        f"`transformers`, asked for `{name}`: `{name}` is neither a record, nor a folder, nor a repository of Hugging "
        "Face. Name an id of the registry, a folder as `./name`, or `org/model@commit`."
    )


def test_checkpoint_of_a_name_with_a_commit_is_that_commit_whatever_the_parameters_say() -> None:
    found = checkpoint_of(Target(f"org/model@{COMMIT}", revision="f" * 40))

    assert found.record.revision == COMMIT


@pytest.mark.parametrize("revision", ["main", COMMIT.upper()])
def test_checkpoint_of_a_revision_that_may_change_is_refused(revision: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        checkpoint_of(Target("org/model", revision=revision))

    assert str(caught.value) == f"`revision`: expected a commit, 40 hexadecimal digits, got {revision!r}."


# Files


def test_find_checkpoint_gives_a_folder_that_has_one(tmp_path: Path) -> None:
    folder = made(tmp_path / "mine")

    assert find_checkpoint(checkpoint_of(Target(str(folder)))) == folder
    assert find_checkpoint(checkpoint_of(Target(str(tmp_path / "other")))) is None


def test_find_checkpoint_looks_for_a_repository_where_models_are_kept(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(Target(f"org/model@{COMMIT}"))
    before = find_checkpoint(checkpoint)

    folder = made(tmp_path / "home" / "models" / "org--model@0123456789ab")

    assert (before, find_checkpoint(checkpoint)) == (None, folder)


def test_find_checkpoint_looks_into_the_cache_of_hugging_face(tmp_path: Path) -> None:
    folder = made(tmp_path / "hub" / "models--org--model" / "snapshots" / COMMIT)

    assert find_checkpoint(checkpoint_of(Target(f"org/model@{COMMIT}"))) == folder


def test_fetch_checkpoint_of_a_folder_that_is_there_does_nothing(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(Target(str(made(tmp_path / "mine"))))

    assert fetch_checkpoint(checkpoint, force=True) == Ensured("already_present", 0)


@pytest.mark.parametrize("do", [fetch_checkpoint, locate_checkpoint])
def test_folder_without_a_checkpoint_is_refused(do: Any, tmp_path: Path) -> None:
    with pytest.raises(ProviderModelError) as caught:
        do(checkpoint_of(Target(str(tmp_path))))

    assert str(caught.value) == (
        f"`transformers`, asked for `{tmp_path}`: It is no checkpoint: incomplete: no config.json. "
        "Name a folder that has one."
    )


def test_locate_checkpoint_that_is_not_here_says_how_to_fetch_it() -> None:
    with pytest.raises(ProviderModelError) as caught:
        locate_checkpoint(checkpoint_of(Target(f"org/model@{COMMIT}")))

    assert str(caught.value) == (
        "`transformers`, asked for `org--model@0123456789ab`: The files of `org--model@0123456789ab` are not on this "
        "machine. Fetch them with `registry provision`, or set `auto_download` of the role."
    )


# Fetching


def test_fetch_checkpoint_of_a_commit_fetches_it_once_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, told = {"config.json": b"{}", "model.safetensors": b"\0" * 5000, "tokenizer.json": b"{}"}, list[Progress]()
    with hub(monkeypatch) as server:
        checkpoint = checkpoint_of(Target(f"org/model@{server.add('org/model', files)}"))

        first = fetch_checkpoint(checkpoint, progress=told.append)
        second = fetch_checkpoint(checkpoint)

    assert first == Ensured("downloaded", 5004)
    assert second == Ensured("already_present", 0)
    assert {progress.file for progress in told} == {*files, ""}
    assert sorted(file.name for file in locate_checkpoint(checkpoint).iterdir()) == sorted(files)


def test_fetch_checkpoint_that_is_not_pinned_says_how_to_pin_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(monkeypatch) as server:
        server.add("org/model", {"config.json": b"{}", "model.safetensors": b"\0"})
        with pytest.raises(ProviderModelError) as caught:
            fetch_checkpoint(checkpoint_of(Target("org/model")))

    assert str(caught.value) == (
        "`transformers`, asked for `org--model`: Nothing says which bytes are the right ones: neither a commit nor a "
        "sha256 is known. Name the commit, as `org/model@<40 hexadecimal digits>` or with the parameter `revision`, "
        "or allow any with `allow_unpinned`: what is seen first must then be the same ever after."
    )


def test_fetch_checkpoint_that_may_be_any_fetches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(monkeypatch) as server:
        server.add("org/model", {"config.json": b"{}", "model.safetensors": b"\0" * 9})

        found = fetch_checkpoint(checkpoint_of(Target("org/model", allow_unpinned=True)))

    assert found == Ensured("downloaded", 11)


def test_fetch_checkpoint_anew_reads_what_is_right_and_fetches_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(monkeypatch) as server:
        checkpoint = checkpoint_of(Target(f"org/model@{server.add('org/model', FILES)}"))
        fetch_checkpoint(checkpoint)
        server.requests.clear()
        proven, requests = fetch_checkpoint(checkpoint, force=True), list(server.requests)
        (locate_checkpoint(checkpoint) / "model.safetensors").write_bytes(b"\1" * 9)

        mended = fetch_checkpoint(checkpoint, force=True)

    assert (proven, requests) == (Ensured("already_present", 0), [])
    assert mended == Ensured("downloaded", 9)
    assert (locate_checkpoint(checkpoint) / "model.safetensors").read_bytes() == FILES["model.safetensors"]


# By role

FILES = {"config.json": b"{}", "model.safetensors": b"\0" * 9, "tokenizer.json": b"{}"}


def role_of(**parameters: Any) -> RoleModel:
    return RoleModel("general", "org/model", "transformers", True, parameters)


def test_role_with_a_commit_is_provisioned_with_that_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(monkeypatch) as server, Providers() as providers:
        commit = server.add("org/model", FILES)
        registry = registry_of(general=role_of(revision=commit))

        report = provision(registry=registry, providers=providers)

        (outcome,) = report.outcomes
        assert (outcome.action, outcome.bytes, outcome.reason) == ("downloaded", 13, None)
        assert TransformersProvider().has(Target("org/model", revision=commit))
        assert not TransformersProvider().has(Target("org/model"))


def test_role_that_allows_any_bytes_is_provisioned(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(monkeypatch) as server, Providers() as providers:
        server.add("org/model", FILES)
        registry = registry_of(general=role_of(allow_unpinned=True))

        report = provision(registry=registry, providers=providers)

        assert [(outcome.action, outcome.bytes) for outcome in report.outcomes] == [("downloaded", 13)]


def test_role_with_another_commit_is_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(monkeypatch) as server, Providers() as providers:
        old = server.add("org/model", FILES)
        new = server.add("org/model", {**FILES, "model.safetensors": b"\1" * 9})
        assert old != new
        registry = registry_of(
            general=role_of(revision=new),
            coding=replace(role_of(revision=new), role="coding"),
            old=role_of(revision=old),
        )
        report = provision(["general", "coding"], registry=registry, providers=providers)
        requests = len(server.requests)
        later = provision(["old"], registry=registry, providers=providers)

        assert [outcome.bytes for outcome in report.outcomes] == [13, 13]
        assert len(server.requests) > requests
        assert later.outcomes[0].action != "already_present"


@pytest.mark.parametrize("how", ["revision", "allow_unpinned", "call"])
def test_chat_has_the_commit_of_its_role_or_of_its_call_fetched_before_its_first_call(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    from tiny_checkpoint import checkpoint

    folder = checkpoint(tmp_path / "publisher", script="Hello there")
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    with hub(monkeypatch) as server, Providers() as providers:
        commit = server.add("org/model", files)
        stated = {"revision": {"revision": commit}, "allow_unpinned": {"allow_unpinned": True}, "call": {}}
        role, options = role_of(**stated[how]), {"revision": commit} if how == "call" else {}
        with Chat(role="general", registry=registry_of(general=role), providers=providers) as chat:
            answer = chat.reply([{"role": "user", "content": "Hi"}], max_tokens=8, **options)

    assert answer["choices"][0]["message"]["content"] == "Hello there"


def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A hub on loopback, asked in place of the real one."""
    pytest.importorskip("huggingface_hub")
    pytest.importorskip("stamina")
    pytest.importorskip("filelock")
    from hub_server import Hub

    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nowhere/token")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return server
