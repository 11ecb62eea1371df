"""`registry roles`: who serves each role, and why."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")

from profiles.small import Silent

from registry.profiles.registered import Providers

Run = Callable[..., Any]

_REASON, _REMEDY = "Nothing listens.", "Start it."


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY_PROFILE", "REGISTRY_MANIFEST", "REGISTRY_PARAMETERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The providers that are not there; the others of this package are, and serve nothing."""
    names: set[str] = set()

    def make(_: Providers, name: str) -> Silent:
        return Silent(name, _REASON, _REMEDY) if name in names else Silent(name)

    monkeypatch.setattr(Providers, "_own", make)
    return names


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Write a manifest whose profile `mine` has these roles."""

    def write(**roles: object) -> Path:
        path = tmp_path / "profiles.json"
        path.write_text(json.dumps({"profiles": {"mine": {"models": roles}}}), "utf-8")
        return path

    return write


def test_roles_prints_a_line_for_each_role(run: Run, down: set[str]) -> None:
    down.add("ollama")

    result = run("roles")

    assert (result.code, result.err) == (0, "")
    assert result.rows == [
        ["coding", "qwen2.5-coder-7b-q5", "local", "yes", "-", "-"],
        ["embedding", "all-minilm-l6-v2", "local", "yes", "-", "-"],
        [
            "general",
            "llama-3.2-3b-instruct-q4_k_m",
            "local",
            "yes",
            "top_p=0.9 max_tokens=512",
            "ollama/dolphin3: Nothing listens",
        ],
        ["reranking", "ms-marco-minilm-l6-v2", "local", "yes", "-", "-"],
    ]


def test_roles_unchecked_leaves_open_who_is_there(run: Run, down: set[str]) -> None:
    down |= {"ollama", "local"}

    result = run("roles", "--no-check", "general", "coding")

    assert result.code == 0
    assert result.rows == [
        ["general", "dolphin3", "ollama", "-", "top_p=0.9 max_tokens=512", "-"],
        ["coding", "qwen2.5-coder-7b-q5", "local", "-", "-", "-"],
    ]


def test_roles_that_nobody_can_serve_are_shown_and_end_with_1(run: Run, down: set[str]) -> None:
    down |= {"ollama", "local"}

    result = run("roles", "general", "coding")

    assert (result.code, result.err) == (1, "")
    both = "ollama/dolphin3: Nothing listens; local/llama-3.2-3b-instruct-q4_k_m: Nothing listens"
    assert result.rows == [
        ["general", "dolphin3", "ollama", "no", "-", both],
        ["coding", "qwen2.5-coder-7b-q5", "local", "no", "-", "local/qwen2.5-coder-7b-q5: Nothing listens"],
    ]


def test_roles_of_one_role_shows_all_about_it(run: Run, down: set[str], manifest: Callable[..., Path]) -> None:
    down.add("openai")
    role = {
        "name": "gpt-oss",
        "provider": "openai",
        "auto_download": False,
        "description": "To talk.",
        "parameters": {"top_k": 3, "mirostat": 2},
        "fallback": ["llama-3.2-3b-instruct-q4_k_m"],
    }
    path = manifest(general=role)

    result = run("roles", "general", "--profile", "mine", "--manifest", path)

    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "role\tgeneral",
        "profile\tmine",
        f"stated in\t{path}",
        "description\tTo talk.",
        "may be downloaded\tno",
        "",
        "Asked in this order",
        "Provider\tModel\tAvailable\tParameters",
        "local\tllama-3.2-3b-instruct-q4_k_m\tyes\ttop_k=3",
        "",
        "Passed over",
        "Provider\tModel\tReason\tWhat to do",
        "openai\tgpt-oss\tNothing listens.\tStart it.",
        "",
        "Why",
        f"Role `general` of profile `mine` is `gpt-oss`, as the manifest `{path}` says.",
        "`openai` with `gpt-oss` is passed over: Nothing listens.",
        "`local` with `llama-3.2-3b-instruct-q4_k_m`: `top_k` 3 from the role.",
        "`local` with `llama-3.2-3b-instruct-q4_k_m` is not given `mirostat`, which it does not know.",
    ]


def test_roles_json_has_all_of_it(run: Run, down: set[str], manifest: Callable[..., Path]) -> None:
    down.add("openai")
    path = manifest(general={"name": "gpt-oss", "provider": "openai", "parameters": {"stop": ["END"]}}, chat="qwen3:8b")

    result = run("roles", "--profile", "mine", "--manifest", path, "--json")

    assert result.code == 1
    ollama = {"provider": "ollama", "model": "qwen3:8b", "parameters": {}}
    assert result.json == {
        "profile": "mine",
        "profiles": ["default", "mine"],
        "manifest": str(path),
        "checked": True,
        "roles": [
            {
                "role": "chat",
                "description": None,
                "stated_in": str(path),
                **ollama,
                "candidates": [{**ollama, "record": None, "auto_download": False}],
                "passed_over": [],
                "why": [
                    f"Role `chat` of profile `mine` is `qwen3:8b`, as the manifest `{path}` says.",
                    "No provider is stated: `qwen3:8b` is no record, so it is Ollama's.",
                    "`ollama` with `qwen3:8b`: nobody states a parameter.",
                ],
                "problem": None,
            },
            {
                "role": "general",
                "description": None,
                "stated_in": str(path),
                "provider": None,
                "model": None,
                "parameters": None,
                "candidates": [],
                "passed_over": [{"provider": "openai", "model": "gpt-oss", "reason": _REASON, "remedy": _REMEDY}],
                "why": [
                    f"Role `general` of profile `mine` is `gpt-oss`, as the manifest `{path}` says.",
                    "`openai` with `gpt-oss` is passed over: Nothing listens.",
                ],
                "problem": None,
            },
        ],
    }


def test_roles_asks_the_real_providers_where_they_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:  # bound, and nothing listens
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OLLAMA_HOST", f"http://127.0.0.1:{unused.getsockname()[1]}")

        (facts,) = run("roles", "general", "--json").json["roles"]

    assert [(each["provider"], each["model"]) for each in facts["passed_over"]][:1] == [("ollama", "dolphin3")]


def test_roles_of_an_unknown_role_names_close_ones(run: Run, down: set[str]) -> None:
    assert run("roles", "genral") == (
        1,
        "",
        "error: Profile `default` has no role `genral`.\nhint: Did you mean `general`?\n",
    )


def test_roles_of_an_unknown_profile_names_close_ones(run: Run, down: set[str]) -> None:
    assert run("roles", "--profile", "defualt") == (
        1,
        "",
        "error: Profile `defualt` is not in the registry.\nhint: Did you mean `default`?\n",
    )


def test_roles_of_a_profile_without_any_says_so(run: Run, down: set[str], manifest: Callable[..., Path]) -> None:
    result = run("roles", "--profile", "mine", "--manifest", manifest())

    assert result == (0, "", "Profile `mine` has no roles.\n")


def test_roles_of_a_registry_of_your_own(run: Run, down: set[str], small: Callable[..., str], tmp_path: Path) -> None:
    tiny = pytest.importorskip("tiny")
    gguf = tmp_path / "talk.gguf"
    gguf.write_bytes(b"GGUF")
    module = small(tiny.chat_record(gguf, id="talk"))
    path = tmp_path / "profiles.json"
    path.write_text(json.dumps({"profiles": {"default": {"models": {"general": "talk"}}}}), "utf-8")

    assert run("roles", "--registry", module, "--manifest", path).rows == [
        ["general", "talk", "local", "yes", "-", "-"]
    ]


def test_roles_are_completed_from_the_profile_that_is_named(manifest: Callable[..., Path]) -> None:
    from types import SimpleNamespace

    from registry.cli.roles import complete_roles

    def complete(text: str, **params: object) -> list[str]:
        context: Any = SimpleNamespace(params=params)
        return complete_roles(context, text)

    assert complete("c") == ["coding"]
    assert complete("", profile="mine", manifest=str(manifest(vision="x"))) == ["vision"]
    assert complete("", profile="nothing") == []


def test_role_that_cannot_be_told_of_keeps_no_other_from_being_shown(
    run: Run, down: set[str], manifest: Callable[..., Path]
) -> None:
    broken = {"name": "qwen2.5-coder-7b-q5", "provider": "local", "parameters": {"mirostat": 2}}
    words = ("roles", "--profile", "mine", "--manifest", manifest(broken=broken, chat="qwen3:8b"))

    both, alone, document = run(*words), run(*words, "broken"), run(*words, "--json")

    problem = "`mirostat`: expected a parameter that `local` knows for `qwen2.5-coder-7b-q5`, got 2."
    assert (both.code, both.err) == (1, "")
    assert both.rows == [
        ["broken", "qwen2.5-coder-7b-q5", "local", "no", "-", problem],
        ["chat", "qwen3:8b", "ollama", "yes", "-", "-"],
    ]
    assert (alone.code, alone.out, alone.err.splitlines()[0]) == (1, "", f"error: {problem}")
    assert (document.code, document.json["roles"][0]["problem"].startswith(problem)) == (1, True)


def test_role_that_says_nothing_of_fetching_is_fetched_by_who_asks_for_it(run: Run, down: set[str]) -> None:
    assert "may be downloaded\tby `registry provision`" in run("roles", "coding").out.splitlines()
