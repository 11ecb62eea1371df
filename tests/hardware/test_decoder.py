"""From headers and records to the numbers that memory depends on."""

from pathlib import Path
from typing import Any

import pytest

from tests.hardware.ggufs import model
from tests.hardware.records import chat

pytest.importorskip("gguf")

from registry.errors import ModelLoadError
from registry.hardware.decoder import missing_in, other_memory, shape_of_header, shape_of_record
from registry.hardware.gguf_header import read_gguf
from registry.hardware.shape import INPUT, OUTPUT, Layer, Shape, Vocabulary

FACTS: dict[str, Any] = {
    "architecture_type": "qwen2",
    "layers": 3,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 32,
    "hidden_dim": 64,
    "vocab_size": 1000,
}


def shape(path: Path, features: tuple[str, ...] = (), **changes: Any) -> Shape:
    """The shape of the small llama, with changes of its header."""
    options = {key: changes.pop(key) for key in ("quantization", "tied", "vocab_size", "more") if key in changes}
    model(path, {key.replace("__", "."): value for key, value in changes.items()}, **options)
    return shape_of_header("m", read_gguf("m", path), features)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_header_gives_the_numbers_of_each_layer(path: Path) -> None:
    found = shape(path)

    assert (found.architecture, found.hidden_dim, found.vocabulary) == ("llama", 64, Vocabulary(3))
    weights = 2 * (64 * (128 + 64 + 64 + 128 + 128) + 128 * 64 * 2)
    assert found.layers == (Layer(4, 2, 32, 32, 128, weights_bytes=weights),) * 2
    assert (found.input_bytes, found.output_bytes, found.tied) == (2 * 64 * 96, 2 * 64 * 96, False)
    assert found.weights_bytes == 2 * (weights + 2 * 64 * 96)


def test_embeddings_that_are_the_output_too_are_tied(path: Path) -> None:
    found = shape(path, tied=True)

    assert (found.tied, found.output_bytes) == (True, 0)


def test_head_dim_that_is_not_stated_is_divided_as_llama_cpp_does(path: Path) -> None:
    found = shape(path, llama__attention__key_length=None, llama__attention__value_length=None)

    assert (found.layers[0].key_dim, found.layers[0].value_dim) == (16, 16)


def test_heads_can_be_stated_for_each_layer(path: Path) -> None:
    found = shape(path, llama__attention__head_count_kv=[2, 1], llama__feed_forward_length=[128, 256])

    assert [(layer.kv_heads, layer.ffn_dim) for layer in found.layers] == [(2, 128), (1, 256)]


def test_key_heads_that_are_not_stated_are_as_many_as_heads(path: Path) -> None:
    assert shape(path, llama__attention__head_count_kv=None).layers[0].kv_heads == 4


def test_latent_attention_keeps_no_values(path: Path) -> None:
    found = shape(path, llama__attention__key_length_mla=16)

    assert (found.layers[0].key_dim, found.layers[0].value_dim) == (32, 0)


def test_windows_have_heads_of_their_own_size(path: Path) -> None:
    pattern = {"llama__attention__sliding_window_pattern": [True, False], "llama__attention__sliding_window": 512}
    found = shape(path, general__architecture="gemma3", llama__attention__key_length_swa=16, **pattern)

    assert (found.window, [layer.windowed for layer in found.layers]) == (512, [True, False])
    assert [(layer.key_dim, layer.value_dim) for layer in found.layers] == [(16, 32), (32, 32)]


def test_layers_that_share_keys_have_no_cache(path: Path) -> None:
    found = shape(path, llama__attention__shared_kv_layers=1)

    assert [layer.cached for layer in found.layers] == [True, False]


def test_experts_have_their_own_width(path: Path) -> None:
    experts = {"llama__expert_count": 8, "llama__expert_used_count": 2, "llama__expert_feed_forward_length": 96}
    found = shape(path, **experts)

    assert (found.experts, found.experts_used, found.layers[0].ffn_dim) == (8, 2, 96)


