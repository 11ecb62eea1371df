"""Writes when the store is held up, or is not where it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from registry.catalog import Catalog
from server.api import AUTH, KEY, records


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "catalog.db") as opened:
        yield opened


@pytest.fixture
def api(store: Catalog) -> Iterator[Any]:
    from starlette.testclient import TestClient

    from registry.server import ServerOptions, create_app

    app = create_app(ServerOptions(access_log=False, api_key=KEY), catalog=store, registry=records())
    with TestClient(app, base_url="http://127.0.0.1:8081") as client:
        yield client


@pytest.mark.parametrize("is_replaced", [False, True])
def test_write_into_a_store_that_was_removed_is_refused_and_logged(
    is_replaced: bool, api: Any, store: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    assert store.path is not None
    store.path.rename(store.path.with_name("elsewhere.db"))
    if is_replaced:
        store.path.write_bytes(b"another")

    answer = api.post("/api/models", json={"name": "mine"}, headers={**AUTH, "x-request-id": "my-id"})

    assert (answer.status_code, answer.json()["error"]) == (
        500,
        {
            "code": "catalog_unusable",
            "message": "The catalogue was removed or replaced while the server had it open. It was left as it is.",
            "hint": "Start the server again.",
        },
    )
    problem = f"`{store.path}` was removed or replaced while the server had it open. It was left as it is."
    assert caplog.messages == [f"request my-id: {problem} Start the server again."]
    assert api.get("/health").status_code == 500


def test_write_that_waited_too_long_for_others_is_refused(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.server.rest.writes.MOST_WAIT_S", -1.0)

    answer = api.post("/api/models", json={"name": "mine"}, headers=AUTH)

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "catalog_busy")
    assert api.get("/api/models/mine").status_code == 404
