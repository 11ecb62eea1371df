"""The pages, read as a browser without JavaScript reads them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")
pytest.importorskip("jinja2")
pytest.importorskip("prometheus_client")

from registry import MODEL_REGISTRY
from registry.catalog import Catalog
from server.showing import GB, Page, Registry, client_of, machine_with

CHAT, COLBERT, DENSE = "qwen2.5-coder-7b-q5_k_m", "colbert-v2", "bge-m3"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine of 32 GB, 20 of them free, and with a home of its own; call it for another one."""
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))

    def have(**memory: Any) -> None:
        monkeypatch.setattr("registry.server.web.this_machine.probe", lambda: machine_with(**memory))

    have()
    return have


@pytest.fixture(scope="module", autouse=True)
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """The models of the registry; tests that write take a store of their own. Nothing of the user's is looked at."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch, Catalog.open(":memory:") as catalog:
        patch.setenv("REGISTRY_HOME", str(folder / "home"))
        patch.setenv("HF_HUB_CACHE", str(folder / "hub"))
        patch.delenv("REGISTRY_API_KEY", raising=False)
        patch.setattr("registry.server.web.this_machine.probe", machine_with)
        catalog.sync()
        yield catalog


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with Catalog.open(":memory:") as catalog:
        catalog.sync()
        yield catalog


@pytest.fixture(scope="module")
def client(shipped: Catalog) -> Iterator[Any]:
    with client_of(shipped) as client:
        yield client


@pytest.fixture(scope="module")
def get(client: Any) -> Callable[[str], Page]:
    def read(address: str) -> Page:
        answer = client.get(address)
        assert answer.status_code == 200, (address, answer.status_code)
        return Page(answer.text)

    return read


def names(page: Page) -> list[str | None]:
    return [box["value"] for box in page.all("input", type="checkbox", name="model")]


def heading(page: Page) -> str:
    return page.text("h2", id="results-heading")


# The list


def test_list_shows_first_page_and_counts_all(get):
    page = get("/")
    assert page.text("h1") == "Models"
    assert heading(page) == f"{len(MODEL_REGISTRY)} models 1\N{EN DASH}50"
    assert len(names(page)) == 50


def test_page_has_language_title_and_viewport(get):
    page = get("/")
    assert page.all("html") == [{"lang": "en"}]
    assert page.text("title") == "Models · Model registry"
    assert page.all("meta", name="viewport")[0]["content"] == "width=device-width, initial-scale=1"
    assert page.all("a", class_="skip") == [{"class": "skip", "href": "#main"}]


def test_search_lists_what_has_all_words(get):
    page = get("/?search=colbert+v2")
    assert COLBERT in names(page)
    assert page.all("input", name="search")[0]["value"] == "colbert v2"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type=colbert", {"type": "colbert"}),
        ("family=Qwen2.5-Coder", {"family": "Qwen2.5-Coder"}),
        ("capability=reranking", {"capability": "reranking"}),
        ("tag=matryoshka", {"tag": "matryoshka"}),
        ("language=de&type=colbert", {"language": "de", "type": "colbert"}),
        ("license=CC-BY-NC-SA-4.0", {"license": "CC-BY-NC-SA-4.0"}),
    ],
)
def test_filter_lists_what_the_registry_finds(get, query, expected):
    assert set(names(get(f"/?{query}"))) == {record.id for record in MODEL_REGISTRY.find_models(**expected)}


def test_filters_ignore_case_and_show_as_chosen(get):
    page = get("/?type=COLBERT")
    assert set(names(page)) == {record.id for record in MODEL_REGISTRY.models_by_type("colbert")}
    assert [box["value"] for box in page.all("input", name="type", checked=None)] == ["colbert"]


def test_two_types_list_the_models_of_either(get):
    page = get("/?type=reranker&type=sparse")
    wanted = (*MODEL_REGISTRY.models_by_type("reranker"), *MODEL_REGISTRY.models_by_type("sparse"))
    assert set(names(page)) == {record.id for record in wanted}


def test_two_tags_list_the_models_that_have_both(get):
    page = get("/?tag=multilingual&tag=long-context&type=dense")
    wanted = {"multilingual", "long-context"}
    dense = MODEL_REGISTRY.models_by_type("dense")
    assert set(names(page)) == {record.id for record in dense if wanted <= set(record.tags)}
    assert len(names(page)) > 1


def test_filters_stand_in_the_form_and_as_links_that_take_them_away(get):
    page = get("/?type=chat&search=coder&fits=1&max_ram=8GB")
    chips = dict(zip(page.texts("a", href="/?search=coder&max_ram=8GB&fits=1"), ["type"], strict=True))
    assert chips == {"Type: Chat, remove": "type"}
    assert page.all("option", selected=None, value="8GB")
    assert [box["name"] for box in page.all("input", checked=None)] == ["fits", "type"]


def test_empty_fields_of_the_form_go_from_the_address(client):
    answer = client.get("/?search=&type=chat&family=&max_ram=&sort=-size&page=2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?type=chat&sort=-size&page=2")


@pytest.mark.parametrize(
    "query", ["sort=nothing", "page=x", "page=-1", "page=99999999999", "max_ram=lots", "what=ever"]
)
def test_values_that_cannot_be_are_passed_over(get, query):
    assert heading(get(f"/?{query}")).startswith(f"{len(MODEL_REGISTRY)} models")


def test_sort_orders_by_size_and_heading_turns_it_round(get):
    page = get("/?type=chat&sort=-parameters")
    counts = [record.parameter_count or 0 for record in map(MODEL_REGISTRY.get_model, map(str, names(page)))]
    assert counts == sorted(counts, reverse=True)
    (heading,) = page.all("th", class_="col-parameters")
    assert heading["aria-sort"] == "descending"
    assert page.all("a", id="sort-parameters") == [{"id": "sort-parameters", "href": "/?type=chat&sort=parameters"}]
    assert page.all("th", class_="col-model")[0]["aria-sort"] == "none"


def test_pages_follow_one_another_and_keep_the_question(get):
    first = get("/?type=chat")
    assert first.all("a", rel="next") == [{"rel": "next", "href": "/?type=chat&page=2"}]
    second = get("/?type=chat&page=2")
    assert second.all("a", rel="prev") == [{"rel": "prev", "href": "/?type=chat"}]
    assert not set(names(first)) & set(names(second))
    assert second.texts("a", aria_current="page") == ["Models", "Page 2"]


def test_page_past_the_end_leads_back(get):
    page = get("/?type=chat&page=50")
    assert page.texts("a", href="/?type=chat&page=3") == ["Go to the last page", "Page 3"]


def test_empty_result_has_ways_out(get):
    page = get("/?search=zzzz&type=chat")
    assert heading(page) == "No model is like this"
    assert page.texts("a", href="/?search=zzzz") == ["Type: Chat, remove"]
    assert page.texts("a", href="/?type=chat") == ["“zzzz”, remove"]
    assert f"Show all {len(MODEL_REGISTRY)} models" in page.texts("a", href="/")


def test_list_marks_what_has_a_successor(get):
    page = get("/?search=snowflake-arctic-embed-m-long")
    assert page.texts("span", class_="mark-successor") == ["Has a successor"]


def test_list_marks_what_is_recommended(get):
    page = get("/?type=colbert")
    wanted = [record for record in MODEL_REGISTRY.models_by_type("colbert") if record.recommended]
    assert page.texts("span", class_="mark-recommended") == ["Recommended"] * len(wanted)


def test_list_says_not_known_where_nothing_is(get):
    page = get("/?search=splade-v3&type=sparse")
    assert page.texts("td", class_="col-size")[names(page).index("splade-v3")] == "\N{EN DASH}not known"


def test_deprecated_model_is_marked():
    registry = Registry(replace(MODEL_REGISTRY.get_model(COLBERT), deprecated=True))
    with Catalog.open(":memory:") as catalog, client_of(catalog, registry) as client:
        page = Page(client.get("/").text)
    assert page.texts("span", class_="mark-deprecated") == ["Deprecated"]


# What this machine says


def test_verdicts_follow_the_memory_of_the_machine(shipped, machine):
    said = {}
    for free, total in ((20 * GB, 32 * GB), (5 * GB, 32 * GB), (5 * GB, 8 * GB)):
        machine(available=free, total=total)
        with client_of(shipped) as client:
            page = Page(client.get(f"/models/{CHAT}").text)
        said[free, total] = page.texts("span", class_="fits")
    assert said == {
        (20 * GB, 32 * GB): ["fits"],
        (5 * GB, 32 * GB): ["fits if memory is freed"],
        (5 * GB, 8 * GB): ["too large"],
    }


def test_fits_lists_only_what_fits_now(shipped, machine):
    machine(available=6 * GB, total=8 * GB)
    with client_of(shipped) as client:
        page = Page(client.get("/?fits=1&type=chat").text)
    assert 0 < len(names(page)) < 126
    assert set(page.texts("span", class_="fits")) == {"fits"}


def test_memory_lists_what_is_known_to_need_at_most_that(get):
    from registry.hardware.requirement import need_of

    needs = {record.id: need_of(record).total_bytes for record in MODEL_REGISTRY.models_by_type("chat")}
    page = get("/?max_ram=2GB&type=chat")
    assert set(names(page)) == {name for name, need in needs.items() if need is not None and need <= 2 * GB}
    assert names(page)


def test_memory_of_more_models_than_are_judged_is_left_to_the_store(shipped, machine, monkeypatch):
    monkeypatch.setattr("registry.server.web.pages._MOST_JUDGED", 100)
    machine(available=5 * GB)
    with client_of(shipped) as client:
        page = Page(client.get("/?fits=1&type=chat").text)
        narrow = Page(client.get("/?fits=1&type=colbert").text)
    assert names(page) == [model.name for model in shipped.search(type="chat", max_ram_bytes=3 * GB).models]
    assert page.texts("p", class_="notice")[0].startswith("So many models are not judged one by one")
    assert narrow.texts("p", class_="notice") == []


def test_files_of_more_models_than_are_looked_for_are_said_to_be_so(shipped, machine, monkeypatch):
    monkeypatch.setattr("registry.server.web.pages._MOST_JUDGED", 100)
    with client_of(shipped) as client:
        page = Page(client.get("/?here=1&type=chat").text)
    assert page.texts("p", class_="notice")[0].startswith("Only the first 5,000 of these models")


def test_files_on_this_machine_are_marked_and_shown(shipped, machine, tmp_path):
    record = MODEL_REGISTRY.get_model("qwen2.5-coder-14b-q5_k_m")
    kept = tmp_path / "home" / "models" / f"{record.id}.gguf"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"GGUF, but no more than that")
    with client_of(shipped) as client:
        listed = Page(client.get("/?here=1&type=chat").text)
        page = Page(client.get(f"/models/{record.id}").text)
    assert names(listed) == [record.id]
    assert listed.texts("span", class_="mark-here") == ["On this machine"]
    assert str(kept) in page.texts("code")


def test_machine_that_does_not_tell_is_said_to_be_silent(shipped, machine):
    machine(available=None, total=None)
    with client_of(shipped) as client:
        page = Page(client.get("/").text)
    assert page.text("p", class_="lede").endswith("This machine: does not tell its memory.")
    assert page.texts("span", class_="fits-fits") == []


# A model


def test_model_page_groups_facts_and_cites_sources(get):
    page = get(f"/models/{COLBERT}")
    assert page.text("h1") == "colbertv2.0"
    facts = dict(zip(page.texts("dt"), page.texts("dd"), strict=True))
    assert facts["Embedding dimension"].startswith("128")
    assert facts["Layers"].startswith("12")
    cited = [link for link in page.links if link.startswith("#source-")]
    sources = {f"#{item['id']}" for item in page.all("li") if (item.get("id") or "").startswith("source-")}
    assert cited
    assert set(cited) <= sources


def test_sources_link_to_the_web_and_only_where_the_address_is_whole(get):
    page = get(f"/models/{COLBERT}")
    outside = [link for link in page.links if "://" in link]
    assert all(link.startswith("https://") for link in outside)
    assert not any("..." in link for link in outside)
    assert any(link.startswith("https://www.wizwand.com/paper/") for link in outside)


def test_unknown_facts_are_named_and_not_guessed(get):
    page = get("/models/splade-v3")
    assert "Not known: commit, version, other names." in page.texts("p", class_="hint")
    assert ("Memory needed", "not known") in set(zip(page.texts("dt"), page.texts("dd"), strict=True))


def test_memory_is_drawn_beside_what_the_machine_has(get):
    page = get(f"/models/{CHAT}")
    assert page.text("h2", id="memory") == "Memory by context length"
    said = page.texts("desc", id="memory-desc")[0]
    assert said.startswith("2,048 tokens take 5.83 GB; ")
    assert said.endswith("memory: 32 GB; available now: 20 GB")
    assert page.all("rect", class_="part-kv_cache")
    assert page.texts("th", scope="row")[:2] == ["2,048 tokens", "4,096 tokens"]


def test_memory_that_cannot_be_told_says_what_is_not_known(get):
    page = get("/models/splade-v3")
    assert page.all("svg", class_="memory-chart") == []
    (said,) = [text for text in page.texts("p", class_="empty-note") if "memory" in text]
    assert said.startswith("How much memory this model takes cannot be told: not known is hidden_dim.")


def test_files_have_hashes(get):
    page = get(f"/models/{CHAT}")
    record = MODEL_REGISTRY.get_model(CHAT)
    assert page.texts("code", id="hash-1") == [record.file.sha256]
    assert record.file.name in page.texts("code", class_="file-name")


def test_other_quantizations_are_related(get):
    page = get(f"/models/{CHAT}")
    assert "/models/qwen2.5-coder-7b-q4_k_m" in page.links
    assert "Other quantizations" in page.texts("h3")


def test_successor_is_named(get):
    page = get("/models/nomic-embed-text-v1")
    successor = MODEL_REGISTRY.get_model("nomic-embed-text-v1").superseded_by
    assert page.texts("a", href=f"/models/{successor}")


def test_measurements_are_listed_and_drawn_beside_relatives(catalog):
    for name, speed in ((CHAT, 11.25), ("qwen2.5-coder-3b-q4_k_m", 24.8)):
        measured = {"metric_type": "tokens_per_second", "metric_value": speed, "unit": "tokens/s"}
        catalog.add_metrics(name, [measured | {"hardware_type": "cpu", "hardware_name": "EPYC"}])
    with client_of(catalog) as client:
        page = Page(client.get(f"/models/{CHAT}").text)
    assert "Answer speed" in page.texts("th", scope="row")
    said = page.texts("desc", id="measured-1-desc")[0]
    assert CHAT in said
    assert "qwen2.5-coder-3b-q4_k_m" in said
    assert "style" not in {name for _, attributes, _ in page.elements for name in attributes}


@pytest.mark.parametrize("other", ["qwen2.5-coder-7b-q5", CHAT.upper(), "number"])
def test_other_names_lead_to_the_page(client, shipped, other):
    name = str(shipped.get(CHAT).id) if other == "number" else other
    answer = client.get(f"/models/{name}")
    assert (answer.status_code, answer.headers["location"]) == (308, f"/models/{CHAT}")


def test_model_that_is_not_there_is_404_with_close_matches(client):
    answer = client.get("/models/colbert-v3")
    page = Page(answer.text)
    assert (answer.status_code, page.text("h1")) == (404, "Not found")
    assert "There is no model colbert-v3 in the catalogue." in page.texts("p")
    assert "/models/colbert-v2" in page.links


def test_address_that_is_not_there_is_a_page(client):
    answer = client.get("/nowhere")
    assert (answer.status_code, Page(answer.text).text("h1")) == (404, "Not found")


# A model that is the user's own: nothing that stands in the store is believed

EVIL = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture
def evil(catalog: Catalog) -> Catalog:
    catalog.add(
        name="evil",
        display_name=EVIL,
        model_family=EVIL,
        type=EVIL,
        organization=EVIL,
        description=EVIL,
        notes=f"{EVIL} javascript:alert(1) https://example.org/a?b=<script>",
        license=EVIL,
        huggingface_id="javascript:alert(1)",
        tags=[EVIL],
        capabilities=['"onmouseover=alert(1)'],
        languages=["'><b>"],
        metadata={"javascript:alert(1)": "javascript:alert(1)", "card": "https://example.org/x'\"onload=1", "t": EVIL},
    )
    measured = {"metric_type": EVIL, "metric_value": 1, "unit": "<b>/s", "hardware_type": EVIL, "hardware_name": EVIL}
    catalog.add_metrics("evil", [measured])
    return catalog


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/models/evil",
        "/compare?model=evil&model=colbert-v2",
        "/compare?model=colbert-v2&add=alert",
        "/?search=alert",
    ],
)
def test_texts_of_the_store_stay_texts(evil, address):
    with client_of(evil) as client:
        page = Page(client.get(address).text)
    assert [script["src"] for script in page.all("script") if "src" in script] == [
        script.get("src") for script in page.all("script")
    ]
    assert page.all("img") == page.all("b") == []
    attributes = {name for _, found, _ in page.elements for name in found}
    assert not {name for name in attributes if name.startswith("on")}
    assert not [link for link in page.links if not link.startswith(("/", "#", "https://"))]


@pytest.mark.parametrize(
    "address",
    ["/?search={}", "/?tag={}", "/?max_ram={}", "/compare?model={}", "/compare?add={}", "/models/{}", "/{}"],
)
def test_texts_of_the_address_stay_texts(client, address):
    from urllib.parse import quote

    answer = client.get(address.format(quote(EVIL, safe="")))
    assert answer.status_code in (200, 404)
    assert "<script>" not in answer.text
    assert "<img" not in answer.text


def test_own_model_says_whose_it_is_and_what_cannot_be_done(evil):
    with client_of(evil) as client:
        page = Page(client.get("/models/evil").text)
    assert "Your own" in page.texts("span", class_="mark-own")
    assert page.all("code", id="code-command") == []


def test_metadata_that_repeats_the_record_is_left_out(catalog):
    catalog.update(CHAT, metadata={**catalog.get(CHAT).metadata, "revision": "again", "card": "https://example.org"})
    with client_of(catalog) as client:
        page = Page(client.get(f"/models/{CHAT}").text)
    assert "revision" not in page.texts("dt")
    assert page.texts("a", href="https://example.org") == ["https://example.org"]


def test_what_is_added_is_listed_and_can_be_chosen_at_once(catalog):
    with client_of(catalog) as client:
        before = Page(client.get("/").text)
        catalog.add(name="mine", display_name="Mine", type="brand-new")
        after = Page(client.get("/?type=brand-new").text)
    assert before.all("input", name="type", value="brand-new") == []
    assert names(after) == ["mine"]
    assert after.all("input", name="type", value="brand-new", checked=None)
    assert after.texts("span", class_="mark-own") == ["Your own"]


def test_edited_fact_is_marked_and_loses_its_sources(catalog):
    catalog.update(CHAT, license="MIT")
    with client_of(catalog) as client:
        page = Page(client.get(f"/models/{CHAT}").text)
    facts = list(zip(page.texts("dt"), page.texts("dd"), strict=True))
    assert ("Licence", "MIT edited here") in facts


# Comparison


def test_compare_puts_values_side_by_side_and_marks_differences(get):
    page = get(f"/compare?model={COLBERT}&model={DENSE}")
    assert page.texts("a", class_="name") == ["colbertv2.0", "bge-m3"]
    assert "Embedding dimension (differs)" in page.texts("th", scope="row")
    assert "Reads" in page.texts("th", scope="row")


def test_compare_with_only_differences_leaves_out_what_is_the_same(get):
    rows = get(f"/compare?model={COLBERT}&model={DENSE}&only=differences").texts("th", scope="row")
    assert rows
    assert all(row.endswith("(differs)") for row in rows)


def test_compare_takes_silence_for_no_difference(get):
    page = get("/compare?model=splade-v3&model=colbert-v2")
    rows = page.texts("th", scope="row")
    assert "Layers" in rows
    assert "Vocabulary" in rows
    assert "Embedding dimension (differs)" in rows


def test_compare_says_not_known_where_nothing_is(get):
    page = get("/compare?model=splade-v3&model=colbert-v2")
    assert "not known" in page.texts("td")


def test_compare_takes_four_and_names_what_is_left_out(get):
    ids = list(MODEL_REGISTRY)[:5]
    page = get("/compare?" + "&".join(f"model={name}" for name in ids))
    assert len(page.texts("th", scope="col")) == 4
    assert page.texts("p", class_="notice") == [f"At most 4 models fit side by side. Left out: {ids[4]}."]


def test_compare_search_adds_a_model(get):
    page = get(f"/compare?model={COLBERT}&add=bge-m3")
    assert f"/compare?model={COLBERT}&model={DENSE}" in page.links


def test_compare_with_one_model_shows_what_is_chosen(get):
    page = get(f"/compare?model={COLBERT}")
    assert page.all("table") == []
    assert page.all("ul", class_="chosen")
    assert page.texts("a", href="/compare") == ["Compare", "Remove colbertv2.0"]


def test_compare_draws_measurements_of_the_models(catalog):
    for name, speed in ((COLBERT, 250), (DENSE, 100)):
        measured = {"metric_type": "embeddings_per_second", "metric_value": speed, "unit": "embeddings/s"}
        catalog.add_metrics(name, [measured | {"hardware_type": "cpu", "hardware_name": "EPYC"}])
    with client_of(catalog) as client:
        page = Page(client.get(f"/compare?model={COLBERT}&model={DENSE}").text)
    (said,) = page.texts("desc")
    assert said == "Embeddings, higher is better. EPYC (cpu): colbert-v2 250 embeddings/s, bge-m3 100 embeddings/s."


def test_compare_names_what_is_not_there(get):
    page = get(f"/compare?model={COLBERT}&model=nope")
    assert page.texts("p", class_="notice") == ["There is no model nope in the catalogue."]


# All of it


def test_every_link_of_every_page_leads_somewhere(client):
    """Pages of all models and what they link to, the lists of all values among them."""
    waiting, seen = ["/"], set[str]()
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        answer = client.get(address, headers={"accept": "text/html"})
        assert answer.status_code in (200, 308), (address, answer.status_code)
        if not answer.headers["content-type"].startswith("text/html") or "sort=" in address:
            continue
        inside = [link.partition("#")[0] for link in Page(answer.text).links if link.startswith("/")]
        waiting += [link for link in inside if "compare?" not in link]
    assert {f"/models/{name}" for name in MODEL_REGISTRY} <= seen


def test_every_id_of_a_page_is_there_once_and_every_label_leads_to_one(get):
    for address in ("/", "/?type=chat&search=qwen", f"/models/{CHAT}", f"/compare?model={CHAT}&model={COLBERT}"):
        page = get(address)
        ids = [found["id"] for _, found, _ in page.elements if "id" in found]
        assert len(ids) == len(set(ids)), address
        wanted = [found[name] for _, found, _ in page.elements for name in ("aria-labelledby", "for") if name in found]
        assert {part for value in wanted for part in (value or "").split()} <= set(ids)
        assert {link[1:] for link in page.links if link.startswith("#")} <= set(ids)


def test_pages_have_no_script_style_or_handler_inline(get):
    for address in ("/", f"/models/{CHAT}", f"/compare?model={CHAT}&model={COLBERT}"):
        page = get(address)
        assert page.all("style") == []
        assert all("src" in script for script in page.all("script"))
        attributes = {name for _, found, _ in page.elements for name in found}
        assert not {name for name in attributes if name == "style" or name.startswith("on")}


def test_headings_go_down_one_step_at_a_time(get):
    for address in ("/", f"/models/{CHAT}", "/models/splade-v3", f"/compare?model={CHAT}&model={COLBERT}"):
        levels = [
            int(tag[1]) for tag, _, _ in get(address).elements if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit()
        ]
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels)), (address, levels)


def test_files_are_kept_for_ever_under_the_digest_of_their_content(client):
    page = Page(client.get("/").text)
    (style,) = page.all("link", rel="stylesheet")
    answer = client.get(style["href"])
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert client.get("/static/site.000000000000.css").status_code == 404
    assert client.get("/static/..%2Fpages.py").status_code == 404
    assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_page_is_not_kept_unasked(client):
    answer = client.get("/")
    assert answer.headers["cache-control"] == "no-cache"
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_failure_that_brings_headers_keeps_them():
    from registry.server.failures import Failure
    from registry.server.web import pages

    answer = pages.failed(
        None, Failure(503, "busy", "The store `x` is busy.", "Try later.", None, {"Retry-After": "1"})
    )
    page = Page(bytes(answer.body).decode())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert page.text("h1") == "Something went wrong"
    assert "x" in page.texts("code")
