"""A role resolved: which models may serve it, with which parameters, who was passed over, and why."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from registry._logfmt import log
from registry.errors import ModelNotFoundError, NoProviderError, ProviderError, RegistryError
from registry.profiles.active import COMPILED, GIVEN, PathLike, Profiles
from registry.profiles.availability import Availabilities
from registry.profiles.events import LOGGER
from registry.profiles.layers import Layers
from registry.profiles.order import chain as chain
from registry.profiles.order import hint
from registry.profiles.protocol import LOCAL, Availability, Target
from registry.profiles.registered import Providers

if TYPE_CHECKING:
    from registry.queries import ModelRegistry
    from registry.records import RoleModel


@dataclass(frozen=True)
class Candidate:
    """A model that may serve a role, and who serves it.

    Attributes:
        provider: Name of the provider.
        target: The model.
        parameters: What to generate with, by the names of this library; read-only.
        auto_download: True when the model may be fetched before the first call.
        hint: The record that the name may be a slip of, a sentence; empty where none is close.
    """

    provider: str
    target: Target
    parameters: Mapping[str, Any]
    auto_download: bool
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give all of it as JSON can hold it."""
        return {
            "provider": self.provider,
            "model": self.target.name,
            "record": None if self.target.record is None else self.target.record.id,
            "parameters": dict(self.parameters),
            "auto_download": self.auto_download,
        }


