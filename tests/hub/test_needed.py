"""Which files of a repository are fetched, and which bytes they must be."""

import pickle
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny
from hub_records import adapter_record, chat_record, dense_record
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ChecksumMismatchError, DownloadError, InvalidInputError, UnsafeWeightsError
from registry.hub.needed import RepositoryFile, Wanted, check_name, needed
from registry.records import ModelFile

SHA256, OTHER, GIT = "a" * 64, "b" * 64, "c" * 40
ALWAYS = ["config.json", "tokenizer.json"]
READ = """
    1_Pooling/config.json 2_Dense/config.json 2_Dense/model.safetensors added_tokens.json chat_template.jinja
    config.json config_sentence_transformers.json merges.txt model.safetensors modules.json
    sentence_bert_config.json sentencepiece.bpe.model special_tokens_map.json tokenizer.json tokenizer_config.json
    vocab.json vocab.txt
"""
UNREAD = """
    .gitattributes 2_Dense/pytorch_model.bin README.md adapter_config.json adapter_model.safetensors
    checkpoint-500/model.safetensors coreml/model.mlpackage eval/results.csv flax_model.msgpack imgs/plot.png
    model.fp16.safetensors model.onnx onnx/config.json onnx/model.onnx onnx_config.json openvino/openvino_model.bin
    openvino/openvino_model.xml optimizer.pt pytorch_model.bin rust_model.ot scheduler.pt tf_model.h5
    train_script.py trainer_state.json training_args.bin
"""


def listed(*names: str, size_bytes: int = 4) -> list[RepositoryFile]:
    return [RepositoryFile(name, size_bytes, None, GIT) for name in names]


def names(*files: str, **changes: Any) -> list[str]:
    """Names of what is needed of these files."""
    return [wanted.name for wanted in needed(dense_record(**changes), listed(*files))]


def test_a_dense_model_needs_weights_settings_and_tokenizer_and_nothing_else() -> None:
    assert names(*UNREAD.split(), *reversed(READ.split())) == READ.split()


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(["artifact.metadata"], id="Stanford ColBERT"),
        pytest.param(["1_Dense/config.json", "1_Dense/model.safetensors", "modules.json"], id="PyLate"),
        pytest.param(
            ["idf.json", "query_0_SparseStaticEmbedding/model.safetensors", "router_config.json"], id="router"
        ),
        pytest.param(["1_SpladePooling/config.json", "modules.json"], id="SPLADE"),
        pytest.param(["0_StaticEmbedding/tokenizer.json", "modules.json"], id="static"),
    ],
)
def test_files_of_each_layout_are_needed(more: list[str]) -> None:
    files = sorted([*ALWAYS, "model.safetensors", *more])

    assert names(*files) == files


def test_weights_in_parts_are_needed_with_their_index() -> None:
    parts = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    files = ["config.json", *parts, "model.safetensors.index.json"]

    assert names(*files) == files


def test_weights_in_one_file_are_preferred_to_the_same_in_parts() -> None:
    parts = ["model-00001-of-00001.safetensors", "model.safetensors.index.json"]

    assert names("config.json", "model.safetensors", *parts) == ["config.json", "model.safetensors"]


def test_weights_in_parts_that_the_record_names_are_preferred() -> None:
    parts = ["model-00001-of-00001.safetensors", "model.safetensors.index.json"]

    assert names("model.safetensors", *parts, files=(ModelFile(parts[0], "safetensors"),)) == parts


def test_weights_that_lack_a_part_are_refused() -> None:
    with pytest.raises(DownloadError) as caught:
        names("config.json", "model.safetensors.index.json", "model-00001-of-00003.safetensors")
    assert str(caught.value) == (
        "Cannot fetch `a-dense`: the repository lacks part 2 of 3 of the weights in `.`. "
        "Choose another revision, or tell the publisher."
    )


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (["config.json", "pytorch_model.bin"], "pytorch_model.bin"),
        (["pytorch_model-00001-of-00002.bin", "onnx/model.onnx"], "pytorch_model-00001-of-00002.bin"),
        (["model.safetensors", "2_Dense/config.json", "2_Dense/pytorch_model.bin"], "2_Dense/pytorch_model.bin"),
        (["config.json", "training_args.bin", "weights.pt"], "weights.pt"),
    ],
)
def test_unsafe_weights_alone_are_refused(files: list[str], path: str) -> None:
    with pytest.raises(UnsafeWeightsError) as caught:
        names(*files)
    assert caught.value.path == path


def test_no_weights_are_refused() -> None:
    with pytest.raises(DownloadError) as caught:
        names("config.json", "training_args.bin")
    assert str(caught.value) == (
        "Cannot fetch `a-dense`: expected weights as `*.safetensors` in its repository, got none. "
        "Name them in the record's `files`, or choose another model."
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"requires_remote_code": True, "revision": tiny.REVISION}, ["modeling_new.py"]),
        ({"requires_remote_code": True, "revision": None}, []),
        ({"requires_remote_code": None, "revision": tiny.REVISION}, []),
    ],
    ids=["runs code", "runs code, not pinned", "runs none"],
)
def test_python_is_needed_only_where_the_record_runs_it_and_pins_the_revision(
    changes: dict[str, Any], expected: list[str]
) -> None:
    found = names("model.safetensors", "modeling_new.py", "scripts/train.py", **changes)

    assert found == ["model.safetensors", *expected]


def test_a_name_that_leads_out_of_the_folder_is_not_taken_from_the_hub() -> None:
    assert names("model.safetensors", "../config.json", "1_Pooling/../../config.json", "/config.json") == [
        "model.safetensors"
    ]


