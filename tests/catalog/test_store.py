import threading
from collections.abc import Callable
from typing import Any

import pytest

from registry.catalog import Catalog, CatalogModel, FamilyStats, ValueCount
from registry.errors import CatalogModelNotFoundError, InvalidFieldError, ModelExistsError

FIELDS: dict[str, Any] = {
    "display_name": "My Model",
    "type": "chat",
    "model_family": "Mine",
    "model_size": "7B",
    "parameters": 7.25,
    "quantization": "Q4_K_M",
    "file_format": "gguf",
    "organization": "Me",
    "huggingface_id": "me/my-model",
    "license": "MIT",
    "release_date": "2026-11",
    "context_length": 32768,
    "embedding_dim": 1024,
    "file_size_bytes": 4_000_000_000,
    "ram_required_mb": 6000,
    "description": "What it does.\nMore of it.",
    "notes": "Mine.",
    "languages": ("de", "en"),
    "capabilities": ("chat", "code"),
    "tags": ("work", "a"),
    "metadata": {"k": "v", "l": "w,x"},
}


def test_model_is_read_as_it_was_added(catalog: Catalog) -> None:
    added = catalog.add(name="my-model", **FIELDS)
    assert added == CatalogModel(
        id=1, name="my-model", created_at=added.created_at, updated_at=added.created_at, source="user", **FIELDS
    )
    assert catalog.get(1) == catalog.get("1") == catalog.get("MY-Model") == added
    assert hash(catalog.get(1)) == hash(added)


def test_add_of_a_name_that_cannot_be_speaks_of_the_name(catalog: Catalog) -> None:
    with pytest.raises(InvalidFieldError, match=r"^`name`: expected letters"):
        catalog.add(name=5)  # type: ignore[arg-type] # a mistake that users make


def test_model_of_a_name_alone_has_nothing_else(catalog: Catalog) -> None:
    added = catalog.add(name="x")
    assert added == CatalogModel(
        id=1, name="x", display_name="x", created_at=added.created_at, updated_at=added.created_at
    )


@pytest.mark.parametrize("name", ["my-model", "MY-MODEL"])
def test_add_of_a_name_that_is_there_is_refused(catalog: Catalog, name: str) -> None:
    catalog.add(name="my-model")
    with pytest.raises(ModelExistsError) as caught:
        catalog.add(name=name)
    where = catalog.path or ":memory:"
    assert str(caught.value) == (
        f"The catalogue `{where}` has a model `{name}` already. Update it, or choose another name."
    )
    assert catalog.stats().models == 1


def test_add_of_an_unknown_field_is_refused_and_adds_nothing(catalog: Catalog) -> None:
    with pytest.raises(InvalidFieldError, match="`colour`: expected one of the fields"):
        catalog.add(name="x", colour="red")
    assert catalog.stats().models == 0


def test_update_changes_what_is_given_and_leaves_the_rest(catalog: Catalog) -> None:
    old = catalog.add(name="my-model", **FIELDS)
    new = catalog.update("my-model", tags=["b", "work"], parameters=8, notes=None, name="My-Model")
    changed = {"tags": ("b", "work"), "parameters": 8.0, "notes": None, "name": "My-Model"}
    assert new == CatalogModel(**{**vars(old), **changed, "updated_at": new.updated_at})
    assert new.updated_at > old.updated_at


def test_update_that_changes_nothing_writes_nothing(catalog: Catalog) -> None:
    old = catalog.add(name="my-model", **FIELDS)
    assert catalog.update(1, **FIELDS) == old


def test_update_to_the_name_of_another_is_refused(catalog: Catalog) -> None:
    catalog.add(name="a")
    catalog.add(name="b")
    with pytest.raises(ModelExistsError):
        catalog.update("b", name="A")


@pytest.mark.parametrize("field", ["id", "source", "created_at", "updated_at"])
def test_update_of_what_the_store_keeps_itself_is_refused(catalog: Catalog, field: str) -> None:
    catalog.add(name="a")
    with pytest.raises(InvalidFieldError, match=f"`{field}`: expected one of the fields"):
        catalog.update("a", **{field: "x"})


def test_tag_in_another_case_takes_the_place_of_the_first(catalog: Catalog) -> None:
    catalog.add(name="a", tags=["Work", "x"])
    assert catalog.update("a", tags=["x", "work"]).tags == ("x", "work")


def test_removed_model_is_gone_with_all_of_it(catalog: Catalog) -> None:
    catalog.add(name="my-model", **FIELDS)
    metric = {"metric_type": "t", "metric_value": 1, "unit": "s", "hardware_type": "cpu", "hardware_name": "n"}
    catalog.add_metrics("my-model", [metric])
    catalog.remove("my-model")
    assert (catalog.search().total, catalog.search("work").total, catalog.metrics(), catalog.tags()) == (0, 0, (), ())
    with catalog._reading() as connection:
        left = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("models", "model_tags", "model_metadata", "value_counts", "unindexed", "removed_models")
        }
    assert set(left.values()) == {0}


def test_number_of_a_removed_model_is_not_given_again(catalog: Catalog) -> None:
    catalog.add(name="a")
    catalog.remove("a")
    assert catalog.add(name="a").id == 2


@pytest.mark.parametrize("model", ["colbert-v3", "COLBERT-V3"])
def test_model_that_is_not_there_is_an_error_with_close_matches(catalog: Catalog, model: str) -> None:
    for name in ("colbert-v2", "colbert-v1", "llama"):
        catalog.add(name=name)
    with pytest.raises(CatalogModelNotFoundError) as caught:
        catalog.get(model)
    assert str(caught.value) == (
        f"Model `{model}` is not in the catalogue `{catalog.path or ':memory:'}`. "
        "Did you mean `colbert-v2` or `colbert-v1`?"
    )


