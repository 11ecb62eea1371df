"""`registry outdated`, `registry update`, and the look that commands take once a week."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")
import tiny
from hub_server import Hub

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

    assert set(found) == {"id", "kind", "current", "newest", "changelog"}
    assert found["newest"] == commit


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
    monkeypatch.setattr(registry.hub, "check_weekly", lambda: newer)
    assert run("families").err == ""

    home.mkdir()
    (home / "config.toml").write_text("check_updates = true\n")

    note = "note: something newer is known for colbert-v2; `registry outdated` shows what.\n"
    assert run("families").err == note
    assert run("completion", "bash").err == ""
