"""Which models another program serves, by which names, with what."""

import json
from pathlib import Path
from typing import Any

import pytest

from registry.configs import chosen
from registry.errors import ModelNotFoundError, ProfileNotFoundError, UnsupportedModelError
from registry.records import RoleModel, SamplingDefaults
from tests.profiles.small import Registry, chat_record, dense_record, registry_of

ONE = chat_record("one", aliases=("uno", "coding"))
TWO = chat_record("two", defaults=SamplingDefaults(temperature=0.1))
PLAIN = dense_record("plain")


def test_models_of_a_profile_are_chosen_with_its_roles_as_names() -> None:
    registry = registry_of(ONE, TWO, general="one", coding="one", reasoning="two")

    found = chosen(registry=registry)

    assert [(each.record.id, each.aliases, each.roles) for each in found.models] == [
        ("one", ("uno", "coding", "general"), ("general", "coding")),
        ("two", ("reasoning",), ("reasoning",)),
    ]


def test_role_whose_first_model_has_no_file_is_given_to_the_next_that_has(home: Path) -> None:
    general = RoleModel("general", "dolphin3", "ollama", parameters={"num_predict": 512}, fallback=("plain", "one"))
    registry = registry_of(ONE, PLAIN, general=general)

    found = chosen(registry=registry)

    assert [(each.record.id, dict(each.parameters)) for each in found.models] == [("one", {"max_tokens": 512})]
    assert found.notes == (
        "Role `general` is given to `one`: `dolphin3` has no GGUF file in the registry.",
        (
            f"`one` is not on this machine, and written as it will be kept, `{found.models[0].path}`. Fetch it first: "
            "`registry download one`."
        ),
    )
    assert found.models[0].path == home / "models" / "one.gguf"


def test_role_without_any_file_is_left_out() -> None:
    found = chosen(registry=registry_of(PLAIN, embedding="plain"))

    assert (found.models, found.notes) == (
        (),
        ("Role `embedding` is left out: no model of it has a GGUF file in the registry.",),
    )


def test_named_models_are_all_there_is_and_keep_their_roles(home: Path) -> None:
    (home / "models").mkdir(parents=True)
    (home / "models" / "one.gguf").touch()

    found = chosen(["uno", TWO, "one"], registry=registry_of(ONE, TWO, PLAIN, general="one", embedding="plain"))

    assert [(each.record.id, each.roles) for each in found.models] == [("one", ("general",)), ("two", ())]
    assert [note.partition(",")[0] for note in found.notes] == ["`two` is not on this machine"]


def test_what_a_record_states_counts_where_no_role_names_it() -> None:
    (found,) = chosen(["two"], registry=registry_of(TWO)).models

    assert found.parameters == {"temperature": 0.1}


def test_what_the_user_states_for_all_models_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PARAMETERS", "top_p=0.5,min_p=0.1")

    named, asked = (chosen(names, registry=registry_of(TWO, general="two")).models[0] for names in (["two"], ()))
    (alone,) = chosen(["two"], registry=registry_of(TWO, ONE, general="one")).models

    stated = {"temperature": 0.1, "top_p": 0.5, "min_p": 0.1}
    assert [dict(found.parameters) for found in (named, asked, alone)] == [stated, stated, stated]


def test_parameters_that_roles_of_one_model_disagree_on_are_left_out() -> None:
    roles: dict[str, Any] = {
        "coding": RoleModel("coding", "two", "local", parameters={"temperature": 0.2, "top_k": 9}),
        "general": RoleModel("general", "two", "local", parameters={"temperature": 0.9, "top_k": 9}),
    }

    found = chosen(registry=registry_of(TWO, **roles))

    assert found.models[0].parameters == {"top_k": 9}
    assert found.notes[0] == "`two`: not all its roles state the same `temperature`, which is left out."


@pytest.mark.parametrize("provider", ["local", "ollama"])
def test_parameters_that_only_other_programs_know_are_stated(provider: str) -> None:
    general = RoleModel("general", "one", provider, parameters={"mirostat": 2})

    assert chosen(registry=registry_of(ONE, general=general)).models[0].parameters == {"mirostat": 2}


def test_answers_without_a_limit_are_as_long_as_the_context_whoever_the_role_asks() -> None:
    general = RoleModel("general", "one", "ollama", parameters={"num_predict": -1})

    (found,) = chosen(registry=registry_of(ONE, general=general)).models

    assert found.parameters == {"max_tokens": max(ONE.runtime.context_length, ONE.context_length or 0)}


def test_role_whose_name_another_model_has_is_told_of() -> None:
    found = chosen(registry=registry_of(ONE, TWO, general="one", coding="two"))

    assert [each.aliases for each in found.models] == [("uno", "coding", "general"), ()]
    assert found.notes[0] == ("Role `coding` cannot be asked for by its name, which another model has: ask for `two`.")


def test_profiles_of_a_manifest_are_chosen_by_name(tmp_path: Path) -> None:
    manifest = tmp_path / "profiles.json"
    manifest.write_text(json.dumps({"profiles": {"mine": {"models": {"general": "two"}}}}), "utf-8")

    found = chosen(profile="mine", manifest=manifest, registry=registry_of(ONE, TWO, coding="one"))

    assert [each.record.id for each in found.models] == ["two"]


def test_named_models_of_a_registry_without_profiles_have_no_roles() -> None:
    assert [each.roles for each in chosen(["one"], registry=Registry([ONE])).models] == [()]


def test_registry_without_profiles_has_nothing_to_choose_from() -> None:
    with pytest.raises(ProfileNotFoundError):
        chosen(registry=Registry([ONE]))


def test_named_model_without_a_file_is_refused() -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        chosen(["plain"], registry=registry_of(PLAIN))

    assert str(caught.value) == ("`plain`: it has no GGUF file, which llama.cpp and Ollama need. Name another.")


def test_named_model_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelNotFoundError):
        chosen(["three"], registry=registry_of(ONE))


def test_shipped_profile_can_be_chosen() -> None:
    assert chosen().models
