"""What importing costs: servers without adapters pay for nothing that fetches, proves or loads."""

import json
from collections.abc import Callable

import pytest

import registry.adapters


@pytest.mark.parametrize("statement", ["import registry.adapters", "from registry.adapters import local_adapters"])
def test_room_is_cheap_to_import(statement: str, run_python: Callable[..., str]) -> None:
    now = "print(json.dumps(sorted(set(sys.modules) - before)))"
    code = f"import sys, json\nbefore = set(sys.modules)\n{statement}\n{now}"
    loaded = json.loads(run_python(code))
    assert [name for name in loaded if name.startswith(("registry.hub", "registry.loaders", "urllib.request"))] == []
    assert not {name.partition(".")[0] for name in loaded} & {"filelock", "gguf", "numpy", "stamina", "truststore"}


def test_every_name_of_the_room_is_there() -> None:
    pytest.importorskip("filelock")
    names = dir(registry.adapters)
    assert names == sorted(names)
    assert [getattr(registry.adapters, name).__name__ for name in names] == names


def test_name_that_does_not_exist_is_told() -> None:
    with pytest.raises(AttributeError, match=r"^module 'registry\.adapters' has no attribute 'Adapter'$"):
        registry.adapters.Adapter  # type: ignore[attr-defined] # noqa: B018
