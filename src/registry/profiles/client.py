"""What those who use a role have in common: who may serve it, what is asked for in every call, and an end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from registry.errors import ModelClosedError
from registry.profiles.active import PathLike, Profiles
from registry.profiles.events import Event, OnEvent, tell
from registry.profiles.failover import Failover, Link, Served
from registry.profiles.layers import Layers
from registry.profiles.order import chain
from registry.profiles.parameters import ALIASES, canonical
from registry.profiles.registered import Providers
from registry.profiles.resolution import PassedOver, Resolution, resolve_in

if TYPE_CHECKING:
    from registry.queries import ModelRegistry


class RoleClient:
    """Uses a role. Any number of threads may call it at the same time.

    Attributes:
        role: The role.
        profile: Name of the profile that it is taken from.
        providers: Who may be asked.
    """

    def __init__(
        self,
        role: str,
        *,
        profile: str | None,
        manifest: PathLike | None,
        registry: ModelRegistry[Any] | None,
        providers: Providers | None,
        on_event: OnEvent | None,
        parameters: Mapping[str, Any],
    ) -> None:
        self.role = str(role)
        self.providers = providers if providers is not None else Providers.of(registry)
        known = registry if registry is not None else self.providers.registry
        self._profiles = Profiles.load(manifest=manifest, registry=known)
        self.profile = self._profiles.get(profile).name
        self._role_model = self._profiles.role(self.role, self.profile)
        self._parameters = dict(parameters)
        self._failover = Failover(self.role, self.providers, on_event)
        self._closed = False
        # Unchecked: who is there shows when it is asked, and asking beforehand would cost every call.
        self._resolution = resolve_in(
            self._profiles,
            self.role,
            profile=self.profile,
            providers=self.providers,
            check=False,
            parameters=self._parameters,
        )
        self._links = self._in_order(self._resolution)
        tell(on_event, self._resolved())

    @property
    def resolution(self) -> Resolution:
        """Who may serve the role, in which order, with which parameters, and why."""
        return self._resolution

    def close(self) -> None:
        """End what it does. Providers stay as they are: others use them too, or the caller brought them."""
        self._closed = True

    def __enter__(self) -> Self:
        self._refuse_closed()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._resolution.provider}/{self._resolution.model} first"
        return f"<{type(self).__name__} {self.role} of {self.profile}: {state}>"

    def _links_for(self, options: Mapping[str, Any]) -> tuple[Link, ...]:
        """Give who may be asked in one call, with its own options over those of all calls; `None` states nothing.

        Raises:
            InvalidOptionError: One of them has a value that it cannot have.
            ModelClosedError: This is closed.
        """
        self._refuse_closed()
        options = {name: value for name, value in options.items() if value is not None}
        if not options:
            return self._links
        stated = canonical(options)
        left = {name: value for name, value in self._parameters.items() if ALIASES.get(name, name) not in stated}
        layers = Layers.of(self._role_model, self.profile, {**left, **options})
        return tuple(_with(layers, link, is_first=place == 0) for place, link in enumerate(self._links))

    def _refuse_closed(self) -> None:
        if self._closed:
            raise self._closed_error()

    def _closed_error(self) -> ModelClosedError:
        return ModelClosedError(f"{type(self).__name__}({self.role!r})")

    def _tell_done(self, served: Served[Any]) -> None:
        self._failover.tell("done", served.served_by["provider"], served.served_by["model"])

    def _in_order(self, resolution: Resolution) -> tuple[Link, ...]:
        """Put those that may be asked and those that cannot into the order of the role."""
        links: dict[tuple[str, str], Link] = {(each.provider, each.target.name): each for each in resolution.candidates}
        links.update({(each.provider, each.model): each for each in resolution.passed_over})
        order = chain(self._role_model, self._profiles.registry, self.providers.names())
        return tuple(links[name, target.name] for name, target in order)

    def _resolved(self) -> Event:
        first = self._resolution
        names = ", then ".join(f"{each.provider}/{each.target.name}" for each in first.candidates)
        return Event("resolving", self.role, first.provider, first.model, f"Profile `{self.profile}`: {names}.")


def _with(layers: Layers, link: Link, *, is_first: bool) -> Link:
    """Give who may be asked, with the parameters of other layers; who was passed over is not looked for again."""
    if isinstance(link, PassedOver):
        return link
    given = layers.given(link.provider, link.target, is_first=is_first)
    return replace(link, target=given.target, parameters=given.parameters)