@pytest.mark.parametrize("model", [0, 7, -1, 2**70, "7", "", "é", "a\x00b", "x" * 10_000, "\ud800", "9" * 40, True])
def test_model_that_cannot_be_is_not_there(catalog: Catalog, model: int | str) -> None:
    with pytest.raises(CatalogModelNotFoundError):
        catalog.get(model)


def test_get_many_gives_models_in_the_order_asked(catalog: Catalog) -> None:
    for name in "abc":
        catalog.add(name=name)
    assert [model.name for model in catalog.get_many(["c", 1, "B", 1])] == ["c", "a", "b", "a"]
    with pytest.raises(CatalogModelNotFoundError):
        catalog.get_many(["a", "d"])


def test_values_are_counted_whatever_their_case(catalog: Catalog) -> None:
    catalog.add(name="a", type="chat", model_family="Qwen", tags=["Élan", "b"], license="MIT", languages=["de"])
    catalog.add(name="b", type="Chat", model_family="qwen", tags=["élan"], capabilities=["code"])
    catalog.add(name="c", type="chat", model_family="Alpha")
    assert catalog.types() == (ValueCount("chat", 3),)
    assert catalog.families() == (ValueCount("Alpha", 1), ValueCount("qwen", 2))
    assert catalog.tags() == (ValueCount("b", 1), ValueCount("élan", 2))
    assert catalog.licenses() == (ValueCount("MIT", 1),)
    assert catalog.languages() == (ValueCount("de", 1),)
    assert catalog.capabilities() == (ValueCount("code", 1),)


def test_stats_count_models_and_bytes(catalog: Catalog) -> None:
    sizes = {"a": 0.99, "b": 1, "c": 4.99, "d": 5, "e": 15, "f": 15.01, "g": None}
    for name, parameters in sizes.items():
        family = "F" if name < "d" else "f" if name == "d" else None
        catalog.add(name=name, parameters=parameters, model_family=family, file_size_bytes=10, type="chat")
    catalog.add(name="h")
    stats = catalog.stats()
    assert stats.size_classes == {"Tiny": 1, "Small": 2, "Medium": 2, "Large": 1, "unknown": 2}
    assert list(stats.size_classes) == ["Tiny", "Small", "Medium", "Large", "unknown"]
    assert (stats.models, stats.total_bytes) == (8, 70)
    assert stats.families == (FamilyStats("F", 4, 40),)
    assert stats.types == (ValueCount("chat", 7),)


def test_stats_follow_changes(catalog: Catalog) -> None:
    catalog.add(name="a", parameters=0.5, file_size_bytes=10)
    catalog.stats()
    catalog.update("a", parameters=100, file_size_bytes=None, model_family="F")
    stats = catalog.stats()
    assert stats.size_classes["Large"] == 1
    assert (stats.total_bytes, stats.families) == (0, (FamilyStats("F", 1, 0),))


def test_what_was_counted_within_a_write_that_failed_is_forgotten(catalog: Catalog) -> None:
    def add_and_fail() -> None:
        with catalog._writing():
            catalog.add(name="a", type="chat", tags=["t"])
            catalog.search(type="chat", tag="t")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    catalog.add(name="a", type="chat", tags=["t"])
    assert catalog.search(type="chat", tag="t").total == 1


def test_models_that_another_program_wrote_are_found_after_opening(opened: Any, path: Any) -> None:
    import sqlite3
    from contextlib import closing

    opened().add(name="a", tags=["t"])
    with closing(sqlite3.connect(path)) as other:
        other.execute("INSERT INTO models (name, display_name, created_at, updated_at) VALUES ('b', 'Beta', '', '')")
        other.execute("UPDATE models SET notes = 'changed' WHERE name = 'a'")
        other.commit()
    catalog = opened()
    assert catalog.search("beta").total == catalog.search("changed").total == 1
    assert catalog.search().total == 2


def test_repr_names_the_file(catalog: Catalog) -> None:
    assert repr(catalog) == f"<catalogue store {catalog.path or ':memory:'}>"


def test_reader_sees_one_moment(opened: Any) -> None:
    catalog = opened()
    catalog.add(name="a")
    with catalog._reading() as connection:
        before = connection.execute("SELECT count(*) FROM models").fetchone()
        thread = threading.Thread(target=lambda: catalog.add(name="b"))
        thread.start()
        thread.join(60)
        assert connection.execute("SELECT count(*) FROM models").fetchone() == before
    assert catalog.stats().models == 2


def test_metadata_that_is_new_may_be_an_empty_text() -> None:
    with Catalog.open(":memory:") as catalog:
        catalog.add(name="mine")

        assert catalog.update("mine", metadata={"new": ""}).metadata == {"new": ""}


@pytest.mark.parametrize(
    ("field", "value", "counted"),
    [
        ("model_family", "New", lambda catalog: [(each.value, each.models) for each in catalog.families()]),
        ("type", "New", lambda catalog: [(each.value, each.models) for each in catalog.types()]),
        ("license", "New", lambda catalog: [(each.value, each.models) for each in catalog.licenses()]),
        ("parameters", 70, lambda catalog: [("New", catalog.stats().size_classes["Large"])]),
        ("file_size_bytes", 70, lambda catalog: [("New", catalog.stats().total_bytes // 70)]),
    ],
)
def test_change_of_one_field_alone_is_counted(
    catalog: Catalog, field: str, value: object, counted: Callable[[Catalog], object]
) -> None:
    catalog.add(name="a", model_family="Old", type="Old", license="Old", parameters=1, file_size_bytes=1)
    catalog.update("a", **{field: value})

    assert counted(catalog) == [("New", 1)]
