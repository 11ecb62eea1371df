"""Profiles of generated registries: of the shipped one, and of small ones made here. Records: test_lookup.py."""

import copy
import dataclasses
import importlib
import json
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Never

import pytest

import registry
from registry import (
    DEFAULT_PROFILE,
    MODEL_REGISTRY,
    Profile,
    ProfileName,
    ProfileNotFoundError,
    Role,
    RoleModel,
    get_profile,
    list_profiles,
)

Record = dict[str, Any]
LAPTOP: Record = {
    "description": "Small models.",
    "models": {
        "tool-use": "new-model",
        "general": {
            "name": "dolphin3",
            "provider": "ollama",
            "auto_download": False,
            "parameters": {"top_p": 0.9, "stop": ["a", "b"]},
            "description": "Talks.",
            "fallback": ["new-model", "other:7b"],
        },
    },
}


@pytest.fixture
def made(generate: Callable[..., ModuleType], embedding: Record) -> ModuleType:
    return generate(embedding, profiles={"laptop": LAPTOP, "default": {"models": {"general": "new-model"}}})


# What a profile holds


def test_profile_has_every_value_of_the_data(made: ModuleType) -> None:
    general = RoleModel(
        role=made.Role.GENERAL,
        name="dolphin3",
        provider="ollama",
        auto_download=False,
        parameters={"stop": ("a", "b"), "top_p": 0.9},
        description="Talks.",
        fallback=("new-model", "other:7b"),
    )
    plain = RoleModel(made.Role.TOOL_USE, "new-model")

    assert made.get_profile("laptop") == Profile(
        name="laptop",
        description="Small models.",
        models={made.Role.GENERAL: general, made.Role.TOOL_USE: plain},
    )


def test_role_that_is_a_plain_string_has_a_name_and_nothing_else(made: ModuleType) -> None:
    model = made.get_profile("laptop").models["tool-use"]

    assert vars(model) == {
        "role": made.Role.TOOL_USE,
        "name": "new-model",
        "provider": None,
        "auto_download": None,
        "parameters": {},
        "description": None,
        "fallback": (),
    }


def test_profile_without_a_description_has_none(made: ModuleType) -> None:
    assert made.DEFAULT_PROFILE.description is None


def test_models_of_a_profile_are_found_by_role_and_by_its_string(made: ModuleType) -> None:
    models = made.get_profile("laptop").models

    assert models[made.Role.GENERAL] is models["general"]
    assert [type(role) for role in models] == [made.Role, made.Role]
    assert list(models) == ["general", "tool-use"]
    assert models["general"].role is made.Role.GENERAL


def test_role_holds_the_roles_of_all_profiles(made: ModuleType) -> None:
    assert [(role.name, role.value) for role in made.Role] == [("GENERAL", "general"), ("TOOL_USE", "tool-use")]


@pytest.mark.parametrize(
    "change",
    [
        lambda profile: profile.models.clear(),
        lambda profile: profile.models.__setitem__("general", None),
        lambda profile: profile.models["general"].parameters.update(top_p=1),
    ],
)
def test_profile_cannot_be_changed(change: Callable[[Profile], object], made: ModuleType) -> None:
    profile = made.get_profile("laptop")
    before = copy.deepcopy(profile)

    with pytest.raises(TypeError):
        change(profile)

    assert profile == before


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda profile: pickle.loads(pickle.dumps(profile))])
def test_profile_copied_or_pickled_is_equal_and_hashes_alike(
    clone: Callable[[Profile], Profile], made: ModuleType
) -> None:
    profile = made.get_profile("laptop")

    again = clone(profile)

    assert again == profile
    assert hash(again) == hash(profile)


def test_profile_is_written_as_json_by_way_of_asdict(made: ModuleType) -> None:
    text = json.dumps(dataclasses.asdict(made.get_profile("laptop")))

    assert json.loads(text)["models"]["general"] == {
        "role": "general",
        "name": "dolphin3",
        "provider": "ollama",
        "auto_download": False,
        "parameters": {"stop": ["a", "b"], "top_p": 0.9},
        "description": "Talks.",
        "fallback": ["new-model", "other:7b"],
    }


# Which profiles there are


def test_profiles_are_in_the_order_of_their_names(made: ModuleType) -> None:
    assert [profile.name for profile in made.list_profiles()] == ["default", "laptop"]
    assert list(made.MODEL_REGISTRY.profiles) == ["default", "laptop"]


def test_profile_is_the_same_object_every_time(made: ModuleType) -> None:
    assert made.get_profile("default") is made.DEFAULT_PROFILE
    assert made.MODEL_REGISTRY.default_profile is made.DEFAULT_PROFILE
    assert made.MODEL_REGISTRY.get_profile("default") is made.DEFAULT_PROFILE
    assert made.list_profiles()[0] is made.DEFAULT_PROFILE
    assert made.MODEL_REGISTRY.profiles["default"] is made.DEFAULT_PROFILE


