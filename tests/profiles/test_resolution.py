"""Who serves a role, with what, and why."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from registry.errors import (
    InvalidOptionError,
    NoProviderError,
    ProfileNotFoundError,
    ProviderModelError,
    RoleNotFoundError,
)
from registry.profiles import Candidate, Chat, PassedOver, Profiles, Providers, Target, resolve
from registry.profiles import resolution as resolution_module
from registry.profiles.resolution import surveys
from registry.records import RoleModel

from .fakes import Fake
from .fakes import providers as fakes
from .small import Silent, chat_record, registry_of


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    for name in ("REGISTRY_PROFILE", "REGISTRY_MANIFEST", "REGISTRY_PARAMETERS"):
        monkeypatch.delenv(name, raising=False)
    resolution_module._warn.cache_clear()


def _providers(**made: Any) -> Providers:
    return Providers(providers={name: Silent(name) for name in ("ollama", "local", "openai", "transformers")} | made)


def _down(name: str) -> Silent:
    return Silent(name, "Nothing listens at 127.0.0.1:11434.", "Start it with `ollama serve`.")


_HERE = chat_record("here")
_REGISTRY = registry_of(
    _HERE,
    general=RoleModel("general", "dolphin3", "ollama", True, {"num_predict": 512}, fallback=("here", "qwen3")),
    coding="here",
    lost=RoleModel("lost", "her", "local"),
    odd=RoleModel("odd", "any", "olama", fallback=("here",)),
)


def test_resolve_gives_the_models_of_a_role_in_their_order() -> None:
    found = resolve("general", registry=_REGISTRY, providers=_providers())

    assert found.candidates == (
        Candidate("ollama", Target("dolphin3"), {"max_tokens": 512}, True),
        Candidate("local", Target("here", _HERE), {"max_tokens": 512}, True),
        Candidate("ollama", Target("qwen3"), {"max_tokens": 512}, True),
    )
    assert found.passed_over == ()
    assert (found.role, found.profile, found.provider, found.model) == ("general", "default", "ollama", "dolphin3")
    assert (found.target, found.parameters) == (Target("dolphin3"), {"max_tokens": 512})


def test_resolve_of_a_role_that_states_nothing_may_not_download() -> None:
    found = resolve("coding", registry=_REGISTRY, providers=_providers())

    assert found.candidates == (Candidate("local", Target("here", _HERE), {}, False),)


def test_resolve_passes_over_who_is_not_there_and_asks_each_once() -> None:
    down = _down("ollama")

    found = resolve("general", registry=_REGISTRY, providers=_providers(ollama=down))

    assert [(each.provider, each.target.name) for each in found.candidates] == [("local", "here")]
    assert found.passed_over == tuple(
        PassedOver("ollama", name, "Nothing listens at 127.0.0.1:11434.", "Start it with `ollama serve`.")
        for name in ("dolphin3", "qwen3")
    )
    assert down.asked == 1


def test_resolve_unchecked_asks_nobody_whether_it_is_there() -> None:
    down = _down("ollama")

    found = resolve("general", registry=_REGISTRY, providers=_providers(ollama=down), check=False)

    assert (found.provider, found.passed_over, down.asked) == ("ollama", (), 0)


def test_resolve_passes_over_a_provider_that_nobody_knows() -> None:
    found = resolve("odd", registry=_REGISTRY, providers=_providers(), check=False)

    assert found.provider == "local"
    assert found.passed_over == (
        PassedOver("olama", "any", "There is no provider of this name.", "Did you mean `ollama`?"),
    )


def test_resolve_passes_over_a_provider_that_fails_when_it_is_asked() -> None:
    class Broken(Silent):
        def available(self) -> Any:
            raise RuntimeError("broken")

    found = resolve("general", registry=_REGISTRY, providers=_providers(ollama=Broken("ollama")))

    assert found.passed_over[0].reason == "Asking whether it is available failed: RuntimeError: broken."


def test_resolve_warns_once_of_who_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        resolve("odd", registry=_REGISTRY, providers=_providers())

    assert [(record.name, record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            "registry.profiles",
            logging.WARNING,
            (
                'registry.profiles.passed_over provider=olama model=any reason="There is no provider of this name." '
                'remedy="Did you mean `ollama`?"'
            ),
        )
    ]


def test_resolve_says_why() -> None:
    found = resolve("general", registry=_REGISTRY, providers=_providers(ollama=_down("ollama")), temperature=0.1)

    assert found.why == (
        "Role `general` of profile `default` is `dolphin3`, as the compiled registry says.",
        "`ollama` with `dolphin3` is passed over: Nothing listens at 127.0.0.1:11434.",
        "`local` with `here`: `temperature` 0.1 from the caller, `max_tokens` 512 from the role.",
        "`ollama` with `qwen3` is passed over: Nothing listens at 127.0.0.1:11434.",
    )


@pytest.mark.parametrize(
    ("name", "whose"), [("here", "a record, so it is loaded here"), ("x", "no record, so it is Ollama's")]
)
def test_resolve_says_who_is_asked_where_no_provider_is_stated(tmp_path: Path, name: str, whose: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"profiles": {"mine": {"models": {"general": name}}}}), "utf-8")

    found = resolve("general", profile="mine", manifest=path, registry=_REGISTRY, providers=_providers())

    assert found.why[:2] == (
        f"Role `general` of profile `mine` is `{name}`, as the manifest `{path}` says.",
        f"No provider is stated: `{name}` is {whose}.",
    )


def test_resolve_gives_json(tmp_path: Path) -> None:
    found = resolve("general", registry=_REGISTRY, providers=_providers(ollama=_down("ollama")), stop="END")

    parameters = {"max_tokens": 512, "stop": ["END"]}
    local = {"provider": "local", "model": "here", "record": "here", "parameters": parameters, "auto_download": True}
    down = {"reason": "Nothing listens at 127.0.0.1:11434.", "remedy": "Start it with `ollama serve`."}
    assert json.loads(json.dumps(found.to_dict())) == {
        "role": "general",
        "profile": "default",
        "provider": "local",
        "model": "here",
        "parameters": parameters,
        "candidates": [local],
        "passed_over": [{"provider": "ollama", "model": name} | down for name in ("dolphin3", "qwen3")],
        "why": list(found.why),
    }


def test_resolve_that_finds_nobody_says_why_for_each() -> None:
    providers = _providers(ollama=_down("ollama"), local=Silent("local", "No llama.cpp."))

    with pytest.raises(NoProviderError) as refused:
        resolve("general", registry=_REGISTRY, providers=providers)

    assert str(refused.value) == (
        "Nobody serves the role `general`:\n"
        "  `ollama` with `dolphin3`: Nothing listens at 127.0.0.1:11434. Start it with `ollama serve`.\n"
        "  `local` with `here`: No llama.cpp.\n"
        "  `ollama` with `qwen3`: Nothing listens at 127.0.0.1:11434. Start it with `ollama serve`.\n"
        "Start one of them, or name another model for the role."
    )


def test_resolve_of_a_local_model_that_is_no_record_names_close_ones() -> None:
    with pytest.raises(NoProviderError) as refused:
        resolve("lost", registry=_REGISTRY, providers=_providers())

    assert refused.value.attempts == ("`local` with `her`: Model `her` is not in the registry. Did you mean `here`?",)


def test_resolve_of_an_unknown_role_or_profile_names_close_ones() -> None:
    with pytest.raises(RoleNotFoundError, match="Did you mean `general`"):
        resolve("genral", registry=_REGISTRY, providers=_providers())
    with pytest.raises(ProfileNotFoundError, match="Did you mean `default`"):
        resolve("general", profile="defualt", registry=_REGISTRY, providers=_providers())


def test_resolve_refuses_a_parameter_of_the_caller_that_cannot_be() -> None:
    with pytest.raises(InvalidOptionError) as refused:
        resolve("general", registry=_REGISTRY, providers=_providers(), temperature=3)

    assert str(refused.value) == "`temperature`: expected a number from 0 to 2, got 3."


def test_resolve_takes_the_registry_of_the_providers() -> None:
    providers = Providers(registry=_REGISTRY, providers={"local": Silent("local")})  # type: ignore[dict-item]

    assert resolve("coding", providers=providers).target == Target("here", _HERE)


def test_resolve_of_the_shipped_profile_knows_every_role() -> None:
    found = [resolve(role, providers=_providers()) for role in ("general", "coding", "embedding", "reranking")]

    assert [(each.provider, each.model) for each in found] == [
        ("ollama", "dolphin3"),
        ("local", "qwen2.5-coder-7b-q5"),
        ("local", "all-minilm-l6-v2"),
        ("local", "ms-marco-minilm-l6-v2"),
    ]


def test_resolve_of_a_name_that_is_nearly_a_record_names_the_record() -> None:
    registry = registry_of(chat_record("talk-7b-q5", aliases=("chatty-7b",)), general="talk-7b-q6", coding="chaty-7b")

    found = resolve("general", registry=registry, providers=_providers())
    with pytest.raises(NoProviderError) as refused:
        resolve("coding", registry=registry, providers=_providers(ollama=_down("ollama")))

    assert found.why[1] == (
        "No provider is stated: `talk-7b-q6` is no record, so it is Ollama's. Did you mean the record `talk-7b-q5`?"
    )
    assert found.candidates[0].hint == "Did you mean the record `talk-7b-q5`?"
    assert refused.value.attempts[0].endswith("Start it with `ollama serve`. Did you mean the record `chatty-7b`?")


def test_resolve_of_a_name_whose_provider_is_stated_takes_it_for_no_slip() -> None:
    role = RoleModel("general", "talk-7b-q6", "ollama", fallback=("openai:talk-7b-q6", "talk-7b:q5"))

    found = resolve("general", registry=registry_of(chat_record("talk-7b-q5"), general=role), providers=_providers())

    assert [candidate.hint for candidate in found.candidates] == ["", "", ""]


def test_surveys_ask_each_provider_once_and_keep_an_error_to_its_role() -> None:
    down = _down("ollama")
    broken = RoleModel("broken", "here", "local", parameters={"mirostat": 2})
    registry = registry_of(_HERE, broken=broken, first="a", second="b", third="here")
    profiles = Profiles(registry)

    found = surveys(profiles, profile=None, providers=_providers(ollama=down), check=True)

    assert [(role, len(each.candidates), each.error is None) for role, each in found.items()] == [
        ("broken", 0, False),
        ("first", 0, True),
        ("second", 0, True),
        ("third", 1, True),
    ]
    assert down.asked == 1
    with pytest.raises(InvalidOptionError, match="mirostat"):
        found["broken"].resolution("broken", "default")
    with pytest.raises(RoleNotFoundError):
        surveys(profiles, ["first", "forth"], profile=None, providers=_providers(), check=False)


def test_chat_that_nobody_answers_names_the_record_that_a_name_is_nearly() -> None:
    ollama = Fake("ollama", ProviderModelError("ollama", "talk-7b-q6", "It is not there.", "Fetch it."))
    registry = registry_of(chat_record("talk-7b-q5"), general="talk-7b-q6")

    chat = Chat(role="general", registry=registry, providers=fakes(ollama))
    with pytest.raises(NoProviderError) as refused:
        chat.reply([{"role": "user", "content": "Hi"}])

    assert refused.value.attempts == (
        "`ollama` with `talk-7b-q6`: It is not there. Fetch it. Did you mean the record `talk-7b-q5`?",
    )
