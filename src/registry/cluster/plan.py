"""What is deployed: which models, which roles lead to them, and what each replica takes. Nothing of Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from registry._places import adapters_manifest
from registry.cluster.resources import Resources, resources_of
from registry.errors import InvalidOptionError
from registry.profiles.active import DEFAULT, Profiles
from registry.profiles.order import chain
from registry.profiles.protocol import LOCAL
from registry.records import ChatModel, Profile, RoleModel
from registry.server.options import ServerOptions

if TYPE_CHECKING:
    from registry.cluster.options import ClusterOptions, Scaling
    from registry.queries import ModelRegistry
    from registry.records import ModelInfo

_CHAT_REQUESTS, _OTHER_REQUESTS = 8, 64


@dataclass(frozen=True)
class Deployed:
    """One model of the cluster.

    Attributes:
        record: The model.
        scaling: How many replicas it has.
        resources: What each of them takes.
    """

    record: ModelInfo
    scaling: Scaling
    resources: Resources

    @property
    def ongoing_requests(self) -> int:
        """Requests that a replica holds."""
        usual = _CHAT_REQUESTS if isinstance(self.record, ChatModel) else _OTHER_REQUESTS
        return self.scaling.ongoing_requests or usual

    def serve_options(self, queue_length: int) -> dict[str, Any]:
        """Give the options of its deployment, as Serve and its config files have them.

        Args:
            queue_length: Requests that may wait in each ingress while all replicas hold as many as they may.
        """
        scaling: dict[str, Any] = {"num_replicas": self.scaling.replicas}
        if self.scaling.max_replicas is not None:
            target = self.scaling.target_ongoing_requests or self.ongoing_requests / 4
            limits = {"min_replicas": self.scaling.replicas, "max_replicas": self.scaling.max_replicas}
            scaling = {"num_replicas": None, "autoscaling_config": limits | {"target_ongoing_requests": target}}
        return {
            **scaling,
            "max_ongoing_requests": self.ongoing_requests,
            "max_queued_requests": max(queue_length, 1),
            "ray_actor_options": self.resources.actor_options(),
        }


@dataclass(frozen=True)
class Plan:
    """What a cluster serves.

    Attributes:
        models: The models.
        roles: Role to the id of the model that plays it.
        left_out: Roles of the profile that no record plays, which nobody serves here.
        server: How the ingress serves; its profile is the name of the one that is served.
        adapters: File or address of the manifest of adapters, if there is one.
    """

    models: tuple[Deployed, ...]
    roles: Mapping[str, str]
    left_out: tuple[str, ...]
    server: ServerOptions
    adapters: str | None = None

    def profiles(self, registry: ModelRegistry[Any]) -> Profiles:
        """Give the profile that is served, with the roles that are, alone, whatever the settings of a node say."""
        models = {role: RoleModel(role, model_id, LOCAL) for role, model_id in self.roles.items()}
        return Profiles.of(registry, Profile(self.server.profile or DEFAULT, None, models))


def plan(options: ClusterOptions) -> Plan:
    """Decide what is deployed. Reads the manifest, and headers of model files that are on this machine.

    Of the models that a profile has for a role, the first that is a record is taken: other providers are no part of a
    cluster.

    Raises:
        ProfileNotFoundError: There is no such profile.
        RoleNotFoundError: The profile has no such role.
        ManifestError: The manifest cannot be used.
        ModelNotFoundError: A model is not in the registry.
        InvalidOptionError: The registry cannot be imported, or there is nothing to serve.
    """
    records = registry_of(options.registry)
    name, playing, left_out = _playing(options, records)
    roles = {**playing, **{role: records.lookup_model(name) for role, name in options.server.roles.items()}}
    stated = {records.lookup_model(name): scaling for name, scaling in options.models.items()}
    wanted = dict.fromkeys((*roles.values(), *stated))
    if not wanted:
        raise InvalidOptionError("models", "at least one model, or a role that a record plays", dict(options.models))
    adapters = options.adapters or adapters_manifest()
    loaded = options.server.max_models if adapters else 1
    models = tuple(_deployed(record, stated.get(record, options.scaling), options, loaded) for record in wanted)
    ids = {role: record.id for role, record in roles.items()}
    server = replace(
        options.server, profile=name, roles=ids, manifest=None, catalog_writes=False, admin_token=None, provision=False
    )
    return Plan(models, ids, left_out, server, adapters)


def registry_of(module: str | None) -> ModelRegistry[Any]:
    """Import the registry of a module, this package's own without a name.

    Raises:
        InvalidOptionError: It cannot be imported, or has none.
    """
    from registry import MODEL_REGISTRY

    if module is None:
        return MODEL_REGISTRY
    expected = "a module with a MODEL_REGISTRY that every node can import"
    try:
        found: ModelRegistry[Any] | None = getattr(import_module(module), "MODEL_REGISTRY", None)
    except ImportError as error:
        raise InvalidOptionError("registry", expected, module, f"Importing it fails: {error}.") from error
    if found is None:
        raise InvalidOptionError("registry", expected, module)
    return found


def _playing(options: ClusterOptions, records: ModelRegistry[Any]) -> tuple[str, dict[str, ModelInfo], tuple[str, ...]]:
    """Give the name of the profile, the record that plays each role, and the roles that none plays."""
    if options.roles == ():  # a config file has the models themselves, and its nodes need not have the manifest
        return options.profile or DEFAULT, {}, ()
    profiles = Profiles.load(manifest=options.manifest, registry=records)
    profile = profiles.find(options.profile)
    asked = options.roles if options.roles is not None else tuple(map(str, profile.models) if profile else ())
    playing: dict[str, ModelInfo] = {}
    for role in asked:
        own = (target.record for name, target in chain(profiles.role(role, options.profile), records) if name == LOCAL)
        if (record := next(filter(None, own), None)) is not None:
            playing[role] = record
    return profile.name if profile else DEFAULT, playing, tuple(role for role in asked if role not in playing)


def _deployed(record: ModelInfo, scaling: Scaling, options: ClusterOptions, loaded: int) -> Deployed:
    loaded = loaded if isinstance(record, ChatModel) else 1
    return Deployed(record, scaling, resources_of(record, scaling, options.gpu_memory_bytes, loaded))
