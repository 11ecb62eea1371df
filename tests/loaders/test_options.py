import dataclasses
import math
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from registry.errors import InvalidOptionError
from registry.loaders import LoadOptions
from registry.loaders.options import (
    CHAT_OPTIONS,
    ENCODER_OPTIONS,
    GGUF_ENCODER_OPTIONS,
    RERANKER_OPTIONS,
    SPARSE_OPTIONS,
    LoadKeywords,
)

ALL = [field.name for field in dataclasses.fields(LoadOptions)]
KINDS = [CHAT_OPTIONS, ENCODER_OPTIONS, GGUF_ENCODER_OPTIONS, RERANKER_OPTIONS, SPARSE_OPTIONS]


@pytest.mark.parametrize(
    ("name", "least"),
    [("context_length", 1), ("threads", 1), ("batch_size", 1), ("gpu_layers", -1), ("seed", 0), ("truncate_dim", 1)],
)
def test_number_below_its_least_or_of_another_type_is_refused(name: str, least: int) -> None:
    for value in (least - 1, -(10**9), 1.0, "4", True, math.nan, [1], b"1"):
        with pytest.raises(InvalidOptionError) as caught:
            LoadOptions(**{name: value})
        assert str(caught.value) == f"`{name}`: expected an integer of at least {least}, got {value!r}."
        assert (caught.value.option, caught.value.got) == (name, value)
    for value in (least, least + 1, 2**31, None):
        assert getattr(LoadOptions(**{name: value}), name) == value


@pytest.mark.parametrize("name", ["use_mmap", "use_mlock", "allow_remote_code", "progress"])
def test_switch_that_is_no_bool_is_refused(name: str) -> None:
    for value in (0, 1, "yes", "", []):
        with pytest.raises(InvalidOptionError) as caught:
            LoadOptions(**{name: value})
        assert str(caught.value) == f"`{name}`: expected True or False, got {value!r}."
    assert [getattr(LoadOptions(**{name: value}), name) for value in (True, False)] == [True, False]


def test_only_progress_may_be_none() -> None:
    assert LoadOptions(progress=None).progress is None
    with pytest.raises(InvalidOptionError, match="`allow_remote_code`: expected True or False, got None"):
        LoadOptions(allow_remote_code=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["fp32", "Float32", "", None, 16, "int8"])
def test_unknown_dtype_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        LoadOptions(dtype=value)
    assert str(caught.value) == f"`dtype`: expected one of float32, bfloat16, float16, auto, got {value!r}."


@pytest.mark.parametrize("value", ["", 0, 5, Path("cpu"), True])
def test_device_that_is_no_name_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        LoadOptions(device=value)
    assert str(caught.value) == f"`device`: expected a name such as cpu or cuda:1, got {value!r}."


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, True])
def test_adapter_scale_that_is_no_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        LoadOptions(adapter_scale=value)
    assert str(caught.value) == f"`adapter_scale`: expected a finite number, got {value!r}."


def test_unknown_option_names_the_closest_one() -> None:
    with pytest.raises(TypeError) as caught:
        LoadOptions().changed({"thread": 4})  # type: ignore[typeddict-unknown-key]
    assert str(caught.value) == "`thread` is not an option of `load`. Did you mean `threads`?"


def test_unknown_option_like_none_names_all() -> None:
    with pytest.raises(TypeError) as caught:
        LoadOptions().changed({"xyzzy": 4})  # type: ignore[typeddict-unknown-key]
    assert str(caught.value) == f"`xyzzy` is not an option of `load`. The options are {', '.join(ALL)}."


def test_changed_replaces_some_and_keeps_the_rest() -> None:
    options = LoadOptions(threads=2, seed=7)
    assert options.changed({"threads": 3, "dtype": "auto"}) == LoadOptions(threads=3, seed=7, dtype="auto")
    assert options.changed({"threads": None}) == LoadOptions(seed=7)
    assert options == LoadOptions(threads=2, seed=7)


def test_changed_checks_values() -> None:
    with pytest.raises(InvalidOptionError, match="`threads`: expected an integer of at least 1, got 0"):
        LoadOptions().changed({"threads": 0})


def test_keywords_are_the_fields() -> None:
    others = {"Template": object, "JinjaTemplate": object}

    assert get_type_hints(LoadKeywords, localns=others) == get_type_hints(LoadOptions, localns=others)


def test_options_are_frozen_keyword_only_and_compared_by_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        LoadOptions().threads = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        LoadOptions(512)  # type: ignore[misc]
    assert hash(LoadOptions(threads=1)) == hash(LoadOptions(threads=1))


def test_option_that_means_nothing_is_refused_with_those_that_do() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        LoadOptions(seed=3).refuse_all_but(frozenset({"threads", "device"}), "mine", "a toaster")
    assert str(caught.value) == (
        "`seed`: expected to be left out, got 3. "
        "It means nothing to `mine`, which is a toaster. Its options are device, threads."
    )


def test_option_at_its_default_is_never_refused() -> None:
    LoadOptions(seed=None, use_mmap=True, dtype="float32").refuse_all_but(frozenset(), "mine", "a toaster")


def test_each_kind_allows_options_that_exist_and_each_option_has_a_kind() -> None:
    assert set.union(*map(set, KINDS)) == set(ALL)
    assert {"truncate_dim"} == ENCODER_OPTIONS - RERANKER_OPTIONS
    assert not CHAT_OPTIONS & {"device", "dtype", "truncate_dim", "allow_remote_code"}
    assert not GGUF_ENCODER_OPTIONS & {"device", "dtype", "seed", "template", "adapter", "allow_remote_code"}
