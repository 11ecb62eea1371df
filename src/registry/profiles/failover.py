"""One after the other is asked until one answers: who is passed over, who is asked again, and what is said of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from registry._logfmt import log
from registry.errors import (
    ModelClosedError,
    NoProviderError,
    ProviderModelError,
    ProviderUnavailableError,
    RegistryError,
    UnsafeWeightsError,
    UnsupportedModelError,
)
from registry.profiles.circuit import Permit, Refusal, circuits_of
from registry.profiles.events import LOGGER, Event, EventKind, OnEvent, tell
from registry.profiles.faults import is_missing, scope_of, words_of
from registry.profiles.provisioning import ensure_candidate, forget_ready
from registry.profiles.resolution import Candidate, PassedOver

if TYPE_CHECKING:
    from registry.profiles.answers import FailedAttempt, ServedBy
    from registry.profiles.protocol import Provider
    from registry.profiles.registered import Providers

T = TypeVar("T")

Link: TypeAlias = Candidate | PassedOver

PASSED_ON: tuple[type[Exception], ...] = (
    ProviderModelError,
    # What loading and fetching raise, beside errors of the kinds below.
    ModelClosedError,
    UnsafeWeightsError,
    UnsupportedModelError,
    # A provider that cannot be reached is an OSError, an extra that is missing an ImportError, and so on. None of these
    # comes from what was asked, so that they are passed on from providers of other packages too.
    ImportError,
    MemoryError,
    OSError,
)
"""Errors after which the next one is asked. All others are about the request, or faults of the program."""


@dataclass(frozen=True)
class Served(Generic[T]):
    """What a role was served with.

    Attributes:
        value: What was asked for.
        served_by: Who served it.
        permit: Takes a fault that shows later, in the midst of the answer.
    """

    value: T
    served_by: ServedBy
    permit: Permit


class Failover:
    """Asks those that may serve a role, in their order."""

    def __init__(self, role: str, providers: Providers, on_event: OnEvent | None = None) -> None:
        self.role = role
        self._providers = providers
        self._circuits = circuits_of(providers)
        self._on_event = on_event

    def serve(
        self, links: tuple[Link, ...], ask: Callable[[Provider, Candidate], T], cancelled: threading.Event | None = None
    ) -> Served[T]:
        """Ask one after the other until one answers.

        What the role's own choice says about the request is for the caller to know. What one that is fallen back on
        cannot do with it, another may: it is passed over, which is no fault of it.

        Args:
            links: Who may be asked, in order; the first is the role's own choice.
            ask: Asks one. What it raises of `PASSED_ON` lets the next one be asked.
            cancelled: Set when nobody wants the answer any more: then no other is asked.

        Raises:
            NoProviderError: None of them has answered.
            RegistryError: The role's own choice refuses the request.
            Exception: It was cancelled, and one of them says so in its own way.
        """
        failed: dict[int, FailedAttempt] = {}
        last: Exception | None = None
        for place, candidate, permit in self._turns(links, failed):
            with permit:
                try:
                    value = self._ask(candidate, ask)
                except Exception as error:
                    is_fault = isinstance(error, PASSED_ON)
                    if not is_fault and (place == 0 or not isinstance(error, RegistryError)):
                        raise
                    if cancelled is not None and cancelled.is_set():
                        raise  # the work was ended, which is no fault of who did it
                    last, words = error, words_of(error)
                    if is_fault and not self._is_fetched_again(candidate, error):
                        permit.failed(scope_of(error), words, for_s=getattr(error, "retry_after_s", None))
                    words = f"{words} {candidate.hint}".rstrip()
                    self._pass_on(failed, place, candidate.provider, candidate.target.name, words)
                else:
                    permit.succeeded()
                    served_by = self._served_by(place, candidate, failed)
                    return Served(value, served_by, permit)
        raise self._nobody(failed) from last

    def tell(self, kind: EventKind, provider: str = "", model: str = "", detail: str = "") -> None:
        """Tell the listener, where there is one."""
        if self._on_event is not None:
            tell(self._on_event, Event(kind, self.role, provider, model, detail))

    def _turns(
        self, links: tuple[Link, ...], failed: dict[int, FailedAttempt]
    ) -> Iterator[tuple[int, Candidate, Permit]]:
        """Give whom to ask; last come those whose circuit is open, but whose fault shows at once."""
        refused: list[tuple[int, Candidate]] = []
        for place, link in enumerate(links):
            if isinstance(link, PassedOver):
                self._pass_on(failed, place, link.provider, link.model, f"{link.reason} {link.remedy}".rstrip())
                continue
            permit = self._circuits.admit(link.provider, link.target)
            if isinstance(permit, Refusal):
                self._pass_on(failed, place, link.provider, link.target.name, f"{permit} {link.hint}".rstrip())
                refused.append((place, link))
            else:
                yield place, link, permit
        for place, candidate in refused:
            permit = self._circuits.admit(candidate.provider, candidate.target, last_resort=True)
            if not isinstance(permit, Refusal):
                yield place, candidate, permit

    def _ask(self, candidate: Candidate, ask: Callable[[Provider, Candidate], T]) -> T:
        provider = self._providers.get(candidate.provider)
        if candidate.auto_download:
            self._provision(candidate)
        self.tell("trying", candidate.provider, candidate.target.name)
        return ask(provider, candidate)

    def _provision(self, candidate: Candidate) -> None:
        """Have a model fetched where it is missing.

        Raises:
            Exception: One of `PASSED_ON`: it cannot be had.
        """
        outcome = ensure_candidate(candidate, self._providers, on_event=self._on_event, role=self.role)
        if outcome.is_ready:
            return
        if isinstance(outcome.error, PASSED_ON):
            raise outcome.error
        kind = ProviderUnavailableError if outcome.action == "skipped" else ProviderModelError
        reason = outcome.reason or "It cannot be fetched."
        raise kind(candidate.provider, candidate.target.name, reason) from outcome.error

    def _is_fetched_again(self, candidate: Candidate, error: Exception) -> bool:
        """Say whether the next call fetches the model: it counted as ready, and is gone."""
        return is_missing(error) and forget_ready(candidate, self._providers) and candidate.auto_download

    def _pass_on(self, failed: dict[int, FailedAttempt], place: int, provider: str, model: str, error: str) -> None:
        failed[place] = {"provider": provider, "model": model, "error": error}
        self.tell("passed_on", provider, model, error)

    def _served_by(self, place: int, candidate: Candidate, failed: dict[int, FailedAttempt]) -> ServedBy:
        attempts = [attempt for at, attempt in sorted(failed.items()) if at != place]
        name, is_degraded = candidate.target.name, place > 0
        if is_degraded:
            log(
                LOGGER,
                logging.WARNING,
                "registry.profiles.degraded",
                role=self.role,
                served_by=f"{candidate.provider}/{name}",
                passed_over=[f"{attempt['provider']}/{attempt['model']}" for attempt in attempts],
                reason=" ".join(attempt["error"] for attempt in attempts),
            )
        self.tell("serving", candidate.provider, name)
        return {
            "provider": candidate.provider,
            "model": name,
            "role": self.role,
            "degraded": is_degraded,
            "attempts": attempts,
        }

    def _nobody(self, failed: dict[int, FailedAttempt]) -> NoProviderError:
        attempts = [attempt for _, attempt in sorted(failed.items())]
        lines = tuple(f"`{each['provider']}` with `{each['model']}`: {each['error']}" for each in attempts)
        error = NoProviderError(self.role, lines)
        self.tell("broken", detail=str(error))
        return error