@pytest.mark.parametrize("name", ["../model.gguf", "/model.gguf", "a/b/model.gguf", "..", "C:\\model.gguf", "a\\b", ""])
def test_a_name_that_leads_out_of_the_folder_is_refused_in_a_record(name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        needed(chat_record(file=ModelFile(name, "gguf")))
    assert str(caught.value) == (
        f"`{name}`: expected a file's name, at most one folder deep, that stays in its folder. "
        "Correct it where it stands."
    )


@given(st.text(alphabet="ab./\\:~ \0*", max_size=12))
def test_an_accepted_name_stays_in_its_folder(name: str) -> None:
    folder = Path("/kept/models")
    try:
        check_name(name)
    except InvalidInputError:
        return
    assert folder in (folder / name).resolve().parents


def test_a_name_in_no_folder_may_have_none() -> None:
    with pytest.raises(InvalidInputError, match="not in a folder"):
        check_name("a/b", folders=0)


def test_gguf_needs_that_file_alone() -> None:
    found = needed(chat_record(SHA256, 4), listed("chat-q4.gguf", "chat-q8.gguf", "config.json"))

    assert found == (Wanted("chat-q4.gguf", 4, SHA256, GIT, pinned=True),)


def test_gguf_needs_no_list_of_the_repository() -> None:
    assert needed(chat_record(SHA256, 4)) == (Wanted("chat-q4.gguf", 4, SHA256, pinned=True),)


def test_an_adapter_needs_its_file() -> None:
    assert needed(adapter_record()) == (Wanted("adapter.gguf"),)


def test_an_encoder_in_gguf_needs_that_file() -> None:
    model = dense_record(ModelFile("e.gguf", "gguf", SHA256), ModelFile("pytorch_model.bin", "pytorch"))

    assert needed(model, listed("e.gguf", "pytorch_model.bin")) == (Wanted("e.gguf", 4, SHA256, GIT, pinned=True),)


def test_pins_of_the_record_are_laid_over_what_the_hub_says() -> None:
    model = dense_record(ModelFile("model.safetensors", "safetensors", SHA256, url="https://mirror.example/w"))
    hub = [RepositoryFile("model.safetensors", 9, SHA256, None), *listed("config.json")]

    assert needed(model, hub) == (
        Wanted("config.json", 4, None, GIT),
        Wanted("model.safetensors", 9, SHA256, None, pinned=True, url="https://mirror.example/w"),
    )


def test_the_hubs_digest_is_not_a_pin() -> None:
    model = dense_record(ModelFile("model.safetensors", "safetensors"))

    assert needed(model, [RepositoryFile("model.safetensors", 9, SHA256, None)]) == (
        Wanted("model.safetensors", 9, SHA256),
    )


@pytest.mark.parametrize(
    ("file", "expected", "got"),
    [
        (ModelFile("model.safetensors", "safetensors", OTHER), OTHER, SHA256),
        (ModelFile("model.safetensors", "safetensors", SHA256, 8), "8 bytes", "9 bytes"),
    ],
    ids=["sha256", "size"],
)
def test_a_pin_that_the_hub_contradicts_is_refused_before_anything_is_fetched(
    file: ModelFile, expected: str, got: str
) -> None:
    with pytest.raises(ChecksumMismatchError) as caught:
        needed(dense_record(file), [RepositoryFile("model.safetensors", 9, SHA256, None)])
    assert str(caught.value) == (
        f"`model.safetensors` is not the file that the registry pins: expected {expected}, got {got}. "
        "The record pins another commit's file. Correct its `revision`, or its `sha256` and `size_bytes`."
    )


def test_a_file_that_the_record_names_and_the_repository_lacks_is_refused() -> None:
    with pytest.raises(DownloadError) as caught:
        needed(dense_record(ModelFile("vocab.txt", "tokenizer")), listed("model.safetensors"))
    assert str(caught.value) == (
        "Cannot fetch `a-dense`: the repository has no file `vocab.txt`, which the record names. "
        "Correct the name or `revision` in the record."
    )


def test_a_file_with_an_address_of_its_own_need_not_be_in_the_repository() -> None:
    file = ModelFile("vocab.txt", "tokenizer", url="https://mirror.example/vocab.txt")

    assert Wanted("vocab.txt", url=file.url) in needed(dense_record(file), listed("model.safetensors"))


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")
@pytest.mark.parametrize(
    ("maker", "record"),
    [
        (tiny.dense, tiny.dense_record),
        (tiny.stanford_colbert, tiny.colbert_record),
        (tiny.pylate_colbert, tiny.colbert_record),
        (tiny.native_colbert, tiny.colbert_record),
        (tiny.splade, tiny.splade_record),
        (tiny.reranker, tiny.reranker_record),
    ],
)
def test_a_model_loads_from_what_is_needed_of_it(
    maker: Callable[..., Path], record: Callable[..., Any], tmp_path: Path
) -> None:
    from registry.loaders import load

    whole, fetched, model = maker(tmp_path / "whole"), tmp_path / "fetched", record()
    there = [file.relative_to(whole).as_posix() for file in whole.rglob("*") if file.is_file()]
    for wanted in needed(model, listed(*there)):
        (fetched / wanted.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole / wanted.name, fetched / wanted.name)

    with load(model, path=whole) as first, load(model, path=fetched) as second:
        assert first.footprint_bytes == second.footprint_bytes
        if maker is not tiny.reranker:
            vectors = [pickle.dumps(encoder.encode_document(["the cat"])) for encoder in (first, second)]
            assert vectors[0] == vectors[1]
