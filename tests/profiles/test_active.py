"""The profiles in force: compiled ones with a manifest over them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import MODEL_REGISTRY
from registry.errors import ManifestError, ProfileNotFoundError, RoleNotFoundError
from registry.profiles import Profiles
from registry.records import Profile, RoleModel

from .small import Registry, chat_record, registry_of

_REGISTRY = Registry(
    [chat_record("talk")],
    {
        "default": Profile(
            "default",
            "As shipped.",
            {"coding": RoleModel("coding", "talk"), "general": RoleModel("general", "a", fallback=("b",))},
        ),
        "small": Profile("small", None, {}),
    },
)

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    for name in ("REGISTRY_PROFILE", "REGISTRY_MANIFEST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(**profiles: object) -> Path:
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps({"profiles": profiles}), "utf-8")
        return path

    return make


def test_profiles_without_a_manifest_are_those_of_the_registry() -> None:
    profiles = Profiles.load(registry=_REGISTRY)

    assert profiles.names == ("default", "small")
    assert profiles.get() is _REGISTRY.profiles["default"]
    assert profiles.origin("default", "general") == "compiled"


def test_profiles_without_a_registry_are_those_of_this_package() -> None:
    profiles = Profiles.load()

    assert profiles.registry is MODEL_REGISTRY
    assert profiles.get() is MODEL_REGISTRY.default_profile


def test_profiles_lay_a_manifest_over_the_registry_role_by_role(write: Write) -> None:
    path = write(
        default={"models": {"general": {"name": "c"}, "vision": "d"}},
        mine={"description": "My own.", "models": {"general": "talk"}},
    )

    profiles = Profiles.load(manifest=path, registry=_REGISTRY)

    assert profiles.names == ("default", "mine", "small")
    assert profiles.get("default") == Profile(
        "default",
        "As shipped.",
        {
            "coding": RoleModel("coding", "talk"),
            "general": RoleModel("general", "c"),
            "vision": RoleModel("vision", "d"),
        },
    )
    assert list(profiles.get("default").models) == ["coding", "general", "vision"]
    assert profiles.get("mine") == Profile("mine", "My own.", {"general": RoleModel("general", "talk")})
    assert profiles.get("small") is _REGISTRY.profiles["small"]


def test_profiles_take_the_description_of_a_manifest_that_has_one(write: Write) -> None:
    path = write(default={"description": "", "models": {}})

    assert Profiles.load(manifest=path, registry=_REGISTRY).get().description == ""


def test_profiles_say_who_states_a_role(write: Write) -> None:
    path = write(default={"models": {"general": "c"}})

    profiles = Profiles.load(manifest=path, registry=_REGISTRY)

    assert profiles.origin("default", "general") == str(path)
    assert profiles.origin("default", "coding") == "compiled"
    assert profiles.origin("small", "general") == "compiled"


def test_profiles_read_the_manifest_of_the_setting(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_MANIFEST", str(write(default={"models": {"general": "c"}})))

    assert Profiles.load(registry=_REGISTRY).role("general").name == "c"


def test_profiles_read_a_manifest_again_when_it_has_changed(write: Write) -> None:
    first = Profiles.load(manifest=write(default={"models": {"general": "c"}}), registry=_REGISTRY)
    second = Profiles.load(manifest=write(default={"models": {"general": "another"}}), registry=_REGISTRY)

    assert (first.role("general").name, second.role("general").name) == ("c", "another")


def test_profiles_with_a_manifest_that_is_wrong_are_refused(write: Write) -> None:
    path = write(default={"models": {"general": {"name": "tlk", "provider": "local"}}})

    with pytest.raises(ManifestError) as refused:
        Profiles.load(manifest=path, registry=_REGISTRY)

    assert str(refused.value) == (
        f"The manifest `{path}` cannot be used:\n"
        "  line 1: profiles.default.models.general.name: expected the id or alias of a record, got `tlk`: "
        "did you mean `talk`?\n"
        "Mend it, or leave it out."
    )


def test_profile_is_the_one_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PROFILE", "small")

    assert Profiles.load(registry=_REGISTRY).get().name == "small"


def test_profile_of_the_setting_that_does_not_exist_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PROFILE", "smal")

    with pytest.raises(ProfileNotFoundError) as missed:
        Profiles.load(registry=_REGISTRY).get()

    assert str(missed.value) == (
        "Profile `smal`, which `REGISTRY_PROFILE` names, is not in the registry. Did you mean `small`?"
    )


def test_profile_that_does_not_exist_names_close_ones(write: Write) -> None:
    profiles = Profiles.load(manifest=write(mine={"models": {}}), registry=_REGISTRY)

    with pytest.raises(ProfileNotFoundError) as missed:
        profiles.get("Mein")

    assert str(missed.value) == "Profile `Mein` is not in the registry. Did you mean `mine`?"
    assert missed.value.profiles == ("default", "mine", "small")


def test_role_that_does_not_exist_names_close_ones() -> None:
    with pytest.raises(RoleNotFoundError) as missed:
        Profiles.load(registry=_REGISTRY).role("Genral")

    assert str(missed.value) == "Profile `default` has no role `Genral`. Did you mean `general`?"
    assert missed.value.roles == ("coding", "general")


def test_roles_that_are_given_go_before_all_others() -> None:
    registry = registry_of(chat_record("talk"), general="dolphin3", coding="talk")

    profiles = Profiles(registry).with_roles("default", {"general": "talk", "extra": "talk"})

    assert dict(profiles.get("default").models) == {
        "coding": RoleModel("coding", "talk"),
        "extra": RoleModel("extra", "talk", "local"),
        "general": RoleModel("general", "talk", "local"),
    }
    assert [profiles.origin("default", role) for role in ("coding", "extra", "general")] == [
        "compiled",
        "given",
        "given",
    ]


def test_manifest_of_the_setting_that_cannot_be_used_names_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "none.json"
    monkeypatch.setenv("REGISTRY_MANIFEST", str(missing))

    with pytest.raises(ManifestError) as of_setting:
        Profiles.load()
    with pytest.raises(ManifestError) as of_caller:
        Profiles.load(manifest=missing)

    assert str(of_setting.value).startswith(
        f"The manifest `{missing}`, which `REGISTRY_MANIFEST` names, cannot be used:\n  expected a JSON file, "
    )
    assert str(of_caller.value).startswith(f"The manifest `{missing}` cannot be used:\n")
