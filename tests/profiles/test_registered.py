"""Providers by name: made once, lazily, and found in other packages."""

import copy
import gc
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from registry import MODEL_REGISTRY
from registry.errors import ProviderUnavailableError
from registry.profiles import Providers

from .small import Registry, Silent

Package = Callable[..., None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Put a package with entry points on the path; its module is of this code."""

    def make(code: str, **points: str) -> None:
        name = "acme_providers"
        (tmp_path / f"{name}.py").write_text(code, "utf-8")
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
        lines = "".join(f"{point} = {name}:{attribute}\n" for point, attribute in points.items())
        (info / "entry_points.txt").write_text(f"[registry.providers]\n{lines}", "utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return make


_CODE = """
class Acme:
    name = "acme"
    def __init__(self, registry=None):
        self.registry = registry
    def available(self): ...
    has = ensure = chat = stream = embed = close = available

class Plain(Acme):
    def __init__(self):
        self.registry = "none taken"

class Half:
    def available(self): ...
"""


def _refusal(providers: Providers, name: str) -> str:
    with pytest.raises(ProviderUnavailableError) as refused:
        providers.get(name)
    return str(refused.value)


def test_providers_of_this_package_are_known_without_importing_them(run_python: Callable[..., str]) -> None:
    code = "import sys; from registry.profiles import Providers; print(Providers().names()[:4]);"
    code += "print([name for name in ('ollama', 'openai', 'torch', 'httpx', 'numpy') if name in sys.modules])"

    assert run_python(code).splitlines() == ["('ollama', 'local', 'openai', 'transformers')", "[]"]


@pytest.mark.parametrize("name", ["ollama", "local", "openai", "transformers"])
def test_provider_of_this_package_is_made_without_its_package(name: str) -> None:
    with Providers() as providers:
        assert providers.get(name).name == name


def test_provider_is_made_once_by_any_number_of_threads() -> None:
    made: list[Silent] = []
    begun: list[int] = []
    found: list[Any] = []

    def make() -> Any:
        until(lambda: len(begun) == 8)  # the others ask while it is made
        made.append(Silent("mine"))
        return made[-1]

    providers = Providers(providers={"mine": make})

    def get() -> None:
        begun.append(1)
        found.append(providers.get("mine"))

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 1
    assert found == made * 8


def test_provider_that_a_caller_brings_hides_one_of_this_package() -> None:
    mine: Any = Silent("ollama")

    assert Providers(providers={"ollama": mine}).get("ollama") is mine


def test_provider_may_ask_for_others_while_it_is_made() -> None:
    inner: Any = Silent("inner")
    providers = Providers(providers={"inner": inner, "outer": lambda: providers.get("inner")})

    assert providers.get("outer") is inner


def test_provider_that_nobody_knows_names_close_ones() -> None:
    assert _refusal(Providers(), "olama") == "`olama`: There is no provider of this name. Did you mean `ollama`?"


def test_provider_that_nobody_knows_lists_those_that_are_known() -> None:
    assert _refusal(Providers(), "xyz") == (
        "`xyz`: There is no provider of this name. Known are `ollama`, `local`, `openai`, `transformers`; packages can "
        "register more."
    )


def test_providers_of_other_packages_are_found(package: Package) -> None:
    package(_CODE, acme="Acme", plain="Plain")
    registry = Registry([])
    providers = Providers(registry=registry)

    found: Any = providers.get("acme")
    plain: Any = providers.get("plain")

    assert providers.names() == ("ollama", "local", "openai", "transformers", "acme", "plain")
    assert (type(found).__name__, found.registry) == ("Acme", registry)
    assert plain.registry == "none taken"
    assert providers.get("acme") is found


def test_provider_of_another_package_does_not_hide_one_of_this(package: Package) -> None:
    package(_CODE, ollama="Acme")

    assert type(Providers().get("ollama")).__name__ == "OllamaProvider"


def test_provider_whose_package_is_broken_is_not_available(package: Package) -> None:
    package("import a_package_that_is_not_there", acme="Acme")

    assert _refusal(Providers(), "acme") == (
        "`acme`: It cannot be made: ModuleNotFoundError: No module named 'a_package_that_is_not_there'. "
        "Mend or update the package."
    )


def test_provider_that_cannot_do_what_one_must_is_not_available(package: Package) -> None:
    package(_CODE + "\nHalf.__repr__ = lambda self: 'half'", acme="Half")

    assert _refusal(Providers(), "acme") == (
        "`acme`: Expected a provider, got half without `has`, `ensure`, `chat`, `stream`, `embed`, `close`. "
        "`registry.profiles.Provider` says what one has."
    )


def test_provider_that_could_not_be_made_is_made_when_it_can() -> None:
    mine: Any = Silent("mine")
    outcomes = iter([OSError("busy."), mine])

    def make() -> Any:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    providers = Providers(providers={"mine": make})

    assert _refusal(providers, "mine") == "`mine`: It cannot be made: OSError: busy. Mend or update the package."
    assert providers.get("mine") is mine


def test_close_closes_what_was_made_whatever_one_of_them_raises() -> None:
    class Stubborn(Silent):
        def close(self) -> None:
            super().close()
            raise OSError("stuck")

    made: dict[str, Any] = {name: Stubborn(name) for name in "ab"} | {"never": lambda: pytest.fail("was made")}
    providers = Providers(providers=made)
    for name in "ab":
        providers.get(name)

    with pytest.raises(OSError, match="stuck"):
        providers.close()

    assert [made[name].is_closed for name in "ab"] == [True, True]


def test_default_providers_are_those_of_the_process() -> None:
    assert Providers.default() is Providers.default()


def test_providers_of_a_registry_are_the_same_for_all_who_use_it() -> None:
    registry, other = Registry([]), Registry([])

    assert Providers.of(registry) is Providers.of(registry)
    assert Providers.of(registry).registry is registry
    assert Providers.of(other) is not Providers.of(registry)


def test_providers_of_the_registry_of_this_package_are_those_of_the_process() -> None:
    assert Providers.of(MODEL_REGISTRY) is Providers.of(None) is Providers.default()


def test_providers_of_a_registry_go_with_it() -> None:
    registry = Registry([])
    kept = weakref.ref(Providers.of(registry))

    del registry
    gc.collect()

    assert kept() is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda registry: pickle.loads(pickle.dumps(registry))])
def test_copy_of_a_registry_has_providers_of_its_own(copied: Callable[[Registry], Registry]) -> None:
    registry = Registry([])
    providers = Providers.of(registry)

    made = copied(registry)

    assert Providers.of(made).registry is made
    assert Providers.of(registry) is providers


def test_providers_of_a_registry_are_closed_when_the_process_ends(run_python: Callable[..., str]) -> None:
    code = """
from registry import MODEL_REGISTRY, combine
from registry.profiles import Providers
own = combine(MODEL_REGISTRY)
class Mine:
    def available(self): ...
    has = ensure = chat = stream = embed = available
    def close(self): print("closed")
Providers.of(own)._given["mine"] = Mine()
Providers.of(own).get("mine")
print("ends")
"""
    assert run_python(code).splitlines() == ["ends", "closed"]


def test_default_providers_are_closed_when_the_process_ends(run_python: Callable[..., str]) -> None:
    code = """
from registry.profiles import Providers
providers = Providers.default()
class Mine:
    def available(self): ...
    has = ensure = chat = stream = embed = available
    def close(self): print("closed")
providers._given["mine"] = Mine()
providers.get("mine")
print("ends")
"""
    assert run_python(code).splitlines() == ["ends", "closed"]
