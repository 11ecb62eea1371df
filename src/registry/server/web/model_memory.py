"""Memory of one model by context length, estimated and drawn; or what would have to be known for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from registry.errors import RegistryError
from registry.hardware.requirement import estimate_with, without_gpus
from registry.records import ChatModel
from registry.server.web.memory_chart import Bar, Mark, bar_of, drawn_marks, memory_svg

if TYPE_CHECKING:
    from registry.hardware import Estimate, Machine
    from registry.records import ModelInfo

_MOST_BARS = 8


class MemoryView(NamedTuple):
    """Memory by context length.

    Attributes:
        bars: What the model takes; empty where it cannot be told.
        svg: The same, drawn.
        beyond: What this machine has that is far beyond the drawing, in words.
        method: How it was found.
        notes: What that takes for granted.
        missing: What would have to be known, where nothing can be told.
        text_length: True where the context is the length of a text, not that of a conversation.
    """

    bars: tuple[Bar, ...]
    svg: str
    beyond: tuple[str, ...]
    method: str
    notes: tuple[str, ...]
    missing: tuple[str, ...]
    text_length: bool


def memory_of(record: ModelInfo, machine: Machine) -> MemoryView:
    """Estimate the memory of a model by context, in main memory, and draw it beside what this machine has."""
    chat = isinstance(record, ChatModel)
    found = [estimate for context in contexts_of(record) if (estimate := _estimate(record, context, machine))]
    known = [estimate for estimate in found if estimate.total_bytes is not None]
    if not known:
        missing = found[0].missing if found else ("what its file says",)
        return MemoryView((), "", (), "", (), missing, not chat)
    bars = tuple(map(bar_of, known))
    marks = marks_of_machine(machine)
    title = f"Memory that {record.name} takes, by {'context' if chat else 'text'} length"
    beyond = tuple(map(str, drawn_marks(bars, marks)[1]))
    drawing = memory_svg(bars, marks, title=title)
    return MemoryView(bars, drawing, beyond, known[-1].method, known[-1].notes, (), not chat)


def contexts_of(record: ModelInfo) -> Sequence[int | None]:
    """Give the contexts to draw: those that double, up to the longest that the model holds."""
    longest = record.context_length
    if longest is None:
        return [None]
    shortest = 2048 if isinstance(record, ChatModel) else 128 if longest <= 1024 else 512
    doubled = [shortest << step for step in range(24) if shortest << step < longest]
    return [*doubled[-_MOST_BARS + 1 :], longest]


def marks_of_machine(machine: Machine) -> tuple[Mark, ...]:
    """Give what a machine has, as lines to draw: main memory, and GPUs with memory of their own."""
    found = [("available", "available now", machine.ram_available_bytes), ("total", "memory", machine.ram_total_bytes)]
    found += [("gpu", gpu.name, gpu.memory_total_bytes) for gpu in machine.gpus if not gpu.unified]
    return tuple(Mark(kind, label, size) for kind, label, size in found if size is not None)


def _estimate(record: ModelInfo, context: int | None, machine: Machine) -> Estimate | None:
    try:
        return estimate_with(record, context, machine=without_gpus(machine))
    except RegistryError:  # a package that reads headers is missing, or a number of the record cannot be
        return None
