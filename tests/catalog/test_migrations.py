import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from registry.catalog import Catalog, migrations

TABLES = {
    "models",
    "model_capabilities",
    "model_tags",
    "model_languages",
    "model_metadata",
    "performance_metrics",
}


def test_store_has_the_tables_of_its_documentation(path: Path) -> None:
    with Catalog.open(path):
        pass
    with closing(sqlite3.connect(path)) as store:
        found = dict(store.execute("SELECT name, sql FROM sqlite_schema WHERE type IN ('table', 'view')"))
        assert found.keys() >= {*TABLES, "model_summary", "model_words"}
        assert all(found[name].rstrip().endswith(("STRICT", "STRICT, WITHOUT ROWID")) for name in TABLES)
        assert store.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store.execute("PRAGMA user_version").fetchone() == (len(migrations.migrations()),)
        assert store.execute("PRAGMA application_id").fetchone() == (migrations.APPLICATION_ID,)
        columns = [column[1] for column in store.execute("PRAGMA table_info(performance_metrics)")]
    assert columns == [
        "id",
        "model_id",
        "hardware_type",
        "hardware_name",
        "metric_type",
        "metric_value",
        "unit",
        "context_size",
        "measured_at",
    ]


def test_older_store_is_migrated_and_keeps_what_it_has(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Catalog.open(path) as catalog:
        catalog.add(name="old")
    second = (
        *migrations.migrations(),
        ("ALTER TABLE models ADD COLUMN colour TEXT", "UPDATE models SET colour = 'red'"),
    )
    for module in (migrations, *_users()):
        monkeypatch.setattr(module, "migrations", lambda: second)
    with Catalog.open(path) as catalog:
        assert catalog.get("old").name == "old"
        with catalog._reading() as connection:
            assert connection.execute("SELECT colour FROM models").fetchall() == [("red",)]
            assert migrations.version_of(connection) == 2


def test_migration_that_fails_leaves_the_store_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Catalog.open(path) as catalog:
        catalog.add(name="old")
    second = (*migrations.migrations(), ("ALTER TABLE models ADD COLUMN colour TEXT", "UPDATE missing SET x = 1"))
    for module in (migrations, *_users()):
        monkeypatch.setattr(module, "migrations", lambda: second)
    with pytest.raises(sqlite3.OperationalError, match="no such table: missing"):
        Catalog.open(path)
    monkeypatch.undo()
    with Catalog.open(path) as catalog:
        assert catalog.get("old").name == "old"


def test_every_statement_of_the_schema_is_whole() -> None:
    assert all(sqlite3.complete_statement(each) for part in migrations.migrations() for each in part)


def test_schema_changes_lists_by_adding_and_removing_only(catalog: Catalog) -> None:
    catalog.add(name="a", tags=["x"])
    with pytest.raises(sqlite3.IntegrityError, match="add and remove tags"), catalog._writing() as connection:
        connection.execute("UPDATE model_tags SET tag = 'y'")


def _users() -> list[object]:
    from registry.catalog import connections, store_file

    return [connections, store_file]
