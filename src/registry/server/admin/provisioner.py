"""Provisioning by a server: one run for all who want the same, and how far each role has come."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from registry.errors import ModelClosedError
from registry.profiles import Report
from registry.profiles.availability import Availabilities
from registry.profiles.provisioning import provision_in, roles_of
from registry.server.admin.job import Job
from registry.server.answers import refusal
from registry.server.failures import Failure

if TYPE_CHECKING:
    from registry.profiles import Outcome, Profiles, Providers
    from registry.profiles.events import Event
    from registry.records import Profile

RoleState: TypeAlias = Literal["unknown", "provisioning", "ready", "skipped", "failed"]
ServerStatus: TypeAlias = Literal["ready", "provisioning", "failed"]

MOST_JOBS = 8  # at the same time; whoever wants what one of them does shares it
_LOG = logging.getLogger("registry.provision")
_BUSY = Failure(
    429,
    "provisioning_busy",
    f"{MOST_JOBS} other selections of roles are being provisioned.",
    "Ask again when they are done, or for roles that they have.",
    None,
    {"Retry-After": "30"},
)


class Provisioner:
    """Has the models of a profile ready. Methods may be called from any thread, `start` from an event loop.

    Args:
        profiles: The profiles that are in force.
        profile: The one that is served; `None` where the registry has none.
        providers: Who has the models.
        at_start: True where readiness depends on it: the server provisions its profile when it starts.

    Attributes:
        profiles: As above.
        profile: As above.
        providers: As above.
    """

    def __init__(self, profiles: Profiles, profile: Profile | None, providers: Providers, *, at_start: bool) -> None:
        self.profiles = profiles
        self.profile = profile
        self.providers = providers
        self._lock = threading.Lock()
        self._jobs: dict[tuple[tuple[str, ...], bool], Job] = {}
        self._is_closed = False
        roles = () if profile is None else map(str, profile.models)
        first: RoleState = "provisioning" if at_start else "unknown"
        self._states: dict[str, RoleState] = dict.fromkeys(roles, first)
        self._outcomes: dict[str, tuple[Outcome, ...]] = {}
        self._is_ready = not (at_start and self._states)  # once true, it stays so

    def start(self, roles: tuple[str, ...] | None = None, *, force: bool = False) -> Job:
        """Begin to provision, or give the run that does the same already.

        Args:
            roles: The roles; `None`: all of the profile.
            force: True to look again at what is ready.

        Raises:
            RoleNotFoundError: The profile has no such role; nothing was begun.
            ModelClosedError: The server is being stopped.
            HTTPException: Too many other runs are under way (429).
        """
        if self.profile is None:
            names: tuple[str, ...] = ()
        else:
            wanted = {str(model.role) for model in roles_of(self.profiles, roles, self.profile.name)}
            names = tuple(filter(wanted.__contains__, map(str, self.profile.models)))  # the same run in any order
        key = (names, force)
        with self._lock:
            if self._is_closed:
                raise ModelClosedError("the server")
            if (job := self._jobs.get(key)) is not None:
                return job
            if len(self._jobs) >= MOST_JOBS:
                raise refusal(_BUSY)
            job = self._jobs[key] = Job(partial(self._provision, names, force), partial(self._end, key))
            job.start()
            return job

    def close(self) -> None:
        """Begin no more runs, and send away who follows one, which may take hours: the server stops."""
        with self._lock:
            self._is_closed = True
            jobs = tuple(self._jobs.values())
        for job in jobs:
            job.let_go()

    def states(self) -> dict[str, RoleState]:
        """Give the state of each role."""
        with self._lock:
            return dict(self._states)

    def outcomes(self, role: str) -> tuple[Outcome, ...]:
        """Give what came of the latest run for a role; nothing before the first."""
        with self._lock:
            return self._outcomes.get(role, ())

    def status_of(self, states: Mapping[str, RoleState]) -> ServerStatus:
        """Say whether the server can do its work: whether what was to be there from the start has been.

        What was skipped is not missing, nor is anything where nothing was to be there. Later runs change nothing.
        """
        if self._is_ready:
            return "ready"
        found = set(states.values())
        return "failed" if "failed" in found and "provisioning" not in found else "provisioning"

    def _provision(
        self,
        roles: tuple[str, ...],
        force: bool,
        on_event: Callable[[Event], None],
        on_outcome: Callable[[Outcome], None],
    ) -> Report:
        """Provision role by role, in the thread of a job."""
        name = "" if self.profile is None else self.profile.name
        said = Availabilities(self.providers)
        found: list[Outcome] = []
        for role in roles:
            self._begin(role)
            report = provision_in(
                self.profiles,
                [role],
                profile=name,
                providers=self.providers,
                force=force,
                on_event=on_event,
                on_outcome=on_outcome,
                availabilities=said,
            )
            self._note(role, report)
            found += report.outcomes
        return Report(name, tuple(found))

    def _begin(self, role: str) -> None:
        with self._lock:
            if self._states[role] != "ready":  # what is proven again is served meanwhile
                self._states[role] = "provisioning"

    def _note(self, role: str, report: Report) -> None:
        has_failed = any(outcome.action == "failed" for outcome in report.outcomes)
        state: RoleState = "ready" if report.ok else "failed" if has_failed else "skipped"
        with self._lock:
            if self._states[role] != "ready":  # what could not be proven again is there all the same
                self._states[role] = state
            self._outcomes[role] = report.outcomes
            self._is_ready = self._is_ready or set(self._states.values()) <= {"ready", "skipped"}

    def _end(self, key: tuple[tuple[str, ...], bool], job: Job) -> None:
        with self._lock:
            del self._jobs[key]
            for role in key[0] if job.error is not None else ():
                if self._states[role] == "provisioning":
                    self._states[role] = "failed"
        if job.error is not None:
            _LOG.error("registry.provision.broken roles=%s", ",".join(key[0]), exc_info=job.error)
