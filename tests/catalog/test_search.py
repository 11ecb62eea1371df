"""Search against a slow, plain oracle, on small stores; and the ways to a page against each other."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.catalog import SORTS, Catalog, CatalogModel, Page, paging, ranking, words
from registry.errors import InvalidFieldError

Models = list[dict[str, Any]]
_COLUMNS = {"family": "model_family", "context": "context_length", "dim": "embedding_dim", "size": "file_size_bytes"}
_COLUMNS |= {"released": "release_date", "created": "created_at", "updated": "updated_at"}


def names(page: Page) -> list[str]:
    return [model.name for model in page.models]


@contextmanager
def store(models: Models) -> Iterator[Catalog]:
    with Catalog.open(":memory:") as catalog:
        with catalog._writing():
            for model in models:
                catalog.add(**model)
        yield catalog


# The oracle


def tokens(text: str | None) -> list[str]:
    folded = "".join(char for char in unicodedata.normalize("NFD", text or "") if not unicodedata.combining(char))
    return re.findall(r"[^\W_]+", folded.lower())


def columns(model: CatalogModel) -> list[list[str]]:
    texts = (model.name, model.display_name, model.model_family, model.organization, model.description, model.notes)
    return [*map(tokens, texts), tokens(" ".join(model.tags)), tokens(" ".join(model.capabilities))]


def has(column: list[str], word: list[str]) -> bool:
    """Tell whether the words stand side by side, the last one perhaps longer."""
    *whole, last = word
    starts = range(len(column) - len(word) + 1)
    return any(
        column[start : start + len(whole)] == whole and column[start + len(whole)].startswith(last) for start in starts
    )


def passes(model: CatalogModel, text: str, filters: dict[str, Any], max_ram_bytes: int | None) -> bool:
    wanted = [found for word in text.split() if (found := tokens(word))]
    if text.strip() and not wanted:
        return False
    folded = {
        "family": [model.model_family],
        "type": [model.type],
        "license": [model.license],
        "capability": model.capabilities,
        "tag": model.tags,
        "language": model.languages,
    }
    for kind, values in filters.items():
        there = {value.casefold() for value in folded[kind] if value is not None}
        asked = [value.casefold() for value in values]
        if asked and not (any if kind in ("family", "type", "license") else all)(value in there for value in asked):
            return False
    if max_ram_bytes is not None and not (0 <= (needed(model) or -1) <= max_ram_bytes):
        return False
    return all(any(has(column, word) for column in columns(model)) for word in wanted)


def needed(model: CatalogModel) -> int | None:
    if model.ram_required_mb is not None:
        return model.ram_required_mb * 10**6
    return None if model.file_size_bytes is None else model.file_size_bytes + model.file_size_bytes // 4


def in_order(models: list[CatalogModel], sort: str) -> list[int]:
    name = sort.removeprefix("-")

    def key(model: CatalogModel) -> Any:
        value = (
            needed(model)
            if name == "ram"
            else getattr(model, _COLUMNS.get(name, {"family": "model_family"}.get(name, name)))
        )
        return value.lower() if isinstance(value, str) else value

    known = sorted((model for model in models if key(model) is not None), key=lambda model: (key(model), model.id))
    unknown = sorted((model for model in models if key(model) is None), key=lambda model: model.id)
    if sort.startswith("-"):
        known, unknown = known[::-1], unknown[::-1]
    return [model.id for model in (*known, *unknown)]


# Small words, so that they meet; letters that fold, cut, or mean something to FTS5.
WORDS = st.sampled_from(["qwen", "qwen2", "Qwen2.5", "coder", "cod", "chat", "É-clair", "eclair", "a", "5", "MIT"])
TEXTS = st.lists(WORDS, max_size=4).map(" ".join)
VALUES = st.sampled_from(["Chat", "chat", "code", "Élan", "élan", "x y", "¤f", "Qwen"])
LISTS = st.lists(VALUES, max_size=3)
NUMBERS = st.none() | st.integers(1, 4)
MODELS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.from_regex(r"[a-c](-(qwen2\.5|coder|chat))?", fullmatch=True),
            "display_name": st.none() | TEXTS,
            "type": st.none() | VALUES,
            "model_family": st.none() | VALUES,
            "license": st.none() | VALUES,
            "organization": st.none() | TEXTS,
            "parameters": NUMBERS,
            "context_length": NUMBERS,
            "file_size_bytes": NUMBERS,
            "ram_required_mb": st.none() | st.just(1),
            "release_date": st.none() | st.sampled_from(["2024", "2025-01"]),
            "description": st.none() | TEXTS,
            "tags": LISTS,
            "capabilities": LISTS,
            "languages": LISTS,
        }
    ).map(lambda model: {**model, "display_name": model["display_name"] or model["name"]}),
    max_size=8,
    unique_by=lambda model: model["name"].lower(),
)
FILTERS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("family", "type", "license", "capability", "tag", "language"), LISTS)
)


@settings(max_examples=300)
@given(
    models=MODELS,
    text=TEXTS,
    filters=FILTERS,
    max_ram_bytes=st.none() | st.integers(0, 6) | st.just(10**6),
    sort=st.sampled_from([*SORTS, *(f"-{name}" for name in SORTS)]),
)
def test_search_finds_what_a_plain_loop_finds(
    models: Models, text: str, filters: dict[str, Any], max_ram_bytes: int | None, sort: str
) -> None:
    with store(models) as catalog:
        every = [catalog.get(model["name"]) for model in models]
        found = [model for model in every if passes(model, text, filters, max_ram_bytes)]
        page = catalog.search(text, **filters, max_ram_bytes=max_ram_bytes, sort=sort, limit=100)
        assert page.total == len(found)
        assert [model.id for model in page.models] == in_order(found, sort)
        best = catalog.search(text, **filters, max_ram_bytes=max_ram_bytes, limit=100)
        assert {model.id for model in best.models} == {model.id for model in found}
        assert list(page.models) == [catalog.get(model.id) for model in page.models]


@settings(max_examples=50)
@given(models=MODELS, text=TEXTS, sort=st.none() | st.sampled_from(SORTS), limit=st.integers(1, 3))
def test_pages_of_a_search_are_its_parts(models: Models, text: str, sort: str | None, limit: int) -> None:
    with store(models) as catalog:
        whole = catalog.search(text, sort=sort, limit=100)
        offsets = range(0, len(models) + 1, limit)
        parts = [catalog.search(text, sort=sort, limit=limit, offset=offset) for offset in offsets]
        assert [model for part in parts for model in part.models] == list(whole.models)
        assert {part.total for part in parts} == {whole.total}


@settings(max_examples=300)
@given(text=st.text() | st.text(alphabet='"*()-+:^{}AND OR NOT NEAR \u00a4\ud800\x00a5', max_size=30))
def test_text_is_never_syntax_and_never_an_error(text: str) -> None:
    with store([{"name": "a-5", "description": "AND or NOT near a5"}]) as catalog:
        assert catalog.search(text).total in (0, 1)
        assert catalog.search(tag=text, family=[text, text], language=text).total == 0


@given(models=MODELS, changes=st.lists(st.tuples(st.integers(0, 7), MODELS), max_size=3))
def test_search_follows_every_change(models: Models, changes: list[tuple[int, Models]]) -> None:
    with store(models) as catalog:
        left = [model["name"] for model in models]
        for place, others in changes:
            if place < len(left) and others:
                catalog.update(left[place], **{**others[0], "name": left[place]})
            elif place < len(left):
                catalog.remove(left.pop(place))
        every = [catalog.get(name) for name in left]
        for text in ("qwen", "2.5", "eclair", "chat", "x y"):
            assert catalog.search(text).total == sum(passes(model, text, {}, None) for model in every)
            assert catalog.search(tag=text).total == sum(passes(model, "", {"tag": [text]}, None) for model in every)
        check_counts(catalog, every)


def check_counts(catalog: Catalog, every: list[CatalogModel]) -> None:
    """See that what triggers count is what there is, and that the index of words is whole."""
    for counted, values in (
        (catalog.families(), [[model.model_family] for model in every]),
        (catalog.types(), [[model.type] for model in every]),
        (catalog.licenses(), [[model.license] for model in every]),
        (catalog.tags(), [model.tags for model in every]),
        (catalog.capabilities(), [model.capabilities for model in every]),
        (catalog.languages(), [model.languages for model in every]),
    ):
        plain: dict[str, int] = {}
        for value in (value.casefold() for some in values for value in some if value is not None):
            plain[value] = plain.get(value, 0) + 1
        assert {each.value.casefold(): each.models for each in counted} == plain
    stats = catalog.stats()
    assert stats.models == len(every)
    assert stats.total_bytes == sum(model.file_size_bytes or 0 for model in every)
    assert sum(stats.size_classes.values()) == len(every)
    with catalog._writing() as connection:
        connection.execute("INSERT INTO model_words (model_words, rank) VALUES ('integrity-check', 1)")


# Single behaviours


@pytest.fixture
def models(catalog: Catalog) -> Catalog:
    """Five models."""
    with catalog._writing():
        catalog.add(name="qwen2.5-coder-7b", type="chat", parameters=7, tags=["code", "Small"], license="Apache-2.0")
        catalog.add(name="qwen2.5-7b", type="chat", parameters=7, tags=["small"], languages=["en", "zh"])
        catalog.add(name="colbert-v2", type="colbert", parameters=0.11, description="Late interaction, not qwen")
        catalog.add(name="llama-3-8b", type="chat", parameters=8, ram_required_mb=6000, license="LicenseRef-Llama-3")
        catalog.add(name="mystery", display_name="Müller's Model")
    return catalog


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("qwen2.5-cod", ["qwen2.5-coder-7b"]),
        ("QWEN coder", ["qwen2.5-coder-7b"]),
        ("qwen llama", []),
        ("muller", ["mystery"]),
        ("Müll", ["mystery"]),
        ("qwen2.7", []),
        ("7b qwen2.5", ["qwen2.5-7b", "qwen2.5-coder-7b"]),
        ("nteraction", []),
        ("!?", []),
        ("  ", ["colbert-v2", "llama-3-8b", "mystery", "qwen2.5-7b", "qwen2.5-coder-7b"]),
    ],
)
def test_search_text(models: Catalog, text: str, found: list[str]) -> None:
    assert sorted(names(models.search(text))) == found


def test_search_puts_names_before_descriptions(models: Catalog) -> None:
    assert names(models.search("qwen"))[-1] == "colbert-v2"


def test_search_filter_ignores_case_and_takes_several(models: Catalog) -> None:
    assert names(models.search(type="CHAT", tag=["SMALL", "Code"])) == ["qwen2.5-coder-7b"]
    assert names(models.search(license=["apache-2.0", "licenseref-llama-3"])) == ["llama-3-8b", "qwen2.5-coder-7b"]
    assert models.search(tag=["small", "nope"]).total == 0
    assert models.search(type=["nope", "colbert"]).total == 1
    assert models.search(type=[]).total == 5


def test_search_max_ram_takes_what_is_stated_before_what_follows_from_the_weights(models: Catalog) -> None:
    models.update("llama-3-8b", file_size_bytes=5_000_000_000)
    models.update("qwen2.5-7b", file_size_bytes=4_800_000_000)
    assert names(models.search(max_ram_bytes=6_000_000_000)) == ["llama-3-8b", "qwen2.5-7b"]
    assert names(models.search(max_ram_bytes=5_999_999_999)) == []


def test_search_sort_puts_what_is_unknown_last(models: Catalog) -> None:
    ascending = ["colbert-v2", "qwen2.5-coder-7b", "qwen2.5-7b", "llama-3-8b", "mystery"]
    assert names(models.search(sort="parameters")) == ascending
    assert names(models.search(sort="-parameters")) == [*ascending[3::-1], "mystery"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sort": "beauty"},
            (
                "`sort`: expected one of id, name, type, family, parameters, context, dim, size, ram, released, "
                "created, updated, with `-` in front for the largest first, got 'beauty'."
            ),
        ),
        ({"limit": -1}, "`limit`: expected a whole number from 0 to 9007199254740991, got -1."),
        ({"offset": 1.5}, "`offset`: expected a whole number from 0 to 9007199254740991, got 1.5."),
        ({"max_ram_bytes": -5}, "`max_ram_bytes`: expected a whole number from 0 to 9007199254740991, got -5."),
        ({"limit": 2**53}, "`limit`: expected a whole number from 0 to 9007199254740991, got 9007199254740992."),
    ],
)
def test_search_option_that_cannot_be_is_refused(catalog: Catalog, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        catalog.search("x", **options)
    assert str(caught.value) == message


def test_page_says_what_was_asked(models: Catalog) -> None:
    page = models.search(limit=2, offset=4)
    assert (names(page), page.total, page.limit, page.offset) == (["qwen2.5-coder-7b"], 5, 2, 4)
    assert models.search(limit=0).models == ()
    assert models.search(offset=10**9).total == 5


def test_text_of_very_many_words_is_searched(models: Catalog) -> None:
    assert models.search("qwen " * 10_000 + " ".join(f"w{number}" for number in range(3000))).total == 0
    assert models.search("qwen2.5-coder " * 10_000).total == 1


def test_filter_cannot_be_forged_by_a_text(catalog: Catalog) -> None:
    catalog.add(name="real", type="chat")
    forged = f"{words.MARK}k{b'chat'.hex()}"
    catalog.add(name="forger", description=forged, notes=forged, tags=[forged], display_name=forged)
    assert names(catalog.search(type="chat", tag=[])) == ["real"]
    assert names(catalog.search("x", type="chat")) == []
    assert names(catalog.search(forged)) == ["forger"]
    with catalog._reading() as connection:
        query = words.all_of(words.filter_query("type", ["chat"]), words.filter_query("type", ["chat"]))
        found = connection.execute("SELECT rowid FROM model_words WHERE model_words MATCH ?", (query,)).fetchall()
    assert found == [(1,)]


def test_word_with_more_completions_than_are_tried_is_found_all_the_same(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with catalog._writing():
        for number in range(50):
            catalog.add(name=f"m{number}", description=f"beginning{number} shared")
    assert catalog.search("beginning").total == 50
    assert catalog.search("beginning1").total == 11
    assert catalog.search("begi shar").total == 50
    monkeypatch.setattr(words, "_COMPLETED", 1000)
    assert catalog.search("beginning").total == 50


@pytest.mark.parametrize("way", ["look", "keep", "gather"])
@pytest.mark.parametrize("text", ["", "qwen", "model many"])
@pytest.mark.parametrize("sort", ["name", "-parameters", "ram", "-ram"])
@pytest.mark.parametrize("max_ram_bytes", [None, 100])
def test_every_way_leads_to_the_same_page(
    monkeypatch: pytest.MonkeyPatch, way: str, text: str, sort: str, max_ram_bytes: int | None
) -> None:
    with Catalog.open(":memory:") as catalog:
        with catalog._writing():
            for number in range(120):
                sizes = {"parameters": number % 7 or None, "file_size_bytes": number}
                catalog.add(
                    name=f"m{number}", type="chat" if number % 3 else "dense", notes="qwen many models", **sizes
                )
        plain = catalog.search(text, type="chat", sort=sort, max_ram_bytes=max_ram_bytes, limit=200)
        prefer(monkeypatch, way)
        for offset in (0, 5, 70):
            page = catalog.search(text, type="chat", sort=sort, max_ram_bytes=max_ram_bytes, limit=7, offset=offset)
            assert page.models == plain.models[offset : offset + 7]
            assert page.total == plain.total == (80 if max_ram_bytes is None else 54)


def prefer(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Make one way to a page look the shortest."""
    cost = {"look": 0.0, "keep": 1e9, "gather": 1e9} | {way: 0.0}
    if way != "look":
        cost["look"] = 1e12
    for name, cost_us in cost.items():
        plain = getattr(paging, f"_{name}")
        monkeypatch.setattr(
            paging, f"_{name}", lambda *given, plain=plain, us=cost_us: plain(*given)._replace(cost_us=us)
        )


