"""Providers by name: this package's own, those that other packages register, and those that a caller brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from difflib import get_close_matches
from functools import cache, cached_property
from importlib import import_module
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias, cast
from weakref import WeakMethod

from registry.errors import ProviderUnavailableError
from registry.profiles.protocol import LOCAL, OLLAMA, OPENAI, TRANSFORMERS, Provider

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from registry.loaders import ModelManager
    from registry.queries import ModelRegistry

Factory: TypeAlias = Callable[[], Provider]

GROUP = "registry.providers"
"""Group of entry points that packages register providers in."""


class _Own(NamedTuple):
    """A provider of this package: where its class is, and what of `Providers` that takes."""

    module: str
    attribute: str
    takes: tuple[str, ...] = ()


OWN = {
    OLLAMA: _Own("registry.profiles.providers.ollama", "OllamaProvider", ("registry",)),
    LOCAL: _Own("registry.profiles.providers.local", "LocalProvider", ("manager", "registry")),
    OPENAI: _Own("registry.profiles.providers.openai", "OpenAIProvider"),
    TRANSFORMERS: _Own("registry.profiles.checkpoints.provider", "TransformersProvider", ("registry",)),
}
"""Providers of this package by name."""

_METHODS = ("available", "has", "ensure", "chat", "stream", "embed", "close")


class Providers:
    """Providers, each made when it is first asked for and kept. Any number of threads may use it at the same time.

    A provider that a caller brings hides one of the same name of this package, which hides one that another package
    registers.

    Args:
        registry: Registry whose records are served. Left out: this package's own.
        manager: Where `local` loads its models. Left out: it makes one of its own.
        providers: Providers by name, or functions that make one.

    Example:
        >>> with Providers() as providers:
        ...     providers.get("ollama").name
        'ollama'
    """

    def __init__(
        self,
        *,
        registry: ModelRegistry[Any] | None = None,
        manager: ModelManager | None = None,
        providers: Mapping[str, Provider | Factory] | None = None,
    ) -> None:
        self.registry = registry
        self.manager = manager
        self._given = dict(providers or {})
        self._made: dict[str, Provider] = {}
        # Reentrant: a provider that stands before others may ask for them while it is made.
        self._lock = RLock()

    @staticmethod
    def default() -> Providers:
        """Give the providers that a process shares; they are closed when it ends."""
        return _shared()

    @staticmethod
    def of(registry: ModelRegistry[Any] | None) -> Providers:
        """Give the providers that all share who use a registry; for this package's own, those of `default`.

        They are kept for as long as the registry is there, and closed when the process ends.

        Args:
            registry: Registry whose records are served; `None` for this package's own.
        """
        from registry.profiles.manifest import own_registry

        if registry is None or registry is own_registry():
            return Providers.default()
        with _LOCK:
            kept: _Kept | None = vars(registry).get(_KEPT)
            if kept is None or kept.providers is None or kept.providers.registry is not registry:
                kept = vars(registry)[_KEPT] = _Kept(_closed_at_exit(Providers(registry=registry)))
            return cast("Providers", kept.providers)

    def get(self, name: str) -> Provider:
        """Give the provider of this name; the same object every time.

        Raises:
            ProviderUnavailableError: There is none, and the error names close matches; or it cannot be made.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def names(self) -> tuple[str, ...]:
        """Give the names of all providers, those that cannot be made too."""
        return tuple(dict.fromkeys((*OWN, *self._given, *sorted(self._registered))))

    def close(self) -> None:
        """Close every provider that was made. They can be used again afterwards."""
        with self._lock:
            made = list(self._made.values())
        with ExitStack() as stack:  # closes all of them, whatever one of them raises
            for provider in made:
                stack.callback(provider.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self, name: str) -> Provider:
        make = self._factory(name)
        try:
            made = make()
        except Exception as error:  # of another package, maybe: whatever it is, this one provider is not there
            problem = f"It cannot be made: {type(error).__name__}: {error}"
            raise ProviderUnavailableError(name, "", _sentence(problem), "Mend or update the package.") from error
        if missing := [method for method in _METHODS if not callable(getattr(made, method, None))]:
            problem = f"Expected a provider, got {made!r} without {', '.join(f'`{method}`' for method in missing)}."
            raise ProviderUnavailableError(name, "", problem, "`registry.profiles.Provider` says what one has.")
        return made

    def _factory(self, name: str) -> Factory:
        if name in self._given:
            given = self._given[name]
            # A class of providers has the methods as well, and is a function that makes one.
            is_made = not isinstance(given, type) and hasattr(given, "available")
            return (lambda: cast("Provider", given)) if is_made else cast("Factory", given)
        if name in OWN:
            return lambda: self._own(name)
        if name in self._registered:
            return lambda: _call(self._registered[name].load(), self.registry)
        close = get_close_matches(name.lower(), self.names(), n=1)
        listed = ", ".join(f"`{known}`" for known in self.names())
        remedy = f"Did you mean `{close[0]}`?" if close else f"Known are {listed}; packages can register more."
        raise ProviderUnavailableError(name, "", "There is no provider of this name.", remedy)

    def _own(self, name: str) -> Provider:
        own = OWN[name]
        make = getattr(import_module(own.module), own.attribute)
        return cast("Provider", make(**{each: getattr(self, each) for each in own.takes}))

    @cached_property
    def _registered(self) -> Mapping[str, EntryPoint]:
        """The providers that installed packages register: name -> where it is. Imports none of them."""
        from importlib.metadata import entry_points

        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=GROUP):
            found.setdefault(point.name, point)
        return found


_KEPT, _LOCK = "_providers_of_profiles", Lock()


class _Kept:
    """Providers of a registry, kept on it, which nothing else outlives. Copies of the registry have their own."""

    def __init__(self, providers: Providers | None = None) -> None:
        self.providers = providers

    def __reduce__(self) -> tuple[type[_Kept], tuple[()]]:
        return _Kept, ()


@cache
def _shared() -> Providers:
    return _closed_at_exit(Providers())


def _closed_at_exit(made: Providers) -> Providers:
    import atexit

    atexit.register(_close, WeakMethod(made.close))
    return made


def _close(method: WeakMethod[Callable[[], None]]) -> None:
    if (close := method()) is not None:
        close()


def _call(make: Callable[..., Any], registry: ModelRegistry[Any] | None) -> Any:
    """Call what makes a provider, with the registry where it takes one."""
    from inspect import signature

    try:
        parameters = list(signature(make).parameters.values())
    except (TypeError, ValueError):  # of something compiled
        parameters = []
    takes_registry = any(each.name == "registry" or each.kind is each.VAR_KEYWORD for each in parameters)
    return make(registry=registry) if takes_registry else make()


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
