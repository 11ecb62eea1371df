"""Fixtures of the catalogue's tests: nothing of the user's is looked at."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from registry.catalog import Catalog


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of this library, which is not there yet."""
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be made."""
    return tmp_path / "catalog.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., Catalog]]:
    """Open the store of the test, and close it at the end."""
    with ExitStack() as stack:

        def open_(at: Path | str = path, **options: Any) -> Catalog:
            return stack.enter_context(Catalog.open(at, **options))

        yield open_


@pytest.fixture(params=["file", "memory"])
def catalog(request: pytest.FixtureRequest, opened: Callable[..., Catalog], path: Path) -> Catalog:
    """An empty store, in a file and in memory."""
    return opened(path if request.param == "file" else ":memory:")
