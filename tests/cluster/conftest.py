"""Fixtures of the tests of the cluster, which are left out where Ray is missing."""

import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cluster.two_nodes import TwoNodes

if any(find_spec(package) is None for package in ("ray", "fastapi", "openai", "llama_cpp", "gguf", "torch")):
    collect_ignore_glob = ["test_*.py"]
else:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its use of pydantic is of an older time
        import ray.serve  # noqa: F401


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[TwoNodes]":
    """Two nodes that serve; started once for a module, because it takes half a minute."""
    from cluster.two_nodes import environment, two_nodes

    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(home).items():
            patch.setenv(name, value)
        with two_nodes(home) as serving:
            yield serving
