"""The application: what it is made of, and in which form it says what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from registry.catalog import Catalog
from registry.errors import RegistryError
from registry.loaders import LoadOptions, ModelManager
from registry.server import (
    catalogue,
    chat_completions,
    completions,
    embeddings,
    model_list,
    pages,
    rerank,
    telemetry,
)
from registry.server.desks import Desks
from registry.server.failures import Failure, failure_of
from registry.server.front import Front
from registry.server.names import ModelNames
from registry.server.openapi import describe
from registry.server.options import ServerOptions
from registry.server.services import Services
from registry.server.telemetry import Telemetry

if TYPE_CHECKING:
    from registry.queries import ModelRegistry

_ROUTERS = (catalogue, model_list, chat_completions, completions, embeddings, rerank, telemetry, pages)


def create_app(
    options: ServerOptions | None = None,
    *,
    catalog: Catalog | None = None,
    manager: ModelManager | None = None,
    registry: ModelRegistry[Any] | None = None,
) -> FastAPI:
    """Make the application. Opens the catalogue store and brings the records of the registry into it.

    Args:
        options: How to serve.
        catalog: A store that is open; the caller closes it. Left out: that of the options, closed when the
            application ends.
        manager: Loaded models, which the caller closes. Left out: one with the limits of the options.
        registry: The typed records to serve. Left out: this package's.

    Raises:
        CatalogFileError: The store cannot be used.
        MissingExtraError: The extra `server` is not installed.
    """
    from registry import MODEL_REGISTRY

    options = options or ServerOptions()
    records = MODEL_REGISTRY if registry is None else registry
    with ExitStack() as opened:
        store = catalog if catalog is not None else opened.enter_context(Catalog.open(options.catalog_path))
        store.sync(records)
        models = manager if manager is not None else opened.enter_context(_manager(options, records))
        names = ModelNames(records, options.roles)
        services = Services(options, records, store, models, names, Desks(models, options), Telemetry())
        return _assembled(services, opened.pop_all())


def _manager(options: ServerOptions, records: ModelRegistry[Any]) -> ModelManager:
    return ModelManager(
        max_models=options.max_models,
        max_bytes=options.max_bytes,
        options=LoadOptions(download=options.allow_download),
        registry=records,
    )


def _assembled(services: Services, opened: ExitStack) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        with opened:
            yield
            await services.desks.close()

    app = FastAPI(title="registry", lifespan=lifespan, redoc_url=None)
    app.state.services = services
    for routes in _ROUTERS:
        app.include_router(routes.router(services))
    for kind in (RegistryError, RequestValidationError, HTTPException, TimeoutError):
        app.add_exception_handler(kind, _answer)
    describe(app)
    app.add_middleware(Front, services=services)
    return app


async def _answer(request: Request, error: Exception) -> Response:
    return answer_of(request, failure_of(error))


def answer_of(request: Request, failure: Failure) -> Response:
    """Give a failure in the form that its address speaks: OpenAI's, the catalogue's, or a page."""
    path = request.url.path
    if path.startswith("/v1"):
        return JSONResponse(failure.openai(), failure.status, failure.headers)
    if not path.startswith(("/api", "/health", "/metrics")) and "text/html" in request.headers.get("accept", ""):
        return pages.failed(request, failure)
    return JSONResponse(failure.envelope(), failure.status, failure.headers)
