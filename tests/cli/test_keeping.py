"""`download`, `verify`, `remove`, `cache`, `bundle`, `outdated`, `update`: what is fetched, kept and deleted."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")
from hub_server import Fault, Hub

from .keeping import CHAT_BYTES, pinned

Run = Callable[..., Any]
MANY = 10**9


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
def module(hub: Hub, small: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A registry of two models, `talk` and `see`, and the hub that has them."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    return small(*pinned(hub, tmp_path))


@pytest.fixture
def fetched(run: Run, module: str) -> str:
    assert run("download", "talk", "see", "--registry", module).code == 0
    return module


@pytest.fixture
def models(home: Path) -> Path:
    return home / "models"


def test_download_prints_id_and_path(run: Run, module: str, models: Path) -> None:
    assert run("download", "talk", "--registry", module) == (0, f"talk\t{models / 'talk.gguf'}\n", "")
    assert (models / "talk.gguf").read_bytes() == CHAT_BYTES


def test_download_of_what_is_here_asks_no_hub(run: Run, fetched: str, hub: Hub) -> None:
    hub.requests.clear()

    assert run("download", "talk", "see", "--registry", fetched).code == 0
    assert hub.requests == []


def test_download_force_fetches_anew(run: Run, fetched: str, hub: Hub) -> None:
    hub.requests.clear()

    assert run("download", "talk", "--registry", fetched, "--force").code == 0
    assert hub.asked("talk.gguf") != []


def test_download_takes_a_source_and_an_endpoint(
    run: Run, module: str, hub: Hub, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_ENDPOINT")

    assert run("download", "talk", "--registry", module, "--endpoint", hub.endpoint).code == 0
    (models / "talk.gguf").unlink()
    hub.requests.clear()
    assert run("download", "talk", "--registry", module, "--source", tmp_path).code == 0
    assert hub.requests == []


def test_download_of_several_goes_on_after_one_that_fails(run: Run, module: str, hub: Hub) -> None:
    hub.gated.add("tiny/talk")

    result = run("download", "talk", "see", "--registry", module, "--json")

    assert result.code == 1
    assert [found["id"] for found in result.json["models"]] == ["see"]
    assert [found["id"] for found in result.json["failed"]] == ["talk"]
    assert result.err.startswith("error: Cannot fetch `talk`: ")


def test_download_that_is_stopped_says_that_it_can_go_on(
    run: Run, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import registry.hub

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry.hub, "ensure", stop)

    hint = "The same command goes on where this stopped: what has come of `talk` is kept."
    assert run("download", "talk", "--registry", module) == (130, "", f"error: Stopped by Ctrl-C.\nhint: {hint}\n")


def test_download_of_wrong_bytes_is_an_error(run: Run, module: str, hub: Hub) -> None:
    hub.misbehave("talk.gguf", *[Fault(flip=7)] * 4)

    result = run("download", "talk", "--registry", module)

    assert (result.code, result.out) == (1, "")
    assert "is not the file that the registry pins: expected" in result.err


def test_download_allow_unpinned_is_passed_on(run: Run, hub: Hub, small: Callable[..., str], tmp_path: Path) -> None:
    talk, see = pinned(hub, tmp_path)
    module = small(talk, replace(see, revision=None, files=()))
    options = ("--registry", module, "--endpoint", hub.endpoint)

    refused = run("download", "see", *options)

    assert refused.code == 1
    assert "or fetch it with `--allow-unpinned`" in refused.err
    assert run("download", "see", *options, "--allow-unpinned").code == 0


def test_verify_finds_what_was_damaged(run: Run, fetched: str, models: Path) -> None:
    assert run("verify").rows == [["see", "ok", "16", "-"], ["talk", "ok", str(len(CHAT_BYTES)), "-"]]

    (models / "talk.gguf").write_bytes(CHAT_BYTES.replace(b"\x07", b"\x08", 1))
    result = run("verify", "talk", "--json")

    assert result.code == 1
    (found,) = result.json["models"]
    assert (found["id"], found["ok"]) == ("talk", False)
    assert found["problems"][0].startswith("talk.gguf: expected sha256 ")


def test_verify_where_nothing_is_kept_says_so(run: Run) -> None:
    assert run("verify") == (0, "", "No model is kept here.\n")


def test_remove_without_a_terminal_needs_yes(run: Run, fetched: str, models: Path) -> None:
    problem = "error: Delete talk (102 kB)? Without a terminal nobody can be asked."

    assert run("remove", "talk") == (2, "", f"{problem}\nhint: `--yes` is the answer.\n")
    assert (models / "talk.gguf").exists()


def test_remove_yes_deletes(run: Run, fetched: str, models: Path) -> None:
    assert run("remove", "talk", "--yes") == (0, "", "Removed talk, 102 kB.\n")
    assert not (models / "talk.gguf").exists()


def test_remove_json_has_what_was_removed(run: Run, fetched: str) -> None:
    assert [entry["id"] for entry in run("remove", "talk", "-y", "--json").json["removed"]] == ["talk"]


def test_remove_of_what_is_not_kept_is_an_error(run: Run) -> None:
    result = run("remove", "colbertv2", "--yes")

    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[1] == "hint: `registry cache list` shows what is kept."


def test_cache_says_how_much_room_is_taken(run: Run, fetched: str, models: Path) -> None:
    facts = dict(run("cache").rows)

    assert (facts["folder"], facts["models"], facts["size"], facts["limit"]) == (str(models), "2", "102 kB", "none")


def test_cache_json_with_usage_has_the_models_largest_first(run: Run, fetched: str, models: Path) -> None:
    document = run("cache", "--usage", "--json").json

    assert (document["folder"], document["models"], document["max_bytes"]) == (str(models), 2, None)
    assert [entry["id"] for entry in document["entries"]] == ["talk", "see"]
    assert "entries" not in run("cache", "--json").json


def test_cache_list_has_a_row_a_model(run: Run, fetched: str, models: Path) -> None:
    see, talk = run("cache", "list").rows

    assert [talk[0], talk[1], *talk[3:]] == [
        "talk",
        str(len(CHAT_BYTES)),
        "1",
        "no",
        "download",
        str(models / "talk.gguf"),
    ]
    assert (see[0], see[2][10]) == ("see", "T")  # a time as in ISO 8601


def test_cache_list_json_is_what_the_cache_gives(run: Run, fetched: str) -> None:
    from registry.hub import Cache

    assert run("cache", "list", "--json").json == {
        "entries": [json.loads(json.dumps(entry.to_dict())) for entry in Cache().list()]
    }


def test_cache_prune_spares_what_is_pinned(run: Run, fetched: str) -> None:
    assert run("cache", "pin", "talk") == (0, "", "Pinned talk.\n")

    result = run("cache", "prune", "--max-size", "1kB", "--yes", "--json")

    assert [entry["id"] for entry in result.json["removed"]] == ["see"]
    assert run("cache", "unpin", "talk", "--json").json["pinned"] is False
    assert [row[0] for row in run("cache", "prune", "--max-size", "1kB", "--yes").rows] == ["talk"]


def test_cache_prune_dry_run_deletes_nothing(run: Run, fetched: str) -> None:
    result = run("cache", "prune", "--max-size", "0", "--dry-run")

    assert sorted(row[0] for row in result.rows) == ["see", "talk"]
    assert result.err == "2 models would go.\n"
    assert len(run("cache", "list").rows) == 2


def test_cache_prune_without_a_terminal_needs_yes(run: Run, fetched: str) -> None:
    result = run("cache", "prune", "--max-size", "0")

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[1] == "hint: `--yes` is the answer."
    assert len(run("cache", "list").rows) == 2


def test_cache_clean_takes_what_was_not_used_for_so_long(run: Run, fetched: str) -> None:
    assert run("cache", "clean", "--older-than", "1d", "--yes").rows == []
    assert sorted(row[0] for row in run("cache", "clean", "--older-than", "0s", "--yes").rows) == ["see", "talk"]


def test_cache_clean_takes_old_parts(run: Run, models: Path) -> None:
    import os

    part = models / ".downloading" / "talk.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"12")
    assert run("cache", "clean", "--json").json == {"dry_run": False, "removed": [], "parts": []}

    os.utime(part, (0, 0))

    assert run("cache", "clean") == (0, "", "Removed 1 of 1 unfinished downloads.\n")


@pytest.mark.parametrize("age", ["30", "d", "x3d", "1.5d", ""])
def test_cache_clean_of_no_age_is_wrong_usage(age: str, run: Run) -> None:
    result = run("cache", "clean", "--older-than", age)

    assert (result.code, result.err.splitlines()[0]) == (
        2,
        f"error: Invalid value for --older-than: expected an age such as `30d`, `12h` or `2w`, got `{age}`.",
    )


def test_bundle_is_installed_on_another_machine(
    run: Run, fetched: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    assert run("bundle", "talk", "see", "-o", folder, "--registry", fetched) == (0, f"{folder}\n", "")
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "other"))
    hub.requests.clear()

    result = run("install-bundle", folder, "--registry", fetched)

    assert sorted(row[0] for row in result.rows) == ["see", "talk"]
    assert hub.requests == []
    assert run("verify").code == 0


def test_bundle_without_downloads_needs_the_files(run: Run, module: str, tmp_path: Path) -> None:
    result = run("bundle", "talk", "-o", tmp_path / "bundle", "--registry", module, "--no-download")

    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[0].startswith("error: The files of `talk` are not on this machine.")


def test_bundle_json_names_folder_and_models(run: Run, fetched: str, tmp_path: Path) -> None:
    result = run("bundle", "talk", "-o", tmp_path / "bundle", "--registry", fetched, "--json")

    assert result.json == {"path": str(tmp_path / "bundle"), "models": ["talk"]}


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
    import tiny

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
