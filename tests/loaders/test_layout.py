"""Layouts are told apart by small files alone, so these tests write them by hand and need no library."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny

from registry.errors import ModelLoadError, RemoteCodeNotAllowedError, UnsafeWeightsError
from registry.loaders import LoadOptions
from registry.loaders.layout import Layout, inspect, tensor_names
from registry.loaders.transformer import check_files

ST = "sentence_transformers."
TRANSFORMER, POOLING = f"{ST}models.Transformer", f"{ST}models.Pooling"


def safetensors(path: Path, *names: str) -> None:
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i, name in enumerate(names)}
    text = json.dumps({"__metadata__": {"format": "pt"}} | header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4 * len(names)))


def checkpoint(
    folder: Path,
    architecture: str | None = "BertModel",
    *,
    modules: Mapping[str, str] | None = None,
    model_type: str | None = None,
    tensors: tuple[str, ...] = ("weight",),
) -> Path:
    """Write a checkpoint: the modules are folders and their classes."""
    folder.mkdir(parents=True, exist_ok=True)
    if architecture is not None:
        (folder / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    if modules is not None:
        listed = [{"path": path, "type": kind} for path, kind in modules.items()]
        (folder / "modules.json").write_text(json.dumps(listed))
    if model_type is not None:
        (folder / "config_sentence_transformers.json").write_text(json.dumps({"model_type": model_type}))
    safetensors(folder / "model.safetensors", *tensors)
    return folder


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"modules": {"": TRANSFORMER, "1_Pooling": POOLING}}, "dense (sentence-transformers)"),
        ({"modules": {"0_BERT": TRANSFORMER, "1_Pooling": POOLING}, "architecture": None}, "dense (sentence-transf"),
        (
            {"modules": {"": TRANSFORMER, "1": POOLING}, "architecture": "XForSequenceClassification"},
            "dense (sentence-transformers)",
        ),
        ({"architecture": "HF_ColBERT", "tensors": ("linear.weight", "a")}, "late interaction (Stanford ColBERT)"),
        ({"modules": {"": TRANSFORMER, "1_Dense": "pylate.models.Dense.Dense"}}, "late interaction (PyLate)"),
        ({"modules": {"": TRANSFORMER}, "model_type": "ColBERT"}, "late interaction (PyLate)"),
        (
            {"modules": {"": TRANSFORMER}, "model_type": "MultiVectorEncoder"},
            "late interaction (sentence-transformers)",
        ),
        (
            {"modules": {"": TRANSFORMER, "3": f"{ST}multi_vector_encoder.modules.MultiVectorMask"}},
            "late interaction (sentence-transformers)",
        ),
        ({"modules": {"": TRANSFORMER, "1": f"{ST}sparse_encoder.models.SpladePooling"}}, "sparse (sentence-transf"),
        ({"modules": {"": TRANSFORMER}, "model_type": "SparseEncoder"}, "sparse (sentence-transformers)"),
        ({"architecture": "BertForSequenceClassification"}, "reranker (BertForSequenceClassification)"),
        ({"modules": {"": TRANSFORMER}, "model_type": "CrossEncoder"}, "reranker (sentence-transformers)"),
        ({"architecture": "BertForMaskedLM"}, "bare masked language model (BertForMaskedLM)"),
        ({}, "bare (BertModel)"),
        ({"architecture": "Qwen3ForCausalLM"}, "bare (Qwen3ForCausalLM)"),
    ],
)
def test_kind_of_a_folder(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    assert str(inspect(checkpoint(tmp_path / "model", **options), "mine")).startswith(expected)


def test_gguf_file_is_known_by_its_mark_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"GGUF\3\0\0\0")
    assert inspect(path, "mine") == Layout("gguf", "GGUF", (path,), ())


@pytest.mark.parametrize("content", [b"", b"GGU", b"PK\3\4", b"<!DOCTYPE html>"])
def test_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError) as caught:
        inspect(path, "mine")
    assert str(caught.value) == (
        f"Cannot load `mine` from `{path}`: format: expected a GGUF file or a folder, got a file without GGUF's mark."
    )


def test_folder_without_configuration_is_refused(tmp_path: Path) -> None:
    safetensors(tmp_path / "model.safetensors", "a")
    with pytest.raises(ModelLoadError) as caught:
        inspect(tmp_path, "mine")
    assert str(caught.value) == (
        f"Cannot load `mine` from `{tmp_path}`: layout: expected config.json or modules.json, got neither."
    )


@pytest.mark.parametrize("name", ["config.json", "modules.json", "config_sentence_transformers.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"\0" * 20])
def test_damaged_json_is_refused_by_its_file(tmp_path: Path, name: str, content: bytes) -> None:
    folder = checkpoint(tmp_path / "model", modules={"": TRANSFORMER}, model_type="SentenceTransformer")
    (folder / name).write_bytes(content)
    with pytest.raises(ModelLoadError) as caught:
        inspect(folder, "mine")
    assert (caught.value.path, caught.value.what, caught.value.expected) == (str(folder / name), "format", "JSON")


@pytest.mark.parametrize(
    ("name", "expected", "got", "content"),
    [
        ("config.json", "dict", "list", "[]"),
        ("modules.json", "list", "dict", "{}"),
        ("config_sentence_transformers.json", "dict", "NoneType", "null"),
    ],
)
def test_json_of_another_kind_is_refused(tmp_path: Path, name: str, expected: str, got: str, content: str) -> None:
    folder = checkpoint(tmp_path / "model", modules={"": TRANSFORMER}, model_type="SentenceTransformer")
    (folder / name).write_text(content)
    with pytest.raises(ModelLoadError) as caught:
        inspect(folder, "mine")
    assert str(caught.value) == (
        f"Cannot load `mine` from `{folder / name}`: format: expected a JSON {expected}, got {got}."
    )


@pytest.mark.parametrize(
    "module",
    [
        "a string",
        {"path": ""},
        {"type": TRANSFORMER},
        {"path": "", "type": 5},
        {"path": None, "type": TRANSFORMER},
        {"path": "../outside", "type": TRANSFORMER},
        {"path": "a/../../outside", "type": TRANSFORMER},
        {"path": "/etc", "type": TRANSFORMER},
    ],
)
def test_module_without_a_class_or_with_a_folder_elsewhere_is_refused(tmp_path: Path, module: object) -> None:
    folder = checkpoint(tmp_path / "model")
    (folder / "modules.json").write_text(json.dumps([module]))
    with pytest.raises(ModelLoadError) as caught:
        inspect(folder, "mine")
    assert str(caught.value) == (
        f"Cannot load `mine` from `{folder / 'modules.json'}`: modules: expected objects with a `type`, "
        f"and a `path` inside the folder, got {[module]}."
    )


@pytest.mark.parametrize("architectures", ["BertModel", {"a": 1}, 5, None, [], [5], [None]])
def test_architectures_that_are_no_names_are_no_architecture(tmp_path: Path, architectures: object) -> None:
    folder = checkpoint(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps({"architectures": architectures, "model_type": "bert"}))
    assert inspect(folder, "mine").kind == "bare"


def test_stanford_colbert_without_its_projection_is_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model", "HF_ColBERT", tensors=("bert.weight",))
    with pytest.raises(ModelLoadError) as caught:
        inspect(folder, "mine")
    assert str(caught.value) == (
        f"Cannot load `mine` from `{folder}`: projection: expected a tensor `linear.weight`, got none in the weights."
    )


def test_tensor_names_are_read_from_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors(path, "a", "b.c")
    path.write_bytes(path.read_bytes()[:-4])  # the data are cut off, the header is whole
    assert tensor_names(path, "mine") == {"a", "b.c"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\1\0\0",
        struct.pack("<Q", 0),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 100) + b'{"a": ',
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 1) + b"5",
        struct.pack("<Q", 4) + b"null",
        struct.pack("<Q", 4) + b"[{}]",
        struct.pack("<Q", 50_000) + b"[" * 50_000,
        struct.pack("<Q", 2) + b"\xff\xfe",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    ],
)
def test_damaged_header_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError) as caught:
        tensor_names(path, "mine")
    assert str(caught.value) == (
        f"Cannot load `mine` from `{path}`: format: expected a safetensors header, got other bytes. "
        "The file is cut off or damaged."
    )


def test_weights_are_those_of_the_folder_and_of_its_modules(tmp_path: Path) -> None:
    modules = {"": TRANSFORMER, "1_Pooling": POOLING, "2_Dense": f"{ST}models.Dense"}
    folder = checkpoint(tmp_path / "model", modules=modules)
    for name in ("2_Dense/model.safetensors", "checkpoint-500/model.safetensors"):
        safetensors(folder / name, "a")
    for name in ("2_Dense/pytorch_model.bin", "openvino/openvino_model.bin", "onnx/model.bin", "training_args.bin"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    found = inspect(folder, "mine")
    assert found.weights == (folder / "2_Dense/model.safetensors", folder / "model.safetensors")
    assert found.unsafe == (folder / "2_Dense/pytorch_model.bin",)


def test_modules_behind_a_router_are_modules(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model", None, modules={"": f"{ST}models.Router"}, model_type="SparseEncoder")
    types = {"query_0_Static": f"{ST}Static", "document_0_MLM": "evil.Module"}
    (folder / "router_config.json").write_text(json.dumps({"types": types}))
    for name in types:
        (folder / name).mkdir()
        (folder / name / "pytorch_model.bin").touch()
    found = inspect(folder, "mine")
    assert found.remote_code == "evil.Module"
    assert [file.parent.name for file in found.unsafe] == ["document_0_MLM", "query_0_Static"]


@pytest.mark.parametrize("types", [[], {"../out": TRANSFORMER}, {"a": 5}])
def test_router_with_folders_elsewhere_is_refused(tmp_path: Path, types: object) -> None:
    folder = checkpoint(tmp_path / "model", modules={"": f"{ST}models.Router"})
    (folder / "router_config.json").write_text(json.dumps({"types": types}))
    with pytest.raises(ModelLoadError, match="types: expected folders inside this one and their classes"):
        inspect(folder, "mine")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (TRANSFORMER, None),
        ("sentence_transformers.base.modules.transformer.Transformer", None),
        ("pylate.models.Dense.Dense", None),
        ("pylate.evil.Dense", "pylate.evil.Dense"),
        ("custom_st.Transformer", "custom_st.Transformer"),
        ("sentence_transformers_evil.Transformer", "sentence_transformers_evil.Transformer"),
        ("os.system", "os.system"),
    ],
)
def test_module_of_another_package_is_remote_code(tmp_path: Path, kind: str, expected: str | None) -> None:
    folder = checkpoint(tmp_path / "model", modules={"": kind, "1_Pooling": POOLING})
    assert inspect(folder, "mine").remote_code == expected


# What is done about it


def check(layout: Layout, *, allow: bool = False, **record: Any) -> None:
    check_files(tiny.dense_record(**record), layout, LoadOptions(allow_remote_code=allow))


def layout(*files: str, remote_code: str | None = None) -> Layout:
    safe = tuple(Path(file) for file in files if file.endswith(".safetensors"))
    return Layout(
        "dense", "", safe, tuple(Path(file) for file in files if not file.endswith(".safetensors")), remote_code
    )


@pytest.mark.parametrize(
    "files",
    [
        ("m/pytorch_model.bin",),
        ("m/model.safetensors", "m/2_Dense/pytorch_model.bin"),
        ("m/1/model.safetensors", "m/model.pt"),
    ],
)
def test_part_with_pickled_weights_alone_is_refused(files: tuple[str, ...]) -> None:
    with pytest.raises(UnsafeWeightsError) as caught:
        check(layout(*files))
    assert str(caught.value) == (
        f"`tiny-dense`: `{Path(files[-1])}` has no weights in a safe format: expected `*.safetensors` or `*.gguf`, "
        "got a format that can run code when it is read. Convert it to safetensors on a machine you can lose."
    )


def test_pickled_weights_beside_safe_ones_are_left_alone() -> None:
    check(layout("m/model.safetensors", "m/pytorch_model.bin", "m/optimizer.pt"))


def test_foreign_module_is_refused_unless_allowed() -> None:
    found = layout("m/model.safetensors", remote_code="custom_st.Transformer")
    with pytest.raises(RemoteCodeNotAllowedError) as caught:
        check(found)
    assert str(caught.value) == (
        "`tiny-dense` runs Python code from its repository when it is loaded. It is refused (custom_st.Transformer). "
        "Read the code, then load with `allow_remote_code=True`."
    )
    check(found, allow=True)


def test_record_that_requires_remote_code_is_refused_unless_allowed() -> None:
    with pytest.raises(RemoteCodeNotAllowedError) as caught:
        check(layout("m/model.safetensors"), requires_remote_code=True)
    assert str(caught.value) == (
        "`tiny-dense` runs Python code from its repository when it is loaded. It is refused. "
        "Read the code, then load with `allow_remote_code=True`."
    )
    check(layout("m/model.safetensors"), requires_remote_code=True, allow=True)


def test_remote_code_without_a_pinned_revision_is_refused() -> None:
    with pytest.raises(RemoteCodeNotAllowedError) as caught:
        check(layout("m/model.safetensors"), requires_remote_code=True, allow=True, revision=None)
    assert str(caught.value) == (
        "`tiny-dense` runs Python code from its repository when it is loaded. It is refused: "
        "the record pins no revision, so the code could be any. Add `revision` to it."
    )
