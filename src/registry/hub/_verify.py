"""`verify`: kept models by their ids, read and compared with what was proven."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from registry._places import key_of
from registry.hub._ensure import record_of
from registry.hub.cache import Cache
from registry.hub.verification import Verification

if TYPE_CHECKING:
    from registry.hub.progress import OnProgress
    from registry.queries import ModelRegistry
    from registry.records import LoraAdapter, ModelInfo


def verify(
    models: Iterable[str | ModelInfo | LoraAdapter] | None = None,
    *,
    registry: ModelRegistry[Any] | None = None,
    progress: OnProgress | None = None,
) -> tuple[Verification, ...]:
    """Read the files of kept models and compare them with what was proven when they came. Needs no network.

    What is damaged is noted, so that the next `ensure` fetches it anew.

    Args:
        models: Ids, aliases, records or adapters; left out: all that are kept.
        registry: Registry in which aliases are looked up; left out: this package's.
        progress: Called with a `Progress` now and then.

    Raises:
        ModelNotFoundError: A name is neither that of a kept model nor in the registry.
        ModelNotDownloadedError: A model is not kept.
    """
    cache = Cache()
    if models is None:
        return cache.verify(progress=progress)
    kept = {entry.id for entry in cache.list()}
    keys = [model if model in kept else key_of(record_of(model, registry)) for model in models]
    return tuple(found for key in keys for found in cache.verify(str(key), progress=progress))
