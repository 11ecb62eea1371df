"""What the routes share: made once for an application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.adapters import Adapters
    from registry.catalog import Catalog
    from registry.loaders import ModelManager
    from registry.queries import ModelRegistry
    from registry.server.admin.provisioner import Provisioner
    from registry.server.options import ServerOptions
    from registry.server.store_file import StoreFile
    from registry.server.telemetry import Telemetry
    from registry.server.v1.contract import ModelDesks
    from registry.server.v1.names import ModelNames


@dataclass(frozen=True)
class Services:
    """What the routes of one application share.

    Attributes:
        options: How to serve.
        registry: The typed records.
        catalog: The catalogue store, which holds them too.
        manager: The loaded models.
        names: What a request may call a model, and which record that is.
        desks: Where requests wait for a model.
        telemetry: What is counted.
        store_file: The file of the store.
        provisioner: Has the models of the active profile ready.
        adapters: The adapters that are served, if a manifest lists any.
    """

    options: ServerOptions
    registry: ModelRegistry[Any]
    catalog: Catalog
    manager: ModelManager
    names: ModelNames
    desks: ModelDesks
    telemetry: Telemetry
    store_file: StoreFile
    provisioner: Provisioner
    adapters: Adapters | None = None