@dataclass(frozen=True)
class PassedOver:
    """A model that could serve a role if something were otherwise.

    Attributes:
        provider: Name of the provider.
        model: Name of the model.
        reason: What is in the way, a sentence.
        remedy: What to do, a sentence; may be empty.
    """

    provider: str
    model: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Resolution:
    """Who serves a role.

    Attributes:
        role: The role.
        profile: Name of the profile.
        candidates: Models that may serve it, in the order in which they are asked; never empty.
        passed_over: Models that cannot serve it now, in the order of the role.
        why: How that came about, in sentences.
    """

    role: str
    profile: str
    candidates: tuple[Candidate, ...]
    passed_over: tuple[PassedOver, ...]
    why: tuple[str, ...]

    @property
    def provider(self) -> str:
        """Name of the provider that is asked first."""
        return self.candidates[0].provider

    @property
    def model(self) -> str:
        """Name of the model that is asked first, as the profile has it."""
        return self.target.name

    @property
    def target(self) -> Target:
        """The model that is asked first."""
        return self.candidates[0].target

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What that model generates with, by the names of this library; read-only."""
        return self.candidates[0].parameters

    def to_dict(self) -> dict[str, Any]:
        """Give all of it as JSON can hold it."""
        return {
            "role": self.role,
            "profile": self.profile,
            "provider": self.provider,
            "model": self.model,
            "parameters": dict(self.parameters),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "passed_over": [asdict(passed) for passed in self.passed_over],
            "why": list(self.why),
        }


def resolve(
    role: str,
    *,
    profile: str | None = None,
    manifest: PathLike | None = None,
    registry: ModelRegistry[Any] | None = None,
    providers: Providers | None = None,
    check: bool = True,
    **parameters: Any,
) -> Resolution:
    """Say which models may serve a role, in which order, with which parameters, and why.

    Args:
        role: The role, such as `general`.
        profile: Name of the profile. Left out: the setting `profile`, else `default`.
        manifest: File with profiles of the user's own. Left out: the setting `manifest`.
        registry: Registry of the records. Left out: that of `providers`, else this package's own.
        providers: Who may be asked. Left out: those that the process shares.
        check: False to leave open whether providers can be asked now: nothing is connected to.
        parameters: Generation parameters, which go before those of role, record and settings; `None` states nothing.

    Raises:
        ProfileNotFoundError: There is no such profile; the error names close matches.
        RoleNotFoundError: The profile has no such role; the error names close matches.
        ManifestError: The manifest cannot be used.
        InvalidOptionError: A parameter is out of its range, or means nothing to the model.
        InvalidSettingError: A setting has a value that it cannot have.
        NoProviderError: Nobody can serve the role; the error says why, for each.

    Example:
        >>> resolve("coding", check=False, temperature=0.2).parameters
        {'temperature': 0.2}
    """
    asked = providers if providers is not None else Providers.default()
    profiles = Profiles.load(manifest=manifest, registry=registry if registry is not None else asked.registry)
    return resolve_in(profiles, role, profile=profile, providers=asked, check=check, parameters=parameters)


def resolve_in(
    profiles: Profiles,
    role: str,
    *,
    profile: str | None = None,
    providers: Providers | None = None,
    check: bool = True,
    parameters: Mapping[str, Any] | None = None,
) -> Resolution:
    """Do what `resolve` does in profiles that were loaded already."""
    asked = providers if providers is not None else Providers.default()
    chosen = profiles.get(profile)
    found = survey(profiles, role, profile=chosen.name, providers=asked, check=check, parameters=parameters)
    return found.resolution(role, chosen.name)


class Survey(NamedTuple):
    """What there is to serve a role, which may be nobody.

    Attributes:
        candidates: Models that may serve it, in the order in which they are asked.
        passed_over: Models that cannot serve it now, in the order of the role.
        why: How that came about, in sentences.
        error: What keeps it from being told, such as a parameter that cannot be; `None` where nothing does.
    """

    candidates: tuple[Candidate, ...]
    passed_over: tuple[PassedOver, ...]
    why: tuple[str, ...]
    error: RegistryError | None = None

    def resolution(self, role: str, profile: str) -> Resolution:
        """Say who serves the role.

        Raises:
            NoProviderError: Nobody can.
            RegistryError: The `error`.
        """
        if self.error is not None:
            raise self.error
        if not self.candidates:
            raise _nobody(role, self.passed_over)
        return Resolution(role, profile, self.candidates, self.passed_over, self.why)


def surveys(
    profiles: Profiles, roles: Iterable[str] | None = None, *, profile: str | None, providers: Providers, check: bool
) -> dict[str, Survey]:
    """Survey some roles of a profile, or all. An error of one keeps none of the others from being told.

    Raises:
        RoleNotFoundError: The profile has no such role; the error names close matches.
    """
    chosen, availabilities = profiles.get(profile), Availabilities(providers)
    names = map(str, chosen.models) if roles is None else roles
    found: dict[str, Survey] = {}
    for name in (str(profiles.role(name, chosen.name).role) for name in names):
        try:
            found[name] = survey(
                profiles, name, profile=chosen.name, providers=providers, check=check, availabilities=availabilities
            )
        except RegistryError as error:
            found[name] = Survey((), (), (), error)
    return found


def survey(
    profiles: Profiles,
    role: str,
    *,
    profile: str | None,
    providers: Providers,
    check: bool,
    parameters: Mapping[str, Any] | None = None,
    availabilities: Availabilities | None = None,
) -> Survey:
    """Do what `resolve_in` does, without an error where nobody can serve the role: for reports."""
    name, role_model = profiles.get(profile).name, profiles.role(role, profile)
    layers = Layers.of(role_model, name, parameters or {})
    ordered = chain(role_model, profiles.registry, providers.names())
    said = availabilities or Availabilities(providers)
    available = {each: _availability(providers, said, each, check=check) for each in {each for each, _ in ordered}}
    why = [*_stated(role_model, profiles, name)]
    candidates: list[Candidate] = []
    passed_over: list[PassedOver] = []
    for place, (each, target) in enumerate(ordered):
        slip = hint(role_model, target, profiles.registry)
        state = available[each] and _has_record(each, target, profiles.registry)
        if state:
            given = layers.given(each, target, is_first=place == 0)
            candidates.append(Candidate(each, given.target, given.parameters, bool(role_model.auto_download), slip))
            why += given.why
        else:
            passed_over.append(PassedOver(each, target.name, str(state.reason), f"{state.remedy} {slip}".strip()))
            why.append(f"`{each}` with `{target.name}` is passed over: {state.reason}")
            _warn(passed_over[-1])
    return Survey(tuple(candidates), tuple(passed_over), tuple(why))


def _availability(providers: Providers, said: Availabilities, name: str, *, check: bool) -> Availability:
    try:
        providers.get(name)
    except ProviderError as error:
        return Availability(error.problem, error.remedy)
    try:
        return said.of(name) if check else Availability()
    except Exception as error:  # of another package, maybe: it may fail, and must not take the others with it
        return Availability(f"Asking whether it is available failed: {type(error).__name__}: {error}.")


def _has_record(provider: str, target: Target, registry: ModelRegistry[Any]) -> Availability:
    """Say whether there is a record, where only a record will do."""
    if provider != LOCAL or target.record is not None:
        return Availability()
    try:
        registry.lookup_model(target.name)
    except ModelNotFoundError as error:
        return Availability(*error.explained())
    return Availability()


def _stated(role_model: RoleModel, profiles: Profiles, profile: str) -> tuple[str, ...]:
    origin = profiles.origin(profile, role_model.role)
    home = {COMPILED: "the compiled registry", GIVEN: "who started this"}.get(origin, f"the manifest `{origin}`")
    first = f"Role `{role_model.role}` of profile `{profile}` is `{role_model.name}`, as {home} says."
    if role_model.provider is not None:
        return (first,)
    own = Target(role_model.name, profiles.registry.find_model(role_model.name))
    whose = "a record, so it is loaded here" if own.record is not None else "no record, so it is Ollama's"
    slip = hint(role_model, own, profiles.registry)
    return first, f"No provider is stated: `{role_model.name}` is {whose}. {slip}".rstrip()


def _nobody(role: str, passed_over: Iterable[PassedOver]) -> NoProviderError:
    lines = (f"`{each.provider}` with `{each.model}`: {each.reason} {each.remedy}".rstrip() for each in passed_over)
    return NoProviderError(role, tuple(lines))


@lru_cache(maxsize=1024)  # so that it is said once in a process, and not with every call
def _warn(passed: PassedOver) -> None:
    log(LOGGER, logging.WARNING, "registry.profiles.passed_over", **asdict(passed))
