"""Opening checkpoints: what is refused, in which type they are computed, and how much memory that takes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.errors import InsufficientMemoryError, ModelLoadError, RemoteCodeNotAllowedError, UnsafeWeightsError
from registry.profiles.checkpoints.placement import Placement
from registry.profiles.checkpoints.pretrained import (
    Weights,
    check_checkpoint,
    dtype_for,
    loading_errors,
    memory_errors,
    open_checkpoint,
)

CPU = Placement("cpu", "auto", False, 2048, None, "transformers", "unsloth needs a CUDA GPU.")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from tiny_checkpoint import checkpoint

    return checkpoint(tmp_path_factory.mktemp("checkpoint") / "model", script="Hello.")


@pytest.fixture
def folder(shared: Path, tmp_path: Path) -> Path:
    """A tiny checkpoint that the test may change."""
    return shutil.copytree(shared, tmp_path / "model")


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_check_checkpoint_reads_the_weights_from_their_headers(folder: Path) -> None:
    found = check_checkpoint("m", folder)

    size = (folder / "model.safetensors").stat().st_size
    assert (found.dtype, found.stored_bytes) == ("float32", 4 * found.numbers)
    assert 0 < size - found.stored_bytes < 5000


@pytest.mark.parametrize(
    ("architectures", "got"), [(["BertModel"], "BertModel"), ([], "none"), ("LlamaForCausalLM", "none")]
)
def test_check_checkpoint_of_what_generates_no_text_is_refused(folder: Path, architectures: Any, got: str) -> None:
    change(folder / "config.json", architectures=architectures)

    with pytest.raises(ModelLoadError) as caught:
        check_checkpoint("m", folder)

    assert str(caught.value) == (
        f"Cannot load `m` from `{folder / 'config.json'}`: architectures: expected one that generates text, such as "
        f"`LlamaForCausalLM`, got {got}. Choose a chat model; an embedding model is served by its record."
    )


@pytest.mark.parametrize("text", ["{", "[]", "\ufeff"])
def test_check_checkpoint_of_a_damaged_configuration_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, "utf-8")

    with pytest.raises(ModelLoadError):
        check_checkpoint("m", folder)


def test_check_checkpoint_of_weights_that_can_run_code_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(UnsafeWeightsError) as caught:
        check_checkpoint("m", folder)

    assert (caught.value.model_id, caught.value.path) == ("m", str(folder))


def test_check_checkpoint_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()

    with pytest.raises(ModelLoadError) as caught:
        check_checkpoint("m", folder)

    assert str(caught.value) == (
        f"Cannot load `m` from `{folder}`: weights: expected `*.safetensors`, got none. "
        "The folder is incomplete. Fetch all files."
    )


def test_open_checkpoint_with_a_tensor_missing_is_refused(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelLoadError) as caught:
        open_checkpoint("m", folder, CPU, "float32")

    assert str(caught.value) == (
        f"Cannot load `m` from `{folder}`: weights: expected a tensor for each parameter, got none for "
        "model.layers.1.mlp.up_proj.weight. "
        "Those would be random numbers. The files are incomplete, or of another model."
    )


def test_open_checkpoint_never_reads_weights_that_can_run_code(folder: Path) -> None:
    from tiny import to_pytorch

    to_pytorch(folder)
    assert (folder / "pytorch_model.bin").is_file()

    with pytest.raises(ModelLoadError, match="a model that transformers can open"):
        open_checkpoint("m", folder, CPU, "float32")


def test_open_checkpoint_of_another_size_is_refused(folder: Path) -> None:
    change(folder / "config.json", vocab_size=7)

    with pytest.raises(ModelLoadError, match="a model that transformers can open"):
        open_checkpoint("m", folder, CPU, "float32")


def test_open_checkpoint_that_needs_code_of_its_repository_is_refused_and_runs_none(folder: Path) -> None:
    (folder / "modeling_own.py").write_text("raise SystemExit('ran')\n")
    change(
        folder / "config.json",
        model_type="own",
        auto_map={"AutoConfig": "modeling_own.C", "AutoModelForCausalLM": "modeling_own.M"},
    )

    with pytest.raises(RemoteCodeNotAllowedError) as caught:
        open_checkpoint("m", folder, CPU, "float32")

    assert caught.value.reason == "A profile never allows that. Choose a model that transformers knows."


def test_open_checkpoint_shows_no_bars_and_leaves_them_as_they_were(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()

    open_checkpoint("m", folder, CPU, "float32")

    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled() == before


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_open_checkpoint_computes_in_the_type_that_is_asked_for(folder: Path, dtype: str) -> None:
    opened = open_checkpoint("m", folder, CPU, dtype)

    assert {str(weight.dtype) for weight in opened.model.parameters()} == {f"torch.{dtype}"}
    assert not opened.model.training


# Types


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Choose a type for a machine: what its CPU, or its GPU, computes."""
    torch = pytest.importorskip("torch")

    def choose(device: str, stored: str, *, bfloat16: bool = True, asked: str = "auto") -> str:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": bfloat16})
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
        return dtype_for(Placement(device, asked, False, 1, None, "transformers", None), stored)

    return choose


@pytest.mark.parametrize(
    ("device", "stored", "bfloat16", "dtype"),
    [
        ("cpu", "bfloat16", True, "bfloat16"),
        ("cpu", "bfloat16", False, "float32"),
        ("cpu", "float16", True, "float32"),
        ("cpu", "float32", True, "float32"),
        ("cuda", "bfloat16", True, "bfloat16"),
        ("cuda:1", "bfloat16", False, "float16"),
        ("cuda", "float16", True, "float16"),
        ("cuda", "float32", True, "float32"),
        ("cuda", "other", True, "bfloat16"),
        ("mps", "bfloat16", True, "bfloat16"),
        ("mps", "other", True, "float16"),
    ],
)
def test_dtype_for_is_the_stored_one_where_the_device_computes_it(
    on: Callable[..., str], device: str, stored: str, bfloat16: bool, dtype: str
) -> None:
    assert on(device, stored, bfloat16=bfloat16) == dtype


def test_dtype_for_is_what_was_asked_for(on: Callable[..., str]) -> None:
    assert on("cuda", "bfloat16", asked="float32") == "float32"


@pytest.mark.parametrize(
    ("stored", "dtype", "four_bit", "expected"),
    [
        ("bfloat16", "float32", False, 4000),
        ("bfloat16", "bfloat16", False, 2000),
        ("bfloat16", "bfloat16", True, 800),
        ("other", "bfloat16", False, 1234),
    ],
)
def test_needed_bytes_are_those_of_the_type_that_is_computed_in(
    stored: str, dtype: str, four_bit: bool, expected: int
) -> None:
    assert Weights(1000, stored, 1234).needed_bytes(dtype, four_bit=four_bit) == expected


# Errors


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
)
def test_memory_errors_are_told_in_one_wording(error: Exception) -> None:
    with pytest.raises(InsufficientMemoryError) as caught, memory_errors("m"):
        raise error

    assert str(caught.value) == (
        "Not enough memory for `m`. Close other models, choose a smaller one, or set `max_seq_length` lower."
    )


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal memory access was encountered"), ValueError("out of memory")]
)
def test_memory_errors_leave_others_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, memory_errors("m"):
        raise error

    assert caught.value is error


def test_loading_errors_tell_where_and_what(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError) as caught, loading_errors("m", tmp_path):
        raise KeyError("rope")

    assert str(caught.value) == (
        f"Cannot load `m` from `{tmp_path}`: files: expected a model that transformers can open, got KeyError: 'rope'."
    )
