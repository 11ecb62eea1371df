"""Fixtures of the tests of /v1, which are left out where a package is missing that they cannot do without."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from loaders import conftest as fixtures

if TYPE_CHECKING:
    from server.v1.served import Serve

home, made = fixtures.home, fixtures.made
if any(find_spec(package) is None for package in ("fastapi", "uvicorn", "openai", "llama_cpp", "gguf")):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def serve(home: Path, made: Callable[..., Path]) -> "Iterator[Serve]":
    from server.v1.served import Serve

    with ExitStack() as stack:
        yield Serve(home, made, stack)


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the tokens that are made: a model that goes on unseen is not free."""
    import llama_cpp

    counted: list[int] = []
    sample = llama_cpp.Llama.sample

    def count(self: Any, *given: Any, **options: Any) -> int:
        counted.append(1)
        return sample(self, *given, **options)

    monkeypatch.setattr(llama_cpp.Llama, "sample", count)
    return counted
