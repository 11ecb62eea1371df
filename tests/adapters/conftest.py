"""Fixtures of the tests of adapters: nothing of the user's is looked at, and no attempt waits for the next one."""

import json
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub
from loaders import conftest as fixtures

made = fixtures.made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of this library, which is not there yet."""
    for name in list(os.environ):
        if name.startswith(("REGISTRY_", "HF_", "HUGGINGFACE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def no_waits() -> Iterator[None]:
    """Let no attempt wait for the next one."""
    if find_spec("stamina") is None:
        yield
        return
    import stamina

    with stamina.set_testing(True, attempts=100):
        yield


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A server of files on loopback, without any."""
    with Hub() as server:
        yield server


@pytest.fixture
def text() -> Callable[..., bytes]:
    """Write a manifest of these entries as text; `**top` replaces what stands beside them."""

    def write(*entries: Any, **top: Any) -> bytes:
        return json.dumps({"version": 1, "adapters": entries} | top).encode()

    return write
