"""Memory of encoders: weights by type, and what batches compute."""

import json
from pathlib import Path
from typing import Any

import pytest

from registry.errors import ModelLoadError
from registry.hardware import Cpu, DeviceEstimate, Gpu, Machine, estimate
from registry.records import SparseModel
from tests.hardware.records import dense
from tests.hardware.test_safetensors_header import tensor, write

FACTS: dict[str, Any] = {"hidden_dim": 384, "heads": 12, "intermediate_dim": 1536, "context_length": 512}
TOKENS = 1024


def machine(*features: str, cores: int = 1, gpus: tuple[Gpu, ...] = ()) -> Machine:
    return Machine("Linux", "3.11", Cpu(None, "x86_64", None, cores, features), 10**10, 10**10, gpus=gpus)


def computed(kind_bytes: int = 4, batches: int = 1, tokens: int = TOKENS) -> int:
    """What the states of these batches take."""
    return batches * kind_bytes * tokens * 2 * (9 * 384 + 2 * 1536)


def test_record_gives_weights_by_parameters_and_type() -> None:
    found = estimate(dense("m", **FACTS), machine=machine())

    assert found.devices == (DeviceEstimate.of("cpu", 400_000_000, compute=computed(), overhead=16 * 2**20),)
    assert (found.confidence, found.context_length, found.fill) == ("record", 512, TOKENS)
    assert found.method == "weights as float32 and the states of 1 x 1024 tokens"
    assert found.resident_bytes == found.total_bytes == found.devices[0].total_bytes


def test_half_precision_takes_half() -> None:
    found = estimate(dense("m", **FACTS), dtype="bfloat16", machine=machine())

    assert (found.devices[0].weights_bytes, found.devices[0].compute_bytes) == (200_000_000, computed(2))


@pytest.mark.parametrize(("features", "size"), [(("AVX512-BF16",), 200_000_000), (("AVX512",), 400_000_000)])
def test_automatic_type_is_half_where_the_processor_computes_in_it(features: tuple[str, ...], size: int) -> None:
    assert estimate(dense("m", **FACTS), dtype="auto", machine=machine(*features)).devices[0].weights_bytes == size


def test_every_core_has_a_batch_of_its_own() -> None:
    assert estimate(dense("m", **FACTS), machine=machine(cores=8)).devices[0].compute_bytes == computed(batches=8)


def test_batch_and_length_that_are_asked_for_count() -> None:
    found = estimate(dense("m", **FACTS), batch_size=4096, context_length=128, machine=machine())

    assert found.devices[0].compute_bytes == computed(tokens=4096)


def test_gpu_takes_all_where_there_is_one() -> None:
    gpu = Gpu(2, "any", 10**10, 10**10)
    found = estimate(dense("m", **FACTS), machine=machine(gpus=(gpu,)))

    assert [device.device for device in found.devices] == ["gpu:2"]
    assert (found.resident_bytes, found.fill) == (0, 32_768)


def test_files_win_over_the_record(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", {"a": tensor("F16", 1000, 384), "n": tensor("I64", 10)}, 10**6)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 768}))

    found = estimate(dense("m", **FACTS), path=tmp_path, machine=machine())

    assert found.devices[0].weights_bytes == 4 * 384_000 + 80
    assert found.devices[0].compute_bytes == 4 * TOKENS * 2 * (9 * 768 + 2 * 1536)
    assert found.confidence == "header"


def test_weights_that_change_their_type_are_there_twice_while_they_are_loaded(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", {"a": tensor("F32", 10**8)}, 0)
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.truncate(5 * 10**8)

    same, other = (
        estimate(dense("m", **FACTS), path=tmp_path, dtype=kind, machine=machine()) for kind in ("float32", "float16")
    )

    assert same.droppable_bytes == 0
    assert other.resident_bytes == 600_000_000 + 16 * 2**20
    assert other.droppable_bytes == other.resident_bytes - (other.total_bytes or 0)


def test_config_that_cannot_be_read_leaves_the_record(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[")

    assert estimate(dense("m", **FACTS), path=tmp_path, machine=machine()).devices[0].compute_bytes == computed()


def test_logits_of_a_sparse_model_count() -> None:
    sparse = SparseModel(
        id="m",
        model_type="sparse",
        name="m",
        huggingface_id="acme/m",
        organization="acme",
        description="A model.",
        embedding_dim=30_000,
        multi_vector=False,
        parameter_count=10**8,
        vocab_size=30_000,
        **FACTS,
    )

    assert estimate(sparse, machine=machine()).devices[0].compute_bytes == 4 * TOKENS * 3 * 30_000


@pytest.mark.parametrize(
    ("absent", "missing"),
    [
        ("hidden_dim", ("hidden_dim",)),
        ("context_length", ("context_length",)),
        ("parameter_count", ("parameter_count",)),
    ],
)
def test_fact_that_is_not_known_leaves_the_estimate_unknown(absent: str, missing: tuple[str, ...]) -> None:
    found = estimate(dense("m", **FACTS | {absent: None}), machine=machine())

    assert (found.total_bytes, found.devices, found.confidence, found.missing) == (None, (), "unknown", missing)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"{}")

    with pytest.raises(ModelLoadError, match="a file of 2"):
        estimate(dense("m", **FACTS), path=tmp_path)
