"""Several models on one machine: loaded on first use, the least recently used one freed for the next."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast, overload

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


class ModelStatus(NamedTuple):
    """One loaded model.

    Attributes:
        model_id: Record that is loaded.
        requested_id: Record that was asked for; another one where a smaller model stands in.
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


@dataclass(eq=False)
class _Slot:
    """A model that is loaded, or that somebody is loading."""

    record: ModelInfo
    options: LoadOptions
    path: Path | None
    handle: LoadedModel | None = None
    has_room: bool = False
    bytes_expected: int = 0
    leaving: bool = False
    holders: Counter[int] = field(default_factory=Counter)
    last_used: int = 0

    @property
    def bytes(self) -> int:
        return self.handle.footprint_bytes if self.handle is not None else self.bytes_expected


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
        self._slots: list[_Slot] = []
        self._pinned: set[str] = set()
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
            RegistryError: The place is taken by models that this thread itself holds, or that are pinned.
            ModelClosedError: The manager is closed.
        """
        record, wanted = record_of(model, options or self._options, self._registry)
        return self._lease(record, wanted, None if path is None else Path(path), fallback=fallback)

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
            ready = sorted((slot for slot in self._slots if slot.handle), key=lambda slot: -slot.last_used)
            return tuple(
                ModelStatus(
                    slot.handle.model.id,
                    slot.record.id,
                    slot.handle.footprint_bytes,
                    slot.handle.load_seconds,
                    slot.holders.total(),
                    slot.record.id in self._pinned,
                )
                for slot in ready
                if slot.handle is not None
            )

    def pin(self, model: str | ModelInfo) -> None:
        """Keep a model, loaded now or later, from being freed for another."""
        with self._changed:
            self._pinned.add(record_of(model, self._options, self._registry)[0].id)

    def unpin(self, model: str | ModelInfo) -> None:
        """Let a model be freed for another again."""
        with self._changed:
            self._pinned.discard(record_of(model, self._options, self._registry)[0].id)
            self._changed.notify_all()

    def unload(self, model: str | ModelInfo | None = None) -> None:
        """Free a model, or all of them, pinned or not. Waits until nobody uses it; does nothing if it is not loaded."""
        wanted = None if model is None else record_of(model, self._options, self._registry)[0].id
        with self._changed:
            for slot in [slot for slot in self._slots if wanted in (None, slot.record.id)]:
                if slot.holders[threading.get_ident()]:
                    raise RegistryError(
                        f"Cannot unload `{slot.record.id}` inside its own `with` block. Leave it first."
                    )
                self._changed.wait_for(lambda slot=slot: slot not in self._slots or _idle(slot))  # type: ignore[misc] # a default that mypy cannot type
                if slot in self._slots:
                    self._free(slot)

    def close(self) -> None:
        """Free all models and lend no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
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
    def _lease(
        self, record: ModelInfo, options: LoadOptions, path: Path | None, *, fallback: bool
    ) -> Generator[LoadedModel]:
        slot = self._slot(record, options, path, fallback=fallback)
        here = threading.get_ident()
        try:
            yield cast("LoadedModel", slot.handle)
        finally:
            with self._changed:
                slot.holders[here] -= 1
                self._touch(slot)
                self._changed.notify_all()

    def _slot(self, record: ModelInfo, options: LoadOptions, path: Path | None, *, fallback: bool) -> _Slot:
        """Find the slot of a model, or load it into one; the caller holds it then."""
        with self._changed:
            while (slot := self._find(record, options, path)) is not None:
                if slot.handle is not None and not slot.leaving:
                    self._hold(slot)
                    return slot
                self._changed.wait()
            slot = _Slot(record, options, path)
            self._slots.append(slot)
        try:
            handle = self._load(slot, fallback=fallback)
        except BaseException:
            with self._changed:
                self._slots.remove(slot)
                self._changed.notify_all()
            raise
        with self._changed:
            slot.handle = handle
            self._hold(slot)
            self._changed.notify_all()
        return slot

    def _find(self, record: ModelInfo, options: LoadOptions, path: Path | None) -> _Slot | None:
        if self._closed:
            raise ModelClosedError("the model manager")
        same = (slot for slot in self._slots if slot.record == record and slot.options == options and slot.path == path)
        return next(same, None)

    def _hold(self, slot: _Slot) -> None:
        slot.holders[threading.get_ident()] += 1
        self._touch(slot)

    def _touch(self, slot: _Slot) -> None:
        self._clock += 1
        slot.last_used = self._clock

    def _load(self, slot: _Slot, *, fallback: bool) -> LoadedModel:
        """Load the record of a slot, or the next smaller one of its base model."""
        tried = []
        for record in (slot.record, *(self._smaller(slot.record) if fallback else ())):
            path = slot.path if record is slot.record else None
            try:
                slot.bytes_expected = _size_on_disk(locate(record, path).path)
                self._make_room(slot)
                return cast("LoadedModel", load(record, path=path, options=slot.options))
            except InsufficientMemoryError as error:
                tried.append(f"{error.reason.rstrip('.')} (`{record.id}`)")
            except ModelNotDownloadedError:
                if record is slot.record:
                    raise
        more = "" if fallback else " `fallback=True` would take a smaller file of the same model."
        raise InsufficientMemoryError(slot.record.id, "; ".join(tried) + "." + more)

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

    def _make_room(self, slot: _Slot) -> None:
        """Free models that nobody uses until there is room for one more; wait for those that are used."""
        if self.max_bytes is not None and slot.bytes_expected > self.max_bytes:
            needed = f"It needs {slot.bytes_expected} bytes at least, and the manager may use {self.max_bytes}."
            raise InsufficientMemoryError(slot.record.id, needed)
        with self._changed:
            while not self._has_room(slot):
                others = [other for other in self._slots if other is not slot and other.has_room]
                idle = [other for other in others if _idle(other) and other.record.id not in self._pinned]
                if idle:
                    self._free(min(idle, key=lambda other: other.last_used))
                    continue
                self._refuse_to_wait_for_oneself(slot, others)
                self._changed.wait()
                if self._closed:
                    raise ModelClosedError("the model manager")
            slot.has_room = True

    def _has_room(self, slot: _Slot) -> bool:
        others = [other for other in self._slots if other is not slot and other.has_room]
        if len(others) >= self.max_models:
            return False
        return self.max_bytes is None or sum(other.bytes for other in others) + slot.bytes_expected <= self.max_bytes

    def _refuse_to_wait_for_oneself(self, slot: _Slot, others: list[_Slot]) -> None:
        here = threading.get_ident()
        if all(other.holders[here] or (_idle(other) and other.record.id in self._pinned) for other in others):
            names = ", ".join(f"`{other.record.id}`" for other in others)
            raise RegistryError(
                f"No room for `{slot.record.id}`: {names} {'is' if len(others) == 1 else 'are'} pinned or held by this "
                "thread. Leave its `with` block, unpin it, or raise `max_models` or `max_bytes`."
            )

    def _free(self, slot: _Slot) -> None:
        """Close the model of an idle slot. Called with the lock; nobody can hold the slot meanwhile."""
        slot.leaving = True
        self._changed.release()
        try:
            if slot.handle is not None:
                slot.handle.close()
        finally:
            self._changed.acquire()
            self._slots.remove(slot)
            self._changed.notify_all()


def _idle(slot: _Slot) -> bool:
    return slot.handle is not None and not slot.leaving and not slot.holders.total()


def _file_bytes(record: ModelInfo) -> int | None:
    file = getattr(record, "file", None)
    return file.size_bytes if file is not None else None


def _size_on_disk(path: Path) -> int:
    """Give the size of the weights: a lower bound of the memory that they will take."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*.safetensors"))
