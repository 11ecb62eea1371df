"""What measuring a model gives: medians with their spread, and where and with what they were measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from registry.loaders.options import LoadOptions
    from registry.records import ModelInfo


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number, the median of several runs.

    Attributes:
        metric_type: `load_time`, `time_to_first_token`, `prompt_tokens_per_second`, `tokens_per_second`,
            `embeddings_per_second`, `pairs_per_second`, `peak_memory` or `gpu_peak_memory`.
        value: The median.
        unit: `s`, `ms`, `tokens/s`, `embeddings/s`, `pairs/s` or `bytes`.
        lowest: The lowest of the runs.
        highest: The highest of the runs.
        runs: How many there were. A peak is one.
    """

    metric_type: str
    value: float
    unit: str
    lowest: float
    highest: float
    runs: int


class Hardware(NamedTuple):
    """What a model ran on.

    Attributes:
        type: `cpu`, `cuda`, `metal`, or `gpu` for another.
        name: Name of the processor with the cores that may be used, or of the GPU.
    """

    type: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a model.

    Attributes:
        model_id: The record.
        hardware: What it ran on.
        context_size: Tokens that it was loaded to read: the whole context of a chat model, the longest text of an
            encoder. `None` where nothing limits a text.
        first_load_s: Time that the first load of the process took, the import of the packages included.
        workload: What the runs did: `prompt_tokens` and `answer_tokens`, or `texts` and `text_tokens` of them all.
        measurements: The numbers.
        notes: What could not be measured and why, a sentence each.
    """

    model_id: str
    hardware: Hardware
    context_size: int | None
    first_load_s: float
    workload: Mapping[str, int]
    measurements: tuple[Measurement, ...]
    notes: tuple[str, ...] = ()

    def value_of(self, metric_type: str) -> float | None:
        """Give the median of one type, `None` where it was not measured."""
        return next((each.value for each in self.measurements if each.metric_type == metric_type), None)

    def to_dict(self) -> dict[str, Any]:
        """Give the values as dicts, lists, strings and numbers, as JSON has them."""
        made = asdict(self)
        made["hardware"] = self.hardware._asdict()
        made["measurements"] = list(made["measurements"])
        made["notes"] = list(self.notes)
        return made


class Step(NamedTuple):
    """How far measuring has come.

    Attributes:
        name: What is done now, such as `Loading`.
        done: Steps that are done.
        total: Steps there are.
    """

    name: str
    done: int
    total: int


class Order(NamedTuple):
    """What the process that measures is told: arguments of `measure`."""

    record: ModelInfo
    path: str | None
    options: LoadOptions
    runs: int


Progress: TypeAlias = Callable[[Step], None]


def median_of(metric_type: str, unit: str, values: Iterable[float]) -> Measurement:
    """Make the measurement of several runs."""
    found = [float(value) for value in values]
    return Measurement(
        metric_type=metric_type,
        value=statistics.median(found),
        unit=unit,
        lowest=min(found),
        highest=max(found),
        runs=len(found),
    )
