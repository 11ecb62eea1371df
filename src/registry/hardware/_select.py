"""Choosing a model: the largest that fits, and why it was not one of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.hardware.budget import Budget, budget_of, reserved, size_text
from registry.hardware.criteria import Criteria, Rejection, RejectionKind, Words
from registry.hardware.pools import pools_of
from registry.hardware.requirement import Basis, Need, estimate_with, longest_context, most_gpu_layers, without_gpus
from registry.hardware.survey import Candidate, Survey, survey

if TYPE_CHECKING:
    from typing import Unpack

    from registry.hardware.machine import Machine
    from registry.hardware.need import Estimate
    from registry.queries import ModelRegistry
    from registry.records import ModelInfo


@dataclass(frozen=True)
class Selection:
    """A choice, and why it was not one of the others.

    Attributes:
        model: The record.
        need: What it needs, and whether its record states that.
        estimate: Where its memory goes, as estimated for the context that was asked for.
        max_context_length: Longest context in tokens that is known to fit into main memory; `None` where the model's
            maximum is not known.
        gpu_layers: Layers that fit on the GPUs of the machine, as `load` takes them: the output layer counts as one
            more. `None`: no machine was looked at, it cannot be told, or the model is not loaded by layers.
        available_bytes: Memory that there is.
        reserved_bytes: What of it is left to the system.
        rejected: Every other model with the reason that it was turned down: first those that met all conditions, the
            largest first, then those that did not.
    """

    model: ModelInfo
    need: Need
    estimate: Estimate
    max_context_length: int | None
    gpu_layers: int | None
    available_bytes: int
    reserved_bytes: int
    rejected: tuple[Rejection, ...]

    @property
    def budget_bytes(self) -> int:
        """What the model may take."""
        return Budget(self.available_bytes, self.reserved_bytes).model_bytes

    def why_not(self, model: str | ModelInfo) -> Rejection | None:
        """Give the reason that a model was turned down; `None` for the chosen one and for ids that were not looked at.

        Args:
            model: A record, or its id.
        """
        model_id = model if isinstance(model, str) else model.id
        return next((rejection for rejection in self.rejected if rejection.model_id == model_id), None)

    def to_dict(self) -> dict[str, Any]:
        """Give the values as dicts, lists, strings and numbers, as JSON has them; the model as its id."""
        return {
            "model": self.model.id,
            "need": self.need.to_dict(),
            "estimate": self.estimate.to_dict(),
            "max_context_length": self.max_context_length,
            "gpu_layers": self.gpu_layers,
            "available_bytes": self.available_bytes,
            "reserved_bytes": self.reserved_bytes,
            "rejected": [rejection.to_dict() for rejection in self.rejected],
        }


@dataclass(frozen=True)
class Tier:
    """A step of the table from memory to choice.

    Attributes:
        available_bytes: Memory from which on this model is chosen.
        model: The record.
        need: What it needs.
    """

    available_bytes: int
    model: ModelInfo
    need: Need


def select(
    available_ram: float | str | None = None,
    *,
    role: str | None = None,
    type: str | None = None,
    family: str | None = None,
    tags: Words = (),
    languages: Words = (),
    license: Words | None = None,
    context_length: int | None = None,
    min_parameters: int | str | None = None,
    max_parameters: int | str | None = None,
    quantization: Words | None = None,
    deprecated: bool = False,
    recommended_only: bool | None = None,
    basis: Basis = "record",
    reserve_bytes: float | str | None = None,
    registry: ModelRegistry[Any] | None = None,
    machine: Machine | None = None,
) -> Selection:
    """Choose the largest model that fits into main memory.

    More parameters are larger, then larger weights. What a model does not state does not meet a condition, and a model
    whose need cannot be told does not fit. Without `type` and `role`, chat models are chosen from where any match.

    Args:
        available_ram: Bytes, or a size such as `16GB`. Left out: what this machine has available.
        role: `general`, `coding`, `reasoning`, `embedding` or `reranking`.
        type: Kind of model, a `ModelType`.
        family: Line of models, a `Family`.
        tags: Labels that it must have, all of them.
        languages: BCP-47 tags of languages that it must be trained for, all of them.
        license: Licences that it may have, any of them. Those in the setting `licenses` are a limit at all times.
        context_length: Tokens of context that it must reach; what it needs is taken for this length. Left out: the
            context that its record is loaded with; for encoders, texts of 512 tokens.
        min_parameters: Fewest parameters, as a number or such as `7B`.
        max_parameters: Most parameters.
        quantization: Storage formats that it may be offered in, any of them.
        deprecated: Take deprecated records too.
        recommended_only: True: recommended records only. Left out: the same, where any that match is one.
        basis: `record`: what the record states decides, the estimate where it states nothing. `estimate`: the estimate
            alone.
        reserve_bytes: What to leave to the system. Left out: the setting `reserved_memory`, else 2 GB.
        registry: Where to choose from. Left out: the registry of this package.
        machine: The machine to choose for; its GPUs count for `gpu_layers`. Left out: this one, which is looked at
            where `available_ram` is left out too.

    Raises:
        InsufficientMemoryError: None fits; it names the one that needs least.
        InvalidOptionError: A value cannot be, or no model meets the conditions; it names the one that left nothing.
        InvalidSettingError: A setting cannot be read.

    Example:
        >>> choice = select("12GB", family="Qwen2.5-Coder")
        >>> choice.model.id, choice.need.total_bytes
        ('qwen2.5-coder-7b-q5_k_m', 10000000000)
        >>> print(choice.why_not("qwen2.5-coder-14b-q5_k_m"))
        `qwen2.5-coder-14b-q5_k_m`: It needs 18 GB (stated), and there are 10 GB.
    """
    if available_ram is None and machine is None:
        from registry.hardware._probe import probe

        machine = probe()
    budget = budget_of(available_ram, reserve_bytes, machine)
    asked = Criteria(
        role=role,
        type=type,
        family=family,
        tags=tags,
        languages=languages,
        license=license,
        context_length=context_length,
        min_parameters=min_parameters,
        max_parameters=max_parameters,
        quantization=quantization,
        deprecated=deprecated,
    )
    found = survey(asked, basis=basis, recommended_only=recommended_only, registry=registry, machine=machine)
    fitting = [candidate for candidate in found.eligible if candidate.total_bytes <= budget.model_bytes]
    if not fitting:
        raise found.refuse(budget)
    chosen = max(fitting, key=lambda candidate: candidate.size)
    pools = pools_of(budget.model_bytes, machine)
    layers = most_gpu_layers(chosen.model, machine, pools, context_length)
    return Selection(
        model=chosen.model,
        need=chosen.need,
        estimate=estimate_with(
            chosen.model, context_length, gpu_layers=layers, machine=machine if layers else without_gpus(machine)
        ),
        max_context_length=longest_context(chosen.model, budget.model_bytes, basis=basis, machine=machine),
        gpu_layers=layers,
        available_bytes=budget.available_bytes,
        reserved_bytes=budget.reserved_bytes,
        rejected=_rejected(found, chosen, budget),
    )


def tiers(
    *,
    recommended_only: bool | None = None,
    basis: Basis = "record",
    reserve_bytes: float | str | None = None,
    registry: ModelRegistry[Any] | None = None,
    machine: Machine | None = None,
    **asked: Unpack[Criteria],
) -> tuple[Tier, ...]:
    """Give what `select` chooses at every amount of memory: the amounts at which the choice changes, ascending.

    Below the first, nothing fits. The keywords are those of `select`.

    Raises:
        InvalidOptionError: As `select`.
        InvalidSettingError: As `select`.

    Example:
        >>> [(tier.available_bytes, tier.model.id) for tier in tiers(family="Qwen2.5-Coder")][0]
        (6000000000, 'qwen2.5-coder-3b-q4_k_m')
    """
    found = survey(asked, basis=basis, recommended_only=recommended_only, registry=registry, machine=machine)
    kept = reserved(reserve_bytes)
    steps: list[Candidate] = []
    # Of equal needs the largest comes first, so that one step is made of them.
    for candidate in sorted(found.eligible, key=lambda found: (found.total_bytes, [-part for part in found.size])):
        if not steps or candidate.size > steps[-1].size:
            steps.append(candidate)
    return tuple(Tier(step.total_bytes + kept, step.model, step.need) for step in steps)


def _rejected(found: Survey, chosen: Candidate, budget: Budget) -> tuple[Rejection, ...]:
    """Say of every model but the chosen one why it is not the one."""
    matching = [*found.eligible, *found.passed_over, *found.unknown]
    others = sorted((other for other in matching if other is not chosen), key=lambda other: other.size, reverse=True)
    passed_over = frozenset(candidate.model.id for candidate in found.passed_over)
    return (*(_why(other, chosen, budget, passed_over) for other in others), *found.unfit)


def _why(other: Candidate, chosen: Candidate, budget: Budget, passed_over: frozenset[str]) -> Rejection:
    if other.need.total_bytes is None:
        kind, reason = RejectionKind.UNKNOWN_NEED, f"What it needs {other.need}."
    elif other.need.total_bytes > budget.model_bytes:
        there = size_text(budget.model_bytes)
        kind, reason = RejectionKind.MEMORY, f"It needs {other.need}, and there are {there}."
    elif other.model.id in passed_over:
        kind = RejectionKind.NOT_RECOMMENDED
        reason = f"It fits with {other.need}, and is not marked as recommended, as others that match are."
    else:
        kind, reason = RejectionKind.SMALLER, _smaller(other, chosen)
    return Rejection(other.model.id, kind, reason, other.need.total_bytes, budget.model_bytes)


def _smaller(other: Candidate, chosen: Candidate) -> str:
    name = f"`{chosen.model.id}`"
    if other.size[0] != chosen.size[0]:
        return f"It fits with {other.need}, and {name} has more parameters: {_count(chosen)} against {_count(other)}."
    if other.size[1] != chosen.size[1]:
        sizes = f"{size_text(chosen.size[1])} against {size_text(other.size[1])}"
        return f"It fits with {other.need}, and {name} has as many parameters in larger weights: {sizes}."
    return f"It fits with {other.need}, and {name}, which is as large, comes first."


def _count(candidate: Candidate) -> str:
    return candidate.model.parameters or f"about {candidate.size[0]}"
