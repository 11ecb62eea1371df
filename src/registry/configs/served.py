"""Which models another program is to serve: their files, their names, and what they generate with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from registry._frozen import FrozenDict
from registry._places import gguf_file, kept_at, places
from registry.errors import UnsupportedModelError
from registry.profiles.active import PathLike, Profiles
from registry.profiles.layers import Layers
from registry.profiles.order import chain
from registry.profiles.parameters import known_to_local, of_settings
from registry.profiles.protocol import LOCAL, Target
from registry.profiles.registered import OWN
from registry.records import ChatModel

if TYPE_CHECKING:
    from registry.queries import ModelRegistry
    from registry.records import ModelInfo, RoleModel

_EMPTY: Mapping[str, Any] = FrozenDict()


@dataclass(frozen=True)
class Served:
    """A model for another program.

    Attributes:
        record: Its record, which has a GGUF file.
        path: Where that file is, or will be when it is fetched; absolute.
        aliases: Other names to ask for it by: those of the record, and the roles that it has.
        parameters: What roles, record and settings state, by the names of this library where it has one; read-only.
        roles: The roles that it has.
    """

    record: ModelInfo
    path: Path
    aliases: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = _EMPTY
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """The models for another program.

    Attributes:
        models: The models, in the order of the profile, or that they were named in.
        notes: What is left out or not as stated, a sentence each.
    """

    models: tuple[Served, ...]
    notes: tuple[str, ...] = ()


class _Role(NamedTuple):
    name: str
    record: ModelInfo
    parameters: Mapping[str, Any]


def chosen(
    models: Iterable[str | ModelInfo] = (),
    *,
    profile: str | None = None,
    manifest: PathLike | None = None,
    registry: ModelRegistry[Any] | None = None,
) -> Chosen:
    """Choose the models that llama.cpp or Ollama can serve from a profile, or of those that are named.

    A role is given to the first of its models, in the order in which they are tried, that has a GGUF file.

    Args:
        models: Ids, aliases or records. Left out: those of the profile.
        profile: Name of the profile. Left out: the setting `profile`, else `default`. Also where models are named, it
            says which roles they have and what they generate with.
        manifest: File with profiles of the user's own. Left out: the setting `manifest`.
        registry: Registry of the records. Left out: this package's own.

    Raises:
        ModelNotFoundError: A named model is not in the registry.
        UnsupportedModelError: A named model has no GGUF file.
        ProfileNotFoundError: There is no such profile.
        ManifestError: The manifest cannot be used.
        InvalidOptionError: A role states a value that cannot be.
        InvalidSettingError: A setting has a value that it cannot have.
    """
    profiles = Profiles.load(manifest=manifest, registry=registry)
    named = [profiles.registry.lookup_model(each) if isinstance(each, str) else each for each in models]
    for record in named:
        if gguf_file(record) is None:
            reason = "it has no GGUF file, which llama.cpp and Ollama need. Name another."
            raise UnsupportedModelError(record.id, reason)
    if named and profile is None and not profiles.names:
        return _served(named, [], [])
    roles, notes = _roles(profiles, profile)
    return _served(named, roles, []) if named else _served([role.record for role in roles], roles, notes)


def _served(records: Iterable[ModelInfo], roles: Sequence[_Role], notes: Sequence[str]) -> Chosen:
    """Give each model once, with its roles."""
    by_id = {record.id: record for record in records}
    taken = {*by_id, *(alias for record in by_id.values() for alias in record.aliases)}
    served, said = [], [*notes]
    for record in by_id.values():
        own = [role for role in roles if role.record.id == record.id]
        parameters, disputed = _agreed([role.parameters for role in own] or [_unasked(record)])
        aliases = (*record.aliases, *(role.name for role in own if role.name not in taken))
        names = tuple(dict.fromkeys(alias for alias in aliases if alias != record.id))
        served.append(Served(record, gguf_path(record), names, parameters, tuple(role.name for role in own)))
        said += [f"`{record.id}`: not all its roles state the same `{name}`, which is left out." for name in disputed]
        said += [
            f"Role `{role.name}` cannot be asked for by its name, which another model has: ask for `{record.id}`."
            for role in own
            if role.name in taken and role.name not in (record.id, *record.aliases)
        ]
    said += [
        f"`{each.record.id}` is not on this machine, and written as it will be kept, `{each.path}`. Fetch it first: "
        f"`registry download {each.record.id}`."
        for each in served
        if not each.path.is_file()
    ]
    return Chosen(tuple(served), tuple(said))


def gguf_path(record: ModelInfo) -> Path:
    """Give the GGUF file of a record: where it is, or where it will be when it is fetched."""
    found = (place.path for place in places(record) if place.path.suffix == ".gguf")
    return next((path for path in found if path.is_file()), kept_at(record)).absolute()


def _roles(profiles: Profiles, name: str | None) -> tuple[list[_Role], list[str]]:
    """Give the roles of a profile that can be served, and what is to be said about the others."""
    profile = profiles.get(name)
    found, notes = [], []
    for role, role_model in profile.models.items():
        served = _role(role_model, profiles, profile.name)
        own = profiles.registry.find_model(role_model.name)
        if served is None:
            notes.append(f"Role `{role}` is left out: no model of it has a GGUF file in the registry.")
            continue
        if own is None or own.id != served.record.id:
            why = f"`{role_model.name}` has no GGUF file in the registry"
            notes.append(f"Role `{role}` is given to `{served.record.id}`: {why}.")
        found.append(served)
    return found, notes


def _role(role_model: RoleModel, profiles: Profiles, profile: str) -> _Role | None:
    layers = Layers.of(role_model, profile, {})
    for _, target in chain(role_model, profiles.registry, OWN):
        if target.record is not None and gguf_file(target.record) is not None:
            return _Role(str(role_model.role), target.record, _stated(layers, target))
    return None


def _stated(layers: Layers, target: Target) -> Mapping[str, Any]:
    """Give what is stated for a model, whoever serves it: as this library takes it, and what only others know."""
    given = layers.given(LOCAL, target, is_first=False).parameters
    stated = {**layers.settings, **layers.role} if isinstance(target.record, ChatModel) else layers.role
    others = {name: value for name, value in stated.items() if name not in known_to_local(target.record)}
    return FrozenDict({**given, **{name: value for name, value in others.items() if value is not None}})


def _unasked(record: ModelInfo) -> Mapping[str, Any]:
    """Give what record and settings state of a model that no role names."""
    return _stated(Layers({}, {}, of_settings(), ""), Target(record.id, record))


def _agreed(stated: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Give the parameters on which all roles of a model agree, and the names of the others."""
    names = dict.fromkeys(name for parameters in stated for name in parameters)
    agreed = [name for name in names if all(name in each and each[name] == stated[0].get(name) for each in stated)]
    return FrozenDict({name: stated[0][name] for name in agreed}), tuple(name for name in names if name not in agreed)
