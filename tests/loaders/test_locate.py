import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

pytest.importorskip("filelock")

from registry._home import models_folder
from registry.errors import (
    ChecksumMismatchError,
    InvalidOptionError,
    LicenseNotAllowedError,
    ModelNotDownloadedError,
    RegistryError,
    RemoteCodeNotAllowedError,
)
from registry.hub import Cache, CacheEntry
from registry.hub.locks import used_keys
from registry.hub.manifest import Manifest
from registry.loaders import load
from registry.loaders.locate import Located, locate
from registry.loaders.remote_code import unproven_code
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


CODE = b"class Evil: pass"
CODE_FILE = ModelFile("modeling_x.py", "config", hashlib.sha256(CODE).hexdigest(), len(CODE))
MODULES = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]


def put_code(home: Path, **files: object) -> Path:
    """Keep a model with code, and other files of settings by their names without the ending."""
    folder = put(home / "models" / "tiny-dense")
    (folder / "modeling_x.py").write_bytes(CODE)
    for name, stated in ({"config": {"model_type": "bert"}} | files).items():
        (folder / f"{name}.json").write_text(stated if isinstance(stated, str) else json.dumps(stated))
    return locate(coded()).path


def coded(*pinned: ModelFile, **changes: Any) -> DenseModel:
    return dense(**({"requires_remote_code": True, "files": (FILE, *pinned)} | changes))


def vouch(*names: str) -> None:
    """Write down that the hub vouches for files, as after fetching them."""
    with Manifest(models_folder()).changing() as entries:
        entry = entries["tiny-dense"]
        files = tuple(replace(file, proof="hub") if file.name in names else file for file in entry.files)
        entries["tiny-dense"] = replace(entry, files=files)


def test_code_that_nobody_vouches_for_is_named_though_the_weights_are_proven(home: Path) -> None:
    folder = put_code(home)
    assert locate(coded()).is_revision
    assert unproven_code(coded(), folder) == ("modeling_x.py",)


def test_code_that_the_record_pins_is_proven(home: Path) -> None:
    folder = put_code(home)
    assert unproven_code(coded(CODE_FILE), folder) == ()
    other = replace(CODE_FILE, sha256=hashlib.sha256(CODE[::-1]).hexdigest())
    assert unproven_code(coded(other), folder) == ("modeling_x.py",)


def test_code_that_the_hub_vouches_for_is_proven_until_it_changes(home: Path) -> None:
    folder = put_code(home)
    vouch("modeling_x.py")
    assert unproven_code(coded(), folder) == ()
    (folder / "modeling_x.py").write_bytes(CODE[::-1])
    assert unproven_code(coded(), folder) == ("modeling_x.py",)


def test_code_of_another_commit_is_not_proven(home: Path) -> None:
    folder = put_code(home)
    vouch("modeling_x.py")
    assert unproven_code(coded(revision="f" * 40), folder) == ("modeling_x.py",)


@pytest.mark.parametrize("place", ["helper.py", "1_Pooling/helper.py", ".hidden/helper.py"])
def test_code_that_loading_does_not_need_is_named_too(home: Path, place: str) -> None:
    folder = put_code(home)
    vouch("modeling_x.py")
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).touch()
    assert unproven_code(coded(), folder) == (place,)


@pytest.mark.parametrize("name", ["config", "tokenizer_config"])
@pytest.mark.parametrize(
    "stated",
    [
        {"auto_map": {"AutoModel": "modeling_x.Evil"}},
        {"text_config": {"auto_map": {"AutoModel": "another/repository--modeling.Evil"}}},
        r'{"\u0061uto_map": {}}',
    ],
)
def test_settings_that_choose_code_are_named(home: Path, name: str, stated: object) -> None:
    folder = put_code(home, **{name: stated})
    vouch("modeling_x.py")
    assert unproven_code(coded(), folder) == (f"{name}.json",)
    vouch("modeling_x.py", f"{name}.json")
    assert unproven_code(coded(), folder) == ()


def test_settings_that_cannot_be_read_are_named(home: Path) -> None:
    folder = put_code(home, tokenizer_config='{"auto_map": ')
    vouch("modeling_x.py")
    assert unproven_code(coded(), folder) == ("tokenizer_config.json",)


def test_settings_that_choose_no_code_need_nobody(home: Path) -> None:
    folder = put_code(home, config={"model_type": "bert"}, modules=MODULES)
    vouch("modeling_x.py")
    assert unproven_code(coded(), folder) == ()


