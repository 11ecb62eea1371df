import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

pytest.importorskip("filelock")

from registry.errors import (
    ChecksumMismatchError,
    InvalidOptionError,
    LicenseNotAllowedError,
    ModelNotDownloadedError,
    RegistryError,
)
from registry.hub import Cache, CacheEntry
from registry.hub.locks import used_keys
from registry.loaders import load
from registry.loaders.locate import Located, locate
from registry.records import DenseModel, ModelFile

WEIGHTS = b"these are weights"
FILE = ModelFile("model.safetensors", "safetensors", hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))


def put(folder: Path, weights: bytes = WEIGHTS) -> Path:
    """Put what a snapshot of a dense model holds."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def dense(**changes: Any) -> DenseModel:
    return tiny.dense_record(**({"files": (FILE,)} | changes))


def kept() -> CacheEntry:
    return Cache().get("tiny-dense")


def test_given_path_wins_over_everything_and_is_not_checked(home: Path, tmp_path: Path) -> None:
    put(home / "models" / "tiny-dense")
    given = tmp_path / "given"
    given.write_bytes(b"anything")
    assert locate(dense(), given) == Located(given, "path")
    assert locate(dense(), str(given)) == Located(given, "path")


def test_given_path_starts_at_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    put(tmp_path / "mine")
    assert locate(dense(), "~/mine") == Located(tmp_path / "mine", "path")


def test_given_path_that_does_not_exist_is_not_replaced_by_another_place(home: Path, tmp_path: Path) -> None:
    put(home / "models" / "tiny-dense")
    with pytest.raises(ModelNotDownloadedError) as caught:
        locate(dense(), tmp_path / "no" / "where")
    assert str(caught.value) == (
        "The files of `tiny-dense` are not on this machine. Looked in:\n"
        f"  {tmp_path / 'no' / 'where'} (given as `path`)\n"
        "Give a file or folder that exists."
    )


def test_empty_path_is_refused() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        locate(dense(), "")
    assert str(caught.value) == (
        "`path`: expected a file or a folder, got ''. Leave it out to look in the usual places."
    )


def test_given_path_is_not_counted_as_a_use(home: Path, tmp_path: Path) -> None:
    locate(dense(), put(tmp_path / "given"))
    assert Cache().list() == ()
    assert not home.exists()


def test_proven_weights_are_those_of_the_commit(home: Path) -> None:
    folder = put(home / "models" / "tiny-dense")
    assert locate(dense()) == Located(folder, "home", is_revision=True)


def test_weights_that_nothing_proves_are_of_no_commit(home: Path) -> None:
    folder = put(home / "models" / "tiny-dense", b"any")
    model = dense(files=(ModelFile("model.safetensors", "safetensors"),))
    assert locate(model) == Located(folder, "home", is_revision=False)


def test_proven_weights_of_a_record_without_a_commit_are_of_none(home: Path) -> None:
    folder = put(home / "models" / "tiny-dense")
    assert locate(dense(revision=None)) == Located(folder, "home", is_revision=False)


def test_weights_of_the_hub_cache_are_linked_and_say_where_they_came_from(home: Path, tmp_path: Path) -> None:
    put(tmp_path / "hub" / "models--tiny--dense" / "snapshots" / tiny.REVISION)
    target = home / "models" / "tiny-dense"
    assert locate(dense()) == locate(dense()) == Located(target, "cache", is_revision=True)


def test_other_weights_are_refused(home: Path) -> None:
    folder = put(home / "models" / "tiny-dense", WEIGHTS[::-1])
    with pytest.raises(ChecksumMismatchError) as caught:
        locate(dense())
    assert caught.value.path == str(folder / "model.safetensors")


def test_each_time_counts_a_use(home: Path) -> None:
    put(home / "models" / "tiny-dense")
    for count in (1, 2, 3):
        locate(dense())
        assert kept().use_count == count


def test_looking_makes_no_folder_and_uses_no_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ModelNotDownloadedError):
        locate(dense())
    assert not home.exists()


def test_license_that_is_not_allowed_is_refused_with_a_given_path_too(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_LICENSES", "MIT")
    put(home / "models" / "tiny-dense")
    for path in (None, put(tmp_path / "given")):
        with pytest.raises(LicenseNotAllowedError):
            locate(dense(license="llama3"), path)


def test_record_of_a_generated_registry_is_located(
    home: Path, generate: Callable[..., Any], embedding: dict[str, Any]
) -> None:
    (model,) = generate(embedding).MODEL_REGISTRY.values()
    with pytest.raises(ModelNotDownloadedError) as caught:
        locate(model)
    assert caught.value.looked_in[0] == f"{home / 'models' / embedding['id']} (no such folder)"


def test_loaded_model_is_not_removed_until_it_is_closed(home: Path, made: Callable[..., Path]) -> None:
    pytest.importorskip("llama_cpp")
    file = made(tiny.chat_gguf)
    record = tiny.chat_record(file)
    (home / "models").mkdir(parents=True)
    shutil.copy(file, home / "models" / record.file.name)
    with load(record):
        assert used_keys(home / "models") == {record.id}
        assert Cache().clear() == ()
    assert used_keys(home / "models") == set()
    assert [entry.id for entry in Cache().clear()] == [record.id]


def test_model_that_fails_to_load_is_not_in_use(home: Path) -> None:
    put(home / "models" / "tiny-dense")
    with pytest.raises(RegistryError):
        load(dense(), device="no such device")
    assert used_keys(home / "models") == set()
