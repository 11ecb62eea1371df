"""Several models on one machine: loaded on first use, the least recently used one freed for the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast, overload

from registry._places import find_files
from registry.errors import (
    InsufficientMemoryError,
    InvalidOptionError,
    ModelClosedError,
    ModelNotDownloadedError,
    RegistryError,
)
from registry.loaders._load import load, record_of
from registry.loaders.locate import locate
from registry.loaders.options import LoadOptions
from registry.loaders.slots import Slot, Wanted

if TYPE_CHECKING:
    from types import TracebackType

    from registry.config import ModelConfig
    from registry.loaders._load import LoadedModel, PathLike
    from registry.loaders.chat import Chat
    from registry.loaders.dense import DenseEncoder
    from registry.loaders.late_interaction import LateInteractionEncoder
    from registry.loaders.reranker import Reranker
    from registry.loaders.sparse import SparseEncoder
    from registry.queries import ModelRegistry
    from registry.records import ChatModel, DenseModel, ModelInfo, MultiVectorModel, RerankerModel, SparseModel

_GRACE_S = 10.0  # for which a model that is asked for all the time is not lent, while others need its place


class ModelStatus(NamedTuple):
    """One loaded model.

    Attributes:
        model_id: Record that is loaded.
        requested_id: Record that was asked for last; another one where this smaller model stands in.
        footprint_bytes: Memory that it takes.
        load_seconds: Time that loading took.
        users: Calls that are using it now.
        pinned: True when it is never freed for another.
    """

    model_id: str
    requested_id: str
    footprint_bytes: int
    load_seconds: float
    users: int
    pinned: bool


class ModelManager:
    """Keeps models loaded, up to a number or an amount of memory; for any number of threads.

    A model is loaded when it is first used, and stays until its place is needed: then the least recently used one is
    freed that nobody is using. A model is never closed while it is used.

    Args:
        max_models: Models to keep loaded.
        max_bytes: Memory that their footprints may take together; `None` for no limit.
        options: How to load models, where a call says nothing else.
        registry: Where smaller models are looked for, and names are looked up; left out: this package's.

    Example:
        >>> with ModelManager(max_models=2) as manager:  # doctest: +SKIP
        ...     with manager.use("all-minilm-l6-v2") as encoder:
        ...         vectors = encoder.encode_query(["How tall is Mount Everest?"])
    """

    def __init__(
        self,
        *,
        max_models: int = 1,
        max_bytes: int | None = None,
        options: LoadOptions | None = None,
        registry: ModelRegistry[Any] | None = None,
    ) -> None:
        for name, value in (("max_models", max_models), ("max_bytes", max_bytes)):
            if not (value is None and name == "max_bytes") and not (type(value) is int and value >= 1):
                raise InvalidOptionError(name, "an integer of at least 1", value)
        self.max_models = max_models
        self.max_bytes = max_bytes
        self._options = options or LoadOptions()
        self._registry = registry
        self._slots: list[Slot] = []
        self._pinned: set[str] = set()
        self._waiting: set[int] = set()  # threads
        self._changed = threading.Condition()
        self._clock = 0
        self._closed = False

    @overload
    def use(
        self,
        model: ChatModel | None = None,
        *,
        path: PathLike | None = None,
        options: LoadOptions | None = None,
        fallback: bool = False,
    ) -> AbstractContextManager[Chat]: ...
    @overload
    def use(
        self,
        model: DenseModel,
        *,
        path: PathLike | None = None,
        options: LoadOptions | None = None,
        fallback: bool = False,
    ) -> AbstractContextManager[DenseEncoder]: ...
    @overload
    def use(
        self,
        model: MultiVectorModel,
        *,
        path: PathLike | None = None,
        options: LoadOptions | None = None,
        fallback: bool = False,
    ) -> AbstractContextManager[LateInteractionEncoder]: ...
    @overload
    def use(
        self,
        model: SparseModel,
        *,
        path: PathLike | None = None,
        options: LoadOptions | None = None,
        fallback: bool = False,
    ) -> AbstractContextManager[SparseEncoder]: ...
    @overload
    def use(
        self,
        model: RerankerModel,
        *,
        path: PathLike | None = None,
        options: LoadOptions | None = None,
        fallback: bool = False,
    ) -> AbstractContextManager[Reranker]: ...
    @overload
    def use(
        self,
        model: str | ModelInfo | ModelConfig,
        *,
        path: PathLike | None = None,
        options: LoadOptions | None = None,
        fallback: bool = False,
    ) -> AbstractContextManager[LoadedModel]: ...
    def use(
        self,
        model: str | ModelInfo | ModelConfig | None = None,
        *,
        path: PathLike | None = None,
        options: LoadOptions | None = None,
        fallback: bool = False,
    ) -> AbstractContextManager[Any]:
        """Lend a model for a `with` block, and load it if it is not there. Waits while others use its place.

        Args:
            model: As for `load`.
            path: As for `load`.
            options: How to load it; left out: the manager's options.
            fallback: Where there is not enough memory, take the next smaller record of the same base model that is
                on this machine. `.model` of what is lent says which it is.

        Raises:
            InsufficientMemoryError: There is not enough memory, or the limit of the manager is too low.
            RegistryError: The place is taken by models that are pinned, or that this thread itself holds, or others
                that wait for it.
            ModelClosedError: The manager is closed.
        """
        record, wanted = record_of(model, options or self._options, self._registry)
        return self._lease(Wanted(record, wanted, None if path is None else Path(path)), fallback=fallback)

    @property
    def options(self) -> LoadOptions:
        """How models are loaded where a call says nothing else."""
        return self._options

    @property
    def loaded(self) -> tuple[str, ...]:
        """Ids of the records that are loaded, the most recently used first."""
        return tuple(status.model_id for status in self.status())

    @property
    def current(self) -> str | None:
        """Id of the record that was used last; `None` when nothing is loaded."""
        return next(iter(self.loaded), None)

    def status(self) -> tuple[ModelStatus, ...]:
        """Give what is loaded, the most recently used first."""
        with self._changed:
            ready = [(slot, slot.handle) for slot in sorted(self._slots, key=lambda slot: -slot.last_used)]
            return tuple(
                ModelStatus(
                    handle.model.id,
                    slot.requested_id,
                    handle.footprint_bytes,
                    handle.load_seconds,
                    slot.holders.total(),
                    not slot.ids.isdisjoint(self._pinned),
                )
                for slot, handle in ready
                if handle is not None
            )

    def pin(self, model: str | ModelInfo) -> None:
        """Keep a model, loaded now or later, from being freed for another."""
        with self._changed:
            self._pinned.add(record_of(model, self._options, self._registry)[0].id)
            self._tell()

    def unpin(self, model: str | ModelInfo) -> None:
        """Let a model be freed for another again."""
        with self._changed:
            self._pinned.discard(record_of(model, self._options, self._registry)[0].id)
            self._tell()

    def unload(self, model: str | ModelInfo | None = None, *, options: LoadOptions | None = None) -> None:
        """Free a model, or all of them, pinned or not. Waits until nobody uses it; does nothing if it is not loaded.

        Args:
            model: Left out: all models.
            options: Free what was loaded with these, and nothing else.
        """
        wanted = None if model is None else record_of(model, self._options, self._registry)[0].id
        with self._changed:
            found = [
                slot
                for slot in self._slots
                if (wanted is None or wanted in slot.ids) and options in (None, slot.wanted.options)
            ]
            self._refuse_own(found)
            for slot in found:
                while slot in self._slots and not slot.is_idle:
                    self._wait(f"Cannot unload `{slot.wanted.record.id}`", pins=False)
                if slot in self._slots:
                    self._free(slot)

    def close(self) -> None:
        """Free all models and lend no more. Waits until nobody uses them."""
        with self._changed:
            self._refuse_own(self._slots)
            self._closed = True
            self._tell()
        self.unload()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ModelManager: {', '.join(self.loaded) or 'nothing'} loaded, at most {self.max_models}>"

    @contextmanager
    def _lease(self, wanted: Wanted, *, fallback: bool) -> Generator[LoadedModel]:
        try:
            slot = self._slot(wanted, fallback=fallback)
        except InsufficientMemoryError as error:
            more = "" if fallback else " `fallback=True` would take a smaller file of the same model."
            raise InsufficientMemoryError(wanted.record.id, error.reason + more) from error
        here = threading.get_ident()
        try:
            yield cast("LoadedModel", slot.handle)
        finally:
            with self._changed:
                slot.holders[here] -= 1
                self._touch(slot)
                self._tell()

    def _slot(self, wanted: Wanted, *, fallback: bool) -> Slot:
        """Find the slot of a model, or load it into one; the caller holds it then."""
        with self._changed:
            while (slot := self._find(wanted, fallback=fallback)) is not None:
                grace = self._grace_s(slot)
                if slot.is_ready and grace is None:
                    return self._hold(slot, wanted)
                self._wait(f"No room for `{wanted.record.id}`", timeout_s=grace)
            slot = Slot(wanted, wanted.record.id)
            self._slots.append(slot)
        try:
            handle = self._load(slot)
            with self._changed:
                slot.handle = handle
                return self._hold(slot, wanted)
        except InsufficientMemoryError as error:
            if not fallback:
                raise
            slot.has_room = False
            return self._smaller_slot(wanted, error)
        finally:
            with self._changed:
                if slot.handle is None:
                    self._slots.remove(slot)
                self._tell()

    def _smaller_slot(self, wanted: Wanted, error: InsufficientMemoryError) -> Slot:
        """Find a model that stands in for one that there is no memory for; others wait for the outcome."""
        tried = [f"{error.reason.rstrip('.')} (`{wanted.record.id}`)"]
        for record in self._smaller(wanted.record):
            try:
                slot = self._slot(Wanted(record, wanted.options, None), fallback=False)
            except InsufficientMemoryError as also:
                tried.append(f"{also.reason.rstrip('.')} (`{record.id}`)")
            except ModelNotDownloadedError:
                continue
            else:
                slot.stands_in_for.append(wanted)
                slot.requested_id = wanted.record.id
                return slot
        raise InsufficientMemoryError(wanted.record.id, "; ".join(tried) + ".") from error

    def _find(self, wanted: Wanted, *, fallback: bool) -> Slot | None:
        if self._closed:
            raise ModelClosedError("the model manager")
        instead = (slot for slot in self._slots if fallback and slot.is_ready and wanted in slot.stands_in_for)
        same = (slot for slot in self._slots if slot.wanted == wanted)
        return next(instead, None) or next(same, None)

    def _hold(self, slot: Slot, wanted: Wanted) -> Slot:
        slot.holders[threading.get_ident()] += 1
        slot.requested_id = wanted.record.id
        self._touch(slot)
        return slot

    def _grace_s(self, slot: Slot) -> float | None:
        """Give how long to wait before a model is lent: it must come to rest for those who need its place.

        Not for ever, because who holds it may wait for what others do with it; and not who holds one already.
        """
        since = [other.in_need_since for other in self._slots if other.in_need_since is not None]
        here = threading.get_ident()
        if not since or not slot.ids.isdisjoint(self._pinned) or any(other.holders[here] for other in self._slots):
            return None
        left = min(since) + _GRACE_S - time.monotonic()
        return left if left > 0 else None

    def _touch(self, slot: Slot) -> None:
        self._clock += 1
        slot.last_used = self._clock

    def _load(self, slot: Slot) -> LoadedModel:
        record, options, path = slot.wanted
        found = find_files(record) if path is None else Path(path)
        slot.bytes = _size_on_disk(found or locate(record, path, download=options.download).path)
        while True:
            self._make_room(slot)
            handle = load(record, path=path, options=options)
            with ExitStack() as unless_kept:
                unless_kept.callback(handle.close)
                with self._changed:
                    slot.bytes = handle.footprint_bytes  # now it is known, and may be more
                    if self._free_idle(slot):
                        unless_kept.pop_all()
                        return handle
                    slot.has_room = False
            with self._changed:
                self._tell()

    def _smaller(self, record: ModelInfo) -> list[ModelInfo]:
        """Give the chat records of the same base model whose files are smaller, the largest first."""
        import registry

        base, size = getattr(record, "base_model", None), _file_bytes(record)
        if base is None or size is None:
            return []
        others = self._registry if self._registry is not None else registry.MODEL_REGISTRY
        smaller = [
            other
            for other in others.values()
            if getattr(other, "base_model", None) == base and (_file_bytes(other) or size) < size
        ]
        return sorted(smaller, key=lambda other: -(_file_bytes(other) or 0))

    def _make_room(self, slot: Slot) -> None:
        """Free models that nobody uses until there is room for one more; wait for those that are used."""
        if self.max_bytes is not None and slot.bytes > self.max_bytes:
            needed = f"It needs {slot.bytes} bytes at least, and the manager may use {self.max_bytes}."
            raise InsufficientMemoryError(slot.wanted.record.id, needed)
        with self._changed:
            try:
                while not self._free_idle(slot):
                    slot.in_need_since = slot.in_need_since or time.monotonic()
                    self._wait(f"No room for `{slot.wanted.record.id}`")
                    if self._closed:
                        raise ModelClosedError("the model manager")
                slot.has_room = True
            finally:
                if slot.in_need_since is not None:
                    slot.in_need_since = None
                    self._tell()

    def _free_idle(self, slot: Slot) -> bool:
        """Free models that nobody uses, the least recently used first, until there is room; tell whether there is."""
        while not self._has_room(slot):
            idle = [other for other in self._others(slot) if other.is_idle and other.ids.isdisjoint(self._pinned)]
            if not idle:
                return False
            self._free(min(idle, key=lambda other: other.last_used))
        return True

    def _has_room(self, slot: Slot) -> bool:
        others = self._others(slot)
        if len(others) >= self.max_models:
            return False
        return self.max_bytes is None or sum(other.bytes for other in others) + slot.bytes <= self.max_bytes

    def _others(self, slot: Slot) -> list[Slot]:
        return [other for other in self._slots if other is not slot and other.has_room]

    def _wait(self, problem: str, *, pins: bool = True, timeout_s: float | None = None) -> None:
        """Wait until something changes; an error where nothing can, because all that could are waiting themselves."""
        here = threading.get_ident()
        self._waiting.add(here)
        try:
            taken = [slot for slot in self._slots if slot.has_room]
            if taken and all(self._is_stuck(slot, pins=pins) for slot in taken):
                names = ", ".join(sorted({f"`{slot.wanted.record.id}`" for slot in taken}))
                raise RegistryError(
                    f"{problem}: {names} {'is' if len(taken) == 1 else 'are'} pinned, or held by this thread or by "
                    "others that wait for room. Leave its `with` block, unpin it, or raise `max_models` or `max_bytes`."
                )
            self._changed.wait(timeout_s)
        finally:
            self._waiting.discard(here)

    def _tell(self) -> None:
        """Wake those that wait, each of which looks again whether it has to. Called with the lock."""
        self._waiting.clear()
        self._changed.notify_all()

    def _is_stuck(self, slot: Slot, *, pins: bool) -> bool:
        if not slot.is_ready:
            return False
        if pins and not slot.ids.isdisjoint(self._pinned):
            return True
        return any(uses and thread in self._waiting for thread, uses in slot.holders.items())

    def _refuse_own(self, slots: list[Slot]) -> None:
        here = threading.get_ident()
        for slot in slots:
            if slot.holders[here]:
                raise RegistryError(
                    f"Cannot unload `{slot.wanted.record.id}` inside its own `with` block. Leave it first."
                )

    def _free(self, slot: Slot) -> None:
        """Close the model of an idle slot. Called with the lock; nobody can hold the slot meanwhile."""
        slot.leaving = True
        self._changed.release()
        try:
            if slot.handle is not None:
                slot.handle.close()
        finally:
            self._changed.acquire()
            slot.leaving = False
            if slot.handle is None or slot.handle.closed:
                self._slots.remove(slot)
            self._tell()


def _file_bytes(record: ModelInfo) -> int | None:
    file = getattr(record, "file", None)
    return file.size_bytes if file is not None else None


def _size_on_disk(path: Path) -> int:
    """Give the size of the weights: a lower bound of the memory that they will take."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*.safetensors"))