def test_list_of_modules_with_a_foreign_one_is_named(home: Path) -> None:
    folder = put_code(home, modules=[*MODULES, {"idx": 1, "name": "1", "path": "", "type": "modeling_x.Evil"}])
    vouch("modeling_x.py")
    assert unproven_code(coded(), folder) == ("modules.json",)


def test_code_that_is_kept_and_not_written_down_is_named(home: Path) -> None:
    folder = put_code(home)
    with Manifest(home / "models").changing() as entries:
        entries.clear()
    assert unproven_code(coded(), folder) == ("modeling_x.py",)


def test_code_in_a_folder_of_the_callers_is_the_callers_choice(home: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(put_code(home), tmp_path / "given")
    assert unproven_code(coded(), folder) == ()


def test_loading_refuses_code_that_nobody_vouches_for(home: Path) -> None:
    pytest.importorskip("numpy")
    folder = put_code(home, modules=MODULES)
    with pytest.raises(RemoteCodeNotAllowedError) as caught:
        load(coded(), allow_remote_code=True)
    assert str(caught.value) == (
        "`tiny-dense` runs Python code from its repository when it is loaded. It is refused: neither the record nor "
        f"the hub vouches for modeling_x.py in `{folder}`. Fetch the model anew with `registry download tiny-dense "
        "--force`, or `registry.hub.ensure(..., force=True)`; or, if you trust the code, give a copy of the folder as "
        "`path=`."
    )


def test_tampered_code_of_a_bundle_is_not_run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    pytest.importorskip("huggingface_hub")
    pytest.importorskip("stamina")
    from registry import MODEL_REGISTRY
    from registry.hub import bundle, install_bundle

    put_code(home, modules=MODULES)
    made = bundle([coded()], tmp_path / "bundle", download=False)
    (made / "models" / "tiny-dense" / "modeling_x.py").write_bytes(CODE[::-1])
    digests = (hashlib.sha256(CODE).hexdigest(), hashlib.sha256(CODE[::-1]).hexdigest())
    (made / "bundle.json").write_text((made / "bundle.json").read_text().replace(*digests))
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(MODEL_REGISTRY, "find_model", {"tiny-dense": coded()}.get)
    install_bundle(made)
    with pytest.raises(RemoteCodeNotAllowedError, match=r"vouches for modeling_x\.py in"):
        load(coded(), allow_remote_code=True)
    assert (Cache().get("tiny-dense").path / "modeling_x.py").read_bytes() == CODE[::-1]


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


@pytest.fixture
def with_module(home: Path, made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], DenseModel]:
    """Put a model with a module of its own at a path."""
    pytest.importorskip("sentence_transformers")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(home / "code"))
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which transformers adds that folder

    def put_at(path: Path) -> DenseModel:
        folder = shutil.copytree(made(tiny.dense), path)
        modules = json.loads((folder / "modules.json").read_text())
        own, modules[0]["type"] = modules[0]["type"], "custom_st.Custom"
        (folder / "modules.json").write_text(json.dumps(modules))
        package, _, name = own.rpartition(".")
        (folder / "custom_st.py").write_text(f"from {package} import {name}\n\n\nclass Custom({name}):\n    pass\n")
        return tiny.dense_record(requires_remote_code=True)

    return put_at


def first_module(loaded: Any) -> str:
    """Give the name of the class of a model's first module."""
    return type(loaded._backend._transformer.model[0]).__name__


def test_code_is_run_once_the_hub_vouches_for_it(home: Path, with_module: Callable[[Path], DenseModel]) -> None:
    record = with_module(home / "models" / "tiny-dense")
    with pytest.raises(RemoteCodeNotAllowedError, match=r"vouches for custom_st\.py, modules\.json in"):
        load(record, allow_remote_code=True)
    vouch("custom_st.py", "modules.json")
    with load(record, allow_remote_code=True) as mine:
        assert first_module(mine) == "Custom"


def test_code_in_a_given_folder_is_run(tmp_path: Path, with_module: Callable[[Path], DenseModel]) -> None:
    record = with_module(tmp_path / "given")
    with load(record, path=tmp_path / "given", allow_remote_code=True) as mine:
        assert first_module(mine) == "Custom"


def test_kept_model_without_code_is_loaded_where_code_is_allowed(home: Path, made: Callable[..., Path]) -> None:
    pytest.importorskip("sentence_transformers")
    shutil.copytree(made(tiny.dense), home / "models" / "tiny-dense")
    with load(tiny.dense_record(), allow_remote_code=True) as mine:
        assert mine.origin == "home"
