"""How matches are ranked."""

from typing import Any

import pytest

pytest.importorskip("typer")
import tiny

from registry.cli._search import ranked


def record(id: str, **changes: Any) -> Any:
    plain = {"name": "x", "huggingface_id": "x/x", "description": "", "tags": (), "capabilities": (), "languages": ()}
    return tiny.dense_record(id=id, **(plain | changes))


def found(records: list[Any], query: str) -> list[str]:
    return [each.id for each in ranked(records, query)]


def test_places_rank_from_id_to_description() -> None:
    records = [
        record("e", description="a word like code here"),
        record("d", tags=("code",)),
        record("c", family="code"),
        record("b", name="code"),
        record("code"),
    ]

    assert found(records, "code") == ["code", "b", "c", "d", "e"]


def test_whole_words_rank_before_beginnings_and_these_before_the_rest() -> None:
    records = [record("xbge"), record("bge-small"), record("bge")]

    assert found(records, "bge") == ["bge", "bge-small", "xbge"]


def test_equal_matches_keep_their_order() -> None:
    assert found([record("b-1"), record("a-1")], "1") == ["b-1", "a-1"]


def test_every_word_is_needed_in_any_place_and_case() -> None:
    records = [record("alpha", description="For Cats."), record("alpha-two")]

    assert found(records, "ALPHA cats") == ["alpha"]


def test_aliases_are_ids() -> None:
    assert found([record("a", description="zeta"), record("b", aliases=("zeta",))], "zeta") == ["b", "a"]


def test_no_word_finds_nothing() -> None:
    assert found([record("a")], "  ") == []
