"""How near a device is to running out of memory."""

import pytest

from registry.hardware.diagnosis import Device, Diagnosis, Environment, Python, Thresholds
from registry.hardware.risk import highest, judged

GIB = 2**30


def device(total: int | None, free: int | None) -> Device:
    return Device(device="gpu:0", name="H100", kind="cuda", total_bytes=total, free_bytes=free)


@pytest.mark.parametrize(
    ("free", "risk", "utilisation"),
    [
        (0, "high", 1.0),
        (4 * GIB - 1, "high", 0.95),
        (4 * GIB, "medium", 0.95),
        (8 * GIB - 1, "medium", 0.9),
        (8 * GIB, "low", 0.9),
        (80 * GIB, "low", 0.0),
    ],
)
def test_risk_is_high_below_what_is_wanted_and_medium_below_twice_that(
    free: int, risk: str, utilisation: float
) -> None:
    found = judged(device(80 * GIB, free), Thresholds())

    assert (found.risk, found.utilisation, found.wanted_bytes) == (risk, utilisation, 4 * GIB)


def test_wanted_is_the_larger_of_the_two_thresholds() -> None:
    thresholds = Thresholds(min_free_gib=2.0, min_free_ratio=0.5)

    assert (thresholds.wanted_bytes(2 * GIB), thresholds.wanted_bytes(8 * GIB)) == (2 * GIB, 4 * GIB)


@pytest.mark.parametrize("gib", [1e2, 1e12, 1e308])
def test_device_that_has_less_than_any_number_of_gib_is_in_danger(gib: float) -> None:
    found = judged(device(80 * GIB, 80 * GIB), Thresholds(min_free_gib=gib))

    assert (found.risk, found.wanted_bytes) == ("high", min(int(gib * GIB), 2**63 - 1) if gib < 1e300 else 2**63 - 1)


def test_risk_with_nothing_wanted_is_never_high() -> None:
    assert judged(device(GIB, 0), Thresholds(0.0, 0.0)).risk == "low"


@pytest.mark.parametrize(("total", "free"), [(None, 5), (5, None), (None, None), (0, 0)])
def test_risk_of_a_device_that_does_not_tell_its_memory_is_unknown(total: int | None, free: int | None) -> None:
    found = judged(device(total, free), Thresholds())

    assert (found.risk, found.utilisation, found.wanted_bytes) == ("unknown", None, None)


def test_more_free_than_there_is_counts_as_all_free() -> None:
    assert judged(device(8 * GIB, 9 * GIB), Thresholds()).utilisation == 0.0


@pytest.mark.parametrize(
    ("frees", "expected"),
    [
        ([], "unknown"),
        ([None], "unknown"),
        ([None, 80], "low"),
        ([80, 1], "high"),
        ([80, 6], "medium"),
        ([6, 1, None], "high"),
    ],
)
def test_highest_risk_counts_a_device_that_tells_nothing_least(frees: list[int | None], expected: str) -> None:
    devices = [judged(device(80 * GIB, None if free is None else free * GIB), Thresholds()) for free in frees]

    assert highest(devices) == expected


def test_diagnosis_as_a_dict_has_lists_for_tuples_all_the_way_down() -> None:
    python = Python(version="3.13.1", implementation="CPython", executable="/bin/python", prefix="/", virtual=False)
    environment = Environment(python=python)

    found = Diagnosis(environment=environment, devices=(judged(device(80 * GIB, 0), Thresholds()),), risk="high")

    document = found.to_dict()
    assert document["environment"]["torch"]["gpu_architectures"] == []
    assert document["environment"]["llama_cpp"]["build_flags"] == {}
    assert document["devices"] == [
        {
            "device": "gpu:0",
            "name": "H100",
            "kind": "cuda",
            "total_bytes": 80 * GIB,
            "free_bytes": 0,
            "reserved_bytes": None,
            "allocated_bytes": None,
            "utilisation": 1.0,
            "wanted_bytes": 4 * GIB,
            "unified": False,
            "uuid": None,
            "risk": "high",
        }
    ]
    assert (document["thresholds"], document["risk"]) == ({"min_free_gib": 1.0, "min_free_ratio": 0.05}, "high")
    assert (document["remedies"], document["applied"], document["notes"]) == ([], [], [])
