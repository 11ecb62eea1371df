"""`registry provision`: what it fetches, prints, and answers with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest

pytest.importorskip("typer")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")
from hub_server import Fault, Hub
from ollama_server import Model, Ollama

from registry.profiles import provisioning

from .keeping import CHAT_BYTES

Run = Callable[..., Any]


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Write a manifest whose profile `default` has these roles."""

    def write(**roles: object) -> Path:
        path = tmp_path / "profiles.json"
        path.write_text(json.dumps({"profiles": {"default": {"models": roles}}}), "utf-8")
        return path

    return write


@pytest.fixture
def provision(run: Run, module: str, manifest: Callable[..., Path]) -> Run:
    """Run `registry provision` for a manifest of the roles `general` and `embedding`."""
    path = manifest(general="talk", embedding="see")
    return lambda *words: run("provision", *words, "--registry", module, "--manifest", path)


def timeless(rows: list[list[str]]) -> list[list[str]]:
    """Leave the seconds out."""
    return [[*row[:4], *row[5:]] for row in rows]


def test_provision_fetches_the_models_of_all_roles(provision: Run, models: Path) -> None:
    result = provision()

    assert (result.code, result.err) == (0, "")
    assert [row[:4] for row in result.rows] == [
        ["embedding", "see", "local", "downloaded"],
        ["general", "talk", "local", "downloaded"],
    ]
    assert result.rows[1][5] == str(len(CHAT_BYTES))
    assert (models / "talk.gguf").read_bytes() == CHAT_BYTES


