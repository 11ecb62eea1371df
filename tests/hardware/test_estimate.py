"""The memory that a model needs, from its record or the header of its file."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InvalidOptionError, ModelLoadError, ModelNotFoundError
from registry.hardware import Gpu, estimate
from registry.records import ModelFile
from tests.hardware.ggufs import model
from tests.hardware.records import chat, dense
from tests.hardware.test_decoder import FACTS
from tests.hardware.test_encoder import machine

MB = 10**6
RECORD = chat("m", 100 * MB, **FACTS)
CACHE = 3 * 2 * (32 + 32) * 2  # bytes of a token: layers, key heads, key and value, 2 bytes


def test_record_gives_weights_cache_and_buffers() -> None:
    found = estimate(RECORD, context_length=4096)

    (device,) = found.devices
    assert (device.device, device.weights_bytes, device.kv_cache_bytes) == ("cpu", 100 * MB, 4096 * CACHE)
    assert device.total_bytes == sum(
        (device.weights_bytes, device.kv_cache_bytes, device.compute_bytes, device.overhead_bytes)
    )
    assert found.total_bytes == found.resident_bytes == device.total_bytes
    assert (found.confidence, found.method) == ("record", "llama.cpp's buffers, from the record")
    assert (found.context_length, found.fill, found.missing) == (4096, 4096, ())
    assert found.notes == (
        "The record does not say how wide the feed-forward layers are: 4 x `hidden_dim` stands for it.",
    )


def test_context_is_that_which_the_record_is_loaded_with() -> None:
    assert estimate(RECORD).context_length == RECORD.runtime.context_length


@pytest.mark.parametrize("absent", ["head_dim", "kv_heads", "layers", "heads", "hidden_dim", "vocab_size"])
def test_fact_that_is_not_known_leaves_the_estimate_unknown(absent: str) -> None:
    found = estimate(chat("m", **FACTS | {absent: None}), context_length=4096)

    assert (found.total_bytes, found.resident_bytes, found.reserved_bytes, found.devices) == (None, None, None, ())
    assert (found.confidence, found.missing, found.context_length) == ("unknown", (absent,), 4096)


def test_quantized_cache_takes_less() -> None:
    plain, quantized = (estimate(RECORD, kv_dtype=kind, flash_attention=True) for kind in ("f16", "q8_0"))

    assert quantized.devices[0].kv_cache_bytes * 32 == plain.devices[0].kv_cache_bytes * 17


def test_keys_alone_can_be_quantized() -> None:
    found = estimate(RECORD, context_length=4096, kv_dtype="q8_0", value_dtype="f16")

    assert found.devices[0].kv_cache_bytes == 4096 * CACHE * (34 + 64) // 128


def test_longer_context_needs_more() -> None:
    needs = [estimate(RECORD, context_length=length).total_bytes for length in (512, 2048, 8192)]

    assert needs == sorted(set(needs), key=lambda need: need or 0)


def test_fill_changes_what_is_resident_and_not_the_cache() -> None:
    full, part = estimate(RECORD, context_length=4096), estimate(RECORD, context_length=4096, fill=100)

    assert (full.resident_bytes or 0) > (part.resident_bytes or 0)
    assert (full.reserved_bytes or 0) < (part.reserved_bytes or 0)
    assert full.devices[0].kv_cache_bytes == part.devices[0].kv_cache_bytes


@pytest.mark.parametrize(
    ("layers", "found"), [(None, ["cpu", "gpu:1"]), (0, ["cpu"]), (1, ["cpu", "gpu:1"]), (-1, ["cpu", "gpu:1"])]
)
def test_layers_go_to_the_gpus_of_the_machine(layers: int | None, found: list[str]) -> None:
    with_gpu = machine(gpus=(Gpu(1, "any", 10**10, 10**10),))

    assert [device.device for device in estimate(RECORD, gpu_layers=layers, machine=with_gpu).devices] == found


@pytest.mark.parametrize(("layers", "found"), [(None, ["cpu"]), (-1, ["cpu", "gpu:0"])])
def test_without_a_machine_layers_go_to_a_gpu_when_asked(layers: int | None, found: list[str]) -> None:
    assert [device.device for device in estimate(RECORD, gpu_layers=layers).devices] == found


def test_machine_without_gpus_takes_all_in_main_memory() -> None:
    assert [device.device for device in estimate(RECORD, gpu_layers=-1, machine=machine()).devices] == ["cpu"]


def test_sum_over_devices_is_the_total() -> None:
    found = estimate(RECORD, gpu_layers=2)

    assert found.total_bytes == found.cpu_bytes + found.gpu_bytes
    assert found.gpu_bytes == found.devices[1].total_bytes > 0


def test_estimate_is_json() -> None:
    found = estimate(RECORD, gpu_layers=2).to_dict()

    assert json.loads(json.dumps(found)) == found


def test_id_of_the_shipped_registry_finds_its_record() -> None:
    assert estimate("qwen2.5-coder-7b-q5_k_m").model_id == "qwen2.5-coder-7b-q5_k_m"


def test_id_that_no_record_has_is_refused() -> None:
    with pytest.raises(ModelNotFoundError):
        estimate("no-such-model")


def test_encoder_of_a_gguf_file_that_is_not_here_is_unknown() -> None:
    record = dense("m", files=(ModelFile("m.gguf", "gguf"),))

    found = estimate(record)

    assert (found.total_bytes, found.missing) == (None, ("the file",))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"context_length": 0}, "`context_length`: expected a whole number of at least 1, got 0."),
        ({"gpu_layers": -2}, "`gpu_layers`: expected a whole number of at least -1, got -2."),
        ({"parallel": True}, "`parallel`: expected a whole number of at least 1, got True."),
        ({"dtype": "float64"}, "`dtype`: expected one of float32, bfloat16, float16, auto, got 'float64'."),
        (
            {"context_length": 100, "fill": 200},
            "`fill`: expected at most 100, the context, got 200.",
        ),
        (
            {"kv_dtype": "f8"},
            "`kv_dtype`: expected one of f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl, got 'f8'.",
        ),
        (
            {"kv_dtype": "q8_0"},
            (
                "`value_dtype`: expected one of f32, f16, bf16 without flash attention, got 'q8_0'. "
                "Estimate with `flash_attention=True`, or with `value_dtype='f16'`."
            ),
        ),
    ],
)
def test_value_that_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptionError) as raised:
        estimate(RECORD, **given)

    assert str(raised.value) == message


def test_header_of_a_file_wins_over_the_record(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    path = model(tmp_path / "model.gguf")

    found = estimate(RECORD, path=path, context_length=4096)

    assert (found.confidence, found.method) == ("header", "llama.cpp's buffers, from the GGUF header")
    assert found.devices[0].kv_cache_bytes == 4096 * 2 * 2 * (32 + 32) * 2
    assert found.notes == ()


def test_header_of_a_file_in_the_model_folder_is_found(home: Path) -> None:
    pytest.importorskip("gguf")
    (home / "models").mkdir(parents=True)
    model(home / "models" / "m.gguf")

    assert estimate(RECORD).confidence == "header"


def test_header_is_read_again_when_the_file_has_changed(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    path = model(tmp_path / "model.gguf")
    estimate(RECORD, path=path)
    model(path, vocab_size=9600)

    assert estimate(RECORD, path=path).devices[0].weights_bytes > 2 * 2 * 64 * 9600


def test_layers_with_another_kind_of_memory_leave_the_estimate_unknown(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    path = model(tmp_path / "model.gguf", {"llama.ssm.state_size": 16})

    found = estimate(RECORD, path=path)

    assert (found.total_bytes, found.missing) == (None, ("ssm.state_size",))


def test_embedder_puts_out_every_token_of_a_batch(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    path = model(tmp_path / "model.gguf", {"tokenizer.ggml.tokens": ["a"] * 5000})

    chats, embeds = (estimate(record, path=path, context_length=2048) for record in (RECORD, dense("m")))

    assert embeds.devices[0].compute_bytes - chats.devices[0].compute_bytes > 2 * 2047 * 5000 * 4


@given(data=st.data())
def test_damaged_file_gives_an_estimate_or_the_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("gguf")
    path = model(
        tmp_path_factory.mktemp("gguf") / "model.gguf", {"llama.expert_count": 4, "llama.expert_used_count": 2}
    )
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(24, 900), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))

    with suppress(ModelLoadError):
        assert estimate(RECORD, path=path, context_length=512).method
