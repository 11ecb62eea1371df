"""Running on Ray from one command, as `registry serve --ray` does: HTTP in this process, the models in Ray's."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import ray
from ray import serve

from registry.cluster.application import model_deployment, surface
from registry.cluster.fast_path import choose_fast_path
from registry.cluster.plan import plan, registry_of
from registry.errors import DeploymentError, InsufficientMemoryError, InvalidOptionError
from registry.hardware import usable_cores
from registry.hardware.budget import size_text
from registry.hub import ensure
from registry.server import serve as serve_http

if TYPE_CHECKING:
    from fastapi import FastAPI

    from registry.cluster.options import ClusterOptions
    from registry.cluster.plan import Deployed, Plan
    from registry.server.options import ServerOptions

_PATIENCE_S = 5.0
_RAISED = re.compile(r"^[\w.]+(?:Error|Exception): ", re.MULTILINE)  # in the traceback that Serve gives as a message
_LEAST_OBJECT_STORE_BYTES = 80 * 2**20  # the least that Ray takes; answers are small


def serve_on_ray(
    options: ClusterOptions, *, address: str | None = None, announce: Callable[[str], None] | None = None
) -> None:
    """Serve until SIGINT (Ctrl-C) or SIGTERM, with each model in processes of Ray.

    This process takes the requests, as `registry.server.serve` does, and has the catalogue store: the proxies and
    ingresses of `build_app`, which a cluster needs that many machines take requests for, would be two more processes on
    the way. Without an address, Ray is started on this machine and stopped in the end. On a cluster that runs already,
    an application a model is deployed, in place of an older one of the same name, and deleted in the end.

    Args:
        options: How to serve; what it says of ingresses has no meaning here.
        address: Address of the cluster: `auto`, or `host:port`.
        announce: Takes the address, `http://127.0.0.1:8081`, once all models are loaded.

    Raises:
        InvalidOptionError: Nothing can listen at this host and port, there is no cluster at this address, or this
            process uses Ray already.
        InsufficientMemoryError: This machine has less memory than the models take.
        ModelNotDownloadedError: The files of a model are not on this machine, where Ray is to be started.
        DeploymentError: A replica of a model cannot start on the cluster.
        RegistryError: As `plan` has it, and as `registry.hub.ensure` has it.
    """
    planned = plan(options)  # errors of the caller before anything is started
    if address is None:
        for each in planned.models:
            ensure(each.record, download=options.server.allow_download)
    server = replace(planned.server, catalog_writes=options.server.catalog_writes)
    deployed: list[str] = []
    application = partial(_deployed, options=options, planned=planned, deployed=deployed)
    with _ray(planned, options, address, deployed):
        serve_http(server, announce=announce, application=application)


def _deployed(server: ServerOptions, *, options: ClusterOptions, planned: Plan, deployed: list[str]) -> FastAPI:
    """Deploy the models, wait until they are loaded, and make the application that asks them.

    The names of what is deployed are added to `deployed` before it is.
    """
    serve.start(proxy_location="Disabled")
    targets = [
        serve.RunTarget(model_deployment(each, planned, options), name=_name(each), route_prefix=None)
        for each in planned.models
    ]
    deployed += map(_name, planned.models)
    try:
        handles = serve.run_many(targets)
    except RuntimeError as error:
        raise _not_deployed(planned) or error from error
    for handle in handles:  # not in the loop of the server, which has ended when Ray shuts them down
        handle._init(_run_router_in_separate_loop=True)
    models = {each.record.id: handle for each, handle in zip(planned.models, handles, strict=True)}
    return surface(server, planned, registry_of(options.registry), models)


def _not_deployed(planned: Plan) -> DeploymentError | None:
    """Give what Serve says of the first model that could not be deployed: what its replica raised."""
    applications = serve.status().applications
    for each in planned.models:
        application = applications.get(_name(each))
        for deployment in application.deployments.values() if application else ():
            if deployment.status.value == "DEPLOY_FAILED":
                return DeploymentError(each.record.id, _RAISED.split(deployment.message)[-1].strip())
    return None


def _name(deployed: Deployed) -> str:
    """Give the name of a model's application on the cluster."""
    return f"registry-{deployed.record.id}"


@contextmanager
def _ray(planned: Plan, options: ClusterOptions, address: str | None, deployed: Collection[str]) -> Iterator[None]:
    """Start Ray here, or connect to a cluster; leave nothing of what is deployed behind."""
    if ray.is_initialized():
        remedy = "Call `ray.shutdown()` before, or `serve.run(build_app(...))` instead."
        raise InvalidOptionError("address", "a process that does not use Ray yet", address, remedy)
    try:
        if address is None:
            _start_ray(planned, options)
        else:
            _connect(address)
        yield
    finally:
        with redirect_stdout(sys.stderr):  # where Ray itself writes then, beside the lines of the access log
            _leave(deployed, address)


def _leave(deployed: Collection[str], address: str | None) -> None:
    """Take away what was deployed, and stop the Ray that was started here."""
    try:
        if deployed and address is None:
            serve.shutdown()
        elif deployed:
            for name in serve.status().applications.keys() & deployed:
                serve.delete(name)
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    """Connect to a cluster that runs already.

    Raises:
        InvalidOptionError: There is none at this address.
    """
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection(
                (host.strip("[]"), int(port)), timeout=_PATIENCE_S
            ).close()  # Ray waits for minutes
        ray.init(address=address, log_to_driver=False)
    except (OSError, ValueError) as error:  # `ConnectionError` is one, and so is a host that nobody knows
        expected = "`auto`, or the host:port of a Ray cluster that runs"
        remedy = "`ray status` says whether one does; leave the address out to start one on this machine."
        raise InvalidOptionError("address", expected, address, remedy) from error


def _start_ray(planned: Plan, options: ClusterOptions) -> None:
    """Start Ray on this machine, with as many CPUs as the models ask for: they are counted, not set aside."""
    replicas = [(each, each.scaling.replicas) for each in planned.models]
    cpus = sum(each.resources.cpus * number for each, number in replicas)
    choose_fast_path()
    if options.registry is not None:  # its processes find it where this one did
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), *sys.path)))
    ray.init(
        address="local",
        num_cpus=max(usable_cores(), int(cpus) + 1),
        object_store_memory=_LEAST_OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
    )
    needed = sum((each.resources.memory_bytes or 0) * number for each, number in replicas)
    resources = ray.cluster_resources()
    there = int(resources.get("memory", needed))
    if needed > there:
        largest = max(planned.models, key=lambda each: each.resources.memory_bytes or 0).record.id
        reason = f"the replicas take {size_text(needed)}, and Ray counts {size_text(there)} on this machine."
        raise InsufficientMemoryError(largest, f"{reason} Serve fewer models, or connect to a cluster.", needed, there)
