"""The models that are in question for a choice, with what each needs; and those that are not, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from registry.errors import InsufficientMemoryError, InvalidOptionError
from registry.hardware.budget import Budget, size_text
from registry.hardware.criteria import Criteria, Criterion, Rejection, RejectionKind, read_criteria
from registry.hardware.requirement import Basis, Need, check_basis, estimate_with, need_of
from registry.records import ChatModel

if TYPE_CHECKING:
    from registry.hardware.machine import Machine
    from registry.queries import ModelRegistry
    from registry.records import ModelInfo


class Candidate(NamedTuple):
    """A model that meets every condition.

    Attributes:
        model: The record.
        need: What it needs.
        size: What makes it larger than another: parameters, then bytes of weights, then being recommended.
    """

    model: ModelInfo
    need: Need
    size: tuple[int, int, bool]

    @property
    def total_bytes(self) -> int:
        """What it needs; asked only of those whose need is known."""
        if self.need.total_bytes is None:
            raise ValueError(f"the need of {self.model.id} is not known")
        return self.need.total_bytes


class Survey(NamedTuple):
    """What can be said before the memory is known.

    Attributes:
        eligible: The models to choose from; what each needs is known.
        passed_over: Those that meet the conditions, and are not recommended while others are.
        unknown: Those of which it cannot be told what they need.
        unfit: Those that do not meet the conditions.
    """

    eligible: tuple[Candidate, ...]
    passed_over: tuple[Candidate, ...]
    unknown: tuple[Candidate, ...]
    unfit: tuple[Rejection, ...]

    def refuse(self, budget: Budget) -> InsufficientMemoryError:
        """Make the error for a budget that none of the models fits into."""
        if not self.eligible:
            first = max(self.unknown, key=lambda candidate: candidate.model.recommended)
            others = len(self.unknown) - 1
            more = f" The same holds for {others} more that match." if others else ""
            remedy = "Fetch its file, whose header says it, or state `ram_required_mb` in its record."
            reason = f"What it needs {first.need}.{more} {remedy}"
            return InsufficientMemoryError(first.model.id, reason, None, budget.model_bytes)
        least = min(self.eligible, key=lambda candidate: candidate.total_bytes)
        count = len(self.eligible)
        of = f", least of the {count} models in question" if count > 1 else ""
        reason = f"It needs {least.need}{of}; there are {size_text(budget.model_bytes)} for it: {budget}."
        if self.unknown:
            reason += f" Of {len(self.unknown)} more it cannot be told what they need."
        return InsufficientMemoryError(
            least.model.id, f"{reason} {self._remedy(budget)}", least.total_bytes, budget.model_bytes
        )

    def _remedy(self, budget: Budget) -> str:
        if 0 < budget.available_bytes < 10**6:
            return "Sizes are in bytes: write 16 GB as `16 * 10**9` or `'16GB'`."
        fitting = [candidate for candidate in self.passed_over if candidate.total_bytes <= budget.model_bytes]
        if fitting:
            found = max(fitting, key=lambda candidate: candidate.size)
            return f"`{found.model.id}` fits and is not marked as recommended: `recommended_only=False` lets it in."
        return "Free memory, or ask for less: other conditions, a shorter `context_length`."


def survey(
    asked: Criteria,
    *,
    basis: Basis,
    recommended_only: bool | None,
    registry: ModelRegistry[Any] | None,
    machine: Machine | None,
) -> Survey:
    """Find the models to choose from, and say of all others why they are not among them.

    Raises:
        InvalidOptionError: No model meets the conditions; it names the one that left nothing.
    """
    check_basis(basis)
    matching, unfit = _match(asked, _records(registry))
    context_length = asked.get("context_length")
    needs = (need_of(model, context_length=context_length, basis=basis, machine=machine) for model in matching)
    found = [_candidate(model, need) for model, need in zip(matching, needs, strict=True)]
    known = tuple(candidate for candidate in found if candidate.need.total_bytes is not None)
    unknown = tuple(candidate for candidate in found if candidate.need.total_bytes is None)
    if recommended_only and not any(model.recommended for model in matching):
        expected = (
            f"False, or conditions that a recommended record meets: none of the {len(matching)} that match is one"
        )
        raise InvalidOptionError("recommended_only", expected, recommended_only)
    recommended = tuple(candidate for candidate in known if candidate.model.recommended)
    if recommended_only or (recommended_only is None and recommended):
        others = tuple(candidate for candidate in known if not candidate.model.recommended)
        return Survey(recommended, others, unknown, unfit)
    return Survey(known, (), unknown, unfit)


def _records(registry: ModelRegistry[Any] | None) -> tuple[ModelInfo, ...]:
    if registry is None:
        from registry import MODEL_REGISTRY

        registry = MODEL_REGISTRY
    records = tuple(registry.values())
    if not records:
        raise InvalidOptionError("registry", "a registry with at least one model", registry)
    return records


def _match(asked: Criteria, records: Sequence[ModelInfo]) -> tuple[list[ModelInfo], tuple[Rejection, ...]]:
    """Give the models that meet all conditions, and for each other one the first that it does not meet."""
    left = list(records)
    unfit: list[Rejection] = []
    tried: list[Criterion] = []
    for criterion in read_criteria(asked):
        before, left = left, []
        for model in before:
            rejection = criterion.turn_down(model)
            if rejection is None:
                left.append(model)
            else:
                unfit.append(rejection)
        if not left:
            raise criterion.nothing_left(before, tried)
        tried.append(criterion)
    if asked.get("type") is None and asked.get("role") is None:
        left, others = _one_kind(left)
        unfit += others
    return left, tuple(unfit)


def _one_kind(models: list[ModelInfo]) -> tuple[list[ModelInfo], list[Rejection]]:
    """Keep to chat models where there are any: an encoder and a chat model are not larger or smaller choices."""
    chat: list[ModelInfo] = [model for model in models if isinstance(model, ChatModel)]
    if not chat:
        return models, []
    reason = "Neither `type` nor `role` says that anything but a chat model is wanted, and chat models match."
    others = [model for model in models if not isinstance(model, ChatModel)]
    return chat, [Rejection(model.id, RejectionKind.TYPE, reason) for model in others]


def _candidate(model: ModelInfo, need: Need) -> Candidate:
    weights = _weights_bytes(model)
    # Where the publisher states no parameters, the weights hold at least so many: none takes more than 4 bytes.
    parameters = model.parameter_count if model.parameter_count is not None else weights // 4
    return Candidate(model, need, (parameters, weights, model.recommended))


def _weights_bytes(model: ModelInfo) -> int:
    """Give the size of the weights: of the file, or else as estimated; 0 where neither is known."""
    if isinstance(model, ChatModel) and model.file.size_bytes is not None:
        return model.file.size_bytes
    return sum(device.weights_bytes for device in estimate_with(model).devices)
