"""What a request may call a model: its id, an alias, the role that it plays; or the id of an adapter on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from registry._places import find_files
from registry.errors import InvalidOptionError, ModelNotFoundError
from registry.profiles.protocol import OLLAMA, OPENAI

if TYPE_CHECKING:
    from registry.adapters import Adapters
    from registry.adapters.version import AdapterVersion
    from registry.queries import ModelRegistry
    from registry.records import ModelInfo, Profile

_MOST_MATCHES = 3
_OTHER_SERVERS = (OLLAMA, OPENAI)


class Serving(NamedTuple):
    """What serves a request.

    Attributes:
        record: The model.
        adapter: The adapter on top of it, if the request names one.
    """

    record: ModelInfo
    adapter: AdapterVersion | None = None

    @property
    def name(self) -> str:
        """What the answer calls it."""
        return self.record.id if self.adapter is None else self.adapter.id


class ModelNames:
    """Finds records by what requests call them. Upper and lower case are the same.

    Args:
        registry: The records, with their ids and aliases.
        roles: Role to the id or alias of the model that plays it; they go before those of the profile.
        profile: Which models play the other roles; left out: the default profile of the registry. Of the models of a
            role, those that the registry lacks or that somebody else serves are passed over.
        adapters: The adapters that are served. A model goes before an adapter of the same name.

    Raises:
        ModelNotFoundError: A role is given to a model that does not exist.
        InvalidOptionError: A role is empty, or has the name of a model.
    """

    def __init__(
        self,
        registry: ModelRegistry[Any],
        roles: Mapping[str, str] | None = None,
        profile: Profile | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        self._registry = registry
        self._adapters = adapters
        chosen = profile or registry.default_profile
        found: dict[str, tuple[ModelInfo, ...]] = {}
        for role, model in chosen.models.items() if chosen is not None else ():
            names = model.fallback if model.provider in _OTHER_SERVERS else (model.name, *model.fallback)
            players = tuple(record for record in map(registry.find_model, names) if record is not None)
            if players and registry.find_model(role) is None:
                found[str(role)] = players
        for role, name in (roles or {}).items():
            if not role.strip() or registry.find_model(role) is not None:
                raise InvalidOptionError("roles", "names that no model has", role, "Choose another name for the role.")
            found[role] = (self._named(name) or registry.get_model(name),)
        self._roles = found

    def find(self, name: str) -> ModelInfo:
        """Give the record of an id, an alias or a role. A look at the disk where several can play the role.

        Raises:
            ModelNotFoundError: There is none; the error names close matches, roles among them.
        """
        record = self._found(name)
        if record is None:
            raise self._not_found(name)
        return record

    def is_model(self, name: str) -> bool:
        """True for what requests mean a model by. A look at the disk, as `find`."""
        return self._found(name) is not None

    def serving(self, name: str) -> Serving:
        """Give what serves requests that name this: found once for each request, which ends with what it began with.

        Raises:
            ModelNotFoundError: As `find`; adapters are among the close matches.
        """
        if (record := self._found(name)) is not None:
            return Serving(record)
        if self._adapters is not None and (adapter := self._adapters.find(name.casefold())) is not None:
            base = self._registry.find_model(adapter.base)
            if base is not None:  # the registry may have changed since the adapter was decided on
                return Serving(base, adapter)
        raise self._not_found(name, *(serving.name for serving in self.adapters()))

    def adapters(self) -> tuple[Serving, ...]:
        """Give the adapters that are served now, with their models."""
        served = () if self._adapters is None else self._adapters.versions()
        found = ((self._registry.find_model(version.base), version) for version in served)
        return tuple(
            Serving(base, version) for base, version in found if base is not None and not self.is_model(version.id)
        )

    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """Give the roles of every model that plays one now: id -> roles, sorted. A look at the disk, as `find`."""
        found: dict[str, tuple[str, ...]] = {}
        for role in sorted(self._roles):
            player = self._player(self._roles[role])
            found[player.id] = (*found.get(player.id, ()), role)
        return found

    def _found(self, name: str) -> ModelInfo | None:
        role = self._folded_roles.get(name.casefold())
        return self._named(name) if role is None else self._player(self._roles[role])

    def _named(self, name: str) -> ModelInfo | None:
        exact = self._registry.find_model(name)
        folded = self._folded_names.get(name.casefold())
        return exact or (None if folded is None else self._registry.get_model(folded))

    @staticmethod
    def _player(players: tuple[ModelInfo, ...]) -> ModelInfo:
        """Choose the first whose files are on this machine, else the first."""
        if len(players) == 1:
            return players[0]
        return next((record for record in players if find_files(record) is not None), players[0])

    @cached_property
    def _folded_roles(self) -> dict[str, str]:
        return {role.casefold(): role for role in self._roles}

    @cached_property
    def _folded_names(self) -> dict[str, str]:
        return {name.casefold(): model_id for name, model_id in self._registry._names()}

    def _not_found(self, name: str, *adapters: str) -> ModelNotFoundError:
        own = self._folded_roles | {adapter: adapter for adapter in adapters}
        near = get_close_matches(name.casefold(), own, n=_MOST_MATCHES)
        matches = (*(own[found] for found in near), *self._registry._close_matches(name))
        return ModelNotFoundError(name, matches[:_MOST_MATCHES], self._registry._name)
