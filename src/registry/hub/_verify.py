"""`verify`: kept models by their ids, read and compared with what was proven."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from registry._places import key_of
from registry.errors import ChecksumMismatchError
from registry.hub._ensure import obtain, record_of
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
    kept = {entry.id for entry in cache.list()}
    if models is None:
        models = sorted(kept)
    found: list[Verification] = []
    for model in models:
        key = model if isinstance(model, str) and model in kept else key_of(record_of(model, registry))
        found += _verify(cache, key, _record(model, key, registry), progress)
    return tuple(found)


def _verify(
    cache: Cache, key: str, record: ModelInfo | LoraAdapter | None, progress: OnProgress | None
) -> tuple[Verification, ...]:
    """Verify a model. One that was never proven, as the manifest was lost, is proven by its record first."""
    entry = cache.get(key)
    if entry.checksum is None and record is not None:
        try:
            obtain(record, how={"progress": progress})
        except ChecksumMismatchError as error:
            return (Verification(key, entry.path, (str(error),), (), entry.size_bytes),)
    return cache.verify(key, progress=progress)


def _record(
    model: str | ModelInfo | LoraAdapter, key: str, registry: ModelRegistry[Any] | None
) -> ModelInfo | LoraAdapter | None:
    """Give the record of a kept model, or `None` where the registry has none."""
    if not isinstance(model, str):
        return model
    if registry is None:
        from registry import MODEL_REGISTRY

        registry = MODEL_REGISTRY
    record: ModelInfo | None = registry.find_model(key)
    return record
