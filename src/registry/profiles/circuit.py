"""Who is not asked for a while, having just failed: a dead provider shall not cost its time-out in every call."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, TypeAlias
from weakref import WeakKeyDictionary

from registry._logfmt import log
from registry.profiles.events import LOGGER
from registry.profiles.order import identity

if TYPE_CHECKING:
    from registry.profiles.protocol import Target
    from registry.profiles.registered import Providers

Scope: TypeAlias = Literal["provider", "model"]
_Key: TypeAlias = Hashable  # the name of a provider, or the identity of one of its models

FIRST_OPEN_S, LONGEST_OPEN_S = 30.0, 300.0
_JITTER = 0.2  # up to a fifth less, or a hundred processes that saw one fault would all come back at one moment
_QUICK_S = 0.5  # a fault that takes no longer to show may be looked for again where nobody else is left


class Refusal(NamedTuple):
    """Why one is not asked now.

    Attributes:
        reason: The last fault, a sentence.
        wait_s: When it is asked again, in seconds from now; 0 while another call finds out whether it is back.
    """

    reason: str
    wait_s: float

    def __str__(self) -> str:
        when = f"for another {self.wait_s:.0f} s" if self.wait_s else "while another call finds out if it is back"
        return f"Not asked {when}. Its last fault: {self.reason}"


@dataclass(eq=False)
class _Open:
    """A circuit that is open, or half open when its time is over. There is none for what works.

    Every fault that counts makes a new one: calls tell by the object whether something happened since they began.
    `is_cheap` is true where looking for the fault again costs little: it has shown at once, or after the first token.
    """

    facts: dict[str, str | None]
    faults: int
    until_s: float
    reason: str
    is_cheap: bool
    probe: Permit | None = None

    def lets_in(self, now_s: float, *, last_resort: bool) -> bool:
        return now_s >= self.until_s or (last_resort and self.is_cheap)


class Permit:
    """Leave to ask a provider for a model, and to say what came of it. Left without a word, nothing has been learnt."""

    def __init__(
        self, circuits: Circuits, model: str, seen: dict[_Key, _Open | None], since_s: float, *, extends: bool
    ) -> None:
        self._circuits = circuits
        self.model = model
        self.seen = seen
        self.since_s = since_s
        self.extends = extends
        self.has_answered = False

    def succeeded(self) -> None:
        """Say that it answered, or has begun to: both circuits are closed."""
        self.has_answered = True
        self._circuits.close(self, tuple(self.seen))

    def failed(self, scope: Scope, reason: str, *, for_s: float | None = None) -> None:
        """Say that it failed: it is not asked for a while.

        Args:
            scope: `provider`: it cannot be reached, for no model; `model`: it can, and has not served this one.
            reason: Why, a sentence.
            for_s: How long not to ask, where the provider itself says it.
        """
        provider, model = self.seen
        if scope == "model":
            self._circuits.close(self, (provider,))
        facts = {"provider": str(provider), "model": self.model if scope == "model" else None}
        self._circuits.open(self, model if scope == "model" else provider, facts, reason, for_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._circuits.give_back(self)


class Circuits:
    """A circuit breaker for each provider, and one for each of its models. Any number of threads may use it.

    The first fault opens a circuit, for about 30 s. Then one call probes whether it is back, while others go on passing
    it over; another fault opens it for twice as long, up to 5 min, and success closes it. What a call that began before
    the last change has to say no longer counts: 50 calls that fail together are one fault.

    Args:
        clock: Gives seconds.
        chance: Gives a number from 0 to 1.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._lock = threading.Lock()
        self._open: dict[_Key, _Open] = {}

    def admit(self, provider: str, model: Target, *, last_resort: bool = False) -> Permit | Refusal:
        """Ask for leave to ask a provider for a model.

        Args:
            provider: Name of the provider.
            model: The model.
            last_resort: True where nobody else is left: what has shown its fault at once, or broke off an answer that
                had begun, is asked again all the same, as that costs less than the answer is worth. It makes nothing
                wait for longer.
        """
        with self._lock:
            now_s = self._clock()
            seen = {key: self._open.get(key) for key in _keys(provider, model)}
            circuits = [circuit for circuit in seen.values() if circuit is not None]
            for circuit in circuits:
                if not circuit.lets_in(now_s, last_resort=last_resort):
                    return Refusal(circuit.reason, 0.0 if circuit.probe else circuit.until_s - now_s)
            permit = Permit(self, model.name, seen, now_s, extends=not last_resort)
            for circuit in circuits if not last_resort else ():
                # Others are refused meanwhile; but for ever they are not, should this call never come back.
                circuit.probe, circuit.until_s = permit, now_s + LONGEST_OPEN_S
            return permit

    def forget(self, provider: str, model: Target) -> None:
        """Close both circuits: something was done about the fault, such as fetching the model."""
        if not self._open:
            return
        with self._lock:
            closed = [found for key in _keys(provider, model) if (found := self._open.pop(key, None)) is not None]
        _tell_closed(closed)

    def close(self, permit: Permit, keys: tuple[_Key, ...]) -> None:
        """Take a success, unless something else happened since the call began."""
        if not self._open:  # as almost always; no lock for it
            return
        closed: list[_Open] = []
        with self._lock:
            for key in keys:
                found = permit.seen[key]
                if found is not None and self._is_news(permit, key):
                    closed.append(found)
                    del self._open[key]
                    permit.seen[key] = None
        _tell_closed(closed)

    def open(self, permit: Permit, key: _Key, facts: dict[str, str | None], reason: str, for_s: float | None) -> None:
        """Take a fault, unless something else happened since the call began."""
        with self._lock:
            if not self._is_news(permit, key):
                return
            before, now_s = permit.seen[key], self._clock()
            is_cheap = permit.has_answered or now_s - permit.since_s < _QUICK_S
            if before is not None and not permit.extends:
                before.reason, before.is_cheap = reason, is_cheap
                return
            faults = before.faults + 1 if before is not None else 1
            wait_s = min(for_s, LONGEST_OPEN_S) if for_s is not None else self._wait_s(faults)
            permit.seen[key] = self._open[key] = _Open(facts, faults, now_s + wait_s, reason, is_cheap)
        told = {**facts, "for_s": round(wait_s, 1), "reason": reason}
        log(LOGGER, logging.WARNING, "registry.profiles.circuit_opened", **told)

    def give_back(self, permit: Permit) -> None:
        """Let the next call probe what this one was to probe and did not."""
        if not self._open:
            return
        with self._lock:
            for circuit in permit.seen.values():
                if circuit is not None and circuit.probe is permit:
                    circuit.probe, circuit.until_s = None, self._clock()

    def _is_news(self, permit: Permit, key: _Key) -> bool:
        return self._open.get(key) is permit.seen[key]

    def _wait_s(self, faults: int) -> float:
        longest_s = min(FIRST_OPEN_S * 2.0 ** min(faults - 1, 10), LONGEST_OPEN_S)
        return longest_s * (1 - _JITTER * self._chance())


def _keys(provider: str, model: Target) -> tuple[_Key, _Key]:
    return provider, identity(provider, model)


def _tell_closed(closed: Iterable[_Open]) -> None:
    for each in closed:
        log(LOGGER, logging.INFO, "registry.profiles.circuit_closed", **each.facts)


_OF_PROVIDERS: WeakKeyDictionary[Providers, Circuits] = WeakKeyDictionary()
_LOCK = threading.Lock()


def circuits_of(providers: Providers) -> Circuits:
    """Give the circuits of these providers: the same for everybody who asks them."""
    with _LOCK:
        if providers not in _OF_PROVIDERS:
            _OF_PROVIDERS[providers] = Circuits()
        return _OF_PROVIDERS[providers]