def test_way_that_takes_too_long_is_given_up_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up: list[bool] = []
    page_before = paging._page_before

    def count(*given: Any) -> list[int]:
        try:
            return page_before(*given)
        except TimeoutError:
            given_up.append(True)
            raise

    monkeypatch.setattr(paging, "_page_before", count)
    monkeypatch.setattr(paging, "_LOOK_US", -1e6)  # it looks the shortest, and its deadline has passed
    monkeypatch.setattr(paging, "_KEEP_US", -1.0)
    monkeypatch.setattr(paging, "_INSTRUCTIONS", 1)
    with store([{"name": f"m{number}", "type": "chat"} for number in range(50)]) as catalog:
        page = catalog.search(type="chat", sort="-name", tag=None, limit=3, offset=10)
        assert names(page) == ["m44", "m43", "m42"]
    assert given_up == [True]


def test_broad_text_is_in_the_order_of_numbers_with_names_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "RANKED", 2)
    models = [{"name": f"m{n}", "description": "qwen"} for n in range(5)] + [{"name": f"qwen-{n}"} for n in range(4)]
    with store(models) as catalog:
        whole = ["qwen-0", "qwen-1", "qwen-2", "qwen-3", "m0", "m1", "m2", "m3", "m4"]
        assert names(catalog.search("qwen")) == whole
        assert [names(catalog.search("qwen", limit=2, offset=offset)) for offset in (0, 3, 5)] == [
            whole[0:2],
            whole[3:5],
            whole[5:7],
        ]