@pytest.mark.parametrize(
    ("name", "close"), [("latpop", ("laptop",)), ("LAPTOP", ("laptop",)), ("server", ()), ("", ())]
)
def test_profile_that_is_not_there_raises_with_what_was_asked_for(
    name: str, close: tuple[str, ...], made: ModuleType
) -> None:
    with pytest.raises(ProfileNotFoundError) as caught:
        made.get_profile(name)

    assert caught.value.args == (name, close, ("default", "laptop"), made.__name__, "")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", [None, 7, ["default"]])
def test_profile_name_that_is_no_string_raises_type_error(name: Any, made: ModuleType) -> None:
    with pytest.raises(TypeError) as caught:
        made.get_profile(name)

    assert str(caught.value) == f"expected the name of a profile as a string, got {name!r}"


def test_profile_name_is_the_literal_of_all_names(made: ModuleType) -> None:
    assert made.ProfileName == Literal["default", "laptop"]
    assert ProfileName == Literal["default"]


@pytest.mark.parametrize("top", [{}, {"profiles": {}}])
def test_registry_without_profiles_has_none(
    top: Record, generate: Callable[..., ModuleType], embedding: Record
) -> None:
    module = generate(embedding, **top)

    assert module.DEFAULT_PROFILE is None
    assert module.MODEL_REGISTRY.default_profile is None
    assert module.list_profiles() == ()
    assert module.MODEL_REGISTRY.profiles == {}
    assert list(module.Role) == []
    assert module.ProfileName is Never
    with pytest.raises(ProfileNotFoundError) as caught:
        module.get_profile("default")
    assert caught.value.profiles == ()


def test_registry_without_a_profile_named_default_has_no_default_one(
    generate: Callable[..., ModuleType], embedding: Record
) -> None:
    module = generate(embedding, profiles={"laptop": LAPTOP})

    assert module.DEFAULT_PROFILE is None
    assert [profile.name for profile in module.list_profiles()] == ["laptop"]


# The shipped one


def test_shipped_profile_answers_under_every_name() -> None:
    assert get_profile("default") is DEFAULT_PROFILE
    assert list_profiles() == (DEFAULT_PROFILE,)
    assert MODEL_REGISTRY.profiles == {"default": DEFAULT_PROFILE}
    assert DEFAULT_PROFILE.models[Role.CODING].name == "qwen2.5-coder-7b-q5"
    assert (Role.__module__, Role.__qualname__) == ("registry._registry", "Role")


# What it costs, and when


def test_profiles_are_made_when_they_are_touched(run_python: Callable[..., str]) -> None:
    code = (
        "import registry\nregistry.get_model('colbert-v2').embedding_dim\n"
        "made = lambda: ('_profiles' in vars(registry.MODEL_REGISTRY), 'Role' in vars(registry._registry))\n"
        "print(made())\nregistry.DEFAULT_PROFILE\nprint(made())"
    )

    assert run_python(code) == "(False, False)\n(True, True)\n"


def test_two_threads_that_touch_the_profiles_at_the_same_time_get_one_object(made: ModuleType) -> None:
    storage = made.MODEL_REGISTRY.storage
    original, barrier = storage.table, threading.Barrier(2)

    def wait_for_the_other(name: str) -> Any:
        if name == "PROFILES":
            barrier.wait(10)  # both have seen by now that nothing is made yet
        return original(name)

    storage.table = wait_for_the_other
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: made.get_profile("laptop"), range(2))

    assert first is second


# Other storage, other versions


def test_profiles_of_a_sharded_registry_are_in_a_module_of_their_own(
    generate: Callable[..., ModuleType], embedding: Record
) -> None:
    records = [embedding | {"id": f"m-{number}"} for number in range(1001)]
    module = generate(*records, profiles={"laptop": LAPTOP})
    rows = f"{module.__name__}_rows"
    before = {name for name in sys.modules if name.startswith(f"{rows}.")}

    profile = module.get_profile("laptop")

    assert profile.models["general"].name == "dolphin3"
    assert before == set()
    assert {name for name in sys.modules if name.startswith(f"{rows}.")} == {f"{rows}.profiles", f"{rows}.enums"}


def test_generated_module_of_the_first_format_has_no_profiles(made: ModuleType) -> None:
    file = Path(made.__file__)
    text = file.read_text().replace("format=2,", "format=1,").replace(', "PROFILES": _PROFILES', "")
    file.write_text("".join(line for line in text.splitlines(keepends=True) if "_profile" not in line))
    del sys.modules[made.__name__]

    older = importlib.import_module(made.__name__)

    assert older.get_model("new-model").embedding_dim == 128
    assert older.MODEL_REGISTRY.list_profiles() == ()
    assert older.DEFAULT_PROFILE is None


def test_package_has_the_names_of_the_shipped_registry() -> None:
    assert registry.DEFAULT_PROFILE is registry._registry.DEFAULT_PROFILE
    assert registry.Role is registry._registry.Role
