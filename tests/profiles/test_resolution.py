"""Who serves a role, with what, and why."""

from pathlib import Path
from typing import Any

import pytest

from registry.profiles import Candidate, PassedOver, Providers, Target, resolve
from registry.profiles import resolution as resolution_module
from registry.records import RoleModel

from .small import Silent, chat_record, registry_of


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    for name in ("REGISTRY_PROFILE", "REGISTRY_MANIFEST", "REGISTRY_PARAMETERS"):
        monkeypatch.delenv(name, raising=False)
    resolution_module._warn.cache_clear()


def providers(**made: Any) -> Providers:
    return Providers(providers={name: Silent(name) for name in ("ollama", "local", "openai", "transformers")} | made)


def test_resolve_gives_the_models_of_a_role_in_their_order() -> None:
    here = chat_record("here")
    registry = registry_of(
        here, general=RoleModel("general", "dolphin3", auto_download=True, fallback=("here", "qwen3"))
    )

    found = resolve("general", registry=registry, providers=providers())

    assert found.candidates == (
        Candidate("ollama", Target("dolphin3"), {}, True),
        Candidate("local", Target("here", here), {}, True),
        Candidate("ollama", Target("qwen3"), {}, True),
    )
    assert (found.role, found.profile, found.provider, found.model) == ("general", "default", "ollama", "dolphin3")


def test_resolve_passes_over_who_is_not_there_and_asks_each_once() -> None:
    registry = registry_of(chat_record("here"), general=RoleModel("general", "a", fallback=("here", "b")))
    down = Silent("ollama", "Nothing listens at 127.0.0.1:11434.", "Start it with `ollama serve`.")

    found = resolve("general", registry=registry, providers=providers(ollama=down))

    assert [candidate.provider for candidate in found.candidates] == ["local"]
    assert found.passed_over == tuple(
        PassedOver("ollama", name, "Nothing listens at 127.0.0.1:11434.", "Start it with `ollama serve`.")
        for name in "ab"
    )
    assert down.asked == 1
