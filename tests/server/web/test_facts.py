"""Facts, addresses in texts, and numbers for people."""

from dataclasses import replace

import pytest

pytest.importorskip("fastapi")

from registry import MODEL_REGISTRY
from registry.catalog import Catalog
from registry.server.web.facts import GROUPS, groups_of, pieces_of, repository_address, ticked, web_address
from registry.server.web.figures import count_text, license_text, parameters_text, size_text, type_text


@pytest.fixture(scope="module")
def catalog():
    with Catalog.open(":memory:") as catalog:
        catalog.sync()
        yield catalog


def facts(catalog, name, record="its own"):
    found = MODEL_REGISTRY.get_model(name) if record == "its own" else record
    return {one.label: one for shown in groups_of(catalog.get(name), found).values() for one in shown}


def test_no_shipped_model_counts_as_edited(catalog):
    """What the store keeps of a record is written as the record's own value is."""
    edited = {(name, one.label) for name in MODEL_REGISTRY for one in facts(catalog, name).values() if one.edited}
    assert edited == set()


def test_sources_of_every_shipped_field_belong_to_a_fact_or_a_file():
    paths = {path for group in GROUPS.values() for fact in group for path in fact.path.split()}
    named = {path for name in MODEL_REGISTRY for path in MODEL_REGISTRY.get_sources(name)}
    rest = {path for path in named if not any(path == one or path.startswith(f"{one}.") for one in paths)}
    assert {path.partition(".")[0] for path in rest} <= {"files", "file", "variants", "superseded_by"}


def test_every_attribute_that_facts_name_is_one_of_some_record():
    records = {type(record): record for record in MODEL_REGISTRY.values()}.values()
    wanted = {fact.record.partition(".")[0] for group in GROUPS.values() for fact in group if fact.record}
    assert {name for name in wanted if not any(hasattr(record, name) for record in records)} == set()


def test_value_of_the_store_wins_and_counts_as_edited(catalog):
    record = replace(MODEL_REGISTRY.get_model("colbert-v2"), context_length=1)
    found = facts(catalog, "colbert-v2", record)["Context length in tokens"]
    assert (found.texts, found.edited, found.path) == (("512",), True, "")


def test_fact_without_a_record_has_what_the_store_has(catalog):
    found = facts(catalog, "colbert-v2", None)
    assert found["Context length in tokens"].texts == ("512",)
    assert "Layers" not in found


def test_empty_prompt_is_none_and_not_unknown(catalog):
    record = replace(MODEL_REGISTRY.get_model("bge-m3"), query_prompt="")
    assert facts(catalog, "bge-m3", record)["Query prompt"].texts == ("none",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", [("plain", False)]),
        ("see https://example.org/a (b)", [("see ", False), ("https://example.org/a", True), (" (b)", False)]),
        ("(https://example.org/a).", [("(", False), ("https://example.org/a", True), (").", False)]),
        ("https://example.org/news-...", [("https://example.org/news-...", False)]),
        ("javascript:alert(1)", [("javascript:alert(1)", False)]),
        ('https://a.b"onload=1', [("https://a.b", True), ('"onload=1', False)]),
        ("ftp://a.b data:text/html,x", [("ftp://a.b data:text/html,x", False)]),
        ("", []),
    ],
)
def test_addresses_in_a_text_are_those_of_the_web(text, expected):
    assert list(pieces_of(text)) == expected


def test_web_address_is_the_whole_text_or_nothing():
    assert web_address("https://example.org/x") == "https://example.org/x"
    assert (
        web_address("javascript:alert(1)//https://example.org") == web_address("https://a b") == web_address(None) == ""
    )


def test_repository_address_is_of_names_only():
    assert repository_address("org/model-1.0") == "https://huggingface.co/org/model-1.0"
    wrong = ("javascript:alert(1)", "../../evil", "org/model/extra", "a/b?c", None)
    assert {repository_address(name) for name in wrong} == {""}


def test_words_between_backticks_are_code():
    assert list(ticked("Model `x` is not there.")) == [("Model ", False), ("x", True), (" is not there.", False)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (90_868_376, "90.9 MB"),
        (999_600_000, "1 GB"),
        (5_444_831_232, "5.44 GB"),
        (25_274_793_984, "25.3 GB"),
        (400_000_000_000, "400 GB"),
        (999_600_000_000, "1 TB"),
        (1_234_000_000_000_000, "1,234 TB"),
    ],
)
def test_sizes_have_three_digits(size, expected):
    assert size_text(size) == expected


def test_counts_and_parameters_are_written_for_people():
    assert [count_text(number) for number in (0, 32768, 0.5)] == ["0", "32,768", "0.5"]
    assert [parameters_text(number) for number in (7.62, 0.11, 0.0227, 1000, 3e-6, 0.9999)] == [
        "7.62B",
        "110M",
        "22.7M",
        "1T",
        "3K",
        "1B",
    ]


def test_types_and_licences_are_written_for_people():
    assert [type_text(text) for text in ("dense", "new-kind", None)] == ["Dense", "new-kind", None]
    assert license_text("LicenseRef-Llama-3.1") == "Llama-3.1"
