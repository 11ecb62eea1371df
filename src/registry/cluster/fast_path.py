"""The short way of a request through Ray Serve, which its processes read from their environment when they start."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from types import MappingProxyType

# One event loop in a process instead of three, and messages between processes that do not pass the object store.
# Nothing here blocks an event loop: models work on threads of their own.
FAST_PATH: Mapping[str, str] = MappingProxyType({"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"})
_HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
_DIRECT_INGRESS = "RAY_SERVE_ENABLE_DIRECT_INGRESS"


def choose_fast_path(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set `FAST_PATH` for a cluster whose processes are started from here on; what is set already stays.

    HAProxy in place of Serve's own proxy would be faster still. It is left to the user, because it shows its counters
    on all interfaces, and closes connections when a node is lost.
    """
    for name, value in FAST_PATH.items():
        environment.setdefault(name, value)
    if environment.get(_HAPROXY, "0") in ("", "0"):
        environment.setdefault(_DIRECT_INGRESS, "0")  # which the fast path would switch on, for HAProxy alone
