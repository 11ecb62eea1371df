"""Names of generation parameters, who states them, and what they may be."""

import math
from pathlib import Path
from typing import Any

import pytest

from registry.errors import InvalidOptionError, InvalidSettingError
from registry.profiles.parameters import Layer, canonical, known_to_local, merge, of_record, of_settings
from registry.records import RuntimeDefaults, SamplingDefaults

from .small import chat_record, dense_record


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"num_predict": 512}, {"max_tokens": 512}),
        ({"max_completion_tokens": 512}, {"max_tokens": 512}),
        ({"num_ctx": 8192}, {"context_length": 8192}),
        ({"n_ctx": 8192}, {"context_length": 8192}),
        ({"repetition_penalty": 1.2}, {"repeat_penalty": 1.2}),
        ({"num_predict": 1, "max_tokens": 2}, {"max_tokens": 2}),
        ({"num_predict": 1, "max_tokens": None}, {"max_tokens": 1}),
        ({"num_predict": 0}, {"max_tokens": None}),
        ({"num_predict": -1.0}, {"max_tokens": None}),
        ({"num_predict": -2}, {"max_tokens": None}),
        ({"top_k": 40.0, "seed": 1.0}, {"top_k": 40, "seed": 1}),
        ({"stop": "END"}, {"stop": ("END",)}),
        ({"stop": ["END", "."]}, {"stop": ("END", ".")}),
        ({"mirostat": 2, "seed": 1, "temperature": None}, {"seed": 1, "mirostat": 2}),
        ({"mirostat": 2.0}, {"mirostat": 2.0}),
        ({}, {}),
    ],
)
def test_canonical_gives_parameters_by_their_names_here(stated: dict[str, Any], expected: dict[str, Any]) -> None:
    found = canonical(stated)

    assert list(found.items()) == list(expected.items())
    assert list(map(type, found.values())) == list(map(type, expected.values()))
    assert canonical(found) == {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"temperature": 2.5}, "`temperature`: expected a number from 0 to 2, got 2.5."),
        ({"temperature": "0.2"}, "`temperature`: expected a number from 0 to 2, got '0.2'."),
        ({"top_p": 0}, "`top_p`: expected a number above 0, at most 1, got 0."),
        ({"num_predict": -3}, "`num_predict`: expected an integer of at least -2, got -3."),
        ({"num_predict": 1.5}, "`num_predict`: expected an integer of at least -2, got 1.5."),
        ({"max_completion_tokens": 0}, "`max_completion_tokens`: expected an integer of at least 1, got 0."),
        ({"max_tokens": -1}, "`max_tokens`: expected an integer of at least 1, got -1."),
        ({"repetition_penalty": 0}, "`repetition_penalty`: expected a number above 0, got 0."),
        ({"num_ctx": 0}, "`num_ctx`: expected an integer of at least 1, got 0."),
        ({"seed": True}, "`seed`: expected an integer of at least 0, got True."),
        ({"top_k": 1.5}, "`top_k`: expected an integer of at least 0, got 1.5."),
        ({"temperature": math.nan}, "`temperature`: expected a number from 0 to 2, got nan."),
        ({"mirostat_tau": math.inf}, "`mirostat_tau`: expected a finite number, got inf."),
        ({"stop": 3}, "`stop`: expected a text that is not empty, or a list of such texts, got 3."),
        ({"stop": [""]}, "`stop`: expected a text that is not empty, or a list of such texts, got ['']."),
        ({"stop": b"END"}, "`stop`: expected a text that is not empty, or a list of such texts, got b'END'."),
    ],
)
def test_canonical_refuses_a_value_under_the_name_that_was_stated(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptionError) as refused:
        canonical(stated)

    assert str(refused.value) == message


def test_merge_takes_each_parameter_from_the_first_who_states_it() -> None:
    merged = merge(
        Layer("the caller", {"temperature": 0.1}),
        Layer("the role", {"temperature": 0.2, "top_p": 0.5}),
        Layer("the record", {"top_p": 0.6, "top_k": 3}),
    )

    assert merged.values == {"temperature": 0.1, "top_p": 0.5, "top_k": 3}
    assert merged.sources == {"temperature": "the caller", "top_p": "the role", "top_k": "the record"}


def test_merge_lets_no_limit_hide_a_limit_below() -> None:
    merged = merge(Layer("the role", {"max_tokens": None}), Layer("the record", {"max_tokens": 512}))

    assert merged.values == {}
    assert merged.sources == {"max_tokens": "the role"}


def test_merge_gives_what_cannot_be_changed() -> None:
    values: Any = merge(Layer("the role", {"seed": 1})).values

    with pytest.raises(TypeError, match="cannot be changed"):
        values["seed"] = 2


def test_of_record_leaves_out_what_is_standard() -> None:
    record = chat_record("a", defaults=SamplingDefaults(temperature=0.6, top_k=20), runtime=RuntimeDefaults(8192))

    assert of_record(record) == {"temperature": 0.6, "top_k": 20, "context_length": 8192}
    assert of_record(chat_record("b")) == {}


def test_of_record_of_one_that_generates_no_text_is_empty() -> None:
    assert of_record(dense_record("a")) == {}
    assert of_record(None) == {}


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path))
    return lambda text: monkeypatch.setenv("REGISTRY_PARAMETERS", text)


def test_of_settings_reads_names_and_values(setting: Any) -> None:
    setting("temperature=0.2, num_predict=-1,stop=END,stop=###,penalize_newline=true,mirostat=2,keep_alive=5m")

    assert of_settings() == {
        "temperature": 0.2,
        "max_tokens": None,
        "stop": ("END", "###"),
        "penalize_newline": True,
        "mirostat": 2,
        "keep_alive": "5m",
    }


def test_of_settings_reads_a_list_of_the_file(setting: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY_PARAMETERS", raising=False)
    (tmp_path / "config.toml").write_text('parameters = ["temperature=0.2", "top_k=3"]\n', "utf-8")

    assert of_settings() == {"temperature": 0.2, "top_k": 3}


def test_of_settings_that_are_not_there_is_empty(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY_PARAMETERS", raising=False)

    assert of_settings() == {}


@pytest.mark.parametrize("text", ["temperature", "=1", "temperature=", "seed=1,seed=2"])
def test_of_settings_refuses_what_is_no_name_and_value(setting: Any, text: str) -> None:
    setting(text)

    with pytest.raises(InvalidSettingError) as refused:
        of_settings()

    assert str(refused.value) == (
        "Setting `parameters` in `REGISTRY_PARAMETERS`: expected `name=value` with every name once, such as "
        f"`temperature=0.2`, got {text.rpartition(',')[2]!r}. Correct it."
    )


def test_of_settings_names_a_value_that_cannot_be(setting: Any) -> None:
    setting("temperature=9")

    with pytest.raises(InvalidSettingError) as refused:
        of_settings()

    assert str(refused.value) == (
        "Setting `parameters` in `REGISTRY_PARAMETERS`: expected `temperature` to be a number from 0 to 2, got 9. "
        "Correct it."
    )


def test_known_to_local_is_what_loading_and_asking_take() -> None:
    assert known_to_local(chat_record("a")) >= {"temperature", "stop", "tools", "response_format", "context_length"}
    assert known_to_local(dense_record("a")) == {"context_length", "dimensions"}
