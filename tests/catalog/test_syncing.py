"""Sync against registries that are made by hand: what a record says is all that counts here."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import MODEL_REGISTRY, combine
from registry.catalog import Catalog, SyncReport
from registry.queries import ModelRegistry
from registry.records import ChatModel, ModelFile, ModelInfo

RECORD = ChatModel(
    id="a-chat",
    model_type="chat",
    name="A Chat",
    huggingface_id="org/a-chat",
    organization="Org",
    description="It chats.",
    release_date="2026-01",
    license="MIT",
    parameters="7B",
    parameter_count=7_240_000_000,
    context_length=8192,
    languages=("en", "de"),
    capabilities=("chat",),
    family="Chats",
    tags=("small", "fast"),
    revision="a" * 40,
    aliases=("chatty", "a-c"),
    recommended=True,
    file=ModelFile("a.gguf", "gguf", size_bytes=4_000_000_000),
    quantization="Q4_K_M",
    base_model="org/base",
    ram_required_mb=5000,
)
METRIC = {"metric_type": "t", "metric_value": 1, "unit": "s", "hardware_type": "cpu", "hardware_name": "n"}


class Shipped(ModelRegistry[Any]):
    """A registry of some records."""

    def __init__(self, *records: ModelInfo, name: str = "acme._registry") -> None:
        self._records = {record.id: record for record in records}
        self._name = name

    def __getitem__(self, key: str) -> ModelInfo:
        return self._records[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def _names(self) -> Iterator[tuple[str, str]]:
        return ((name, name) for name in self._records)


@pytest.fixture
def synced(catalog: Catalog) -> Catalog:
    """A store with the one record."""
    catalog.sync(Shipped(RECORD))
    return catalog


def test_record_becomes_a_model(synced: Catalog) -> None:
    model = synced.get("a-chat")
    shown = {name: value for name, value in vars(model).items() if name not in ("created_at", "updated_at")}
    assert shown == {
        "id": 1,
        "name": "a-chat",
        "display_name": "A Chat",
        "type": "chat",
        "model_family": "Chats",
        "model_size": "7B",
        "parameters": 7.24,
        "quantization": "Q4_K_M",
        "file_format": "gguf",
        "organization": "Org",
        "huggingface_id": "org/a-chat",
        "license": "MIT",
        "release_date": "2026-01",
        "context_length": 8192,
        "embedding_dim": None,
        "file_size_bytes": 4_000_000_000,
        "ram_required_mb": 5000,
        "description": "It chats.",
        "notes": None,
        "languages": ("en", "de"),
        "capabilities": ("chat",),
        "tags": ("small", "fast"),
        "metadata": {
            "aliases": "chatty,a-c",
            "base_model": "org/base",
            "recommended": "true",
            "revision": "a" * 40,
        },
        "source": "acme._registry",
    }


def test_whole_registry_of_this_package_goes_in(catalog: Catalog) -> None:
    report = catalog.sync()
    assert report == SyncReport(added=tuple(sorted(MODEL_REGISTRY)))
    assert [model.name for model in catalog.search("colbert-v2", limit=1).models] == ["colbert-v2"]
    assert catalog.get("colbert-v2").source == "registry._registry"


def test_sync_again_writes_nothing(catalog: Catalog) -> None:
    catalog.sync()
    revision = catalog.revision()
    assert catalog.sync() == SyncReport(unchanged=tuple(sorted(MODEL_REGISTRY)))
    assert catalog.revision() == revision


def test_sync_takes_over_what_the_registry_says_anew(synced: Catalog) -> None:
    newer = replace(RECORD, description="It chats well.", tags=("fast", "new"), release_date=None, revision="b" * 40)
    assert synced.sync(Shipped(newer)) == SyncReport(updated=("a-chat",))
    model = synced.get("a-chat")
    assert (model.description, model.tags, model.release_date) == ("It chats well.", ("fast", "new"), None)
    assert model.metadata["revision"] == "b" * 40
    assert synced.search(tag="small").total == 0


def test_sync_leaves_what_people_added(synced: Catalog) -> None:
    synced.update(
        "a-chat", tags=["small", "fast", "mine"], notes="Good.", metadata={**synced.get(1).metadata, "k": "v"}
    )
    synced.add_metrics("a-chat", [METRIC])
    assert synced.sync(Shipped(RECORD)) == SyncReport(unchanged=("a-chat",), kept=("a-chat: notes",))
    newer = replace(RECORD, tags=("fast", "new"), revision=None)
    assert synced.sync(Shipped(newer)) == SyncReport(updated=("a-chat",), kept=("a-chat: notes",))
    model = synced.get("a-chat")
    assert (model.tags, model.notes) == (("fast", "new", "mine"), "Good.")
    assert model.metadata == {"aliases": "chatty,a-c", "base_model": "org/base", "recommended": "true", "k": "v"}
    assert synced.count_metrics("a-chat") == 1


def test_sync_leaves_edited_fields_and_says_so(synced: Catalog) -> None:
    synced.update("a-chat", license="Apache-2.0", tags=["fast"], parameters=8)
    newer = replace(RECORD, license="GPL-3.0-only", description="New.")
    expected = ("a-chat: license", "a-chat: parameters", "a-chat: tags")
    assert synced.sync(Shipped(newer)) == SyncReport(updated=("a-chat",), kept=expected)
    model = synced.get("a-chat")
    assert (model.license, model.tags, model.parameters) == ("Apache-2.0", ("fast",), 8.0)
    assert model.description == "New."


def test_edited_field_that_the_registry_comes_to_agree_with_is_not_reported(synced: Catalog) -> None:
    synced.update("a-chat", license="Apache-2.0")
    assert synced.sync(Shipped(replace(RECORD, license="Apache-2.0"))) == SyncReport(unchanged=("a-chat",))


def test_tag_that_a_user_had_and_the_registry_takes_up_stays_once(synced: Catalog) -> None:
    synced.update("a-chat", tags=["small", "fast", "Mine"])
    synced.sync(Shipped(replace(RECORD, tags=("small", "fast", "mine"))))
    assert synced.get("a-chat").tags == ("small", "fast", "mine")


def test_model_gone_from_the_registry_goes(synced: Catalog) -> None:
    assert synced.sync(Shipped()) == SyncReport(removed=("a-chat",))
    assert synced.search().total == 0
    assert synced.sync(Shipped(RECORD)) == SyncReport(added=("a-chat",))


@pytest.mark.parametrize(
    "touch",
    [
        lambda catalog: catalog.add_metrics("a-chat", [METRIC]),
        lambda catalog: catalog.update("a-chat", notes="n"),
        lambda catalog: catalog.update("a-chat", tags=["small", "fast", "mine"]),
        lambda catalog: catalog.update("a-chat", metadata={**catalog.get(1).metadata, "k": "v"}),
    ],
    ids=["metrics", "notes", "tags", "metadata"],
)
def test_model_gone_that_people_added_to_becomes_theirs(synced: Catalog, touch: Callable[[Catalog], object]) -> None:
    touch(synced)
    assert synced.sync(Shipped()) == SyncReport(kept=("a-chat",))
    assert synced.get("a-chat").source == "user"
    assert synced.sync(Shipped(RECORD)) == SyncReport(kept=("a-chat",))


def test_model_that_a_user_removed_stays_removed_until_it_is_restored(synced: Catalog) -> None:
    synced.remove("a-chat")
    assert synced.sync(Shipped(RECORD)) == SyncReport(kept=("a-chat",))
    assert synced.search().total == 0
    assert synced.sync(Shipped(RECORD), restore=True) == SyncReport(added=("a-chat",))
    assert synced.sync(Shipped(RECORD)) == SyncReport(unchanged=("a-chat",))


def test_users_own_model_of_the_same_name_is_left_alone(catalog: Catalog) -> None:
    mine = catalog.add(name="A-Chat", notes="mine")
    assert catalog.sync(Shipped(RECORD)) == SyncReport(kept=("a-chat",))
    assert catalog.get("a-chat") == mine


def test_renamed_model_is_still_the_registrys(synced: Catalog) -> None:
    synced.update("a-chat", name="my-chat")
    newer = replace(RECORD, description="New.")
    assert synced.sync(Shipped(newer)) == SyncReport(updated=("my-chat",), kept=("my-chat: name",))
    assert synced.get("my-chat").description == "New."
    synced.remove("my-chat")
    assert synced.sync(Shipped(newer)) == SyncReport(kept=("a-chat",))


def test_models_of_other_registries_are_left_alone(synced: Catalog) -> None:
    other = replace(RECORD, id="other")
    assert synced.sync(Shipped(other, name="other._registry")) == SyncReport(added=("other",))
    assert synced.sync(Shipped(RECORD)) == SyncReport(unchanged=("a-chat",))
    assert synced.sync(Shipped(name="other._registry")) == SyncReport(removed=("other",))


def test_joined_registries_are_synced_each_as_itself(catalog: Catalog) -> None:
    one, two = Shipped(RECORD), Shipped(replace(RECORD, id="other"), name="other._registry")
    assert catalog.sync(combine(one, two)) == SyncReport(added=("a-chat", "other"))
    assert (catalog.get("a-chat").source, catalog.get("other").source) == ("acme._registry", "other._registry")
    assert catalog.sync(combine(one, two)) == SyncReport(unchanged=("a-chat", "other"))


EDITS = st.fixed_dictionaries(
    {},
    optional={
        "tags": st.lists(st.sampled_from(["small", "fast", "mine", "Work"]), max_size=4),
        "capabilities": st.lists(st.sampled_from(["chat", "code"]), max_size=2),
        "license": st.sampled_from([None, "MIT", "GPL-3.0-only"]),
        "parameters": st.none() | st.integers(1, 9),
        "metadata": st.dictionaries(st.sampled_from(["revision", "k"]), st.sampled_from(["x", "y"])),
        "notes": st.sampled_from([None, "n"]),
    },
)
NEWER = st.builds(
    lambda tags, spdx, revision: replace(RECORD, tags=tuple(tags), license=spdx, revision=revision),
    st.lists(st.sampled_from(["small", "fast", "new", "mine"]), unique=True, max_size=3),
    st.sampled_from([None, "MIT", "Apache-2.0"]),
    st.none() | st.just("c" * 40),
)


@settings(max_examples=100)
@given(edits=st.lists(EDITS, max_size=3), newer=st.lists(NEWER, min_size=1, max_size=3))
def test_edits_survive_every_sync_and_a_second_sync_does_nothing(
    edits: list[dict[str, Any]], newer: list[ChatModel]
) -> None:
    with Catalog.open(":memory:") as catalog:
        catalog.sync(Shipped(RECORD))
        for edit, record in zip([*edits, {}, {}, {}], newer, strict=False):
            before = catalog.get("a-chat")
            edited = catalog.update("a-chat", **edit)
            catalog.sync(Shipped(record))
            model, revision = catalog.get("a-chat"), catalog.revision()
            for name in ("license", "parameters", "notes"):
                if getattr(edited, name) != getattr(before, name):
                    assert getattr(model, name) == getattr(edited, name)
            theirs = {tag.casefold() for tag in (*RECORD.tags, *(tag for each in newer for tag in each.tags))}
            mine = [tag for tag in edited.tags if tag.casefold() not in theirs]
            assert [tag for tag in model.tags if tag in mine] == mine
            assert catalog.sync(Shipped(record)).updated == ()
            assert catalog.revision() == revision
