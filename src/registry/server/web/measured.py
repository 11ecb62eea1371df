"""What the pages show of measurements: a table of one model, and charts of several. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from registry.catalog.chart import bars_svg, charts_of
from registry.catalog.metric_types import metric_type, value_with_unit
from registry.server.web.figures import count_text, moment_text

if TYPE_CHECKING:
    from registry.catalog import Metric

_WIDTH_PX = 480  # at the width of a telephone the letters can still be read


class Measured(NamedTuple):
    """A row of the table."""

    what: str
    value: str
    hardware: str
    hardware_type: str
    context: str
    when: str


def measured_of(metrics: Iterable[Metric]) -> tuple[Measured, ...]:
    """Give the rows of the table, in the order of the measurements."""
    return tuple(
        Measured(
            metric_type(metric.metric_type, metric.unit).title,
            value_with_unit(metric.metric_value, metric.unit),
            metric.hardware_name,
            metric.hardware_type,
            "" if metric.context_size is None else count_text(metric.context_size),
            moment_text(metric.measured_at),
        )
        for metric in metrics
    )


def measurement_charts(metrics: Iterable[Metric], names: Mapping[int, str]) -> tuple[str, ...]:
    """Draw a chart for each type of measurement, as SVG to be put into a page.

    Args:
        metrics: Measurements, the newest of each model first.
        names: Number of a model -> its label.
    """
    charts = charts_of(metrics, names)
    return tuple(
        bars_svg(chart, width=_WIDTH_PX, standalone=False, name=f"measured-{number}")
        for number, chart in enumerate(charts, 1)
    )
