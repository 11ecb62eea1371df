"""The application: the ingress, which is this package's HTTP surface, and a deployment for each model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ray import serve

from registry.catalog import Catalog
from registry.cluster.adapters import ingress_adapters
from registry.cluster.options import ClusterOptions
from registry.cluster.plan import plan, registry_of
from registry.cluster.remote import RemoteDesks
from registry.cluster.replica import ModelReplica, Served
from registry.loaders import LoadOptions
from registry.records import ChatModel
from registry.server import create_app

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle

    from registry.adapters.version import AdapterVersion
    from registry.cluster.plan import Deployed, Plan
    from registry.cluster.remote import Answer
    from registry.queries import ModelRegistry
    from registry.server.options import ServerOptions
    from registry.server.v1.calls import Work
    from registry.server.v1.fair_queue import Client

INGRESS = "ingress"
_MOST_REQUESTS = 1000  # that one ingress has in hand: waiting for replicas costs it next to nothing
_HEALTH_PERIOD_S = 5.0
_HEALTH_TIMEOUT_S = 30.0  # loading an adapter, or a long native call, may hold the interpreter


def build_app(options: str | Mapping[str, Any] | ClusterOptions | None = None) -> Application:
    """Make the application, for `serve.run` or as the `import_path` of a Serve config file.

    Args:
        options: Name of a profile, or the options, or a mapping of them as a config file has it under `args`.

    Raises:
        MissingExtraError: The extra `cluster` is not installed.
        InvalidOptionError: An option does not exist, or has a value that it cannot have.
        RegistryError: As `plan` has it: a profile, a role or a model does not exist.
    """
    if options is None or isinstance(options, str):
        options = ClusterOptions(profile=options)
    elif not isinstance(options, ClusterOptions):
        options = ClusterOptions.read(options)
    return application(options, plan(options))


def application(options: ClusterOptions, planned: Plan) -> Application:
    """Make the application of a plan."""
    models = {each.record.id: model_deployment(each, planned, options) for each in planned.models}
    per_node = options.ingress_per_node
    spread: dict[str, Any] = {} if per_node is None else {"max_replicas_per_node": per_node}
    ingress = serve.deployment(
        name=INGRESS,
        num_replicas=options.ingress_replicas,
        logging_config={"enable_access_log": planned.server.access_log},
        **spread,
        max_ongoing_requests=_MOST_REQUESTS,
        ray_actor_options={"num_cpus": options.ingress_cpus},
    )(serve.ingress()(Ingress))
    return ingress.bind(planned, options.registry, models)


def model_deployment(deployed: Deployed, planned: Plan, options: ClusterOptions) -> Application:
    """Make the deployment of one model."""
    server, is_chat = planned.server, isinstance(deployed.record, ChatModel)
    load = LoadOptions(
        download=server.allow_download,
        threads=max(1, math.floor(deployed.resources.cpus)),
        context_length=deployed.scaling.context_length,
        gpu_layers=(-1 if deployed.resources.gpus else 0) if is_chat else None,
    )
    adapters = planned.adapters if is_chat else None
    holding = replace(server, queue_length=deployed.ongoing_requests)  # Serve gives a replica no more than it may hold
    served = Served(deployed.record, load, holding, options.batch_texts, options.registry, adapters)
    deployment = serve.deployment(
        name=deployed.record.id,
        health_check_period_s=_HEALTH_PERIOD_S,
        health_check_timeout_s=_HEALTH_TIMEOUT_S,
        graceful_shutdown_timeout_s=server.shutdown_timeout_s,
        logging_config={"enable_access_log": False},  # the ingress has a line for each request already
        **deployed.serve_options(server.queue_length),
    )(ModelReplica)
    return deployment.bind(served)


class Ingress:
    """Takes requests over HTTP, and has the replicas of the models answer them.

    Args:
        planned: What is served, and how.
        registry: Module with the typed records.
        models: Ids of the models to handles of their replicas.
    """

    def __init__(self, planned: Plan, registry: str | None, models: Mapping[str, DeploymentHandle[Any]]) -> None:
        self._planned = planned
        self._registry = registry
        self._models = models

    def __serve_build_asgi_app__(self) -> Any:  # the name is Serve's
        """Make the application in the process that is to run it."""
        server = self._planned.server
        catalog = None if server.catalog_path is not None else Catalog.open(":memory:")
        return surface(server, self._planned, registry_of(self._registry), self._models, catalog)


def surface(
    server: ServerOptions,
    planned: Plan,
    registry: ModelRegistry[Any],
    models: Mapping[str, DeploymentHandle[Any]],
    catalog: Catalog | None = None,
) -> FastAPI:
    """Make the HTTP application whose models are answered for by replicas.

    Args:
        server: How to serve.
        planned: What is served.
        registry: The typed records.
        models: Ids of the models to handles of their replicas.
        catalog: A store that is open. Left out: that of the options.
    """
    desks = RemoteDesks({model_id: partial(_send, handle) for model_id, handle in models.items()}, server)
    adapters = None if planned.adapters is None else ingress_adapters(planned.adapters, registry, server)
    profiles = planned.profiles(registry)
    return create_app(server, catalog=catalog, registry=registry, desks=desks, adapters=adapters, profiles=profiles)


def _send(handle: DeploymentHandle[Any], work: Work[Any], client: Client, adapter: AdapterVersion | None) -> Answer:
    # By value: straight to the replica, where a reference takes several messages of Ray a piece.
    options = handle.options(method_name="stream", stream=True, _by_reference=False)
    return cast("Answer", options.remote(work, client, adapter))
