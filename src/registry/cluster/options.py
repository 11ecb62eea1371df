"""What a caller may say about serving on several machines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from registry._settings import text
from registry.errors import InvalidOptionError
from registry.server.options import ServerOptions

T = TypeVar("T")
EVERYWHERE = "0.0.0.0"  # noqa: S104 # a key is asked for then
_PATHS = ("catalog_path", "manifest")
_LEAST_GPU_BYTES = 2**30  # fewer are a slip, such as GiB taken for bytes: a model would be given thousands of GPUs


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How many replicas a model has, and what each of them may take of its node.

    Attributes:
        replicas: Replicas; with `max_replicas`, the fewest of them. 0, which needs `max_replicas`, frees all memory
            while nobody asks: the first request waits until the model is loaded.
        max_replicas: Most replicas. `None`: always `replicas`.
        ongoing_requests: Requests that a replica holds, the one it answers included; more wait where they came in.
            `None`: 8 for a chat model, 64 for others, whose texts are encoded together.
        target_ongoing_requests: Requests in a replica beyond which another replica is started. `None`: a quarter of
            `ongoing_requests`.
        cpus: CPUs, which are the threads of the model too.
        gpus: GPUs, or a part of one. `None`: what the estimate says, where the memory of a GPU is known, else none.
        memory_bytes: Main memory. `None`: what the estimate says.
        context_length: Tokens of context. `None`: as the record has it.
    """

    replicas: int = 1
    max_replicas: int | None = None
    ongoing_requests: int | None = None
    target_ongoing_requests: float | None = None
    cpus: float = 1.0
    gpus: float | None = None
    memory_bytes: int | None = None
    context_length: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidOptionError: An option has a value that it cannot have.
        """
        _check_integer("replicas", self.replicas, 0 if self.max_replicas else 1)
        for name in ("max_replicas", "ongoing_requests", "memory_bytes", "context_length"):
            if (value := getattr(self, name)) is not None:
                _check_integer(name, value, 1)
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise InvalidOptionError("max_replicas", f"at least `replicas`, {self.replicas}", self.max_replicas)
        for name in ("cpus", "gpus", "target_ongoing_requests"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and (value > 0 or (name == "gpus" and value == 0))):
                raise InvalidOptionError(name, "a number above 0", value)


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """How to serve on several machines.

    Attributes:
        profile: Profile whose models are served. `None`: the setting `profile`, else `default`.
        manifest: File with profiles to lay over the compiled ones; read where the application is built.
        roles: Roles of the profile whose models are served. `None`: all that records play; none of them if empty.
        models: Ids or aliases of models, to how each is scaled: those of the roles, and any others to be served.
        scaling: How models are scaled of which `models` says nothing.
        registry: Module with the typed records, which every node can import. `None`: this package's.
        ingress_replicas: Processes that take the requests in. Requests that one of them has in hand are lost with it,
            so there should be one on each node that clients connect to: a proxy prefers the one of its own node.
        ingress_per_node: Most of them on one node. `None`: as many as find room.
        ingress_cpus: CPUs of each of them.
        gpu_memory_bytes: Memory of one GPU of the cluster, at least 1 GiB. `None`: no model is placed on one.
        adapters: File or address of a manifest of adapters, which every node can reach. `None`: what the setting
            `adapters` names, if it names one. A chat model is loaded once more for each adapter, up to `max_models` of
            `server` in all.
        batch_texts: Texts of several requests that are encoded together.
        server: How to serve. Host and port are the proxies' own; the catalogue cannot be written, because each node
            has its own; a profile, and models to keep loaded, are said here.
    """

    profile: str | None = None
    manifest: Path | None = None
    roles: tuple[str, ...] | None = None
    models: Mapping[str, Scaling] = field(default_factory=dict)
    scaling: Scaling = field(default_factory=Scaling)
    registry: str | None = None
    ingress_replicas: int = 1
    ingress_per_node: int | None = None
    ingress_cpus: float = 1.0
    gpu_memory_bytes: int | None = None
    adapters: str | None = None
    batch_texts: int = 64
    server: ServerOptions = field(default_factory=ServerOptions)

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidOptionError: An option has a value that it cannot have.
        """
        for name in ("ingress_replicas", "batch_texts"):
            _check_integer(name, getattr(self, name), 1)
        for name, least in (("gpu_memory_bytes", _LEAST_GPU_BYTES), ("ingress_per_node", 1)):
            if (value := getattr(self, name)) is not None:
                _check_integer(name, value, least)
        if not (_is_number(self.ingress_cpus) and self.ingress_cpus >= 0):
            raise InvalidOptionError("ingress_cpus", "a number, 0 or above", self.ingress_cpus)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> ClusterOptions:
        """Read options from a mapping, as a Serve config file has them under `args`.

        The key, which has no place in such a file, is that of the settings. It is needed unless the file says, as
        `server.host`, that only programs on the same machine can ask: elsewhere, Serve listens at every address.

        Raises:
            InvalidOptionError: An option does not exist, or has a value that it cannot have.
        """
        stated = _known(cls, given, "")
        models = _mapping(stated.pop("models", {}), "models")
        if models:
            stated["models"] = {name: _scaling(scaling, f"models.{name}.") for name, scaling in models.items()}
        if "scaling" in stated:
            stated["scaling"] = _scaling(stated["scaling"], "scaling.")
        server = _known(ServerOptions, _mapping(stated.pop("server", {}), "server"), "server.")
        lists = {name: tuple(value) for name, value in server.items() if isinstance(value, list)}
        stated["server"] = ServerOptions(
            **_with_paths({"host": EVERYWHERE, "api_key": text("api_key"), **server, **lists})
        )
        if isinstance(stated.get("roles"), list):
            stated["roles"] = tuple(stated["roles"])
        return cls(**_with_paths(stated))


def _scaling(given: object, place: str) -> Scaling:
    return Scaling(**_known(Scaling, _mapping(given, place.rstrip(".")), place))


def _mapping(given: object, place: str) -> Mapping[str, Any]:
    if given is None:  # `models: {my-model: }` in YAML
        return {}
    if not isinstance(given, Mapping):
        raise InvalidOptionError(place, "a mapping", given)
    return given


def _known(kind: type[Any], given: Mapping[str, Any], place: str) -> dict[str, Any]:
    names = [option.name for option in fields(kind)]
    for name in given:
        if name not in names:
            raise InvalidOptionError(f"{place}{name}", f"one of {', '.join(names)}", name)
    return dict(given)


def _with_paths(stated: dict[str, Any]) -> dict[str, Any]:
    return stated | {name: Path(stated[name]) for name in _PATHS if isinstance(stated.get(name), str)}


def _check_integer(name: str, value: object, least: int) -> None:
    if type(value) is not int or value < least:
        raise InvalidOptionError(name, f"an integer of at least {least}", value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
