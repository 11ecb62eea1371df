"""The routes under `/api`, and `/health`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.responses import Response

from registry.server.rest.parameters import METRICS, NOTHING, SEARCH
from registry.server.rest.query_strings import Parameter
from registry.server.rest.reads import Reads
from registry.server.rest.shapes import MODEL_PATH
from registry.server.rest.texts import ModelTexts
from registry.server.rest.writes import Writes
from registry.server.schemas import json_content

if TYPE_CHECKING:
    from registry.catalog import Catalog, ValueCount
    from registry.server.services import Services

_MODEL = "/api/models/{model}"
_VALUES: Mapping[str, tuple[Callable[[Catalog], tuple[ValueCount, ...]], str]] = {
    "families": (lambda catalog: catalog.families(), "Families"),
    "types": (lambda catalog: catalog.types(), "Kinds of models"),
    "capabilities": (lambda catalog: catalog.capabilities(), "Capabilities"),
    "tags": (lambda catalog: catalog.tags(), "Tags"),
}


def router(services: Services) -> APIRouter:
    """Make the routes."""
    routes = APIRouter(tags=["Catalogue"], default_response_class=Response)
    texts = ModelTexts(services.registry)
    _add_reads(routes, Reads(services, texts))
    _add_writes(routes, Writes(services, texts))
    return routes


def _add_reads(routes: APIRouter, reads: Reads) -> None:
    _add(routes, "GET", "/api/models", reads.search, "Find models", answer="ModelsAnswer", query=SEARCH)
    _add(routes, "GET", _MODEL, reads.get, "A model", answer="ModelAnswer")
    _add(routes, "GET", f"{_MODEL}/metrics", reads.metrics, "Its measurements", answer="MetricsAnswer", query=METRICS)
    for name, (values_of, summary) in _VALUES.items():
        _add(routes, "GET", f"/api/{name}", reads.values(name, values_of), summary, answer="ValuesAnswer")
    _add(routes, "GET", "/api/stats", reads.stats, "Statistics", answer="StatsAnswer")
    _add(routes, "GET", "/health", reads.health, "Is the server well?", answer="HealthAnswer")


def _add_writes(routes: APIRouter, writes: Writes) -> None:
    _add(
        routes,
        "POST",
        "/api/models",
        writes.add,
        "Add a model",
        answer="ModelAnswer",
        status=201,
        body="NewCatalogModel",
    )
    _add(routes, "PATCH", _MODEL, writes.change, "Change a model", answer="ModelAnswer", body="CatalogModelChanges")
    _add(routes, "DELETE", _MODEL, writes.remove, "Remove a model", answer="RemovedAnswer")
    _add(
        routes,
        "POST",
        f"{_MODEL}/metrics",
        writes.measure,
        "Add measurements",
        answer="MetricsAdded",
        status=201,
        body="NewMetrics",
    )


def _add(
    routes: APIRouter,
    method: str,
    path: str,
    endpoint: Callable[..., Any],
    summary: str,
    *,
    answer: str,
    status: int = 200,
    query: Mapping[str, Parameter] = NOTHING,
    body: str | None = None,
) -> None:
    """Add a route. It reads the request itself, and is described by the tables that it reads with."""
    parameters = [MODEL_PATH] if "{model}" in path else []
    described: dict[str, Any] = {
        "parameters": [*parameters, *(parameter.described() for parameter in query.values())],
        "responses": {str(status): {"description": summary, **json_content(answer)}},
    }
    if body is not None:
        described["requestBody"] = {"required": True, **json_content(body)}
    routes.add_api_route(path, endpoint, methods=[method], summary=summary, status_code=status, openapi_extra=described)
