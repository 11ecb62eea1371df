"""What a request may call a model."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi")
from registry.adapters import AdapterVersion
from registry.errors import InvalidOptionError, ModelNotFoundError
from registry.records import ChatModel, ModelFile, Profile, RoleModel
from registry.server.v1.names import ModelNames
from server.v1.few_records import FewRecords


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def record(model_id: str, *aliases: str) -> ChatModel:
    return ChatModel(
        id=model_id,
        model_type="chat",
        name="",
        huggingface_id=f"org/{model_id}",
        organization="",
        description="",
        aliases=aliases,
        quantization="Q4_K_M",
        file=ModelFile(f"{model_id}.gguf", "gguf"),
    )


FOX, WOLF = record("fox-7b", "Fox"), record("wolf-3b")
FEW = FewRecords(FOX, WOLF)


def profile(**models: RoleModel) -> Profile:
    return Profile("default", None, models)


@pytest.mark.parametrize("name", ["fox-7b", "FOX-7B", "Fox", "fox", "chat", "CHAT"])
def test_id_alias_and_role_are_found_whatever_the_case(name: str) -> None:
    assert ModelNames(FEW, {"Chat": "fox"}).find(name) is FOX


def test_unknown_name_is_told_with_close_ids_and_roles() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        ModelNames(FEW, {"foxes": "fox-7b"}).find("foxe")
    assert caught.value.close_matches == ("foxes", "fox-7b")


def test_role_of_a_model_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ModelNotFoundError, match="Model `foxx-7b` is not in the registry"):
        ModelNames(FEW, {"chat": "foxx-7b"})


@pytest.mark.parametrize("role", ["fox-7b", "Fox", "", "  "])
def test_role_with_the_name_of_a_model_or_none_is_refused(role: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        ModelNames(FEW, {role: "wolf-3b"})
    assert str(caught.value) == (
        f"`roles`: expected names that no model has, got {role!r}. Choose another name for the role."
    )


def test_role_is_played_by_the_first_model_that_is_on_this_machine(home: Path) -> None:
    names = ModelNames(FEW, profile=profile(chat=RoleModel("chat", "fox-7b", fallback=("wolf-3b",))))
    assert (names.find("chat"), names.roles()) == (FOX, {"fox-7b": ("chat",)})
    (home / "models").mkdir()
    (home / "models" / "wolf-3b.gguf").write_bytes(b"GGUF")
    assert (names.find("chat"), names.roles()) == (WOLF, {"wolf-3b": ("chat",)})


def test_models_of_other_servers_and_other_registries_play_no_role_here() -> None:
    models = {
        "chat": RoleModel("chat", "fox-7b", provider="ollama", fallback=("nobody", "wolf-3b")),
        "coding": RoleModel("coding", "fox-7b", provider="ollama"),
    }
    names = ModelNames(FEW, profile=profile(**models))
    assert names.roles() == {"wolf-3b": ("chat",)}


def test_roles_of_the_server_go_before_those_of_the_default_profile() -> None:
    few = FewRecords(FOX, WOLF, profiles=[profile(chat=RoleModel("chat", "fox-7b"), coding=RoleModel("c", "fox-7b"))])
    assert ModelNames(few, {"chat": "wolf-3b"}).roles() == {"wolf-3b": ("chat",), "fox-7b": ("coding",)}
    assert ModelNames(few).find("chat") is FOX


class Tuned:
    """Adapters that are served, by their bases."""

    def __init__(self, **bases: str) -> None:
        self._versions = {name: AdapterVersion(name, "1", base, "0" * 64, Path()) for name, base in bases.items()}

    def find(self, name: str) -> AdapterVersion | None:
        return self._versions.get(name)

    def versions(self) -> tuple[AdapterVersion, ...]:
        return tuple(self._versions.values())


def tuned_names(**bases: str) -> ModelNames:
    return ModelNames(FEW, {"Chat": "wolf-3b"}, adapters=Tuned(**bases))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["tuned", "TUNED"])
def test_adapter_is_found_with_its_model(name: str) -> None:
    serving = tuned_names(tuned="fox-7b").serving(name)
    assert (serving.record, serving.adapter.id if serving.adapter else None, serving.name) == (FOX, "tuned", "tuned")


@pytest.mark.parametrize(("name", "model"), [("fox-7b", FOX), ("fox", FOX), ("chat", WOLF)])
def test_model_goes_before_an_adapter_of_its_name(name: str, model: ChatModel) -> None:
    names = tuned_names(**{name: "wolf-3b", "other": "wolf-3b"})
    assert names.serving(name) == (model, None)
    assert [serving.name for serving in names.adapters()] == ["other"]


def test_adapter_of_a_model_that_is_gone_is_not_found() -> None:
    names = tuned_names(tuned="gone")
    with pytest.raises(ModelNotFoundError):
        names.serving("tuned")
    assert names.adapters() == ()


def test_adapter_is_no_model() -> None:
    names = tuned_names(tuned="fox-7b")
    assert [names.is_model(name) for name in ("tuned", "FOX", "Chat", "nobody")] == [False, True, True, False]
    with pytest.raises(ModelNotFoundError) as caught:
        names.find("tuned")
    assert caught.value.close_matches == ()
    with pytest.raises(ModelNotFoundError) as caught:
        names.serving("tune")
    assert caught.value.close_matches == ("tuned",)
