import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("filelock")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")

from hub_server import Hub

from hub.keeping import COMMIT, FOLDER, GGUF, OTHER_COMMIT, adapter, chat, contents, dense, manifest_of, sha256, write
from hub.keeping import hub_fixture as hub_fixture
from registry.errors import (
    CacheFullError,
    ChecksumMismatchError,
    InvalidInputError,
    LicenseNotAllowedError,
    ModelNotDownloadedError,
)
from registry.hub import Cache, bundle, ensure, install_bundle
from registry.queries import ModelRegistry
from registry.records import ModelInfo


class Records(dict[str, ModelInfo]):
    """What bundles ask of a registry."""

    def find_model(self, name: str) -> ModelInfo | None:
        return self.get(name)


def registry_of(*models: Any) -> ModelRegistry[Any]:
    return Records({model.id: model for model in models})  # type: ignore[return-value]


MODELS = (chat(adapters=(adapter(),)), dense(pins=("model.safetensors",)))


@pytest.fixture
def registry() -> ModelRegistry[Any]:
    return registry_of(*MODELS)


@pytest.fixture
def made(tmp_path: Path, hub: Hub) -> Path:
    """A bundle of a file, a folder and an adapter."""
    return bundle([*MODELS, adapter()], tmp_path / "bundle")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Path) -> Path:
    """The model folder of another machine, which has no network."""
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    return tmp_path / "elsewhere" / "models"


def change(made: Path, key: str, **changes: Any) -> None:
    """Change what a bundle says of a model."""
    stated = json.loads((made / "bundle.json").read_text())
    stated["models"][key] |= changes
    (made / "bundle.json").write_text(json.dumps(stated))


def stated_file(made: Path, key: str, name: str, /, **changes: Any) -> None:
    """Change what a bundle says of a file."""
    files = json.loads((made / "bundle.json").read_text())["models"][key]["files"]
    change(made, key, files=[file | changes if file["name"] == name else file for file in files])


# Made


def test_bundle_holds_the_files_what_is_known_of_them_and_their_digests(made: Path) -> None:
    inside = {f"models/a-dense/{name}": content for name, content in FOLDER.items()}
    inside |= {"models/a-chat.gguf": GGUF, "models/adapters/a-lora.gguf": GGUF}
    found = contents(made)
    sums = found.pop("SHA256SUMS").decode().splitlines()
    stated = json.loads(found.pop("bundle.json"))
    assert found == inside
    assert set(sums) == {f"{sha256(content)}  {name}" for name, content in inside.items()}
    assert list(stated["models"]) == ["a-chat", "a-dense", "adapters/a-lora"]
    assert (stated["version"], stated["models"]["a-chat"]) == (
        1,
        {
            "path": "models/a-chat.gguf",
            "size_bytes": len(GGUF),
            "checksum": f"sha256:{sha256(GGUF)}",
            "revision": COMMIT,
            "license": None,
            "huggingface_id": "org/chat-gguf",
            "files": [{"name": "chat-q4.gguf", "size_bytes": len(GGUF), "sha256": sha256(GGUF)}],
        },
    )


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="this system has no sha256sum")
def test_digests_are_those_that_sha256sum_reads(made: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=made, check=True)


def test_bundle_names_nothing_of_the_machine(made: Path, tmp_path: Path) -> None:
    assert str(tmp_path) not in (made / "bundle.json").read_text() + (made / "SHA256SUMS").read_text()


def test_bundle_of_two_names_of_one_model_holds_it_once(tmp_path: Path, hub: Hub) -> None:
    made = bundle([chat(), chat()], tmp_path / "bundle")
    assert (made / "SHA256SUMS").read_text() == f"{sha256(GGUF)}  models/a-chat.gguf\n"


def test_bundle_without_a_download_takes_what_is_there(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(ModelNotDownloadedError):
        bundle([chat()], tmp_path / "bundle", download=False)
    assert not (tmp_path / "bundle").exists()
    ensure(chat())
    assert bundle([chat()], tmp_path / "bundle", download=False) == tmp_path / "bundle"


def test_bundle_into_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "bundle" / "mine")
    with pytest.raises(InvalidInputError) as caught:
        bundle([chat()], tmp_path / "bundle")
    assert str(caught.value) == f"`path`: `{tmp_path / 'bundle'}` is there already, and not empty. Give a new folder."


