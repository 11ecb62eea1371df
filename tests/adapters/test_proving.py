"""Whether a file is a LoRA adapter of a model, by the headers of both, and as llama.cpp sees it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from adapters.making import WORDS, lora_file, word_adapter
from registry.adapters import AdapterEntry
from registry.adapters.proving import UnfitAdapterError, check_file
from registry.errors import ModelLoadError

pytest.importorskip("gguf")
np = pytest.importorskip("numpy")

ENTRY = AdapterEntry("tuned", "tiny-chat", "tuned.gguf", "0" * 64, "7")
WRONG_FILE = "Make it with `convert_lora_to_gguf.py` of llama.cpp, and put its new sha256 into the manifest."
WRONG_BASE = "Correct `base` in the manifest, or use an adapter that was trained on this model."
HIDDEN = 64


@pytest.fixture
def base(made: Callable[..., Path]) -> Path:
    return made(tiny.chat_gguf, script=WORDS, repeat=True)


@pytest.fixture
def vocab_size(base: Path) -> int:
    import gguf

    return next(int(tensor.shape[1]) for tensor in gguf.GGUFReader(base).tensors if tensor.name == "output.weight")


def _refusal(path: Path, base: Path, **record: Any) -> UnfitAdapterError:
    with pytest.raises(UnfitAdapterError) as caught:
        check_file(ENTRY, path, tiny.chat_record(base, **record), base)
    assert (caught.value.adapter_id, caught.value.version) == ("tuned", "7")
    return caught.value


def _matrices(inputs: int, outputs: int, rank: int = 2) -> tuple[Any, Any]:
    return np.zeros((rank, inputs), np.float32), np.zeros((outputs, rank), np.float32)


def _is_taken_by_llama_cpp(base: Path, path: Path) -> bool:
    pytest.importorskip("llama_cpp")
    from registry.loaders import load

    try:
        load(tiny.chat_record(base), path=base, adapter=path).close()
    except ModelLoadError as error:
        return error.what != "adapter"
    return True


def test_adapter_of_the_model_is_taken(base: Path, tmp_path: Path) -> None:
    path = word_adapter(tmp_path / "tuned.gguf", base)
    check_file(ENTRY, path, tiny.chat_record(base), base)
    assert _is_taken_by_llama_cpp(base, path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "expected a GGUF file of version 2 or 3, got a file that does not begin with `GGUF`."),
        (b"<html>", "expected a GGUF file of version 2 or 3, got a file that does not begin with `GGUF`."),
        (b"GGUF\x03\0\0\0", "expected a GGUF file of version 2 or 3, got a file that ends within its header."),
    ],
)
def test_what_is_no_gguf_file_is_refused(content: bytes, problem: str, base: Path, tmp_path: Path) -> None:
    (tmp_path / "tuned.gguf").write_bytes(content)
    refusal = _refusal(tmp_path / "tuned.gguf", base)
    assert (refusal.problem, refusal.remedy) == (problem, WRONG_FILE)


def test_model_is_no_adapter(base: Path) -> None:
    refusal = _refusal(base, base)
    problem = "it is no LoRA adapter: expected `general.type` to be `adapter`, got nothing."
    assert (refusal.problem, refusal.remedy) == (problem, WRONG_FILE)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"general": "model"}, "expected `general.type` to be `adapter`, got `model`."),
        ({"kind": "control_vector"}, "expected `adapter.type` to be `lora`, got `control_vector`."),
    ],
)
def test_adapter_of_another_kind_is_refused(
    options: dict[str, Any], problem: str, base: Path, vocab_size: int, tmp_path: Path
) -> None:
    path = lora_file(tmp_path / "tuned.gguf", {"output.weight": _matrices(HIDDEN, vocab_size)}, **options)
    assert _refusal(path, base).problem == f"it is no LoRA adapter: {problem}"
    assert not _is_taken_by_llama_cpp(base, path)


def test_adapter_of_another_architecture_is_refused(base: Path, tmp_path: Path) -> None:
    path = word_adapter(tmp_path / "tuned.gguf", base, architecture="qwen2")
    refusal = _refusal(path, base)
    problem = "it was made for the architecture `qwen2`, and `tiny-chat` is of `llama`."
    assert (refusal.problem, refusal.remedy) == (problem, WRONG_BASE)
    assert not _is_taken_by_llama_cpp(base, path)


def test_adapter_of_a_model_of_another_size_is_refused(base: Path, vocab_size: int, tmp_path: Path) -> None:
    larger = tiny.chat_gguf(tmp_path / "large.gguf", script=WORDS, repeat=True, hidden=128)
    path = word_adapter(tmp_path / "tuned.gguf", larger)
    problem = (
        f"it does not fit `tiny-chat`: `output.weight` is 64 x {vocab_size} in the model, "
        f"and 128 x 1 and 1 x {vocab_size} here."
    )
    assert _refusal(path, base).problem == problem
    assert not _is_taken_by_llama_cpp(base, path)


@pytest.mark.parametrize(
    ("name", "shapes", "is_fit"),
    [
        ("blk.0.attn_q.weight", (HIDDEN, HIDDEN), True),
        ("blk.9.attn_q.weight", (HIDDEN, HIDDEN), False),
        ("blk.0.attn_q.weight", (HIDDEN, HIDDEN + 1), False),
        ("blk.0.attn_q.weight", (HIDDEN + 1, HIDDEN), False),
        ("token_embd.weight", (None, HIDDEN), True),
        ("token_embd.weight", (HIDDEN, None), False),
    ],
)
def test_shapes_fit_where_llama_cpp_takes_them(
    name: str, shapes: tuple[int | None, int | None], is_fit: bool, base: Path, vocab_size: int, tmp_path: Path
) -> None:
    inputs, outputs = (vocab_size if size is None else size for size in shapes)
    lora_a, lora_b = _matrices(inputs, outputs)
    if name == "token_embd.weight" and is_fit:  # llama.cpp looks rows up in A
        lora_a = np.ascontiguousarray(lora_a.T)
    path = lora_file(tmp_path / "tuned.gguf", {name: (lora_a, lora_b)})
    assert _is_taken_by_llama_cpp(base, path) is is_fit
    if is_fit:
        check_file(ENTRY, path, tiny.chat_record(base), base)
    else:
        assert _refusal(path, base).problem.startswith("it does not fit `tiny-chat`: ")


def test_parts_of_other_ranks_are_refused(base: Path, vocab_size: int, tmp_path: Path) -> None:
    lora_a, _ = _matrices(HIDDEN, vocab_size, rank=2)
    _, lora_b = _matrices(HIDDEN, vocab_size, rank=3)
    path = lora_file(tmp_path / "tuned.gguf", {"output.weight": (lora_a, lora_b)})
    assert "64 x 2 and 3 x" in _refusal(path, base).problem
    assert not _is_taken_by_llama_cpp(base, path)


def test_adapter_without_matrices_is_refused(base: Path, tmp_path: Path) -> None:
    path = lora_file(tmp_path / "tuned.gguf", {})
    assert _refusal(path, base).problem == "it does not fit `tiny-chat`: it changes nothing."


def test_half_a_pair_and_a_foreign_matrix_are_refused(base: Path, tmp_path: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "tuned.gguf", "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    for name in ("output.weight.lora_a", "blk.0.attn_norm.weight", "output.weight"):
        writer.add_tensor(name, np.zeros((2, HIDDEN), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert _refusal(tmp_path / "tuned.gguf", base).problem == (
        "it does not fit `tiny-chat`: `output.weight` is no part of a LoRA adapter; "
        "`output.weight` has only one of its two parts."
    )


def test_many_problems_are_told_in_short(base: Path, tmp_path: Path) -> None:
    pairs = {f"blk.{number}.attn_q.weight": _matrices(HIDDEN, HIDDEN) for number in range(2, 12)}
    path = lora_file(tmp_path / "tuned.gguf", pairs)
    told = "; ".join(f"the model has no `blk.{number}.attn_q.weight`" for number in range(2, 5))
    assert _refusal(path, base).problem == f"it does not fit `tiny-chat`: {told}, and 7 more."


QWEN = {"base_model": "Qwen/Qwen2.5-7B-Instruct", "name": "Qwen2.5-7B-Instruct Q4_K_M"}


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"general.base_model.0.name": "Qwen2.5 7B Instruct"},
        {"general.base_model.0.name": "Qwen2.5 7B"},
        {"general.base_model.0.repo_url": "https://huggingface.co/unsloth/Qwen2.5-7B-Instruct-bnb-4bit/"},
        {"general.base_model.0.name": "Mine", "general.base_model.1.name": "Qwen2.5 7B Instruct"},
        {"general.base_model.0.name": "???"},
        {"general.base_model.0.organization": "Meta"},
    ],
)
def test_adapter_that_states_its_model_or_a_copy_of_it_is_taken(
    stated: dict[str, str], base: Path, tmp_path: Path
) -> None:
    path = word_adapter(tmp_path / "tuned.gguf", base, metadata=stated)
    check_file(ENTRY, path, tiny.chat_record(base, **QWEN), base)


@pytest.mark.parametrize(
    "stated",
    [
        {"general.base_model.0.name": "Llama 3.2 3B Instruct"},
        {"general.base_model.0.repo_url": "https://huggingface.co/mine/Llama-3.2-3B-Instruct"},
    ],
)
def test_adapter_that_states_another_model_is_refused(stated: dict[str, str], base: Path, tmp_path: Path) -> None:
    path = word_adapter(tmp_path / "tuned.gguf", base, metadata=stated)
    refusal = _refusal(path, base, **QWEN)
    made_for = next(iter(stated.values())).rpartition("/")[2]
    problem = f"its file says that it was made for `{made_for}`, and `tiny-chat` is Qwen/Qwen2.5-7B-Instruct."
    assert (refusal.problem, refusal.remedy) == (problem, WRONG_BASE)


def test_damaged_model_is_no_fault_of_the_adapter(base: Path, tmp_path: Path) -> None:
    path = word_adapter(tmp_path / "tuned.gguf", base)
    (tmp_path / "base.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelLoadError):
        check_file(ENTRY, path, tiny.chat_record(base), tmp_path / "base.gguf")
