"""Having the models of roles ready before somebody needs them: looked for, fetched once, and reported."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from registry._logfmt import log
from registry.errors import InvalidOptionError, ProviderUnavailableError, RegistryError
from registry.profiles.active import PathLike, Profiles
from registry.profiles.availability import Availabilities
from registry.profiles.circuit import circuits_of
from registry.profiles.events import Event, EventKind, OnEvent, tell
from registry.profiles.faults import words_of
from registry.profiles.flights import Flights
from registry.profiles.order import chain, hint, identity, pinned
from registry.profiles.parameters import of_settings
from registry.profiles.protocol import LOCAL, OLLAMA
from registry.profiles.registered import Providers
from registry.profiles.reports import Outcome, OutcomeAction, Report
from registry.profiles.resolution import Candidate

if TYPE_CHECKING:
    from collections.abc import Hashable

    from registry.hub.progress import OnProgress, Progress
    from registry.profiles.protocol import Ensured, Provider
    from registry.queries import ModelRegistry
    from registry.records import RoleModel

LOGGER = logging.getLogger("registry.provision")


class _Known:
    """What is known of the models of one set of providers, and what is being fetched for them."""

    def __init__(self) -> None:
        self.flights: Flights[Outcome, Progress] = Flights()
        self.models: dict[Hashable, Outcome] = {}  # those that are ready
        self.roles: dict[Hashable, tuple[Outcome, ...]] = {}  # the same


_known: WeakKeyDictionary[Providers, _Known] = WeakKeyDictionary()
_lock = Lock()


def provision(
    roles: Iterable[str] | None = None,
    *,
    force: bool = False,
    profile: str | None = None,
    manifest: PathLike | None = None,
    registry: ModelRegistry[Any] | None = None,
    providers: Providers | None = None,
    on_event: OnEvent | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Report:
    """Have a model ready for each role: the first, in the order of the role, that can be had.

    A model is fetched where the role does not forbid it (`auto_download` is not false); its provider may use disk and
    network for as long as that takes. A provider that cannot be asked is passed over. What is ready once counts as
    ready for the life of the process; what was skipped, or has failed, is tried again in the next call. However many
    threads ask for a model at the same time, it is fetched once, and all of them have the same outcome.

    Args:
        roles: The roles. Left out: all of the profile.
        force: True to look again at what is ready, and have the providers prove it.
        profile: Name of the profile. Left out: the setting `profile`, else `default`.
        manifest: File with profiles of the user's own. Left out: the setting `manifest`.
        registry: Registry of the records. Left out: that of `providers`, else this package's own.
        providers: Who may be asked. Left out: those that all share who use this registry.
        on_event: Called with what happens, in the thread that fetches; what it raises is logged.
        on_outcome: Called with each outcome, as soon as it is known.

    Raises:
        ProfileNotFoundError: There is no such profile; the error names close matches.
        RoleNotFoundError: The profile has no such role; the error names close matches. Nothing was fetched.
        ManifestError: The manifest cannot be used.
        InvalidOptionError: `roles` is one text, or the `revision` of a role is none.
        InvalidSettingError: The setting `parameters` has a value that it cannot have.

    Example:
        >>> provision(["embedding"])  # doctest: +SKIP
        Report(profile='default', outcomes=(Outcome(role='embedding', model='all-minilm-l6-v2', provider='local',
        action='downloaded', seconds=4.1, bytes=91_000_000, reason=None),))
    """
    asked = providers if providers is not None else Providers.of(registry)
    profiles = Profiles.load(manifest=manifest, registry=registry if registry is not None else asked.registry)
    return provision_in(
        profiles, roles, profile=profile, providers=asked, force=force, on_event=on_event, on_outcome=on_outcome
    )


def provision_in(
    profiles: Profiles,
    roles: Iterable[str] | None = None,
    *,
    profile: str | None = None,
    providers: Providers,
    force: bool = False,
    on_event: OnEvent | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    availabilities: Availabilities | None = None,
) -> Report:
    """Do what `provision` does in profiles that were loaded already."""
    chosen = profiles.get(profile)
    outcomes: list[Outcome] = []
    said = availabilities or Availabilities(providers)
    for role_model in roles_of(profiles, roles, chosen.name):
        for outcome in _of_role(role_model, profiles, providers, said, force=force, on_event=on_event):
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    return Report(chosen.name, tuple(outcomes))


def roles_of(profiles: Profiles, roles: Iterable[str] | None, profile: str | None = None) -> tuple[RoleModel, ...]:
    """Give what a profile states of some roles, each once, or of all.

    Raises:
        RoleNotFoundError: It has no such role; the error names close matches.
        InvalidOptionError: `roles` is one text.
    """
    if isinstance(roles, str):
        raise InvalidOptionError("roles", f"a list of roles, such as `[{roles!r}]`", roles)
    chosen = profiles.get(profile)
    names = map(str, chosen.models) if roles is None else roles
    return tuple(profiles.role(name, chosen.name) for name in dict.fromkeys(names))


def ensure_candidate(
    candidate: Candidate,
    providers: Providers,
    force: bool = False,
    on_event: OnEvent | None = None,
    *,
    role: str = "",
    availabilities: Availabilities | None = None,
) -> Outcome:
    """Have one model ready, or say why it is not. Never raises for what goes wrong: `Outcome.error` has it.

    Args:
        candidate: The model. It is fetched only where `auto_download` is true.
        providers: Who may be asked.
        force: True to look again at what is ready, and have the provider prove it.
        on_event: Called with `provisioning` and `progress`.
        role: The role that it is for.
        availabilities: What providers have said in this piece of work. Left out: they are asked.
    """
    known, key = _known_of(providers), identity(candidate.provider, candidate.target)
    if not force and (ready := known.models.get(key)) is not None:
        return replace(ready, role=role, model=candidate.target.name)
    begun = _Begun(candidate, role, time.monotonic())
    try:
        provider = providers.get(candidate.provider)
        if not (available := (availabilities or Availabilities(providers)).of(candidate.provider)):
            return begun.skipped(f"{available.reason} {available.remedy}".strip())
        if not candidate.auto_download:
            return _looked_for(begun, provider, known)
    except ProviderUnavailableError as error:
        return begun.skipped(words_of(error), error)
    except Exception as error:  # of another package, maybe: it must not keep the other roles from being served
        return begun.failed(error)
    tell(on_event, Event("provisioning", role, candidate.provider, candidate.target.name))
    work = partial(_ensured, begun, provider, known, force=force)
    listener = None if on_event is None else partial(_tell_progress, on_event, begun)
    outcome = known.flights.share(key, work, listener, anew=force)
    if outcome.is_ready:
        circuits_of(providers).forget(candidate.provider, candidate.target)
    return replace(outcome, role=role, model=candidate.target.name)


class _Begun(NamedTuple):
    """A model that is being looked at; makes its outcomes, each of which is a line of the log."""

    candidate: Candidate
    role: str
    began_s: float

    def ready(self, action: OutcomeAction, size_bytes: int | None) -> Outcome:
        return self._logged(logging.INFO, action, size_bytes)

    def skipped(self, reason: str, error: Exception | None = None) -> Outcome:
        return self._logged(logging.WARNING, "skipped", 0, reason, error)

    def failed(self, error: Exception) -> Outcome:
        if not isinstance(error, RegistryError):
            LOGGER.error("registry.provision.unexpected", exc_info=error)
        return self._logged(logging.WARNING, "failed", 0, words_of(error), error)

    def _logged(
        self,
        level: int,
        action: OutcomeAction,
        size_bytes: int | None,
        reason: str | None = None,
        error: Exception | None = None,
    ) -> Outcome:
        seconds, name = time.monotonic() - self.began_s, self.candidate.target.name
        outcome = Outcome(self.role, name, self.candidate.provider, action, seconds, size_bytes, reason, error)
        log(LOGGER, level, f"registry.provision.{action}", **outcome.to_dict() | {"role": self.role or None})
        return outcome


def _looked_for(begun: _Begun, provider: Provider, known: _Known) -> Outcome:
    """Take a model that may not be fetched as it is."""
    candidate = begun.candidate
    if not provider.has(candidate.target):
        return begun.skipped(_forbidden(candidate))
    outcome = known.models[identity(candidate.provider, candidate.target)] = begun.ready("already_present", 0)
    return outcome


def _ensured(begun: _Begun, provider: Provider, known: _Known, progress: OnProgress, *, force: bool) -> Outcome:
    """Have the provider fetch a model, in the one thread that does so."""
    candidate = begun.candidate
    key = identity(candidate.provider, candidate.target)
    if not force and (ready := known.models.get(key)) is not None:
        return ready  # since this caller has looked
    known.models.pop(key, None)
    try:
        ensured: Ensured = provider.ensure(candidate.target, force=force, progress=progress)
    except Exception as error:  # of another package, maybe: all that wait are told
        return begun.failed(error)
    outcome = known.models[key] = begun.ready(ensured.action, ensured.bytes)
    return outcome


def _of_role(
    role_model: RoleModel,
    profiles: Profiles,
    providers: Providers,
    availabilities: Availabilities,
    *,
    force: bool,
    on_event: OnEvent | None,
) -> Iterator[Outcome]:
    """Try the models of a role until one is ready."""
    role, may_fetch = str(role_model.role), role_model.auto_download is not False
    stated = {**of_settings(), **role_model.parameters}
    order = tuple(
        (name, pinned(name, target, stated)) for name, target in chain(role_model, profiles.registry, providers.names())
    )
    candidates = [Candidate(name, target, {}, may_fetch) for name, target in order]
    known, key = _known_of(providers), (role, may_fetch, order)
    reported = () if force else known.roles.get(key, ())
    if reported and identity(*order[len(reported) - 1]) in known.models:  # or it has failed for another role since
        yield from reported
        return
    tell(on_event, Event("resolving", role))
    found: list[Outcome] = []
    for candidate in candidates:
        outcome = ensure_candidate(candidate, providers, force, on_event, role=role, availabilities=availabilities)
        if slip := not outcome.is_ready and hint(role_model, candidate.target, profiles.registry):
            outcome = replace(outcome, reason=f"{outcome.reason} {slip}")
        found.append(outcome)
        if outcome.is_ready:
            known.roles[key] = tuple(found)
        _tell_outcome(on_event, outcome, is_last=len(found) == len(candidates))
        yield outcome
        if outcome.is_ready:
            return


def _tell_progress(on_event: OnEvent, begun: _Begun, progress: Progress) -> None:
    name = begun.candidate.target.name
    tell(on_event, Event("progress", begun.role, begun.candidate.provider, name, progress=progress))


def _tell_outcome(on_event: OnEvent | None, outcome: Outcome, *, is_last: bool) -> None:
    kind: EventKind = "done" if outcome.is_ready else "broken" if is_last else "passed_on"
    tell(on_event, Event(kind, outcome.role, outcome.provider, outcome.model, outcome.reason or outcome.action))


def _known_of(providers: Providers) -> _Known:
    with _lock:
        return _known.setdefault(providers, _Known())


def _forbidden(candidate: Candidate) -> str:
    name = candidate.target.name
    fetch = {LOCAL: f"`registry download {name}`", OLLAMA: f"`ollama pull {name}`"}.get(candidate.provider)
    remedy = "Set `auto_download` to true for the role" + (f", or fetch it with {fetch}." if fetch else ".")
    return f"It is not there, and the role says that it must not be fetched. {remedy}"


def forget_ready(candidate: Candidate, providers: Providers) -> bool:
    """Have a model that turned out to be gone looked for anew. True where it counted as ready."""
    return _known_of(providers).models.pop(identity(candidate.provider, candidate.target), None) is not None