def test_bundle_leaves_what_lies_beside_its_folder(tmp_path: Path, hub: Hub) -> None:
    mine = write(tmp_path / "bundle.unfinished" / "precious.txt", b"precious")
    bundle([chat()], tmp_path / "bundle")
    assert mine.read_bytes() == b"precious"


def test_bundle_is_written_into_the_empty_folder_itself(tmp_path: Path, hub: Hub) -> None:
    folder = tmp_path / "mount point"
    folder.mkdir()
    inode = folder.stat().st_ino
    assert bundle([chat()], folder) == folder
    assert folder.stat().st_ino == inode
    assert set(contents(folder)) == {"SHA256SUMS", "bundle.json", "models/a-chat.gguf"}


def test_bundle_into_the_current_folder_is_written_there(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert bundle([chat()], ".") == tmp_path / "here"
    assert set(contents(tmp_path / "here")) == {"SHA256SUMS", "bundle.json", "models/a-chat.gguf"}


def test_bundle_that_fails_leaves_the_empty_folder_as_it_was(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(ModelNotDownloadedError):
        bundle([chat(), dense(id="nowhere")], tmp_path / "bundle", download=False)
    assert list((tmp_path / "bundle").iterdir()) == []


def test_bundle_that_fails_takes_the_folders_that_it_made_away(tmp_path: Path, hub: Hub) -> None:
    ensure(chat())
    with pytest.raises(ModelNotDownloadedError):
        bundle([chat(), dense()], tmp_path / "new" / "bundle", download=False)
    assert not (tmp_path / "new").exists()


def test_bundle_into_one_that_was_not_finished_is_refused(tmp_path: Path) -> None:
    mine = write(tmp_path / "bundle" / "models" / "a-chat.gguf", GGUF[:5])
    with pytest.raises(InvalidInputError) as caught:
        bundle([chat()], tmp_path / "bundle")
    assert str(caught.value) == (
        f"`path`: `{tmp_path / 'bundle'}` holds a bundle that was not finished: it has no `bundle.json`. "
        "Delete it, or give a new folder."
    )
    assert mine.read_bytes() == GGUF[:5]


def test_bundle_that_another_call_writes_at_the_same_time_is_left_alone(tmp_path: Path, hub: Hub) -> None:
    def records() -> Iterator[ModelInfo]:
        write(tmp_path / "bundle" / "models" / "theirs.gguf")  # after the folder was seen to be empty
        yield chat()

    with pytest.raises(InvalidInputError, match="holds a bundle that was not finished"):
        bundle(records(), tmp_path / "bundle")
    assert contents(tmp_path / "bundle") == {"models/theirs.gguf": GGUF}


def test_bundle_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        bundle([], tmp_path / "bundle")


def test_file_that_is_damaged_on_this_disk_is_not_bundled(tmp_path: Path, hub: Hub) -> None:
    found = ensure(chat())
    seen = found.stat()
    found.write_bytes(GGUF[::-1])
    os.utime(found, ns=(seen.st_atime_ns, seen.st_mtime_ns))  # a failing disk tells nobody
    with pytest.raises(ChecksumMismatchError) as caught:
        bundle([chat()], tmp_path / "bundle")
    assert caught.value.remedy == (
        "It was damaged on this disk. Fetch it again with `registry download --force a-chat`."
    )
    assert not (tmp_path / "bundle").exists()


# Installed


def test_bundle_is_installed_without_a_network(made: Path, elsewhere: Path, registry: Any) -> None:
    kept = install_bundle(made, registry=registry)
    assert [entry.id for entry in kept] == ["a-chat", "a-dense", "adapters/a-lora"]
    assert Cache().list() == tuple(sorted(kept, key=lambda entry: entry.id))
    assert (elsewhere / "a-chat.gguf").read_bytes() == (elsewhere / "adapters" / "a-lora.gguf").read_bytes() == GGUF
    assert contents(elsewhere / "a-dense") == FOLDER
    assert all(found.ok for found in Cache().verify())


def test_installed_models_are_proven(made: Path, elsewhere: Path, registry: Any) -> None:
    install_bundle(made, registry=registry)
    for model in (*MODELS, adapter()):
        assert ensure(model, download=False).is_relative_to(elsewhere)
    proofs = {file["name"]: file["proof"] for file in manifest_of(elsewhere.parent)["a-dense"]["files"]}
    assert proofs == {name: "record" if name == "model.safetensors" else "seen" for name in FOLDER}


def test_bundle_outlives_being_copied(made: Path, elsewhere: Path, registry: Any, tmp_path: Path) -> None:
    shutil.move(made, tmp_path / "stick")
    install_bundle(str(tmp_path / "stick"), registry=registry)
    shutil.rmtree(tmp_path / "stick")
    assert all(found.ok for found in Cache().verify())


def test_installing_twice_copies_once(made: Path, elsewhere: Path, registry: Any) -> None:
    first = install_bundle(made, registry=registry)
    inode = (elsewhere / "a-chat.gguf").stat().st_ino
    assert install_bundle(made, registry=registry) == first
    assert (elsewhere / "a-chat.gguf").stat().st_ino == inode


def test_installing_over_a_damaged_model_mends_it_and_keeps_its_pin(made: Path, elsewhere: Path, registry: Any) -> None:
    install_bundle(made, registry=registry)
    Cache().pin("a-dense")
    (elsewhere / "a-dense" / "config.json").write_bytes(b"damaged")
    install_bundle(made, registry=registry)
    assert contents(elsewhere / "a-dense") == FOLDER
    assert Cache().get("a-dense").pinned


def test_installing_leaves_nothing_but_locks_in_the_work_folder(made: Path, elsewhere: Path, registry: Any) -> None:
    install_bundle(made, registry=registry)
    left = [path for path in (elsewhere / ".downloading").rglob("*") if path.is_file()]
    assert {path.suffix for path in left} == {".lock"}


def test_bundle_whose_models_the_registry_does_not_know_is_installed(made: Path, elsewhere: Path) -> None:
    kept = install_bundle(made, registry=registry_of())
    assert {file.proof for entry in kept for file in entry.files} == {"seen"}


# Hostile


def refused(made: Path, models: Path, registry: Any, error: type[Exception]) -> str:
    """Install a bundle that is refused, and see that nothing of it came."""
    with pytest.raises(error) as caught:
        install_bundle(made, registry=registry)
    assert Cache().list() == ()
    assert not models.exists()
    return str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "../outside",
        "a/b",
        "/absolute",
        "",
        ".",
        "..",
        ".downloading",
        ".in-use",
        "manifest.json",
        "adapters",
        "adapters/",
        "adapters/../x",
        "adapters/a/b",
        "C:x",
        "a\\b",
        "a\0b",
        "\ud800",
        "x.gguf",
    ],
)
def test_id_that_leads_elsewhere_is_refused(made: Path, elsewhere: Path, registry: Any, key: str) -> None:
    stated = json.loads((made / "bundle.json").read_text())
    stated["models"] = {key: stated["models"]["a-dense"]}
    (made / "bundle.json").write_text(json.dumps(stated))
    said = refused(made, elsewhere, registry, InvalidInputError)
    assert said.endswith("The bundle is damaged. Copy it again from where it was made.")


