"""The whole page is in the golden cases; here are the cells."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry_build.pages import page
from registry_build.plan import plan
from registry_build.source import read

Record = dict[str, Any]


@pytest.fixture
def cells(write_data: Callable[..., Path]) -> Callable[..., list[str]]:
    """Give the cells of the last row of the page."""
    return lambda *records: [
        cell.strip() for cell in page(plan(read(write_data(*records)))).splitlines()[-1].split(" | ")
    ]


@pytest.fixture
def headings(write_data: Callable[..., Path]) -> Callable[..., list[str]]:
    return lambda *records: [
        line for line in page(plan(read(write_data(*records)))).splitlines() if line.startswith("##")
    ]


def test_page_row_of_an_embedding_record_has_its_facts(cells: Callable[..., list[str]], embedding: Record) -> None:
    assert cells(embedding) == [
        "| `new-model`",
        "[org/new-model](https://huggingface.co/org/new-model)",
        "110M",
        "128",
        "512",
        "MIT",
        "|",
    ]


def test_page_row_of_unknown_values_has_empty_cells(
    cells: Callable[..., list[str]], embedding: Record, put: Callable[..., Record]
) -> None:
    record = put(put(put(embedding, "specs.parameters", None), "license", None), "specs.context_length", None)

    assert cells(record)[2:6] == ["", "128", "", ""]


def test_page_row_of_a_role_has_what_the_profile_states(write_data: Callable[..., Path], embedding: Record) -> None:
    stated = {"name": "a|b", "provider": "openai", "parameters": {"top_p": 0.9, "stop": ["x"]}, "fallback": ["c", "d"]}
    profiles = {"laptop": {"description": "Small <b>.", "models": {"general": stated, "coding": "e"}}}

    lines = page(plan(read(write_data(embedding, profiles=profiles)))).splitlines()

    assert lines[lines.index("## Profiles") :] == [
        "## Profiles",
        "",
        "The model that a profile has for each role: a record of this page, or a name that the provider knows.",
        "",
        "### `laptop`",
        "",
        "Small &lt;b>.",
        "",
        "| role | model | provider | parameters | fallback |",
        "|---|---|---|---|---|",
        "| `coding` | e |  |  |  |",
        '| `general` | a\\|b | openai | stop ["x"], top_p 0.9 | c, d |',
    ]


HASHED = {"name": "model.safetensors", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("revision", "weights", "pinned"),
    [
        (None, {"safetensors": "model.safetensors"}, "|"),
        ("0" * 40, {"safetensors": "model.safetensors"}, "commit |"),
        ("0" * 40, {"safetensors": HASHED}, "commit, sha256 |"),
        (None, {"safetensors": [HASHED, HASHED]}, "sha256 |"),
        (None, {"safetensors": [HASHED, "model-2.safetensors"]}, "|"),
        (None, {"pytorch": HASHED}, "|"),
    ],
)
def test_page_says_what_proves_a_download(
    revision: str | None,
    weights: Record,
    pinned: str,
    cells: Callable[..., list[str]],
    embedding: Record,
    put: Callable[..., Record],
) -> None:
    assert cells(put(put(embedding, "revision", revision), "files.weights", weights))[-1] == pinned


def test_page_has_a_heading_a_type_in_the_order_of_the_file(
    headings: Callable[..., list[str]], embedding: Record, chat: Record, put: Callable[..., Record]
) -> None:
    hologram = put(put(embedding, "type", "hologram"), "id", "hologram-1")

    assert headings(chat, embedding, hologram) == [
        "## Chat models (GGUF)",
        "## Late interaction (ColBERT)",
        "## Type `hologram`",
    ]
