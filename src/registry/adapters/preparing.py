"""Making an adapter ready before anybody is sent to it: its file fetched, proven, and tried with its model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry._logfmt import log
from registry.adapters.files import AdapterFiles
from registry.adapters.manifest import AdapterEntry, AdapterManifest
from registry.adapters.proving import UnfitAdapterError, check_file
from registry.adapters.version import AdapterVersion
from registry.errors import (
    AdapterError,
    InsufficientMemoryError,
    ModelClosedError,
    ModelLoadError,
    RegistryError,
)
from registry.loaders.locate import locate
from registry.records import ChatModel

if TYPE_CHECKING:
    from registry.loaders import ModelManager
    from registry.queries import ModelRegistry

_LOG = logging.getLogger("registry.adapters")


class Preparing:
    """Prepares adapters for this worker. For any number of threads: files are fetched side by side, and tried in turn.

    Args:
        registry: The records; `base` of an adapter is the id of one of them.
        is_taken: Says of a name whether requests mean a model by it, which no adapter may be called then.
        files: Where files of adapters are kept. `None`: names are looked at, and that is all.
        manager: Loads the models of this worker. An adapter is loaded with its model once before it is served, and is
            warm when the first request comes. `None`: the headers of the files are compared, and that is all.
    """

    def __init__(
        self,
        registry: ModelRegistry[Any],
        is_taken: Callable[[str], bool],
        files: AdapterFiles | None = None,
        manager: ModelManager | None = None,
    ) -> None:
        self._registry = registry
        self._is_taken = is_taken
        self._files = files
        self._manager = manager
        self._trying = threading.Lock()

    def __call__(self, manifest: AdapterManifest, entry: AdapterEntry) -> None:
        """Prepare an adapter of a manifest. Reads and writes files, and uses the network where its file is there.

        Raises:
            UnfitAdapterError: It can never be used.
            AdapterError: It cannot be used now.
        """
        record = self._base(entry)
        if self._files is None:
            return
        try:
            download = self._manager is not None and self._manager.options.download
            base = locate(record, download=download).path
            path = self._files.obtain(manifest, entry)
            with self._trying:
                check_file(entry, path, record, base)
                self._try(entry, record, path)
        except AdapterError:
            raise
        except RegistryError as error:
            remedy = "It is tried again."
            raise AdapterError(entry.id, entry.version, f"its model cannot be used: {error}", remedy) from error

    def _base(self, entry: AdapterEntry) -> ChatModel:
        if self._is_taken(entry.id):
            problem = "requests mean a model, or the role of one, by this name."
            raise UnfitAdapterError(entry.id, entry.version, problem, "Call the adapter something else.")
        record = self._registry.find_model(entry.base)
        if record is None or record.id != entry.base:
            near = [record.id] if record is not None else get_close_matches(entry.base, self._registry, n=3)
            meant = f"Did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else "Correct `base`."
            raise UnfitAdapterError(entry.id, entry.version, f"there is no model `{entry.base}`.", meant)
        if not isinstance(record, ChatModel):
            problem = f"`{record.id}` is of type `{record.model_type}`, and adapters go on top of chat models."
            raise UnfitAdapterError(entry.id, entry.version, problem, "Correct `base`.")
        return record

    def _try(self, entry: AdapterEntry, record: ChatModel, path: Path) -> None:
        """Load an adapter with its model: what only llama.cpp sees is seen before the first request."""
        if self._manager is None:
            return
        try:
            with self._manager.use(record, options=replace(self._manager.options, adapter=path)):
                return
        except ModelLoadError as error:
            if error.what != "adapter":
                raise
            problem = f"llama.cpp refuses it: {error.got}."
            raise UnfitAdapterError(entry.id, entry.version, problem, error.remedy) from error
        except (InsufficientMemoryError, ModelClosedError) as error:
            # The old version may need the room until the switch. The headers fit, and that must do.
            log(_LOG, logging.INFO, "registry.adapters.not_tried", id=entry.id, version=entry.version, reason=error)


class Freeing:
    """Frees the models that were loaded with a version which nobody uses any more.

    Args:
        registry: The records.
        manager: Has loaded them.
    """

    def __init__(self, registry: ModelRegistry[Any], manager: ModelManager) -> None:
        self._registry = registry
        self._manager = manager

    def __call__(self, version: AdapterVersion) -> None:
        """Free them. Waits for whoever uses them all the same."""
        if (record := self._registry.find_model(version.base)) is not None:
            self._manager.unload(record, options=replace(self._manager.options, adapter=version.path))
