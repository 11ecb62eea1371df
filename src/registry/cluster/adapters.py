"""Adapters on a cluster: who watches the manifest, and which file of a replica is the version that a request has."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Self

from registry.adapters import AdapterFiles, Adapters, Freeing, ManifestSource, Preparing
from registry.cluster.rendezvous import RayRendezvous
from registry.server.v1.names import ModelNames

if TYPE_CHECKING:
    from types import TracebackType

    from registry.adapters import AdapterEntry, AdapterManifest, AdapterVersion, Pace
    from registry.loaders import ModelManager
    from registry.queries import ModelRegistry
    from registry.records import ModelInfo
    from registry.server.options import ServerOptions

_LINGER_S = 60.0  # a replica keeps what is served no more for so long: an ingress may still send requests for it
_FIRST_LOOK_S = 30.0


def ingress_adapters(manifest: str, registry: ModelRegistry[Any], options: ServerOptions) -> Adapters:
    """Give the adapters of a manifest as the ingress serves them: it proves their bytes, and hands requests on.

    Whether an adapter fits its model is for the replicas of that model to say. Models that have none now must be asked
    for before they get one, so somebody else has to see that an adapter is there at all.
    """
    check, files = Preparing(registry, ModelNames(registry, options.roles).is_model), AdapterFiles()

    def prepare(listed: AdapterManifest, entry: AdapterEntry) -> None:
        check(listed, entry)
        files.obtain(listed, entry)

    source, rendezvous = ManifestSource(manifest), RayRendezvous(manifest)
    return Adapters(source, rendezvous, prepare, files=files, tries=lambda _: False, hands_on=True)


class ReplicaAdapters:
    """The adapters of a replica: files on its node, loaded with its model.

    Args:
        manifest: File or address of the manifest, which this node can reach.
        record: The model of the replica. Adapters of other models are fetched and proven, and not loaded.
        registry: The records.
        manager: Loads the model.
        pace: How often to look.
    """

    def __init__(
        self,
        manifest: str,
        record: ModelInfo,
        registry: ModelRegistry[Any],
        manager: ModelManager,
        pace: Pace | None = None,
    ) -> None:
        self._record = record
        self._files = AdapterFiles()
        self._prepare_own = Preparing(registry, lambda _: False, self._files, manager)
        self._rendezvous = RayRendezvous(manifest)
        self._adapters = Adapters(
            ManifestSource(manifest),
            self._rendezvous,
            self._prepare,
            files=self._files,
            tries=lambda entry: entry.base == record.id,
            free=Freeing(registry, manager),
            pace=pace,
        )
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[AdapterVersion, float]] = {}

    def __enter__(self) -> Self:
        """Begin to watch, and wait a while for what the manifest lists now: requests for it may come at once."""
        self._adapters.start()
        self._adapters.wait(_FIRST_LOOK_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._adapters.close()

    def find(self, version: AdapterVersion) -> AdapterVersion | None:
        """Give the version that a request has as it is on this node. May ask the other workers what is decided.

        Returns:
            `None` where this replica does not have it: it has just been started, or the manifest moves on quickly.
        """
        found = self._find(version.sha256)
        if found is None:
            self._rendezvous.look()
            found = self._find(version.sha256)
        return found

    def keep(self) -> None:
        """Keep what is served now, and let go of what has not been served for a while. Called now and then."""
        now = time.monotonic()
        with self._lock:
            self._kept |= {version.sha256: (version, now) for version in self._adapters.versions()}
            self._kept = {key: kept for key, kept in self._kept.items() if now - kept[1] < _LINGER_S}

    def _find(self, sha256: str) -> AdapterVersion | None:
        self.keep()
        found = self._kept.get(sha256)
        return None if found is None or not self._files.has(sha256) else found[0]

    def _prepare(self, manifest: AdapterManifest, entry: AdapterEntry) -> None:
        if entry.base == self._record.id:
            self._prepare_own(manifest, entry)
        else:
            self._files.obtain(manifest, entry)
