"""Who may state the parameters of a model, and what of it a provider is given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from registry.errors import InvalidOptionError, InvalidSettingError
from registry.profiles.layers import Given, Layers
from registry.profiles.protocol import Target
from registry.records import RoleModel, RuntimeDefaults, SamplingDefaults

from .small import chat_record, dense_record

_STATED = chat_record("stated", defaults=SamplingDefaults(temperature=0.6, top_k=20))
_TALK = chat_record("talk", context_length=32768)
_SEE = dense_record("see")


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("REGISTRY_PARAMETERS", raising=False)


def _given(provider: str, record: Any, role: Mapping[str, Any], *, is_first: bool = True, **caller: Any) -> Given:
    layers = Layers.of(RoleModel("general", "any", parameters=role), "default", caller)
    return layers.given(provider, Target("any", record), is_first=is_first)


def test_layers_go_from_caller_over_role_over_record_over_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PARAMETERS", "temperature=1,top_p=0.9,top_k=9,seed=9")

    found = _given("local", _STATED, {"num_predict": 5, "top_p": 0.5}, max_tokens=4, stop="END")

    assert found.parameters == {
        "max_tokens": 4,
        "stop": ("END",),
        "top_p": 0.5,
        "temperature": 0.6,
        "top_k": 20,
        "seed": 9,
    }
    parts = (
        "`max_tokens` 4 from the caller",
        '`stop` ["END"] from the caller',
        "`top_p` 0.5 from the role",
        "`temperature` 0.6 from the record",
        "`top_k` 20 from the record",
        "`seed` 9 from the setting `parameters`",
    )
    assert found.why == (f"`local` with `any`: {', '.join(parts)}.",)


def test_layers_of_a_record_that_states_nothing_leave_the_settings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PARAMETERS", "temperature=1")

    assert _given("local", _TALK, {}).parameters == {"temperature": 1}


def test_layers_that_state_nothing_give_nothing() -> None:
    assert _given("ollama", None, {}) == Given(Target("any"), {}, ("`ollama` with `any`: nobody states a parameter.",))


def test_layers_pass_unknown_names_on_to_a_provider_that_may_know_them() -> None:
    assert _given("ollama", None, {"mirostat": 2}, keep_alive="5m").parameters == {"keep_alive": "5m", "mirostat": 2}


def test_layers_refuse_what_local_does_not_know_where_the_caller_states_it() -> None:
    with pytest.raises(InvalidOptionError) as refused:
        _given("local", _TALK, {}, temprature=0.1)

    assert str(refused.value) == (
        "`temprature`: expected a parameter that `local` knows for `any`, got 0.1. Did you mean `temperature`?"
    )


def test_layers_refuse_what_local_does_not_know_where_the_role_states_it() -> None:
    with pytest.raises(InvalidOptionError) as refused:
        _given("local", _SEE, {"mirostat": 2})

    assert str(refused.value) == (
        "`mirostat`: expected a parameter that `local` knows for `any`, got 2. Role `general` of profile `default` "
        "states it. Those are context_length, dimensions."
    )


def test_layers_leave_out_what_local_does_not_know_when_it_is_fallen_back_on() -> None:
    found = _given("local", _TALK, {"mirostat": 2, "top_k": 3}, is_first=False, keep_alive="5m")

    assert found[1:] == (
        {"top_k": 3},
        (
            "`local` with `any`: `top_k` 3 from the role.",
            "`local` with `any` is not given `keep_alive`, `mirostat`, which it does not know.",
        ),
    )


def test_layers_leave_out_what_transformers_does_not_know_when_it_is_fallen_back_on() -> None:
    found = _given(
        "transformers", None, {"keep_alive": "5m", "top_k": 3}, is_first=False, mirostat=2, load_in_4bit=True
    )

    assert found[1:] == (
        {"load_in_4bit": True, "top_k": 3},
        (
            "`transformers` with `any`: `load_in_4bit` true from the caller, `top_k` 3 from the role.",
            "`transformers` with `any` is not given `keep_alive`, `mirostat`, which it does not know.",
        ),
    )


def test_layers_give_a_model_with_the_commit_that_is_stated() -> None:
    found = _given("transformers", None, {"revision": "0" * 40}, allow_unpinned=True)

    assert found.target == Target("any", None, "0" * 40, allow_unpinned=True)


def test_layers_leave_out_what_servers_of_openais_kind_may_refuse_when_they_are_fallen_back_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REGISTRY_PARAMETERS", "mirostat=2,min_p=0.1")

    found = _given("openai", None, {"keep_alive": "5m", "top_k": 3}, is_first=False, response_format={"type": "text"})

    assert found.parameters == {"top_k": 3, "response_format": {"type": "text"}, "min_p": 0.1}
    assert found.why[1] == "`openai` with `any` is not given `keep_alive`, which it does not know."


def test_layers_pass_every_name_on_to_openai_where_it_is_the_roles_own_provider() -> None:
    role = RoleModel("general", "any", provider="openai", parameters={"length_penalty": 2})

    given = Layers.of(role, "default", {"ignore_eos": True}).given("openai", Target("other"), is_first=False)

    assert given.parameters == {"length_penalty": 2, "ignore_eos": True}


def test_layers_leave_it_to_transformers_to_refuse_what_a_role_of_its_own_states() -> None:
    assert _given("transformers", None, {"mirostat": 2}).parameters == {"mirostat": 2}


def test_layers_leave_out_settings_that_mean_nothing_to_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PARAMETERS", "temperature=0.2,mirostat=2,num_ctx=256")

    assert _given("local", _SEE, {}).parameters == {"context_length": 256}
    assert _given("local", _TALK, {}).parameters == {"temperature": 0.2, "context_length": 256}
    assert _given("transformers", _SEE, {}).parameters == {"context_length": 256}
    assert _given("transformers", None, {}).parameters == {"temperature": 0.2, "context_length": 256}
    assert _given("ollama", None, {}).parameters == {"temperature": 0.2, "mirostat": 2, "context_length": 256}


@pytest.mark.parametrize("stated", [0, -1, -2])
def test_layers_without_a_limit_say_so_to_who_has_one_otherwise(stated: int) -> None:
    assert _given("ollama", None, {"num_predict": stated}).parameters == {"num_predict": -1}
    assert _given("ollama", _TALK, {"num_predict": stated}, is_first=False).parameters == {"num_predict": -1}
    assert _given("transformers", _TALK, {"num_predict": stated}).parameters == {"num_predict": -1}
    assert _given("transformers", _SEE, {"num_predict": stated}).parameters == {}
    assert _given("openai", None, {"num_predict": stated}).parameters == {}
    assert _given("acme", None, {"num_predict": stated}).parameters == {}


def test_layers_without_a_limit_give_the_context_to_local() -> None:
    assert _given("local", _TALK, {"num_predict": -1}).parameters == {"max_tokens": 32768}
    assert _given("local", _TALK, {"num_predict": -1}, context_length=65536).parameters["max_tokens"] == 65536


def test_layers_lower_a_context_that_is_stated_for_another_model_to_what_the_record_can_hold() -> None:
    found = _given("local", _TALK, {"num_ctx": 65536, "top_k": 3}, is_first=False)

    assert found[1:] == (
        {"context_length": 32768, "top_k": 3},
        (
            (
                "`local` with `any`: `top_k` 3 from the role, `context_length` 32768 from what the record can hold, "
                "below 65536 from the role."
            ),
        ),
    )


def test_layers_lower_a_context_of_the_settings_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PARAMETERS", "num_ctx=65536")

    found = _given("local", dense_record("see", context_length=512), {}, is_first=False)

    assert found.parameters == {"context_length": 512}


@pytest.mark.parametrize(("provider", "is_first"), [("local", True), ("ollama", False), ("transformers", False)])
def test_layers_lower_no_context_of_the_roles_own_model_or_of_another_provider(provider: str, is_first: bool) -> None:
    found = _given(provider, _TALK, {"num_ctx": 65536}, is_first=is_first)

    assert found.parameters == {"context_length": 65536}


def test_layers_lower_no_context_that_the_caller_states_or_that_fits() -> None:
    asked = _given("local", _TALK, {"num_ctx": 8192}, is_first=False, num_ctx=65536)

    assert asked.parameters == {"context_length": 65536}
    assert _given("local", _TALK, {"num_ctx": 32768}, is_first=False).parameters == {"context_length": 32768}
    assert _given("local", chat_record("a"), {"num_ctx": 65536}, is_first=False).parameters == {"context_length": 65536}


def test_layers_leave_the_context_of_a_record_to_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PARAMETERS", "num_ctx=256")
    record = chat_record("a", runtime=RuntimeDefaults(8192))

    assert _given("local", record, {}).parameters == {}
    assert _given("ollama", record, {}).parameters == {"context_length": 8192}
    assert _given("local", record, {"num_ctx": 8192}).parameters == {"context_length": 8192}


def test_layers_without_a_limit_say_so() -> None:
    record = chat_record("a", runtime=RuntimeDefaults(8192))

    assert _given("local", record, {"num_predict": -1}).why == (
        "`local` with `any`: `context_length` 8192 from the record, no limit of `max_tokens` from the role.",
    )


def test_layers_refuse_a_value_of_the_role_and_say_where_it_stands() -> None:
    with pytest.raises(InvalidOptionError) as refused:
        _given("ollama", None, {"top_p": 0})

    assert str(refused.value) == (
        "`top_p`: expected a number above 0, at most 1, got 0. Role `general` of profile `default` states it."
    )


def test_layers_refuse_a_setting_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PARAMETERS", "top_p=7")

    with pytest.raises(InvalidSettingError):
        _given("ollama", None, {})
