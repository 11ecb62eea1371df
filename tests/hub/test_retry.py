"""Trying again: how often, after what, and when."""

import pickle
from datetime import UTC, datetime

import pytest

pytest.importorskip("stamina")

import stamina

from registry.errors import DownloadError
from registry.hub.retry import PassingFaultError, _Patience, persist, retry_after_s

NOW = datetime(2026, 11, 21, 6, 0, 0, tzinfo=UTC)
MIB = 2**20


def fault(retry_after_s: float | None = None) -> PassingFaultError:
    return PassingFaultError("m", "busy.", "Wait.", None, 503, retry_after_s)


class Work:
    """Fails a number of times, getting further each time."""

    def __init__(self, error: Exception, failures: int, step_bytes: int = 0) -> None:
        self.error, self.failures, self.step_bytes = error, failures, step_bytes
        self.calls = self.position = 0

    def __call__(self) -> str:
        self.calls += 1
        self.position += self.step_bytes
        if self.calls <= self.failures:
            raise self.error
        return "done"


def test_persist_gives_what_the_third_attempt_gives() -> None:
    assert persist(Work(fault(), 2)) == "done"


def test_persist_raises_the_third_fault() -> None:
    work, error = Work(fault(), 9), fault()
    work.error = error

    with pytest.raises(PassingFaultError) as caught:
        persist(work)
    assert (caught.value is error, work.calls) == (True, 3)


def test_persist_of_one_attempt_raises_the_first_fault() -> None:
    work = Work(fault(), 9)

    with pytest.raises(PassingFaultError):
        persist(work, attempts=1)
    assert work.calls == 1


@pytest.mark.parametrize("error", [DownloadError("m", "gone.", ""), OSError("disk"), KeyboardInterrupt()])
def test_persist_does_not_try_again_after_what_does_not_pass(error: Exception) -> None:
    work = Work(error, 9)

    with pytest.raises(type(error)):
        persist(work)
    assert work.calls == 1


def test_persist_counts_from_the_start_after_each_mebibyte() -> None:
    work = Work(fault(), 8, MIB)

    assert persist(work, lambda: work.position) == "done"


def test_persist_counts_on_after_less_than_a_mebibyte() -> None:
    work = Work(fault(), 8, MIB // 4)

    with pytest.raises(PassingFaultError):
        persist(work, lambda: work.position)
    assert work.calls == 3


def test_persist_takes_the_way_to_the_farthest_point_so_far_for_no_progress() -> None:
    positions = iter([0, 2 * MIB, 2 * MIB, 2 * MIB, 2 * MIB])
    work = Work(fault(), 9)

    with pytest.raises(PassingFaultError):
        persist(work, lambda: next(positions))
    assert work.calls == 3


@pytest.mark.parametrize(("stated", "expected"), [(None, True), (0.0, 0.0), (300.0, 300.0), (301.0, False)])
def test_wait_is_the_one_that_the_server_asks_for_up_to_five_minutes(
    stated: float | None, expected: bool | float
) -> None:
    assert _Patience(lambda: 0)(fault(stated)) == expected


def test_waits_double_with_some_chance_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    work = Work(fault(), 5, MIB)

    with stamina.set_testing(False):
        persist(work, lambda: work.position)

    assert waits == [1.5, 2.0, 3.0, 5.0, 8.0]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": "Sat, 21 Nov 2026 06:01:30 GMT"}, 90.0),
        ({"Retry-After": "Sat, 21 Nov 2026 05:00:00 GMT"}, 0.0),
        ({"Retry-After": "Sat, 21 Nov 2026 06:00:10 -0000"}, 10.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=4;t=55'}, None),
    ],
)
def test_time_to_ask_again_is_seconds_or_a_date(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers, NOW) == expected


def test_passing_fault_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(fault(30.0)))

    assert (str(copy), copy.status, copy.retry_after_s) == ("Cannot fetch `m`: busy. Wait.", 503, 30.0)