def test_names_come_before_labels_and_these_before_descriptions_the_shortest_first() -> None:
    models: Models = [
        {"name": "d", "description": "qwen chat"},
        {"name": "b-2", "tags": ["qwen"], "capabilities": ["chat"]},
        {"name": "b", "model_family": "Qwen", "organization": "Chatters"},
        {"name": "qwen-of-some-chatters"},
        {"name": "x", "display_name": "Qwen Chat"},
        {"name": "c", "tags": ["qwen"], "notes": "chat"},
    ]
    with store(models) as catalog:
        assert names(catalog.search("chat qwen")) == ["x", "qwen-of-some-chatters", "b", "b-2", "d", "c"]


@pytest.mark.parametrize("ranked", [0, 1000])
def test_model_of_that_very_name_is_first(monkeypatch: pytest.MonkeyPatch, ranked: int) -> None:
    monkeypatch.setattr(ranking, "RANKED", ranked)
    models: Models = [{"name": f"qwen-{n}", "tags": ["t"], "file_size_bytes": 8} for n in range(3)]
    models += [{"name": "qwen", "tags": ["t"], "file_size_bytes": 9}, {"name": "x", "notes": "qwen"}]
    with store(models) as catalog:
        assert names(catalog.search("QWEN "))[0] == "qwen"
        assert names(catalog.search("qwen", tag="t"))[0] == "qwen"
        pages = [names(catalog.search("qwen", limit=2, offset=offset)) for offset in (0, 2, 4)]
        assert [name for page in pages for name in page] == names(catalog.search("qwen"))
        assert sorted(names(catalog.search("qwen", max_ram_bytes=10))) == ["qwen-0", "qwen-1", "qwen-2"]


def test_total_is_remembered_until_a_model_changes(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    from registry.catalog import totals

    counted: list[str | None] = []
    plain: Callable[..., int] = totals._counted

    def count(connection: Any, query: str | None, max_ram_bytes: int | None) -> int:
        counted.append(query)
        return plain(connection, query, max_ram_bytes)

    monkeypatch.setattr(totals, "_counted", count)
    catalog.add(name="a", type="chat", tags=["t"], file_size_bytes=100)
    search = lambda: catalog.search(type="chat", tag="t", max_ram_bytes=1000).total  # noqa: E731
    assert (search(), search(), len(counted)) == (1, 1, 1)
    catalog.update("a", file_size_bytes=10_000)
    assert (search(), len(counted)) == (0, 2)
    catalog.update("a", ram_required_mb=0)
    assert (search(), len(counted)) == (1, 3)
    catalog.update("a", tags=[])
    assert search() == 0
