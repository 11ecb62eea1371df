"""What the tests of the interface share: an application of a few models, and a server of it in a thread."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import tiny

from .v1.few_records import FewRecords

KEY = "a-key-of-the-tests"
AUTH = {"authorization": f"Bearer {KEY}"}
METRIC = {
    "metric_type": "load_time",
    "metric_value": 1.5,
    "unit": "s",
    "hardware_type": "cpu",
    "hardware_name": "EPYC 7B13",
}


@cache
def records() -> FewRecords:
    """A registry of three models: one that chats, one that encodes, one that ranks."""
    return FewRecords(
        _chat_record(),
        tiny.dense_record(id="see", family="See", tags=("small",)),
        tiny.reranker_record(id="rank", family="Rank"),
    )


def _chat_record() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "talk.gguf"
        path.write_bytes(b"GGUF")
        return tiny.chat_record(path, id="talk", family="Talk", tags=("small", "chat"), ram_required_mb=4000)


@contextmanager
def application(**options: Any) -> Iterator[Any]:
    """The application, with a store in memory that has these records."""
    from registry.catalog import Catalog
    from registry.server import ServerOptions, create_app

    options.setdefault("api_key", KEY)
    options.setdefault("access_log", False)
    with Catalog.open(":memory:") as catalog:
        yield create_app(ServerOptions(**options), catalog=catalog, registry=records())


@contextmanager
def client(**options: Any) -> Iterator[Any]:
    """A client of the application."""
    from starlette.testclient import TestClient

    with (
        application(**options) as app,
        TestClient(
            app, base_url="http://127.0.0.1:8081", follow_redirects=False, raise_server_exceptions=False
        ) as client,
    ):
        client.headers["accept-encoding"] = "identity"
        yield client


@contextmanager
def server(app: Any, **options: Any) -> Iterator[str]:
    """The address of a server of an application, in a thread of this process, as `serve` runs it."""
    from registry.server import ServerOptions, serving

    settings = ServerOptions(port=0, access_log=False, shutdown_timeout_s=5, **options)
    answers, addresses = threading.Event(), []

    def announce(address: str) -> None:
        addresses.append(address)
        answers.set()

    listener = serving._listening(settings)
    runs = serving._Server(serving._configured(app, settings), listener, announce)
    thread = threading.Thread(target=runs.run)
    thread.start()
    try:
        assert answers.wait(20)
        yield addresses[0]
    finally:
        runs.should_exit = True
        thread.join(20)
        listener.close()