@pytest.mark.parametrize(("features", "copied"), [(("AVX2",), 15), ((), 0)])
def test_weights_that_this_processor_wants_in_another_order_are_copied(
    features: tuple[str, ...], copied: int, path: Path
) -> None:
    found = shape(path, features, quantization="Q4_0")

    assert sum(span.copied for span in found.spans) == copied
    assert [span.copied for span in found.spans if span.layer == INPUT] == [False]


def test_weights_of_8_bits_are_used_where_they_lie(path: Path) -> None:
    assert not any(span.copied for span in shape(path, ("AVX2",), quantization="Q8_0").spans)


def test_spans_say_where_tensors_lie(path: Path) -> None:
    spans = shape(path).spans

    assert [span.layer for span in spans] == [INPUT, *[0] * 7, *[1] * 7, OUTPUT]
    assert [span.begin for span in spans[1:]] == [span.end for span in spans[:-1]]


@pytest.mark.parametrize(("quantization", "expected"), [("F32", 0), ("F16", 256), ("Q8_0", 136), ("Q4_0", 136)])
def test_inputs_of_a_matrix_are_converted_to_its_kind(quantization: str, expected: int, path: Path) -> None:
    assert shape(path, quantization=quantization).converted_dim == expected


@pytest.mark.parametrize(
    ("changes", "what", "got"),
    [
        ({"general__architecture": 5}, "general.architecture", "5"),
        ({"llama__block_count": None}, "llama.block_count", "None"),
        ({"llama__block_count": 0}, "llama.block_count", "0"),
        ({"llama__block_count": 10**6}, "llama.block_count", "1000000"),
        ({"llama__embedding_length": "wide"}, "llama.embedding_length", "None"),
        ({"llama__attention__head_count": 2**30}, "llama.attention.head_count", str(2**30)),
        ({"llama__attention__head_count": True}, "llama.attention.head_count", "True"),
    ],
)
def test_number_that_cannot_be_is_refused(changes: dict[str, Any], what: str, got: str, path: Path) -> None:
    with pytest.raises(ModelLoadError, match=f"{what}: expected .*, got {got}\\."):
        shape(path, **changes)


def test_file_without_embeddings_is_refused(path: Path) -> None:
    from tests.hardware.ggufs import LLAMA, header

    path.write_bytes(header(LLAMA))

    with pytest.raises(ModelLoadError, match=r"token_embd\.weight: expected a tensor, got none"):
        shape_of_header("m", read_gguf("m", path))


def test_other_kinds_of_memory_are_named(path: Path) -> None:
    model(path, {"llama.ssm.state_size": 16})

    assert other_memory(read_gguf("m", path)) == ("ssm.state_size",)


@pytest.mark.parametrize(("count", "expected"), [(1, ()), (3, ("split.count",))])
def test_first_of_several_files_does_not_tell_all(count: int, expected: tuple[str, ...], path: Path) -> None:
    model(path, {"split.count": count})

    assert other_memory(read_gguf("m", path)) == expected


def test_record_is_complete_or_says_what_is_missing() -> None:
    assert missing_in(chat("m", **FACTS)) == ()
    assert missing_in(chat("m", None, **FACTS | {"head_dim": None})) == ("head_dim", "file.size_bytes")


def test_record_gives_weights_by_the_size_of_its_file() -> None:
    found = shape_of_record(chat("m", 4001, **FACTS))

    assert found.weights_bytes == 4001
    assert [layer.weights_bytes for layer in found.layers] == [1000] * 3
    assert found.layers[0] == Layer(4, 2, 32, 32, 256, weights_bytes=1000)


def test_record_of_an_architecture_with_windows_has_its_pattern() -> None:
    found = shape_of_record(chat("m", **FACTS | {"architecture_type": "gpt_oss", "sliding_window": 128}))

    assert (found.window, [layer.windowed for layer in found.layers]) == (128, [True, False, True])
