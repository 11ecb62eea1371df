from typing import Any

import pytest

from registry.catalog import Catalog, Metric, NewMetric
from registry.errors import CatalogModelNotFoundError, InvalidFieldError

SPEED = NewMetric(
    metric_type="tokens_per_second",
    metric_value=42.5,
    unit="tokens/s",
    hardware_type="cpu",
    hardware_name="A CPU",
    context_size=4096,
    measured_at="2026-11-20T10:00:00Z",
)
LOAD: dict[str, Any] = {
    "metric_type": "load_time",
    "metric_value": 3,
    "unit": "s",
    "hardware_type": "cuda",
    "hardware_name": "A GPU",
    "measured_at": "2026-11-21T11:00:00+01:00",
}


@pytest.fixture
def measured(catalog: Catalog) -> Catalog:
    """Two models with three measurements."""
    catalog.add(name="a")
    catalog.add(name="b")
    catalog.add_metrics("a", [SPEED, LOAD])
    catalog.add_metrics("b", [LOAD])
    return catalog


def test_measurement_is_read_as_it_was_added(measured: Catalog) -> None:
    assert measured.metrics("a", metric_type="tokens_per_second") == (Metric(id=1, model_id=1, **vars(SPEED)),)
    stored = {**LOAD, "metric_value": 3.0, "context_size": None, "measured_at": "2026-11-21T10:00:00Z"}
    assert measured.metrics("b") == (Metric(id=3, model_id=2, **stored),)


def test_measurements_are_given_newest_first(measured: Catalog) -> None:
    assert [metric.id for metric in measured.metrics()] == [3, 2, 1]
    assert [metric.id for metric in measured.metrics("A")] == [2, 1]
    assert [metric.id for metric in measured.metrics(limit=1, offset=1)] == [2]
    measured.add_metrics("a", [{**LOAD, "measured_at": "2026-11-19T10:00:00Z"}])
    assert [metric.id for metric in measured.metrics()] == [3, 2, 1, 4]


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"metric_type": "LOAD_TIME"}, [3, 2]),
        ({"hardware_type": "CPU"}, [1]),
        ({"hardware_name": "a gpu", "metric_type": "load_time"}, [3, 2]),
        ({"metric_type": "nope"}, []),
    ],
)
def test_measurements_are_filtered_and_counted(measured: Catalog, filters: dict[str, str], ids: list[int]) -> None:
    assert [metric.id for metric in measured.metrics(**filters)] == ids
    assert measured.count_metrics(**filters) == len(ids)


def test_measurements_are_filtered_by_letters_of_every_script_whatever_the_case(measured: Catalog) -> None:
    (added,) = measured.add_metrics("a", [{**LOAD, "hardware_name": "Ärger 3000", "metric_type": "größe"}])

    assert measured.metrics(hardware_name="ärger 3000", metric_type="GRÖSSE") == (added,)
    assert measured.count_metrics(hardware_name="ÄRGER 3000") == 1
    assert measured.metrics(hardware_name="Ärger 4000") == ()


def test_measurements_without_a_time_are_of_now(measured: Catalog) -> None:
    before = measured.get("a").created_at
    (metric,) = measured.add_metrics("a", [{**LOAD, "measured_at": None}])
    assert metric.measured_at >= before
    assert measured.metrics(limit=1) == (metric,)


def test_bad_measurement_among_good_ones_adds_none(measured: Catalog) -> None:
    with pytest.raises(InvalidFieldError, match="`unit`"):
        measured.add_metrics("a", [LOAD, {**LOAD, "unit": ""}])
    with pytest.raises(InvalidFieldError, match=r"`metric_value`: expected a number .* got None"):
        measured.add_metrics("a", [{name: value for name, value in LOAD.items() if name != "metric_value"}])
    assert measured.count_metrics() == 3


def test_measurements_of_a_model_that_is_not_there_are_an_error(measured: Catalog) -> None:
    with pytest.raises(CatalogModelNotFoundError):
        measured.metrics("c")
    with pytest.raises(CatalogModelNotFoundError):
        measured.add_metrics(3, [LOAD])


def test_removed_measurement_is_gone(measured: Catalog) -> None:
    measured.remove_metric(2)
    assert [metric.id for metric in measured.metrics()] == [3, 1]


@pytest.mark.parametrize("number", [2, -1, 2**70])
def test_measurement_that_is_not_there_cannot_be_removed(catalog: Catalog, number: int) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        catalog.remove_metric(number)
    assert str(caught.value) == f"`metric_id`: expected the number of a measurement in the store, got {number}."


def test_measurements_leave_the_model_and_what_was_counted_alone(measured: Catalog) -> None:
    model = measured.get("a")
    with measured._reading() as connection:
        before = connection.execute("SELECT * FROM store").fetchone()
    measured.add_metrics("a", [LOAD])
    with measured._reading() as connection:
        assert connection.execute("SELECT * FROM store").fetchone() == before
    assert measured.get("a") == model
