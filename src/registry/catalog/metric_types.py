"""What is measured of models: how it is called, in which unit it stands, and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

Better: TypeAlias = Literal["higher", "lower"]


class MetricType(NamedTuple):
    """A kind of measurement.

    Attributes:
        title: How people call it.
        unit: Unit of its values.
        better: Which values are better; `None` where that is not known.
    """

    title: str
    unit: str
    better: Better | None


METRIC_TYPES: Mapping[str, MetricType] = {
    "tokens_per_second": MetricType("Answer speed", "tokens/s", "higher"),
    "prompt_tokens_per_second": MetricType("Prompt speed", "tokens/s", "higher"),
    "time_to_first_token": MetricType("Time to first token", "ms", "lower"),
    "embeddings_per_second": MetricType("Embeddings", "embeddings/s", "higher"),
    "pairs_per_second": MetricType("Reranking", "pairs/s", "higher"),
    "load_time": MetricType("Load time", "s", "lower"),
    "peak_memory": MetricType("Peak memory", "bytes", "lower"),
    "gpu_peak_memory": MetricType("Peak GPU memory", "bytes", "lower"),
}

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")


def metric_type(name: str, unit: str = "") -> MetricType:
    """Give what is known of a type; of one that is not known its name, and the unit that is given."""
    return METRIC_TYPES.get(name) or MetricType(name.replace("_", " ").capitalize(), unit, None)


def value_with_unit(value: float, unit: str) -> str:
    """Write a value as people read it: three digits, in the size of unit that fits: `4.2 GB`, `310 ms`."""
    size = abs(value)
    if unit == "bytes":
        power = next((power for power in range(len(_BYTES)) if size < 999.5 * 1000**power), len(_BYTES) - 1)
        return f"{_three_digits(value / 1000**power)} {_BYTES[power]}"
    if unit == "s" and 1e-4 <= size < 0.9995:
        return f"{_three_digits(value * 1000)} ms"
    if unit == "ms" and size >= 9999.5:
        return f"{_three_digits(value / 1000)} s"
    return f"{_three_digits(value)} {unit}".rstrip()


def _three_digits(value: float) -> str:
    """Write a number with three digits that count, or all those before the point."""
    size = abs(value)
    if size != 0 and not 1e-4 <= size < 1e15:
        return f"{value:.3g}"
    places = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.9995 else 5
    text = f"{value:,.{places}f}" if places < 5 else f"{float(f'{value:.3g}'):.7f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
