"""Where the workers of a cluster meet about their adapters: an actor of Ray that every node can reach."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol, cast

import ray
from ray.exceptions import RayError

from registry.adapters import AdapterRef, Ballot, Decision, Refusal, next_decision
from registry.adapters.decision import refused_in, tried_in, unfit_in
from registry.adapters.rendezvous import STALE_S

NAMESPACE = "registry"
_REPLY_S = 5.0


@dataclass
class _Member:
    heard_at: float
    ballot: Ballot | None


class Meeting:
    """Hears what every worker has prepared, and decides when all have.

    It may be started anew, on another node, and knows nothing then: what was decided comes back with the first worker
    that knows it, and nothing is decided until all have had the time to speak.

    Args:
        stale_s: Silence after which a worker counts no more.
    """

    def __init__(self, stale_s: float = STALE_S) -> None:
        self._stale_s = stale_s
        self._begun_at = time.monotonic()
        self._members: dict[str, _Member] = {}
        self._unfit: frozenset[AdapterRef] = frozenset()  # said by workers that may be gone: models come and go
        self._decision = Decision()

    def meet(self, member: str, ballot: Ballot | None, known: Decision) -> Decision:
        """Hear one worker, and give what is decided now.

        Args:
            member: The worker.
            ballot: What it has prepared; `None` while it is not done with its first manifest.
            known: What it takes to be decided.
        """
        now = time.monotonic()
        if known.number > self._decision.number:
            self._decision = known
        self._members[member] = _Member(now, ballot)
        if ballot is not None:
            self._unfit = ((self._unfit & {*ballot.wanted}) - tried_in([ballot])) | unfit_in([ballot])
        self._members = self._living(now)
        if now - self._begun_at >= self._stale_s:
            ballots = [each.ballot for each in self._members.values()]
            self._decision = next_decision(self._decision, ballots, self._unfit) or self._decision
        return self._decision

    def refused(self, member: str) -> tuple[Refusal, ...]:
        """Give what the workers other than one refuse, each version once."""
        return refused_in(each.ballot for name, each in self._members.items() if name != member)

    def leave(self, member: str) -> int:
        """Count a worker no more, and give how many others there are."""
        self._members.pop(member, None)
        return len(self._living(time.monotonic()))

    def decided(self) -> Decision:
        """Give what is decided."""
        return self._decision

    def _living(self, now: float) -> dict[str, _Member]:
        return {name: each for name, each in self._members.items() if now - each.heard_at < self._stale_s}


class _Actor(Protocol):
    """A handle of the actor: what each method of `Meeting` is there."""

    meet: Any
    refused: Any
    decided: Any


class RayRendezvous:
    """A rendezvous of processes of one Ray cluster that serve adapters of one manifest.

    A worker learns of a decision when it meets the others, about once a second: for so long, two of them may differ.
    What a request is served with is found once, where it comes in, so that it never gets half of each.

    Args:
        manifest: File or address of the manifest.
        stale_s: Silence after which a worker counts no more.
    """

    def __init__(self, manifest: str, *, stale_s: float = STALE_S) -> None:
        self._name = f"adapters-{sha256(manifest.encode()).hexdigest()[:16]}"
        self._stale_s = stale_s
        self._member = uuid.uuid4().hex
        self._decision = Decision()
        self._refused: tuple[Refusal, ...] = ()

    def decided(self) -> Decision:
        """Give what was decided when this worker met the others last."""
        return self._decision

    def meet(self, ballot: Ballot | None) -> Decision:
        """Say that this worker lives, and what it has prepared, and decide if all others have done so too.

        Raises:
            OSError: The actor cannot be reached.
        """
        decision, self._refused = self._asked(
            lambda actor: [actor.meet.remote(self._member, ballot, self._decision), actor.refused.remote(self._member)]
        )
        self._learn(decision)
        return self._decision

    def refused(self) -> tuple[Refusal, ...]:
        """Give what the other workers refused when this one met them last, each version once."""
        return self._refused

    def look(self) -> Decision:
        """Learn what is decided, out of turn.

        Raises:
            OSError: The actor cannot be reached.
        """
        self._learn(self._asked(lambda actor: actor.decided.remote()))
        return self._decision

    def leave(self) -> None:
        """Count no more. The meeting ends with its last worker."""
        with suppress(RayError, ValueError):  # it is over already
            actor = ray.get_actor(self._name, namespace=NAMESPACE)
            if ray.get(actor.leave.remote(self._member), timeout=_REPLY_S) == 0:
                ray.kill(actor)

    def _learn(self, decision: Decision) -> None:
        if decision.number >= self._decision.number:  # one that was started anew may know less for a moment
            self._decision = decision

    def _asked(self, ask: Callable[[_Actor], Any]) -> Any:
        try:
            return ray.get(ask(self._actor()), timeout=_REPLY_S)
        except (RayError, ValueError) as error:
            raise OSError(f"the meeting `{self._name}` cannot be reached: {type(error).__name__}: {error}") from error

    def _actor(self) -> _Actor:
        """Give the actor; the first that asks for it starts it."""
        made = ray.remote(Meeting).options(
            name=self._name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=0,
        )
        return cast("_Actor", made.remote(self._stale_s))
