"""`registry cache`: what is shown and tidied."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")

from .keeping import CHAT_BYTES

Run = Callable[..., Any]


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
    part = models / ".downloading" / "talk.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"12")
    assert run("cache", "clean", "--json").json == {"dry_run": False, "removed": [], "parts": []}

    os.utime(part, (0, 0))

    assert run("cache", "clean") == (0, "", "Removed 1 of 1 unfinished downloads.\n")
    assert not part.exists()


def test_cache_clean_dry_run_shows_old_parts(run: Run, models: Path) -> None:
    part = models / ".downloading" / "talk.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"12")
    os.utime(part, (0, 0))

    assert run("cache", "clean", "--dry-run") == (0, "", f"1 of 1 unfinished downloads would go, {part}.\n")
    assert run("cache", "clean", "--dry-run", "--json").json["parts"] == [str(part)]
    assert part.exists()


def test_cache_clean_of_old_models_counts_the_parts_too(run: Run, fetched: str, models: Path) -> None:
    part = models / ".downloading" / "old.gguf.part"
    part.write_bytes(b"12")
    os.utime(part, (0, 0))

    document = run("cache", "clean", "--older-than", "0s", "--yes", "--json").json

    assert ([entry["id"] for entry in document["removed"]], document["parts"]) == (["talk", "see"], [str(part)])


@pytest.mark.parametrize("age", ["30", "d", "x3d", "1.5d", ""])
def test_cache_clean_of_no_age_is_wrong_usage(age: str, run: Run) -> None:
    result = run("cache", "clean", "--older-than", age)

    assert (result.code, result.err.splitlines()[0]) == (
        2,
        f"error: Invalid value for --older-than: expected an age such as `30d`, `12h` or `2w`, got `{age}`.",
    )
