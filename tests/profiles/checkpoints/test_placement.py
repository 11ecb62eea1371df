"""Where and how a checkpoint is loaded, decided for machines that a sensor is told of."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from registry.errors import InvalidOptionError, ProviderModelError
from registry.profiles.checkpoints import placement as placement_module
from registry.profiles.checkpoints.placement import Defaults, Placement, place
from registry.profiles.checkpoints.unsloth import why_not_importable

from .machines import Machine, installed_unsloth

GPU = Machine(cuda=True)
NO_GPU = Machine()


@pytest.fixture(autouse=True)
def no_memory() -> None:
    why_not_importable.cache_clear()


def test_place_without_a_gpu_computes_on_the_cpu() -> None:
    pytest.importorskip("torch")

    assert place("m", {}, Defaults(), NO_GPU) == Placement(
        device="cpu",
        dtype="auto",
        load_in_4bit=False,
        max_seq_length=2048,
        offload_threshold=None,
        engine="transformers",
        engine_reason="unsloth needs a CUDA GPU.",
    )


def test_place_with_a_gpu_and_no_unsloth_computes_there_in_whole_numbers_of_bytes() -> None:
    found = place("m", {}, Defaults(), GPU)

    assert (found.device, found.engine, found.load_in_4bit) == ("cuda", "transformers", False)
    assert found.engine_reason == "unsloth is not installed."


def test_place_with_a_gpu_and_unsloth_takes_it_with_4_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    with installed_unsloth(tmp_path, monkeypatch):
        found = place("m", {}, Defaults(), GPU)

    assert (found.engine, found.load_in_4bit, found.engine_reason) == ("unsloth", True, None)


def test_place_with_unsloth_and_4_bits_refused_loads_with_it_in_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    with installed_unsloth(tmp_path, monkeypatch):
        found = place("m", {"load_in_4bit": False}, Defaults(), GPU)

    assert (found.engine, found.load_in_4bit) == ("unsloth", False)


def test_place_on_the_cpu_of_a_machine_with_a_gpu_leaves_unsloth_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed_unsloth(tmp_path, monkeypatch):
        found = place("m", {"device": "cpu"}, Defaults(), GPU)

    assert (found.device, found.engine, found.engine_reason) == ("cpu", "transformers", "unsloth needs a CUDA GPU.")


def test_place_with_an_unsloth_that_cannot_be_imported_says_why_it_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed_unsloth(tmp_path, monkeypatch, broken=True):
        found = place("m", {}, Defaults(), GPU)

    assert (found.engine, found.load_in_4bit) == ("transformers", False)
    assert found.engine_reason is not None
    assert found.engine_reason.startswith("unsloth cannot be imported: NotImplementedError: ")


def test_place_with_4_bits_and_no_gpu_says_what_is_missing() -> None:
    pytest.importorskip("torch")

    with pytest.raises(ProviderModelError) as caught:
        place("org/m", {"load_in_4bit": True}, Defaults(), NO_GPU)

    assert str(caught.value) == (
        "`transformers`, asked for `org/m`: 4-bit loading was asked for (`load_in_4bit`) and needs a CUDA GPU. "
        f"torch {version('torch')} finds none. "
        "Leave `load_in_4bit` out, or use a machine with an NVIDIA GPU and a build of torch for it."
    )


def test_place_with_4_bits_and_nothing_that_makes_them_says_what_to_install() -> None:
    with pytest.raises(ProviderModelError) as caught:
        place("org/m", {"load_in_4bit": True}, Defaults(), GPU)

    assert str(caught.value) == (
        "`transformers`, asked for `org/m`: 4-bit loading was asked for (`load_in_4bit`) and needs unsloth, or "
        "bitsandbytes with accelerate. unsloth is not installed. Not installed: `bitsandbytes` and `accelerate`. "
        'Install unsloth with `pip install "typed-model-registry[unsloth]"` in an environment of its own, or '
        "`pip install bitsandbytes accelerate` into this one, or leave `load_in_4bit` out."
    )


def test_place_with_4_bits_and_bitsandbytes_lets_transformers_make_them(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"bitsandbytes", "accelerate"}
    monkeypatch.setattr(placement_module, "find_spec", lambda name: object() if name in here else None)

    found = place("m", {"load_in_4bit": True}, Defaults(), GPU)

    assert (found.engine, found.load_in_4bit) == ("transformers", True)


def test_place_takes_parameters_over_what_the_provider_was_given() -> None:
    stated = {"device": "cuda:1", "max_seq_length": 8192, "offload_threshold": 0.7, "dtype": "float16"}

    found = place("m", stated, Defaults("cpu", 4096, 0.9), GPU)

    assert (found.device, found.max_seq_length, found.offload_threshold, found.dtype, found.is_length_stated) == (
        "cuda:1",
        8192,
        0.7,
        "float16",
        True,
    )


def test_place_takes_what_the_provider_was_given_over_its_own() -> None:
    found = place("m", {}, Defaults("cuda:1", 4096, 0.9), GPU)

    assert (found.device, found.max_seq_length, found.offload_threshold) == ("cuda:1", 4096, 0.9)


def test_place_takes_the_length_of_the_context_as_that_of_the_sequence() -> None:
    assert place("m", {"context_length": 512}, Defaults(), GPU).max_seq_length == 512


def test_place_on_a_gpu_that_is_not_there_is_refused() -> None:
    pytest.importorskip("torch")

    with pytest.raises(InvalidOptionError) as caught:
        place("m", {"device": "cuda"}, Defaults(), NO_GPU)

    assert str(caught.value) == (
        f"`device`: expected one that torch can use on this machine, got 'cuda'. torch {version('torch')} finds none."
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_seq_length", 0, "an integer of at least 1"),
        ("max_seq_length", True, "an integer of at least 1"),
        ("load_in_4bit", 1, "True or False"),
        ("allow_unpinned", "yes", "True or False"),
        ("dtype", "int8", "one of auto, float32, bfloat16, float16"),
        ("device", "", "a name such as cpu or cuda:1"),
        ("offload_threshold", 0, "a share above 0, at most 1"),
        ("offload_threshold", 1.5, "a share above 0, at most 1"),
    ],
)
def test_place_refuses_a_value_that_a_parameter_cannot_have(name: str, value: Any, expected: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        place("m", {name: value}, Defaults(), GPU)

    assert str(caught.value) == f"`{name}`: expected {expected}, got {value!r}."


@pytest.mark.parametrize(
    "given", [{"device": ""}, {"max_seq_length": 0}, {"offload_threshold": 2}], ids=lambda given: next(iter(given))
)
def test_defaults_refuse_a_value_that_they_cannot_have(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError):
        Defaults(**given)


def test_key_tells_lengths_apart_for_unsloth_only() -> None:
    def key(engine: Any, length: int) -> tuple[object, ...]:
        return Placement("cuda", "auto", True, length, None, engine, None).key

    assert key("transformers", 1) == key("transformers", 2)
    assert key("unsloth", 1) != key("unsloth", 2)