def test_provision_of_what_is_here_asks_no_hub(provision: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    provision()
    hub.requests.clear()
    monkeypatch.setattr(provisioning, "_known", WeakKeyDictionary())  # as in the next process

    assert timeless(provision().rows) == [
        ["embedding", "see", "local", "already_present", "0"],
        ["general", "talk", "local", "already_present", "0"],
    ]
    assert hub.requests == []


@pytest.mark.parametrize(
    "words",
    [
        ("--roles", "general", "embedding"),
        ("--roles", "general", "--roles", "embedding"),
        ("--roles", "general", "--json", "embedding"),
        ("general", "embedding"),
    ],
    ids=" ".join,
)
def test_provision_takes_roles_in_every_way(words: tuple[str, ...], provision: Run) -> None:
    document = provision(*words, "--json").json

    assert [outcome["role"] for outcome in document["outcomes"]] == ["general", "embedding"]


def test_provision_of_one_role_leaves_the_others(provision: Run) -> None:
    assert [row[0] for row in provision("--roles", "embedding").rows] == ["embedding"]


def test_provision_json_is_the_report(provision: Run) -> None:
    document = provision("--roles", "general", "--json").json

    (outcome,) = document["outcomes"]
    assert isinstance(outcome.pop("seconds"), float)
    assert document == {
        "profile": "default",
        "ok": True,
        "unserved": [],
        "outcomes": [
            {
                "role": "general",
                "model": "talk",
                "provider": "local",
                "action": "downloaded",
                "bytes": len(CHAT_BYTES),
                "reason": None,
            }
        ],
    }


def test_provision_force_proves_what_is_here(provision: Run, models: Path) -> None:
    provision()
    path = models / "talk.gguf"
    seen = path.stat()
    path.write_bytes(CHAT_BYTES[::-1])

    result = provision("--roles", "general", "--force")

    assert timeless(result.rows) == [["general", "talk", "local", "downloaded", str(len(CHAT_BYTES))]]
    assert path.read_bytes() == CHAT_BYTES
    assert path.stat().st_size == seen.st_size


def test_provision_that_fails_says_why_and_goes_on(provision: Run, hub: Hub) -> None:
    hub.gated.add("tiny/see")

    result = provision()

    assert result.code == 1
    assert [row[:4] for row in result.rows] == [
        ["embedding", "see", "local", "failed"],
        ["general", "talk", "local", "downloaded"],
    ]
    error, hint, last = result.err.splitlines()
    assert error.startswith("error: `see` of `local`, for the role `embedding`, has failed: Cannot fetch `see`: ")
    assert hint.startswith("hint: ")
    assert last == "error: no model is ready for the role `embedding`."


def test_provision_of_a_role_whose_next_model_is_ready_only_warns(
    run: Run, module: str, manifest: Callable[..., Path], hub: Hub
) -> None:
    hub.gated.add("tiny/see")
    path = manifest(embedding={"name": "see", "fallback": ["talk"]})

    result = run("provision", "--registry", module, "--manifest", path)

    assert (result.code, [row[3] for row in result.rows]) == (0, ["failed", "downloaded"])
    assert result.err.startswith("warning: `see` of `local`, for the role `embedding`, has failed: Cannot fetch ")
    assert "error:" not in result.err


def test_provision_of_a_role_whose_provider_nobody_knows_ends_with_1(
    run: Run, module: str, manifest: Callable[..., Path]
) -> None:
    path = manifest(general={"name": "talk", "provider": "olama"})

    result = run("provision", "--registry", module, "--manifest", path)

    assert result.code == 1
    assert result.err.splitlines() == [
        "warning: `talk` of `olama`, for the role `general`, was skipped: There is no provider of this name.",
        "hint: Did you mean `ollama`?",
        "error: no model is ready for the role `general`.",
    ]


def test_provision_passes_over_who_is_not_there(
    run: Run, module: str, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ollama() as peer:
        monkeypatch.setenv("OLLAMA_HOST", peer.host)
    path = manifest(general={"name": "llama3.2", "provider": "ollama", "fallback": ["talk"]})

    result = run("provision", "--registry", module, "--manifest", path)

    assert (result.code, [row[:4] for row in result.rows]) == (
        0,
        [["general", "llama3.2", "ollama", "skipped"], ["general", "talk", "local", "downloaded"]],
    )
    assert result.err.startswith(
        "warning: `llama3.2` of `ollama`, for the role `general`, was skipped: Nothing listens "
    )


def test_provision_pulls_from_ollama(
    run: Run, module: str, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ollama")
    with Ollama() as peer:
        peer.library["llama3.2:latest"] = Model(layers=(3000, 500))
        monkeypatch.setenv("OLLAMA_HOST", peer.host)
        path = manifest(general={"name": "llama3.2", "provider": "ollama"})

        result = run("provision", "--registry", module, "--manifest", path)

        assert (result.code, timeless(result.rows)) == (0, [["general", "llama3.2", "ollama", "pulled", "3500"]])
        assert "llama3.2:latest" in peer.models


def test_provision_that_must_not_fetch_warns(run: Run, module: str, manifest: Callable[..., Path], hub: Hub) -> None:
    path = manifest(general={"name": "talk", "auto_download": False})

    result = run("provision", "--registry", module, "--manifest", path)

    assert (result.code, [row[:4] for row in result.rows]) == (1, [["general", "talk", "local", "skipped"]])
    assert result.err == (
        "warning: `talk` of `local`, for the role `general`, was skipped: It is not there, and the role says that it "
        "must not be fetched. Set `auto_download` to true for the role, or fetch it with `registry download talk`.\n"
        "error: no model is ready for the role `general`.\n"
    )
    assert hub.requests == []


def test_provision_of_a_role_that_does_not_exist_names_close_ones(provision: Run, hub: Hub) -> None:
    result = provision("--roles", "generall")

    assert (result.code, result.out, hub.requests) == (1, "", [])
    assert result.err == ("error: Profile `default` has no role `generall`.\nhint: Did you mean `general`?\n")


def test_provision_stopped_by_ctrl_c_says_how_to_go_on(provision: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("registry.hub.ensure", interrupted, raising=False)

    result = provision()

    assert (result.code, result.out) == (130, "")
    assert result.err == "error: Stopped by Ctrl-C.\nhint: The same command goes on where this stopped.\n"


def test_provision_on_a_terminal_draws_bars(
    hub: Hub, tmp_path: Path, manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, terminal: Run
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    content = bytes(range(256)) * 16384
    commit = hub.add("tiny/talk", {"talk.gguf": content})
    (tmp_path / "talk.gguf").write_bytes(content)
    tests = Path(__file__).parents[1]
    (tmp_path / "mine.py").write_text(
        f"import sys; sys.path[:0] = {[str(tests), str(tests.parent)]!r}\n"
        "import pathlib, tiny\n"
        "from tests.cli.conftest import Registry\n"
        f"record = tiny.chat_record(pathlib.Path({str(tmp_path / 'talk.gguf')!r}), id='talk',\n"
        f"    huggingface_id='tiny/talk', revision={commit!r})\n"
        "MODEL_REGISTRY = Registry([record])\n"
    )
    hub.misbehave("talk.gguf", Fault(stall=3_000_000))
    words = ("provision", "--registry", "mine", "--manifest", str(manifest(general="talk")))

    shown = terminal(*words, folder=tmp_path)
    shown.wait_for("/4.2 MB")
    shown.type("\x03")

    assert shown.finish() == 130
    assert "hint: The same command goes on where this stopped." in shown.text
    again = terminal(*words, folder=tmp_path, columns=120)
    assert again.finish() == 0
    assert "downloaded" in again.text
