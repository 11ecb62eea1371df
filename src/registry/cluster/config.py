"""The Serve config file of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry._extras import require
from registry.adapters.manifest import shown
from registry.cluster.options import EVERYWHERE, ClusterOptions, Scaling
from registry.cluster.plan import Deployed, Plan, plan
from registry.errors import InvalidOptionError
from registry.hardware.budget import size_text
from registry.server.options import ServerOptions

if TYPE_CHECKING:
    from dataclasses import Field

IMPORT_PATH = "registry.cluster:build_app"
_HEAD = """\
# Serve config of Ray Serve, made by `registry cluster config`. Deploy it with `serve deploy FILE`, or as
# `serveConfigV2` of a RayService (docs/scale.md). `args` is all there is to edit: the application makes the
# deployments of it, on every node with the same version of this package.
# Set REGISTRY_API_KEY where Ray runs: the key is no part of this file.
#
# Each replica takes:
"""
_SECRETS = ("api_key", "admin_token")
# What the proxies of Serve, or the plan, decide.
_NOT_HERE = ("port", "roles", "profile", "manifest", "provision", "catalog_writes", "access_log")


def serve_config(
    options: ClusterOptions | None = None, *, name: str = "registry", host: str = EVERYWHERE, port: int = 8000
) -> dict[str, Any]:
    """Give a Serve config, of the schema `ray.serve.schema.ServeDeploySchema`.

    What each replica takes is written down as it is estimated here, so that nothing depends on which files the node
    has that builds the application.

    Args:
        options: How to serve.
        name: Name of the application.
        host: Address that the proxies listen at. Another than 127.0.0.1 needs the setting `api_key` on the cluster.
        port: Port that they listen at, on every node.

    Raises:
        InvalidOptionError: There is no such port.
        RegistryError: As `plan` has it.
    """
    if type(port) is not int or not 0 < port <= 65535:
        raise InvalidOptionError("port", "an integer from 1 to 65535", port)
    options = options or ClusterOptions()
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": host, "port": port, "request_timeout_s": options.server.request_timeout_s},
        "applications": [
            {
                "name": name,
                "route_prefix": "/",
                "import_path": IMPORT_PATH,
                "args": _args(options, plan(options), host),
            }
        ],
    }


def serve_config_text(options: ClusterOptions | None = None, **where: Any) -> str:
    """Write a Serve config as YAML, with a comment that says what each replica takes. As `serve_config`."""
    options = options or ClusterOptions()
    yaml = require("yaml", extra="cluster", purpose="Writing a Serve config")
    document = yaml.safe_dump(serve_config(options, **where), sort_keys=False, allow_unicode=True, width=120)
    planned = plan(options)
    lines = "".join(f"#   {line}\n" for line in _table(planned))
    return f"{_HEAD}{lines}{document}"


def _args(options: ClusterOptions, planned: Plan, host: str) -> dict[str, Any]:
    """Give the options as `ClusterOptions.read` takes them: those that are not as left out, and the plan."""
    own = _changed(
        options, ("profile", "manifest", "roles", "models", "scaling", "server", "gpu_memory_bytes", "adapters")
    )
    server = _changed(options.server, ("host", *_SECRETS, *_NOT_HERE))
    adapters = {} if planned.adapters is None else {"adapters": _without_secrets(planned.adapters)}
    return {
        **own,
        **adapters,
        "profile": planned.server.profile,
        "roles": [],
        "models": {each.record.id: _scaling(each) for each in planned.models},
        "server": server | {"host": host, "roles": dict(planned.roles)},
    }


def _without_secrets(manifest: str) -> str:
    if shown(manifest) == manifest:
        return manifest
    expected = "an address without user, password or signature"
    remedy = "Whoever may read the config would know them: let the nodes reach the manifest without."
    raise InvalidOptionError("adapters", expected, shown(manifest), remedy)


def _scaling(deployed: Deployed) -> dict[str, Any]:
    resources = deployed.resources
    found = _changed(deployed.scaling, ("cpus", "gpus", "memory_bytes"))
    found |= {"replicas": deployed.scaling.replicas, "cpus": resources.cpus, "gpus": resources.gpus}
    return found if resources.memory_bytes is None else found | {"memory_bytes": resources.memory_bytes}


def _changed(options: ClusterOptions | Scaling | ServerOptions, but: tuple[str, ...]) -> dict[str, Any]:
    """Give the fields that have another value than where nobody says one, as YAML has them."""
    plain = type(options)()
    stated = (each for each in fields(options) if each.name not in but)
    return {each.name: _plain(value) for each in stated if (value := getattr(options, each.name)) != _of(plain, each)}


def _of(options: object, field: Field[Any]) -> Any:
    return getattr(options, field.name)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _table(planned: Plan) -> Iterator[str]:
    roles: dict[str, list[str]] = {}
    for role, model_id in planned.roles.items():
        roles.setdefault(model_id, []).append(role)
    for each in planned.models:
        resources = each.resources
        memory = "memory unknown" if resources.memory_bytes is None else size_text(resources.memory_bytes)
        gpus = f", {resources.gpus:g} GPU" if resources.gpus else ""
        served = f"  ({', '.join(roles[each.record.id])})" if each.record.id in roles else ""
        yield f"{each.record.id}: {resources.cpus:g} CPU{gpus}, {memory}{served}"
    if planned.left_out:
        yield f"Left out, because no record plays them: {', '.join(planned.left_out)}"
