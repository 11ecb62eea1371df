"""The application: what it is made of, and in which form it says what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from registry.adapters import local_adapters
from registry.catalog import Catalog
from registry.errors import RegistryError
from registry.loaders import LoadOptions, ModelManager
from registry.profiles import Profiles, Providers
from registry.profiles.active import DEFAULT
from registry.server import telemetry
from registry.server.admin import routes as administration
from registry.server.admin.provisioner import Provisioner
from registry.server.answers import answer_of
from registry.server.failures import failure_of
from registry.server.front import LOGGER, Application
from registry.server.openapi import describe
from registry.server.options import ServerOptions
from registry.server.outgoing import REQUEST_ID
from registry.server.rest import routes
from registry.server.rest.writes import MOST_WAIT_S
from registry.server.services import Services
from registry.server.store_file import StoreFile
from registry.server.telemetry import Telemetry
from registry.server.v1 import chat_completions, completions, embeddings, model_list, rerank
from registry.server.v1.desks import Desks
from registry.server.v1.names import ModelNames
from registry.server.web import pages

if TYPE_CHECKING:
    from registry.adapters import Adapters
    from registry.queries import ModelRegistry
    from registry.records import Profile
    from registry.server.v1.contract import ModelDesks

_ROUTERS = (routes, model_list, chat_completions, completions, embeddings, rerank, telemetry, administration, pages)


def create_app(
    options: ServerOptions | None = None,
    *,
    catalog: Catalog | None = None,
    manager: ModelManager | None = None,
    registry: ModelRegistry[Any] | None = None,
    desks: ModelDesks | None = None,
    adapters: Adapters | None = None,
    providers: Providers | None = None,
    profiles: Profiles | None = None,
) -> FastAPI:
    """Make the application. Opens the catalogue store and brings the records of the registry into it.

    Args:
        options: How to serve.
        catalog: A store that is open; the caller closes it. Left out: that of the options, closed when the
            application ends.
        manager: Loaded models, which the caller closes. Left out: one with the limits of the options.
        registry: The typed records to serve. Left out: this package's.
        desks: Who does the work of the requests for models. Left out: this process, with the models of the manager.
        adapters: The adapters to serve; watched for as long as the application runs. Left out: those of the manifest
            that the setting `adapters` names, if it names one, and none where `desks` are given.
        providers: Who has the models of the profile ready; the caller closes them. Left out: those of the registry.
        profiles: Profiles that one is served of. Left out: those of the registry, and the manifest of the options, or
            of the settings, laid over them.

    Raises:
        CatalogFileError: The store cannot be used.
        ProfileNotFoundError: There is no profile of the name that the options, or the settings, have.
        ManifestError: The manifest of the options, or of the settings, cannot be used.
        MissingExtraError: The extra `server` is not installed.
    """
    from registry import MODEL_REGISTRY

    options = options or ServerOptions()
    records = MODEL_REGISTRY if registry is None else registry
    with ExitStack() as opened:
        store = catalog if catalog is not None else opened.enter_context(_store(options))
        store.sync(records)
        models = manager if manager is not None else opened.enter_context(_manager(options, records))
        served = providers or opened.enter_context(Providers(registry=records, manager=models))
        known = Profiles.load(manifest=options.manifest, registry=records) if profiles is None else profiles
        active = known.find(options.profile)
        watched = adapters
        if watched is None and desks is None:  # who does no work here loads no adapters either
            watched = local_adapters(records, models, lambda name: names.is_model(name))
        names = ModelNames(records, options.roles, active, adapters=watched)
        provisioner = _provisioner(options, known, active, names, served)
        asked = Desks(models, options) if desks is None else desks
        file = StoreFile(store.path)
        services = Services(options, records, store, models, names, asked, Telemetry(), file, provisioner, watched)
        return _assembled(services, opened.pop_all())


def _store(options: ServerOptions) -> Catalog:
    return Catalog.open(options.catalog_path, timeout_s=MOST_WAIT_S)


def _provisioner(
    options: ServerOptions, profiles: Profiles, active: Profile | None, names: ModelNames, providers: Providers
) -> Provisioner:
    """Make what has the models ready that are served, those of `options.roles` in place of the profile's."""
    if options.roles:
        name = DEFAULT if active is None else active.name
        profiles = profiles.with_roles(name, {role: names.find(role).id for role in options.roles})
        active = profiles.get(name)
    return Provisioner(profiles, active, providers, at_start=options.provision)


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
        with opened, services.adapters or nullcontext():
            if services.options.provision:
                services.provisioner.start()
            yield
            await services.desks.close()

    app = Application(
        services, title="registry", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    for room in _ROUTERS:
        app.include_router(room.router(services))
    for kind in (RegistryError, RequestValidationError, HTTPException, TimeoutError):
        app.add_exception_handler(kind, _answer)
    describe(app)
    return app


async def _answer(request: Request, error: Exception) -> Response:
    failure = failure_of(error)
    if failure.is_for_the_log:  # who asked is not told all of it
        request_id = request.scope.get(REQUEST_ID, b"").decode()
        LOGGER.error("request %s: %s", request_id, error)
    return answer_of(request, failure)
