"""From measurements in the store to charts: which stand for a model, and what is drawn side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from registry.catalog.bars import Bar, Chart, Group
from registry.catalog.metric_types import METRIC_TYPES, metric_type

if TYPE_CHECKING:
    from registry.catalog.entries import Metric


def newest(metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """Give the newest of the measurements of one kind: of one model, type, unit and hardware.

    Args:
        metrics: Measurements, the newest first, as `Catalog.metrics` gives them.
    """
    found: dict[tuple[object, ...], Metric] = {}
    for metric in metrics:
        kind = (metric.metric_type, metric.unit, metric.hardware_type, metric.hardware_name)
        found.setdefault((metric.model_id, *map(str.casefold, kind)), metric)
    return tuple(found.values())


def charts_of(metrics: Iterable[Metric], names: Mapping[int, str]) -> tuple[Chart, ...]:
    """Make a chart of each type of measurement, with the newest value of each model, by hardware, the best first.

    A median would mix what was measured with older versions of the packages.

    Args:
        metrics: Measurements, the newest first, as `Catalog.metrics` gives them.
        names: Number of a model -> its label.
    """
    by_kind: dict[tuple[str, str], list[Metric]] = {}
    for metric in newest(metrics):
        by_kind.setdefault((metric.metric_type.casefold(), metric.unit), []).append(metric)
    known = list(METRIC_TYPES)
    kinds = sorted(by_kind, key=lambda kind: (known.index(kind[0]) if kind[0] in known else len(known), kind))
    return tuple(_chart(*kind, by_kind[kind], names) for kind in kinds)


def _chart(name: str, unit: str, metrics: list[Metric], names: Mapping[int, str]) -> Chart:
    known = metric_type(name, unit)
    contexts_differ = len({metric.context_size for metric in metrics}) > 1
    groups: dict[tuple[str, str], list[Bar]] = {}
    for metric in metrics:
        note = f"context {metric.context_size:,}" if contexts_differ and metric.context_size is not None else ""
        bar = Bar(names[metric.model_id], metric.metric_value, note)
        groups.setdefault((metric.hardware_type, metric.hardware_name), []).append(bar)
    sign = 1 if known.better == "lower" else -1
    return Chart(
        title=known.title,
        unit=unit,
        better=known.better,
        groups=tuple(
            Group(f"{name} ({kind})", tuple(sorted(bars, key=lambda bar: (sign * bar.value, bar.label))))
            for (kind, name), bars in sorted(groups.items())
        ),
    )
