"""The golden cases: one folder holds one models.json and all that comes of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import golden
import pytest

FOLDERS = sorted(golden.CASES.iterdir())
SCHEMA = json.loads((Path(__file__).parents[2] / "schema" / "models.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("case", FOLDERS, ids=lambda case: case.name)
def test_case_gives_what_its_folder_says(case: Path) -> None:
    assert golden.outcome(case) == golden.expected(case)


@pytest.mark.parametrize("case", FOLDERS, ids=lambda case: case.name)
def test_case_fails_exactly_when_its_name_says_so(case: Path) -> None:
    assert (case / "errors.txt").exists() is case.name.startswith("error_")


@pytest.mark.parametrize(
    ("definition", "case", "part"),
    [
        ("embeddingModel", "every_field_embedding", "models"),
        ("chatModel", "every_field_chat", "models"),
        ("adapter", "every_field_chat", "adapters"),
    ],
)
def test_case_every_field_has_every_field_of_the_schema(definition: str, case: str, part: str) -> None:
    record = json.loads((golden.CASES / case / "models.json").read_text("utf-8"))[part][0]

    assert set(_schema_paths(SCHEMA["$defs"][definition])) - set(_paths(record)) == set()


def test_rewrite_of_a_case_restores_its_files(tmp_path: Path) -> None:
    case = tmp_path / "case"
    case.mkdir()
    (case / "models.json").write_bytes((golden.CASES / "design_example" / "models.json").read_bytes())
    (case / "errors.txt").write_text("stale")

    golden.rewrite(case)

    assert golden.expected(case) == golden.expected(golden.CASES / "design_example")


def _schema_paths(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, inner in schema.get("properties", {}).items():
        here = f"{path}.{key}" if path else key
        yield here
        yield from _schema_paths(inner, here)


def _paths(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            yield here
            yield from _paths(inner, here)
