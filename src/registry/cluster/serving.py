"""Running the application on Ray: `registry serve --ray`."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

import ray
from ray import serve

from registry.cluster.application import application
from registry.cluster.fast_path import choose_fast_path
from registry.cluster.plan import plan
from registry.errors import InsufficientMemoryError, InvalidOptionError
from registry.hardware import usable_cores
from registry.hardware.budget import size_text

if TYPE_CHECKING:
    from registry.cluster.options import ClusterOptions
    from registry.cluster.plan import Plan

APPLICATION = "registry"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LEAST_OBJECT_STORE_BYTES = 80 * 2**20  # the least that Ray takes; answers are small


def serve_on_ray(
    options: ClusterOptions, *, address: str | None = None, announce: Callable[[str], None] | None = None
) -> None:
    """Serve on Ray until SIGINT (Ctrl-C) or SIGTERM.

    Without an address, Ray is started on this machine and stopped in the end. On a cluster that runs already, the
    application is deployed, in place of an older one of the same name, and deleted in the end.

    Args:
        options: How to serve. Host and port are those of `server`.
        address: Address of the cluster: `auto`, or `host:port`.
        announce: Takes the address, `http://127.0.0.1:8081`, once all models are loaded.

    Raises:
        InvalidOptionError: Nothing can listen at this port, or there is no cluster at this address.
        InsufficientMemoryError: This machine has less memory than the models take.
        RegistryError: As `plan` has it.
    """
    planned = plan(options)  # errors of the caller before anything is started
    server = replace(options.server, port=options.server.port or _free_port(options.server.host))
    options = replace(options, server=server)
    with _ray(planned, options, address), _stopped() as stopped:  # in this order: Ray takes the signals for itself
        serve.start(proxy_location="EveryNode", http_options={"host": server.host, "port": server.port})
        serve.run(application(options, planned), name=APPLICATION, route_prefix="/")
        if announce is not None:
            announce(f"http://{f'[{server.host}]' if ':' in server.host else server.host}:{server.port}")
        stopped.wait()


@contextmanager
def _ray(planned: Plan, options: ClusterOptions, address: str | None) -> Iterator[None]:
    """Start Ray here, or connect to a cluster; leave nothing of it behind."""
    if address is not None:
        try:
            ray.init(address=address, log_to_driver=False)
        except ConnectionError as error:
            remedy = "`ray status` says whether a cluster runs; leave the address out to start one on this machine."
            raise InvalidOptionError("address", "the address of a Ray cluster", address, remedy) from error
    else:
        _start_ray(planned, options)
    try:
        yield
        if address is not None:
            serve.delete(APPLICATION)
        else:
            serve.shutdown()
    finally:
        ray.shutdown()


def _start_ray(planned: Plan, options: ClusterOptions) -> None:
    """Start Ray on this machine, with as many CPUs as the models ask for: they are counted, not set aside."""
    replicas = [(each, each.scaling.replicas) for each in planned.models]
    cpus = sum(each.resources.cpus * number for each, number in replicas) + options.ingress_cpus * (
        options.ingress_replicas
    )
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


@contextmanager
def _stopped() -> Iterator[threading.Event]:
    """Give an event that the first signal sets; the second one ends the process as usual."""
    stopped = threading.Event()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def stop(number: int, _: FrameType | None) -> None:
        stopped.set()
        signal.signal(number, before[signal.Signals(number)])

    try:
        for number in _SIGNALS:
            signal.signal(number, stop)
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port(host: str) -> int:
    """Give a port that nothing listens at now: Serve cannot take any."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        return int(listening.getsockname()[1])
