"""Fixtures of the loaders' tests: nothing of the user's is looked at, and a tiny model is made once."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from registry.loaders import load

_USERS = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HF_HUB_OFFLINE", "REGISTRY_ADAPTERS")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of this library, which is not there yet, as the Hugging Face cache is not."""
    for name in _USERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a tiny model, once for the same options. Copy it before you change it: it is shared by all tests."""
    found: dict[str, Path] = {}

    def make(maker: Callable[..., Path], **options: Any) -> Path:
        key = f"{maker.__name__} {sorted(options.items())}"
        if key not in found:
            name = "model.gguf" if maker.__name__.endswith("gguf") else "model"
            found[key] = maker(tmp_path_factory.mktemp(maker.__name__) / name, **options)
        return found[key]

    return make


@pytest.fixture
def copied(made: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Give a copy of a tiny model that the test may change."""

    def copy(maker: Callable[..., Path], **options: Any) -> Path:
        return shutil.copytree(made(maker, **options), tmp_path / f"copy of {maker.__name__}")

    return copy


@pytest.fixture
def opened() -> Iterator[Callable[..., Any]]:
    """Load as `load` does, and close at the end of the test."""
    with ExitStack() as stack:
        yield lambda *given, **options: stack.enter_context(load(*given, **options))