@pytest.mark.parametrize(
    "name", ["../config.json", "/etc/passwd", "a/b/c", "..", "", "a\\b", "C:x", "a\0", "\ud800", 5, None, ["x"]]
)
def test_file_name_that_leads_elsewhere_is_refused(made: Path, elsewhere: Path, registry: Any, name: Any) -> None:
    stated_file(made, "a-dense", "config.json", name=name)
    refused(made, elsewhere, registry, InvalidInputError)


@pytest.mark.parametrize(
    "changes",
    [
        {"size_bytes": -1},
        {"size_bytes": "5"},
        {"size_bytes": True},
        {"sha256": None},
        {"sha256": "00"},
        {"sha256": int("1" * 64)},
        {"sha256": sha256(b"").upper()},
    ],
)
def test_file_without_a_size_or_digest_is_refused(
    made: Path, elsewhere: Path, registry: Any, changes: dict[str, Any]
) -> None:
    stated_file(made, "a-dense", "config.json", **changes)
    refused(made, elsewhere, registry, InvalidInputError)


@pytest.mark.parametrize(
    "changes",
    [
        {"files": []},
        {"files": None},
        {"path": None},
        {"path": "x.gguf"},
        {"revision": 5},
        {"revision": ["x"]},
        {"revision": "a\0"},
        {"license": 5},
        {"license": "\ud800"},
    ],
)
def test_model_of_no_sense_is_refused(made: Path, elsewhere: Path, registry: Any, changes: dict[str, Any]) -> None:
    change(made, "a-dense", **changes)
    refused(made, elsewhere, registry, InvalidInputError)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b'{"version": 1}', b'{"version": 1, "models": []}', b"[" * 100_000, b"\xff\xfe\x00", b'"\xff"']
)
def test_bundle_that_cannot_be_read_is_refused(made: Path, elsewhere: Path, registry: Any, text: bytes) -> None:
    (made / "bundle.json").write_bytes(text)
    refused(made, elsewhere, registry, InvalidInputError)


