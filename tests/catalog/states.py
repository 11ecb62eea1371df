"""What a store holds, row by row, so that two can be compared."""

from typing import Any

from registry.catalog import Catalog

_TABLES = {
    "models": "id",
    "model_capabilities": "model_id, position",
    "model_tags": "model_id, position",
    "model_languages": "model_id, position",
    "model_metadata": "model_id, key",
    "performance_metrics": "id",
    "removed_models": "source, name",
}


def state_of(catalog: Catalog) -> dict[str, Any]:
    """Give every row of the tables that a user has put something into, and what is counted of them."""
    with catalog._reading() as connection:
        rows = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
            for table, order in _TABLES.items()
        }
    counts = (catalog.stats(), catalog.families(), catalog.licenses(), catalog.capabilities(), catalog.tags())
    return {**rows, "counts": (*counts, catalog.languages())}
