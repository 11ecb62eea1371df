"""A real server on loopback with tiny models, and the official client of OpenAI's API."""

import shutil
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import openai
import pytest
import tiny
import uvicorn
from waiting import WAIT_S, until

from registry.catalog import Catalog
from registry.records import ModelInfo, Profile, RuntimeDefaults, SamplingDefaults
from registry.server import ServerOptions, create_app
from server.v1.few_records import FewRecords

KEY = "none"  # the client wants one


class Served:
    """A server that runs in a thread."""

    def __init__(self, app: Any, shutdown_timeout_s: float) -> None:
        self.app = app
        self.services = app.state.services
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            app, log_config=None, ws="none", lifespan="on", timeout_graceful_shutdown=shutdown_timeout_s
        )
        self.server = uvicorn.Server(config)
        self._closing = ExitStack()
        self._thread = threading.Thread(target=self.server.run, args=([listening],), daemon=True)
        self._thread.start()
        until(lambda: self.server.started or not self._thread.is_alive())
        assert self.server.started

    @cached_property
    def client(self) -> openai.OpenAI:
        return self._closing.enter_context(
            openai.OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0, timeout=WAIT_S)
        )

    def users(self) -> int:
        """Give how many requests hold a model now."""
        return sum(status.users for status in self.services.manager.status())

    def stop(self) -> None:
        """Stop the server, as a signal would; the client is closed then."""
        self.server.should_exit = True
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        self._closing.close()


class Serve:
    """Puts tiny models where their files are looked for, and serves them."""

    def __init__(self, home: Path, made: Callable[..., Path], stack: ExitStack) -> None:
        self._models = home / "models"
        self._made = made
        self._stack = stack

    def __call__(self, *records: ModelInfo, profiles: tuple[Profile, ...] = (), **options: Any) -> Served:
        options = {"access_log": False, **options}
        catalog = self._stack.enter_context(Catalog.open(":memory:"))
        registry = FewRecords(*records, profiles=profiles)
        app = create_app(ServerOptions(**options), catalog=catalog, registry=registry)
        served = Served(app, options.get("shutdown_timeout_s", 0.1))
        self._stack.callback(served.stop)
        return served

    def chat(self, script: Any = ("Hel", "lo", " wor", "ld", "."), *, record: Any = None, **gguf: Any) -> ModelInfo:
        """Make a chat model that says a script."""
        path = self._made(tiny.chat_gguf, script=script, **gguf)
        made = tiny.chat_record(path, **(record or {}))
        self._put(path, f"{made.id}.gguf")
        return made

    def endless(self, script: Any = ("la ", "la ", "li "), *, record: Any = None, **gguf: Any) -> ModelInfo:
        """Make a chat model that does not end within a test, however long that waits."""
        tokens = 16_384
        settings: dict[str, Any] = {
            "context_length": tokens,
            "runtime": RuntimeDefaults(context_length=tokens, gpu_layers=0, threads=1),
            "defaults": SamplingDefaults(max_tokens=tokens),
        }
        options: dict[str, Any] = {"repeat": True, "layers": 1, "context_length": tokens}
        return self.chat(script, record=settings | (record or {}), **options | gguf)

    def encoder(self, maker: Callable[..., Path], record: ModelInfo, **options: Any) -> ModelInfo:
        """Make an encoder or reranker."""
        pytest.importorskip("sentence_transformers")
        self._put(self._made(maker, **options), record.id)
        return record

    def _put(self, path: Path, name: str) -> None:
        self._models.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, self._models / name)
        else:
            shutil.copy(path, self._models / name)