def test_bundle_of_another_version_is_refused(made: Path, elsewhere: Path, registry: Any) -> None:
    (made / "bundle.json").write_text('{"version": 2, "models": {}}')
    said = refused(made, elsewhere, registry, InvalidInputError)
    assert said == f"`{made}`: expected a bundle of version 1, got 2."


@pytest.mark.parametrize("name", ["no such folder", "a file", "a folder"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a file")
    (tmp_path / "a folder" / "bundle.json").mkdir(parents=True)
    with pytest.raises(InvalidInputError) as caught:
        install_bundle(tmp_path / name)
    assert str(caught.value) == (f"`{tmp_path / name}`: expected a folder with `bundle.json`, got none. Give a bundle.")


@pytest.mark.parametrize("target", ["{outside}", "/dev/zero", "config.json"])
def test_link_in_a_bundle_is_refused(made: Path, elsewhere: Path, registry: Any, tmp_path: Path, target: str) -> None:
    outside = write(tmp_path / "outside", FOLDER["tokenizer.json"])
    link = made / "models" / "a-dense" / "tokenizer.json"
    link.unlink()
    link.symlink_to(target.format(outside=outside))
    said = refused(made, elsewhere, registry, InvalidInputError)
    assert said == (
        f"`{link}`: expected a file, got none, or a link. The bundle is damaged. Copy it again from where it was made."
    )


def test_link_to_a_folder_in_a_bundle_is_refused(made: Path, elsewhere: Path, registry: Any, tmp_path: Path) -> None:
    folder = made / "models" / "a-dense"
    shutil.move(folder, tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")
    refused(made, elsewhere, registry, InvalidInputError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_in_a_bundle_is_refused(made: Path, elsewhere: Path, registry: Any) -> None:
    path = made / "models" / "a-dense" / "tokenizer.json"
    path.unlink()
    os.mkfifo(path)
    refused(made, elsewhere, registry, InvalidInputError)


def test_file_that_is_missing_is_refused(made: Path, elsewhere: Path, registry: Any) -> None:
    (made / "models" / "a-dense" / "tokenizer.json").unlink()
    refused(made, elsewhere, registry, InvalidInputError)


def test_file_of_another_size_is_refused_before_anything_is_copied(made: Path, elsewhere: Path, registry: Any) -> None:
    (made / "models" / "a-dense" / "tokenizer.json").write_bytes(b"short")
    assert "expected 18 bytes, got 5 bytes" in refused(made, elsewhere, registry, ChecksumMismatchError)


def test_file_with_other_bytes_is_refused(made: Path, elsewhere: Path, registry: Any) -> None:
    path = made / "models" / "a-chat.gguf"
    path.write_bytes(GGUF[::-1])
    with pytest.raises(ChecksumMismatchError) as caught:
        install_bundle(made, registry=registry)
    assert str(caught.value) == (
        f"`{path}` is not the file that the registry pins: expected {sha256(GGUF)}, got {sha256(GGUF[::-1])}. "
        "The bundle is damaged. Copy it again from where it was made."
    )
    assert Cache().list() == ()
    assert not (elsewhere / "a-chat.gguf").exists()


def test_tampered_bundle_does_not_get_past_the_pin_of_the_record(made: Path, elsewhere: Path, registry: Any) -> None:
    path = write(made / "models" / "a-chat.gguf", GGUF[::-1])
    stated_file(made, "a-chat", "chat-q4.gguf", sha256=sha256(GGUF[::-1]))
    assert refused(made, elsewhere, registry, ChecksumMismatchError) == (
        f"`{path}` is not the file that the registry pins: expected {sha256(GGUF)}, got {sha256(GGUF[::-1])}. "
        "The bundle was made with another version of the registry, or tampered with. Make it again."
    )


def test_bundle_with_other_weights_beside_no_pinned_ones_is_refused(made: Path, elsewhere: Path, registry: Any) -> None:
    evil = "model-00001-of-00001.safetensors"
    (made / "models" / "a-dense" / "model.safetensors").rename(made / "models" / "a-dense" / evil)
    stated_file(made, "a-dense", "model.safetensors", name=evil)
    said = refused(made, elsewhere, registry, ChecksumMismatchError)
    assert "expected a file `model.safetensors`, got none" in said


def test_bundle_of_another_commit_is_refused(made: Path, elsewhere: Path, registry: Any) -> None:
    change(made, "a-dense", revision=OTHER_COMMIT)
    said = refused(made, elsewhere, registry, ChecksumMismatchError)
    assert f"expected commit {COMMIT}, got commit {OTHER_COMMIT}" in said


def test_tampered_adapter_does_not_get_past_the_pin_of_the_record(made: Path, elsewhere: Path, registry: Any) -> None:
    write(made / "models" / "adapters" / "a-lora.gguf", GGUF[::-1])
    stated_file(made, "adapters/a-lora", "lora.gguf", sha256=sha256(GGUF[::-1]))
    refused(made, elsewhere, registry, ChecksumMismatchError)


def test_license_that_is_not_allowed_is_refused(made: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_LICENSES", "MIT")
    refused(made, elsewhere, registry_of(chat(license="llama3")), LicenseNotAllowedError)


def test_license_that_only_the_bundle_says_is_refused_where_it_is_not_allowed(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bundle([chat(license="llama3")], tmp_path / "bundle")
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("REGISTRY_LICENSES", "MIT")
    assert refused(folder, tmp_path / "elsewhere" / "models", registry_of(), LicenseNotAllowedError) == (
        "The licence of `a-chat` is not allowed: expected one of MIT, got `llama3`. "
        "Choose another model, or add the licence to `REGISTRY_LICENSES`."
    )
    monkeypatch.setenv("REGISTRY_LICENSES", "MIT,llama3")
    assert [entry.id for entry in install_bundle(folder, registry=registry_of())] == ["a-chat"]


def test_license_that_nobody_says_is_refused_where_some_are_allowed(
    made: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_LICENSES", "MIT")
    said = refused(made, elsewhere, registry_of(), LicenseNotAllowedError)
    assert "expected one of MIT, got one that is not known." in said


def test_bundle_that_does_not_fit_into_the_limit_is_refused(
    made: Path, elsewhere: Path, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_MAX_CACHE_SIZE", "100")
    with pytest.raises(CacheFullError):
        install_bundle(made, registry=registry)
    assert Cache().list() == ()


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the next copy of a file end as if the process was interrupted."""

    def arm() -> None:
        fsync = os.fsync

        def interrupt(_: int) -> None:
            monkeypatch.setattr(os, "fsync", fsync)
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)

    return arm


def test_installing_that_was_interrupted_is_done_anew(
    made: Path, elsewhere: Path, registry: Any, crash: Callable[[], None]
) -> None:
    crash()
    with pytest.raises(KeyboardInterrupt):
        install_bundle(made, registry=registry)
    assert not (elsewhere / "a-chat.gguf").exists()
    install_bundle(made, registry=registry)
    assert all(found.ok for found in Cache().verify())


def test_bundling_that_was_interrupted_is_done_anew(tmp_path: Path, hub: Hub, crash: Callable[[], None]) -> None:
    ensure(dense())
    crash()
    with pytest.raises(KeyboardInterrupt):
        bundle([dense()], tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    bundle([dense()], tmp_path / "bundle")
    assert contents(tmp_path / "bundle" / "models" / "a-dense") == FOLDER
