"""The routes under `/api/v1`, and `/ready`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from registry.errors import InvalidFieldError
from registry.server.admin.event_stream import events_of
from registry.server.admin.facts import facts_of
from registry.server.admin.shapes import MOST_LETTERS, MOST_ROLES
from registry.server.answers import enveloped, json_answer, json_bytes
from registry.server.connected import EventStream, while_connected
from registry.server.failures import Failure
from registry.server.json_bodies import read_json
from registry.server.readiness import readiness_of
from registry.server.schemas import json_content

if TYPE_CHECKING:
    from registry.server.services import Services

_UNKEPT = {"cache-control": "no-store"}
_RETRY_S = 5  # when to ask again whether it is ready
_HINT = "`POST /api/v1/models/provision` tries again, and says why; so does the log of the server."
_NOT_READY = {  # status -> what to say, and what to do
    "provisioning": ("Models are still being fetched.", ""),
    "preparing": ("Adapters are still being prepared, here or by other servers.", ""),
    "failed": ("Models that the server needs could not be fetched.", _HINT),
}
_REFUSED = re.compile(r"(?:^|;)\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)")  # a weight of 0
_EVENTS = {
    "type": "string",
    "description": "Events `progress` and `outcome`, at the end `report` or `error`; comments keep it open.",
}


class _Asked(NamedTuple):
    """What a request wants provisioned."""

    roles: tuple[str, ...] | None
    force: bool


def router(services: Services) -> APIRouter:
    """Make the routes; those under `/api/v1` only where there is a token for them."""
    routes = APIRouter(default_response_class=Response)
    handlers = _Handlers(services)
    described = {"200": {"description": "It is.", **json_content("ReadinessAnswer")}}
    described["503"] = {"description": "It is not, or not yet.", **json_content("NotReady")}
    _add(routes, "GET", "/ready", handlers.ready, "Can the server do its work?", described, tag="Operation")
    if services.options.admin_token is None:
        return routes
    described = {"200": {"description": "Profiles", **json_content("ProfilesAnswer")}}
    _add(routes, "GET", "/api/v1/models", handlers.models, "Profiles and what they come to", described)
    failure = json_content("CatalogFailure")
    described = {
        "200": {"description": "Report", **json_content("ProvisioningAnswer")},
        "404": {"description": "The profile has no such role.", **failure},
        "429": {"description": "Too many others are provisioning.", **failure},
        "503": {"description": "The server is being stopped.", **failure},
    }
    described["200"]["content"] |= {"text/event-stream": {"schema": _EVENTS}}
    body = {"required": False, **json_content("ProvisioningRequest")}
    _add(routes, "POST", "/api/v1/models/provision", handlers.provision, "Have models ready", described, body=body)
    return routes


def _add(
    routes: APIRouter,
    method: str,
    path: str,
    endpoint: Any,
    summary: str,
    responses: dict[str, Any],
    *,
    tag: str = "Administration",
    body: dict[str, Any] | None = None,
) -> None:
    described: dict[str, Any] = {"parameters": [], "responses": responses}
    if body is not None:
        described["requestBody"] = body
    routes.add_api_route(path, endpoint, methods=[method], summary=summary, tags=[tag], openapi_extra=described)


class _Handlers:
    """What the routes do."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._provisioner = services.provisioner
        self._file = services.store_file

    async def ready(self) -> Response:
        """Say whether the server can do its work, for who sends it requests: its models are there.

        Where it provisions its profile at the start, that has to be done; a role that was skipped keeps nobody waiting,
        and what is provisioned later takes nothing away.
        Where it watches a manifest of adapters, the first one has to be decided on; what is refused, an adapter or all
        of the manifest, keeps nobody waiting.
        `/health` says whether the process is well.
        """
        self._file.check()
        data = readiness_of(self._services)
        if (status := data["status"]) == "ready":
            return json_answer(enveloped(json_bytes(data)), headers=_UNKEPT)
        failure = Failure(503, "not_ready", *_NOT_READY[status])
        headers = {**_UNKEPT, "Retry-After": str(_RETRY_S)}
        return json_answer(json_bytes(failure.envelope() | {"data": data}), 503, headers)

    async def models(self) -> Response:
        """Give the active profile, with what each role comes to after all overrides, and all profiles.

        Providers are not asked: `POST /api/v1/models/provision` does that.
        """
        facts = await run_in_threadpool(facts_of, self._provisioner)
        return json_answer(enveloped(json_bytes(facts)), headers=_UNKEPT)

    async def provision(self, request: Request) -> Response:
        """Have a model ready for each role, and report. That may take as long as fetching does.

        Ask with `Accept: text/event-stream` for progress as it comes. Requests for the same share one run, which goes
        on when they leave.
        """
        asked = _read(await read_json(request)) if (await request.body()).strip() else _Asked(None, force=False)
        job = self._provisioner.start(asked.roles, force=asked.force)
        if takes_events(request.headers.getlist("accept")):
            return EventStream(events_of(job))
        report = await while_connected(request, job.report())
        return json_answer(enveloped(json_bytes(report.to_dict())), headers=_UNKEPT)


def takes_events(accepted: Sequence[str]) -> bool:
    """Say whether a client asks for server-sent events by name: who takes anything gets JSON."""
    ranges = (each.partition(";") for header in accepted for each in header.lower().split(","))
    return any(kind.strip() == "text/event-stream" and not _REFUSED.search(more) for kind, _, more in ranges)


def _read(sent: Any) -> _Asked:
    if not isinstance(sent, dict):
        raise InvalidFieldError("body", "a JSON object", sent)
    if unknown := next((name for name in sent if name not in ("roles", "force")), None):
        raise InvalidFieldError(unknown, "to be left out: there are `roles` and `force`", sent[unknown])
    roles, force = sent.get("roles"), sent.get("force", False)
    if not isinstance(force, bool):
        raise InvalidFieldError("force", "true or false", force)
    if roles is None:
        return _Asked(None, force)
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles) or len(roles) > MOST_ROLES:
        raise InvalidFieldError("roles", f"a list of at most {MOST_ROLES} names of roles", roles)
    if wrong := [role for role in roles if not 1 <= len(role) <= MOST_LETTERS]:
        raise InvalidFieldError("roles", f"names of 1 to {MOST_LETTERS} characters", wrong[0])
    return _Asked(tuple(roles), force)
