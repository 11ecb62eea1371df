"""Models that stay loaded: used by turns, moved to main memory when a device fills up, and brought back on use."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from registry._logfmt import log
from registry.errors import InsufficientMemoryError
from registry.profiles.events import LOGGER

if TYPE_CHECKING:
    from registry.profiles.checkpoints.sensor import DeviceMemory

MAIN_MEMORY = "cpu"


class Movable(Protocol):
    """A loaded model.

    Attributes:
        device: Where it is now, by torch's name.
        can_move: False where it can only be closed and loaded anew.
        footprint_bytes: Memory that it takes.
    """

    device: str
    can_move: bool
    footprint_bytes: int

    def move(self, device: str) -> None:
        """Take it to another device; memory that it leaves is free afterwards.

        Raises:
            InsufficientMemoryError: There is no room for it. It is where it was.
        """
        ...

    def close(self) -> None:
        """Free it."""
        ...


M = TypeVar("M", bound=Movable)


@dataclass(frozen=True)
class Wanted(Generic[M]):
    """A model that a caller asks for.

    Attributes:
        key: What tells it from others: the same key, the same slot.
        name: What errors call it.
        device: Where it computes.
        needed_bytes: Gives the memory that it takes on the device, as far as that is known before it is loaded.
        load: Loads it.
        offload_threshold: Share of the device's memory in use from which on it is moved away while it is idle;
            `None`: only when another model needs the room.
    """

    key: Hashable
    name: str
    device: str
    needed_bytes: Callable[[], int]
    load: Callable[[], M]
    offload_threshold: float | None = None


class SlotStatus(NamedTuple):
    """One loaded model.

    Attributes:
        name: Its name.
        device: Where it is now.
        home: Where it computes.
        users: Calls that are using it now.
        footprint_bytes: Memory that it takes.
    """

    name: str
    device: str
    home: str
    users: int
    footprint_bytes: int


@dataclass(eq=False)
class _Slot(Generic[M]):
    """The book that is kept of a model.

    Attributes:
        in_transit: True while it is moved or closed: nobody may take it then.
        leaving: True where the last user is to close it.
    """

    model: M
    wanted: Wanted[M]
    users: int = 0
    last_used: int = 0
    in_transit: bool = False
    leaving: bool = False

    @property
    def is_home(self) -> bool:
        return self.model.device == self.wanted.device and not self.in_transit

    @property
    def is_idle(self) -> bool:
        return not self.users and not self.in_transit


class Slots:
    """Keeps models loaded, each where it computes or, while it is idle and room is short, in main memory.

    A model is loaded when it is first used. Whenever one comes or is given back, idle ones whose threshold is reached
    are moved away, the least recently used first. Before one comes, as many are moved as it needs room; in main memory
    they are closed instead. A model is never moved or closed while it is used. Any number of threads may use it.

    Args:
        memory: Gives the memory of a device; `None` where that is not known, and then nothing is moved.
    """

    def __init__(self, memory: Callable[[str], DeviceMemory | None]) -> None:
        self._memory = memory
        self._slots: dict[Hashable, _Slot[Any]] = {}
        self._state = threading.Lock()  # of the book: held for moments
        self._changing = threading.Lock()  # held by the one who loads, moves or closes; taken before the other
        self._is_untidy = False
        self._clock = count(1)

    @contextmanager
    def use(self, wanted: Wanted[M]) -> Generator[M]:
        """Lend a model for a `with` block; load it, or bring it back, where it is not there.

        Raises:
            InsufficientMemoryError: There is no room, and what takes it is in use.
            What loading raises.
        """
        slot = self._taken(wanted) or self._brought(wanted)
        try:
            yield slot.model
        finally:
            self._give_back(slot)

    def status(self) -> tuple[SlotStatus, ...]:
        """Give what is loaded, the most recently used first."""
        with self._state:
            slots = sorted(self._slots.values(), key=lambda slot: -slot.last_used)
            return tuple(
                SlotStatus(
                    slot.wanted.name, slot.model.device, slot.wanted.device, slot.users, slot.model.footprint_bytes
                )
                for slot in slots
            )

    def close(self) -> None:
        """Free all models: idle ones now, others when their last user gives them back. New ones can be loaded."""
        with self._changing:
            with self._state:
                slots = list(self._slots.values())
                self._slots.clear()
                for slot in slots:
                    slot.leaving = slot.users > 0
            for slot in slots:
                if not slot.leaving:
                    slot.model.close()

    def _taken(self, wanted: Wanted[Any]) -> _Slot[Any] | None:
        """Take a model that is where it computes."""
        with self._state:
            slot = self._slots.get(wanted.key)
            if slot is None or not slot.is_home:
                return None
            slot.wanted = wanted  # another role may have another threshold
            slot.users += 1
            return slot

    def _brought(self, wanted: Wanted[Any]) -> _Slot[Any]:
        """Take a model that has to be loaded or moved first, by this caller or by one who was quicker."""
        with self._changing:
            slot = self._taken(wanted)
            if slot is None:
                slot = self._slots.get(wanted.key)  # nobody else moves one now
                slot = self._loaded(wanted) if slot is None else self._moved_home(slot, wanted)
        self._tidy()
        return slot

    def _loaded(self, wanted: Wanted[Any]) -> _Slot[Any]:
        self._make_room(wanted, wanted.needed_bytes())
        try:
            model = wanted.load()
        except InsufficientMemoryError:  # what was counted is a lower bound, and memory falls into pieces
            if not self._clear(wanted.device):
                raise
            model = wanted.load()
        slot = _Slot(model, wanted, users=1)
        with self._state:
            self._slots[wanted.key] = slot
        return slot

    def _moved_home(self, slot: _Slot[Any], wanted: Wanted[Any]) -> _Slot[Any]:
        with self._state:
            slot.in_transit = True
        try:
            self._make_room(wanted, slot.model.footprint_bytes)
            slot.model.move(wanted.device)
        finally:
            with self._state:
                slot.in_transit = False
        with self._state:
            slot.wanted = wanted
            slot.users += 1
        return slot

    def _give_back(self, slot: _Slot[Any]) -> None:
        with self._state:
            slot.users -= 1
            slot.last_used = next(self._clock)
            is_last = slot.leaving and not slot.users
        if is_last:
            slot.model.close()
        else:
            self._tidy()

    def _tidy(self) -> None:
        """Move away what exceeds its threshold, or leave that to the one who is changing something now."""
        self._is_untidy = True
        while self._is_untidy and self._changing.acquire(blocking=False):
            try:
                self._is_untidy = False
                while (slot := self._next_to_leave()) is not None:
                    self._send_away(slot)
            finally:
                self._changing.release()

    def _next_to_leave(self) -> _Slot[Any] | None:
        for slot in self._idle():
            threshold, device = slot.wanted.offload_threshold, slot.model.device
            if threshold is None or device == MAIN_MEMORY:
                continue
            memory = self._memory(device)
            if memory is not None and memory.share >= threshold:
                return slot
        return None

    def _make_room(self, wanted: Wanted[Any], needed_bytes: int) -> None:
        """Send idle models away until one more fits.

        Raises:
            InsufficientMemoryError: It does not, and all others are in use.
        """
        while (memory := self._memory(wanted.device)) is not None and memory.free_bytes < needed_bytes:
            slot = next(self._idle_on(wanted.device), None)
            if slot is None:
                reason = (
                    f"It needs {needed_bytes} bytes on `{wanted.device}`, and {memory.free_bytes} of "
                    f"{memory.total_bytes} are free. Close other programs, or choose a smaller model."
                )
                raise InsufficientMemoryError(wanted.name, reason, needed_bytes, memory.free_bytes)
            self._send_away(slot)

    def _clear(self, device: str) -> bool:
        """Send all idle models of a device away; tell whether there were any."""
        slots = list(self._idle_on(device))
        for slot in slots:
            self._send_away(slot)
        return bool(slots)

    def _send_away(self, slot: _Slot[Any]) -> None:
        """Move an idle model to main memory; close it where it is there already, cannot move, or does not fit."""
        with self._state:
            if slot.users:  # taken meanwhile
                return
            slot.in_transit = True
        is_kept = self._moved_away(slot)
        with self._state:
            slot.in_transit = False
            if not is_kept:
                del self._slots[slot.wanted.key]
        if not is_kept:
            slot.model.close()

    def _moved_away(self, slot: _Slot[Any]) -> bool:
        """Move a model to main memory; tell whether it is there. A failure must not take somebody's answer with it."""
        try:
            if self._fits_main_memory(slot.model):
                slot.model.move(MAIN_MEMORY)
                return True
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            log(LOGGER, logging.WARNING, "registry.profiles.not_moved", model=slot.wanted.name, reason=reason)
        return False

    def _fits_main_memory(self, model: Movable) -> bool:
        if not model.can_move or model.device == MAIN_MEMORY:
            return False
        memory = self._memory(MAIN_MEMORY)
        return memory is None or memory.free_bytes >= model.footprint_bytes

    def _idle(self) -> list[_Slot[Any]]:
        """Give the models that nobody uses, the least recently used first."""
        with self._state:
            return sorted((slot for slot in self._slots.values() if slot.is_idle), key=lambda slot: slot.last_used)

    def _idle_on(self, device: str) -> Generator[_Slot[Any]]:
        return (slot for slot in self._idle() if slot.model.device == device)
