"""Run the command in this process, or in one of its own that has a terminal."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from registry.queries import ModelRegistry

_SETTINGS = (
    "HF_HOME",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HUGGINGFACE_HUB_CACHE",
    "REGISTRY_LICENSES",
    "REGISTRY_SOURCES",
    "REGISTRY_MAX_CACHE_SIZE",
    "REGISTRY_RESERVED_MEMORY",
    "REGISTRY_CHECK_UPDATES",
    "REGISTRY_MANIFEST",
    "REGISTRY_PROFILE",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
)


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.out.splitlines()]


class Registry(ModelRegistry[Any]):
    """A registry of a few records that were made by hand."""

    def __init__(self, records: Iterable[Any], default: str | None = None) -> None:
        self._found = {record.id: record for record in records}
        self._default = default
        self._name = "small"

    def __iter__(self):
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def profiles(self) -> dict[str, Any]:
        return {}

    def find_model(self, text: str) -> Any:
        return self._found.get(text)

    def get_default_model(self) -> Any:
        return self._found[self._default or ""]

    def get_sources(self, model: Any) -> dict[str, tuple[str, ...]]:  # noqa: ARG002 - the same for every model
        return {"specs.parameters": ("https://example.org/card",)}

    def _names(self):
        return ((name, name) for name in self._found)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of this library; nothing of the user's is looked at."""
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `registry` with these words and this standard input, as a script would."""
    from registry.cli import main

    def call(*arguments: object, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Make an importable registry of these records and give the name of its module."""

    def make(*records: Any, default: str | None = None) -> str:
        module = ModuleType("small_registry")
        module.MODEL_REGISTRY = Registry(records, default)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "small_registry", module)
        return "small_registry"

    return make


@pytest.fixture
def process() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run `registry` in a process of its own, without a terminal."""

    def call(*arguments: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "registry.cli", *arguments]
        env = os.environ | environment
        return subprocess.run(command, capture_output=True, text=True, check=False, input=stdin, env=env, timeout=60)

    return call


@pytest.fixture
def hub() -> Iterator[Any]:
    """A hub on loopback."""
    from hub_server import Hub

    with Hub() as hub:
        yield hub


@pytest.fixture
def module(hub: Any, small: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A registry of two models, `talk` and `see`, that the hub has."""
    from .keeping import pinned

    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    return small(*pinned(hub, tmp_path))


@pytest.fixture
def fetched(run: Callable[..., Result], module: str) -> str:
    """The same; the models are on this machine."""
    assert run("download", "talk", "see", "--registry", module).code == 0
    return module


@pytest.fixture
def models(home: Path) -> Path:
    """The model folder."""
    return home / "models"


@pytest.fixture
def terminal() -> Iterator[Callable[..., Any]]:
    """Run `registry` on a terminal: the words after it, then what `Terminal` takes. It is gone after the test."""
    pytest.importorskip("fcntl")
    from .screen import Terminal

    made: list[Terminal] = []

    def start(*words: str, **how: Any) -> Terminal:
        made.append(Terminal("-m", "registry.cli", *words, **how))
        return made[-1]

    yield start
    for each in made:
        each.close()
