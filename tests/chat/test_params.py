import math
from typing import Any

import pytest

import registry
from registry.chat import GenerationParams, apply_overrides
from registry.errors import InvalidOptionError, ModelNotFoundError, UnsupportedModelError
from registry.records import ChatModel, ModelFile, SamplingDefaults

STANDARD = GenerationParams(temperature=0.7, max_tokens=2000, top_p=0.9, top_k=40, repeat_penalty=1.1)


def _record(**defaults: Any) -> ChatModel:
    return ChatModel(
        id="own",
        model_type="chat",
        name="Own",
        huggingface_id="acme/own",
        organization="Acme",
        description="For tests.",
        file=ModelFile("own.gguf", "gguf"),
        quantization="Q8_0",
        defaults=SamplingDefaults(**defaults),
    )


def test_record_that_is_silent_has_the_standard_values() -> None:
    assert apply_overrides(_record()) == STANDARD == GenerationParams()


def test_caller_comes_before_record_comes_before_standard() -> None:
    record = _record(temperature=0.3, top_k=20)

    assert apply_overrides(record, temperature=0.2, max_tokens=64) == GenerationParams(
        temperature=0.2, max_tokens=64, top_p=0.9, top_k=20, repeat_penalty=1.1
    )


def test_zero_of_the_caller_is_a_value() -> None:
    params = apply_overrides(_record(temperature=0.3, top_k=20), temperature=0, top_k=0)

    assert (params.temperature, params.top_k) == (0, 0)


def test_id_finds_its_record() -> None:
    record = registry.get_model("qwen2.5-coder-3b-q4_k_m")

    assert apply_overrides("qwen2.5-coder-3b-q4_k_m", top_p=0.5) == apply_overrides(record, top_p=0.5)


@pytest.mark.parametrize(
    "edges",
    [
        {"temperature": 0, "top_p": 1e-9, "top_k": 0, "repeat_penalty": 1e-9, "max_tokens": 1},
        {"temperature": 2, "top_p": 1, "top_k": 10**6, "repeat_penalty": 100.0, "max_tokens": 10**9},
    ],
)
def test_values_at_the_edges_are_taken(edges: dict[str, Any]) -> None:
    assert apply_overrides(_record(), **edges) == GenerationParams(**edges)


NUMBERS = {
    "temperature": ("a number from 0 to 2", [-0.01, 2.01]),
    "top_p": ("a number above 0, at most 1", [0, -0.5, 1.01]),
    "repeat_penalty": ("a number above 0", [0, -1]),
}
INTEGERS = {
    "max_tokens": ("an integer of at least 1", [0, -1, 1.5, 64.0]),
    "top_k": ("an integer of at least 0", [-1, 40.0]),
}
NEVER = [True, False, math.nan, math.inf, -math.inf, "1", b"1", [1], 1j]


@pytest.mark.parametrize(
    ("option", "expected", "value"),
    [
        (option, expected, value)
        for option, (expected, values) in (NUMBERS | INTEGERS).items()
        for value in [*values, *NEVER]
    ],
)
def test_value_out_of_range_is_refused(option: str, expected: str, value: object) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        apply_overrides(_record(), **{option: value})  # type: ignore[arg-type]

    assert str(caught.value) == f"`{option}`: expected {expected}, got {value!r}."
    assert (caught.value.option, caught.value.expected) == (option, expected)


def test_huge_integer_is_refused_and_does_not_overflow() -> None:
    with pytest.raises(InvalidOptionError, match="`temperature`: expected a number from 0 to 2"):
        apply_overrides(_record(), temperature=10**400)


def test_unknown_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match="temprature"):
        apply_overrides(_record(), temprature=0.2)  # type: ignore[call-arg]


def test_model_that_generates_no_text_is_refused() -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        apply_overrides("colbert-v2")

    assert str(caught.value) == (
        "`colbert-v2`: it generates no text, so it has no sampling parameters. Choose a chat model."
    )


def test_unknown_id_is_refused() -> None:
    with pytest.raises(ModelNotFoundError):
        apply_overrides("no-such-model")


@pytest.mark.parametrize("model", [None, 7, SamplingDefaults()])
def test_what_is_no_model_is_refused(model: object) -> None:
    with pytest.raises(TypeError, match="expected the id of a chat model as a string, or a chat record, got"):
        apply_overrides(model)  # type: ignore[arg-type]
