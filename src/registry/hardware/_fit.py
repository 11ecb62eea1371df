"""Loading several models at once: which of them fit together, and where their memory goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from registry.errors import InvalidOptionError
from registry.hardware.budget import budget_of, size_text
from registry.hardware.pools import MAIN, lacking, machine_with, pools_of, taken_from
from registry.hardware.requirement import (
    Basis,
    Need,
    check_basis,
    estimate_with,
    most_gpu_layers,
    need_of,
    without_gpus,
)
from registry.records import ChatModel, ModelInfo

if TYPE_CHECKING:
    from registry.hardware.machine import Machine
    from registry.hardware.need import Estimate
    from registry.queries import ModelRegistry


@dataclass(frozen=True)
class FitEntry:
    """One of the models.

    Attributes:
        model: The record.
        fits: True where it fits beside those before it that fit.
        reason: The same as a sentence, with what it takes or lacks.
        need: What it needs as a whole, and whether its record states that.
        estimate: Where that goes: weights, KV cache, buffers, by device.
        taken_bytes: What counts: device -> bytes. `cpu` is main memory, and a GPU that shares it.
        gpu_layers: Layers on the GPUs; `None` for models that are not loaded by layers, and where it cannot be told.
        short_bytes: What is lacking, all devices together; 0 where it fits, `None` where it cannot be told.
    """

    model: ModelInfo
    fits: bool
    reason: str
    need: Need
    estimate: Estimate
    taken_bytes: Mapping[str, int]
    gpu_layers: int | None
    short_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """Give the values as dicts, lists, strings and numbers, as JSON has them; the model as its id."""
        return {
            "model": self.model.id,
            "fits": self.fits,
            "reason": self.reason,
            "need": self.need.to_dict(),
            "estimate": self.estimate.to_dict(),
            "taken_bytes": dict(self.taken_bytes),
            "gpu_layers": self.gpu_layers,
            "short_bytes": self.short_bytes,
        }


@dataclass(frozen=True)
class FitReport:
    """Which of several models may be loaded together.

    Attributes:
        entries: The models, in the order in which they were given: the earlier has the right of way.
        free_bytes: What there was for models: device -> bytes; `None` for a GPU that does not tell.
        left_bytes: What is left of it once all are loaded that fit.
        most: Ids of as many of the models as fit together, whatever their order: those that need least.
    """

    entries: tuple[FitEntry, ...]
    free_bytes: Mapping[str, int | None]
    left_bytes: Mapping[str, int | None]
    most: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """True where all of them may be loaded together."""
        return all(entry.fits for entry in self.entries)

    @property
    def together(self) -> tuple[str, ...]:
        """Ids of those that may be loaded together, the earlier before the later."""
        return tuple(entry.model.id for entry in self.entries if entry.fits)

    def to_dict(self) -> dict[str, Any]:
        """Give the values as dicts, lists, strings and numbers, as JSON has them; models as their ids."""
        return {
            "fits": self.fits,
            "together": list(self.together),
            "most": list(self.most),
            "free_bytes": dict(self.free_bytes),
            "left_bytes": dict(self.left_bytes),
            "entries": [entry.to_dict() for entry in self.entries],
        }


class _Terms(NamedTuple):
    """How all of the models are loaded."""

    context_length: int | Mapping[str, int] | None
    gpu_layers: int | None
    basis: Basis
    machine: Machine | None

    def context_of(self, model: ModelInfo) -> int | None:
        if isinstance(self.context_length, Mapping):
            return self.context_length.get(model.id)
        return self.context_length if isinstance(model, ChatModel) else None


def fit(
    models: Iterable[str | ModelInfo],
    *,
    available_ram: float | str | None = None,
    context_length: int | Mapping[str, int] | None = None,
    gpu_layers: int | None = None,
    basis: Basis = "record",
    reserve_bytes: float | str | None = None,
    registry: ModelRegistry[Any] | None = None,
    machine: Machine | None = None,
) -> FitReport:
    """Say which of several models may be loaded together.

    They are placed one after the other, in the order given; one that does not fit is passed over, and those behind it
    still may. On a machine with GPUs as many layers as fit are placed there.

    Args:
        models: Records, or ids or aliases. One that is named twice is loaded twice.
        available_ram: Bytes, or a size such as `16GB`. Left out: what this machine has available.
        context_length: Tokens of context of each chat model; or id -> tokens, for any of the models. Left out: the
            context that its record is loaded with; for encoders, texts of 512 tokens.
        gpu_layers: Layers of each chat model to place on the GPUs; -1 is all. Left out: as many as fit.
        basis: `record`: what the record states decides, the estimate where it states nothing. `estimate`: the estimate
            alone.
        reserve_bytes: What to leave to the system. Left out: the setting `reserved_memory`, else 2 GB.
        registry: Where ids are looked up. Left out: the registry of this package.
        machine: The machine to load on, with its GPUs. Left out: this one, which is looked at where `available_ram`
            is left out too.

    Raises:
        ModelNotFoundError: No record has this id or alias.
        InvalidOptionError: There are no models, or a value cannot be.
        InvalidSettingError: A setting cannot be read.

    Example:
        >>> report = fit(["qwen2.5-coder-7b-q5", "qwen2.5-coder-3b-q4"], available_ram="12GB")
        >>> report.together
        ('qwen2.5-coder-7b-q5_k_m',)
        >>> report.entries[1].short_bytes
        4000000000
    """
    records = _records([models] if isinstance(models, str | ModelInfo) else models, registry)
    check_basis(basis)
    if available_ram is None and machine is None:
        from registry.hardware._probe import probe

        machine = probe()
    free = pools_of(budget_of(available_ram, reserve_bytes, machine).model_bytes, machine)
    terms = _Terms(context_length, gpu_layers, basis, machine)
    entries, left = _place(records, free, terms)
    report = FitReport(entries, free, left, ())
    return FitReport(entries, free, left, report.together if report.fits else _most(report, terms))


def _records(models: Iterable[str | ModelInfo], registry: ModelRegistry[Any] | None) -> list[ModelInfo]:
    given = list(models)
    if not given:
        raise InvalidOptionError("models", "at least one model", given)
    return [_record(model, registry) for model in given]


def _record(model: str | ModelInfo, registry: ModelRegistry[Any] | None) -> ModelInfo:
    if isinstance(model, ModelInfo):
        return model  # at once: the shipped registry need not be imported for it
    if not isinstance(model, str):
        raise InvalidOptionError("models", "records, or ids", model)
    if registry is None:
        from registry import MODEL_REGISTRY

        registry = MODEL_REGISTRY
    found: ModelInfo = registry.lookup_model(model)
    return found


def _place(
    models: Sequence[ModelInfo], free: Mapping[str, int | None], terms: _Terms
) -> tuple[tuple[FitEntry, ...], dict[str, int | None]]:
    """Place models one after the other; give also what is left."""
    left = dict(free)
    entries = []
    for model in models:
        entry = _entry(model, left, terms)
        entries.append(entry)
        if entry.fits:
            left = {
                name: None if size is None else size - entry.taken_bytes.get(name, 0) for name, size in left.items()
            }
    return tuple(entries), left


def _entry(model: ModelInfo, left: Mapping[str, int | None], terms: _Terms) -> FitEntry:
    context_length = terms.context_of(model)
    machine = machine_with(terms.machine, left)
    need = need_of(model, context_length=context_length, basis=terms.basis, machine=machine)
    layers = terms.gpu_layers if isinstance(model, ChatModel) else None
    if layers is None:
        layers = most_gpu_layers(model, machine, left, context_length)
    found = estimate_with(model, context_length, gpu_layers=layers, machine=machine)
    if need.total_bytes is None:
        return FitEntry(model, False, f"What it needs {need}.", need, found, {}, layers, None)
    taken = _taken(need, found, left)
    if not isinstance(model, ChatModel) and lacking(taken, left):  # encoders lie on one device, whole
        found_beside = estimate_with(model, context_length, machine=without_gpus(machine))
        beside = _taken(need, found_beside, left)
        if not lacking(beside, left):
            found, taken = found_beside, beside
    lacks = lacking(taken, left)
    known = {name: size for name, size in lacks.items() if size is not None}
    unknown = ", ".join(f"`{name}`" for name in lacks if name not in known)
    short = f": {_said(known)} too much" if known else ""
    reason = f"It takes {_said(taken)}{short}." + (f" What is free of {unknown} is not known." if unknown else "")
    return FitEntry(model, not lacks, reason, need, found, taken, layers, None if unknown else sum(known.values()))


def _taken(need: Need, found: Estimate, pools: Mapping[str, int | None]) -> dict[str, int]:
    """Give what a model takes of each pool. What it asks for beyond the estimate, main memory has to have."""
    taken = taken_from(pools, found)
    beyond = (need.total_bytes or 0) - sum(taken.values())
    return taken | {MAIN: taken[MAIN] + beyond} if need.source == "record" and beyond > 0 else taken


def _said(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{size_text(size)} of `{name}`" for name, size in sizes.items() if size) or "nothing"


def _most(report: FitReport, terms: _Terms) -> tuple[str, ...]:
    """Give the larger set: those that fit in the order given, or those that fit when the least comes first."""
    known = [entry for entry in report.entries if entry.need.total_bytes is not None]
    known.sort(key=lambda entry: entry.need.total_bytes or 0)
    entries, _ = _place([entry.model for entry in known], report.free_bytes, terms)
    found = tuple(entry.model.id for entry in entries if entry.fits)
    return found if len(found) > len(report.together) else report.together
