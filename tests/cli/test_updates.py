"""`registry outdated`, `registry update`, and the look that commands take once a week."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")
import tiny
from hub_server import Fault, Hub

from .conftest import Registry

Run = Callable[..., Any]


def test_outdated_has_newer_commits(run: Run, fetched: str, hub: Hub) -> None:
    assert run("outdated", "--registry", fetched).rows == []
    commit = hub.add("tiny/talk", {"talk.gguf": b"GGUF and more"})

    (row,) = run("outdated", "--registry", fetched).rows

    assert (row[0], row[1], row[3]) == ("talk", "commit", commit)
    assert run("outdated", "--registry", fetched, "--offline").rows == []


def test_outdated_json_is_what_updates_gives(run: Run, fetched: str, hub: Hub) -> None:
    commit = hub.add("tiny/talk", {"talk.gguf": b"GGUF and more"})

    (found,) = run("outdated", "--registry", fetched, "--json").json["updates"]

    assert set(found) == {"id", "kind", "current", "newest", "changelog", "error"}
    assert found["newest"] == commit


def test_outdated_lists_the_others_where_a_repository_is_gone(run: Run, fetched: str, hub: Hub) -> None:
    commit = hub.add("tiny/talk", {"talk.gguf": b"GGUF and more"})
    hub.misbehave("api:tiny/see", *[Fault(status=404)] * 2)

    result = run("outdated", "--registry", fetched)

    assert (result.code, [row[0] for row in result.rows]) == (0, ["talk"])
    assert result.err.startswith("error: Cannot fetch `see`: ")
    document = run("outdated", "--registry", fetched, "--json").json
    assert [found["newest"] for found in document["updates"]] == [commit]
    assert [found["id"] for found in document["failed"]] == ["see"]


def test_outdated_where_one_model_is_the_newest_and_the_other_gone_is_code_0(run: Run, fetched: str, hub: Hub) -> None:
    hub.misbehave("api:tiny/see", Fault(status=404))

    result = run("outdated", "--registry", fetched)

    assert (result.code, result.out) == (0, "")
    assert "is the newest" not in result.err


def test_outdated_where_nothing_can_be_told_is_code_1(run: Run, fetched: str, hub: Hub) -> None:
    for name in ("see", "talk"):
        hub.misbehave(f"api:tiny/{name}", Fault(status=404))

    assert run("outdated", "--registry", fetched).code == 1


def test_update_fetches_what_the_record_pins_now(
    run: Run, fetched: str, hub: Hub, small: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "talk.gguf").write_bytes(b"GGUF and more")
    commit = hub.add("tiny/talk", {"talk.gguf": b"GGUF and more"})
    module = small(tiny.chat_record(tmp_path / "talk.gguf", id="talk", huggingface_id="tiny/talk", revision=commit))
    assert [row[1] for row in run("outdated", "--registry", module, "--offline").rows] == ["files"]

    result = run("update", "talk", "--registry", module, "--json")

    assert Path(result.json["path"]).read_bytes() == b"GGUF and more"
    assert run("outdated", "--registry", module).rows == []


def test_command_looks_for_updates_only_where_that_is_set(
    run: Run, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    import registry.hub
    from registry.hub import Update

    newer = (Update("colbert-v2", "commit", "1" * 40, "2" * 40),)
    monkeypatch.setattr(registry.hub, "check_weekly", lambda **_: newer)
    assert run("families").err == ""

    home.mkdir()
    (home / "config.toml").write_text("check_updates = true\n")

    note = "note: something newer is known for colbert-v2 (commit); `registry outdated` shows what.\n"
    assert run("families").err == note
    assert run("completion", "bash").err == ""


@pytest.fixture
def renewed(fetched: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped registry that pins another file of `talk` than is kept; updates are fetched by themselves."""
    import registry

    content = b"GGUF and more"
    (tmp_path / "talk.gguf").write_bytes(content)
    commit = hub.add("tiny/talk", {"talk.gguf": content})
    record = tiny.chat_record(tmp_path / "talk.gguf", id="talk", huggingface_id="tiny/talk", revision=commit)
    records = Registry([record])
    monkeypatch.setattr(registry, "MODEL_REGISTRY", records)
    monkeypatch.setattr(registry, "lookup_model", records.lookup_model)
    monkeypatch.setenv("REGISTRY_CHECK_UPDATES", "1")
    monkeypatch.setenv("REGISTRY_AUTO_UPDATE", "1")
    return tmp_path / "home" / "models" / "talk.gguf"


FETCHING = "note: fetching what the registry pins for talk now, as `auto_update` is set.\n"


def test_auto_update_says_what_it_fetches(run: Run, renewed: Path) -> None:
    assert run("completion", "bash").err == ""
    assert run("families").err == f"{FETCHING}note: fetched talk.\nNo model names a family.\n"
    assert renewed.read_bytes() == b"GGUF and more"


def test_auto_update_that_fails_says_why_and_the_command_runs(run: Run, renewed: Path, hub: Hub) -> None:
    hub.gated.add("tiny/talk")

    result = run("families")

    assert result.code == 0
    assert result.err.startswith(f"{FETCHING}error: Cannot fetch `talk`: ")
    assert "note: something newer is known for talk (files); `registry outdated` shows what.\n" in result.err
