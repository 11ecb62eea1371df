"""The adapters of one machine: its processes share the home folder, and move together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from registry._places import adapters_manifest

if TYPE_CHECKING:
    from registry.adapters.watching import Adapters, Pace
    from registry.loaders import ModelManager
    from registry.queries import ModelRegistry


def local_adapters(
    registry: ModelRegistry[Any],
    manager: ModelManager,
    is_taken: Callable[[str], bool],
    *,
    manifest: str | None = None,
    pace: Pace | None = None,
) -> Adapters | None:
    """Give the adapters of a manifest, as a worker of this machine serves them; it does not watch yet.

    Args:
        registry: The records; `base` of an adapter is the id of one of them.
        manager: Loads the models of this worker.
        is_taken: Says of a name whether requests mean a model by it.
        manifest: A file, or an `http:` or `https:` address. Left out: what the setting `adapters` names.
        pace: How often to look.

    Returns:
        `None` where no manifest is named.
    """
    where = manifest or adapters_manifest()
    if where is None:
        return None
    # Servers without adapters shall not pay for these when they start.
    from registry.adapters.files import AdapterFiles
    from registry.adapters.preparing import Freeing, Preparing
    from registry.adapters.rendezvous import file_rendezvous
    from registry.adapters.source import ManifestSource
    from registry.adapters.watching import Adapters

    files = AdapterFiles()
    return Adapters(
        ManifestSource(where),
        file_rendezvous(where),
        Preparing(registry, is_taken, files, manager),
        files=files,
        free=Freeing(registry, manager),
        pace=pace,
    )
