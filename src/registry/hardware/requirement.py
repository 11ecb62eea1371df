"""What one model needs as a whole: what its record states, or else what the estimate says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from registry.errors import InvalidOptionError, ModelLoadError
from registry.hardware._estimate import estimate
from registry.hardware.budget import size_text
from registry.hardware.need import Estimate
from registry.hardware.pools import MAIN, lacking, taken_from
from registry.records import ChatModel

if TYPE_CHECKING:
    from registry.hardware.machine import Machine
    from registry.records import ModelInfo

Basis: TypeAlias = Literal["record", "estimate"]
# How long texts for encoders are taken to be where nobody says: what passages are usually cut to. An encoder that reads
# 32,768 tokens would need tens of GB for texts of that length on every core, and next to nobody gives it such texts.
TEXT_TOKENS = 512


@dataclass(frozen=True)
class Need:
    """Memory that a model needs as a whole.

    Attributes:
        total_bytes: All of it. `None`: cannot be told, which is not "fits".
        source: `record`: its `ram_required_mb`. `estimate`: computed. `unknown`: cannot be told.
        context_length: Tokens of context that this holds for; `None` where that is not known.
        missing: What would have to be known, such as `head_dim`.
    """

    total_bytes: int | None
    source: Literal["record", "estimate", "unknown"]
    context_length: int | None = None
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.total_bytes is None:
            return f"cannot be told: not known are {', '.join(self.missing) or 'the facts it is computed from'}"
        return f"{size_text(self.total_bytes)} ({'stated' if self.source == 'record' else 'estimated'})"

    def to_dict(self) -> dict[str, Any]:
        """Give the values as JSON has them."""
        return asdict(self) | {"missing": list(self.missing)}


def check_basis(basis: str) -> None:
    """Refuse a word that is no basis.

    Raises:
        InvalidOptionError: It is none.
    """
    if basis not in get_args(Basis):
        raise InvalidOptionError("basis", f"one of {', '.join(get_args(Basis))}", basis)


def need_of(
    model: ModelInfo, *, context_length: int | None = None, basis: Basis = "record", machine: Machine | None = None
) -> Need:
    """Give what a model needs in main memory, where none of it is on a GPU.

    What the record states holds for the context that the record is loaded with; for a longer one the estimate counts
    where it is more.

    Args:
        model: The record.
        context_length: Tokens of context, or of a text. Left out: as `usual_context` has it.
        basis: `estimate`: whatever the record states.
        machine: The machine, for its processor. Left out: this one.
    """
    stated = stated_bytes(model) if basis == "record" else None
    if stated is not None and (context_length is None or context_length <= usual_context(model)):
        return Need(stated, "record", context_length or usual_context(model))
    found = estimate_with(model, context_length, machine=without_gpus(machine))
    if found.total_bytes is None:
        return Need(None, "unknown", context_length, found.missing)
    if stated is not None and stated >= found.total_bytes:
        return Need(stated, "record", context_length)
    return Need(found.total_bytes, "estimate", found.context_length)


def stated_bytes(model: ModelInfo) -> int | None:
    """Give what the record states, in bytes."""
    stated = model.ram_required_mb if isinstance(model, ChatModel) else None
    return None if stated is None else stated * 10**6


def usual_context(model: ModelInfo) -> int:
    """Give the context that a chat model is loaded with by default; for encoders, how long texts are taken to be."""
    usual = model.runtime.context_length if isinstance(model, ChatModel) else TEXT_TOKENS
    return usual if model.context_length is None else min(usual, model.context_length)


def without_gpus(machine: Machine | None) -> Machine | None:
    """Give the same machine as if it had no GPU."""
    return None if machine is None else replace(machine, gpus=(), unified_memory=False)


def estimate_with(
    model: ModelInfo,
    context_length: int | None = None,
    *,
    gpu_layers: int | None = None,
    machine: Machine | None = None,
) -> Estimate:
    """Estimate a model. A file with a damaged header makes it unknown: it must not stop a choice among others.

    Args:
        model: The record.
        context_length: Tokens of context, or of a text. Left out: as `usual_context` has it.
        gpu_layers: Layers on the GPUs, where it is loaded by layers. Left out: none.
        machine: The machine. Left out: this one, as if it had no GPU.
    """
    layers = (gpu_layers or 0) if isinstance(model, ChatModel) else None
    if context_length is None and not isinstance(model, ChatModel):
        context_length = usual_context(model)
    try:
        return estimate(model, context_length=context_length, gpu_layers=layers, machine=machine)
    except ModelLoadError as error:
        missing = (f"the header of `{error.path}`, which is damaged",)
        return Estimate(
            model.id, (), None, None, None, "none: too little is known", "unknown", context_length, missing=missing
        )


def longest_context(
    model: ModelInfo, budget_bytes: int, *, basis: Basis = "record", machine: Machine | None = None
) -> int | None:
    """Give the longest context in tokens, at most the model's maximum, that is known to fit.

    Returns:
        `None` where the model's maximum is not known; 0 where no context fits.
    """
    if model.context_length is None:
        return None

    def fits(context_length: int) -> bool:
        needed = need_of(model, context_length=context_length, basis=basis, machine=machine).total_bytes
        return needed is not None and needed <= budget_bytes

    return largest(model.context_length, fits)


def most_gpu_layers(
    model: ModelInfo, machine: Machine | None, pools: Mapping[str, int | None], context_length: int | None = None
) -> int | None:
    """Give how many layers fit on the GPUs, the others in main memory. The output layer counts as one more.

    Args:
        model: The record.
        machine: The machine.
        pools: What each pool has free; `None`: not known.
        context_length: Tokens of context, or of a text. Left out: as `usual_context` has it.

    Returns:
        `None` where that cannot be told, and for models that are not loaded by layers.
    """
    if machine is None or not isinstance(model, ChatModel) or model.layers is None:
        return None
    if not machine.gpus:
        return 0
    if None in pools.values() or estimate_with(model, context_length).total_bytes is None:
        return None

    shared = any(gpu.unified for gpu in machine.gpus)

    def fits(layers: int) -> bool:
        found = estimate_with(model, context_length, gpu_layers=layers, machine=machine)
        lacks = lacking(taken_from(pools, found), pools)
        return not lacks if shared else lacks.keys() <= {MAIN}

    return largest(model.layers + 1, fits)


def largest(most: int, fits: Callable[[int], bool]) -> int:
    """Give the largest number, 0 to `most`, that fits, where whatever is smaller than one that fits, fits too."""
    if fits(most):
        return most
    low, high = 0, most  # `low` fits, or is 0; `high` does not fit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
