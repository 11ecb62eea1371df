"""Work that many want at the same time: done once, and by another where who does it is interrupted."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from waiting import until, within

from registry.profiles.flights import Flights


def threads_waiting(flights: Flights[Any, Any], key: str) -> int:
    flight = flights._running[key]
    return len(flight._listeners) - 1


def ignore(news: object) -> None:
    pass


class Work:
    """Work that ends when it may; counts how often it is begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = threading.Event()
        self.has_begun = threading.Event()

    def __call__(self, tell: Callable[[str], None]) -> str:
        self.begun += 1
        self.has_begun.set()
        assert self.may_end.wait(30)
        tell("nearly")
        return f"result {self.begun}"


def test_work_of_fifty_threads_is_done_once() -> None:
    flights, work = Flights[str, str](), Work()
    heard: list[str] = []
    with ThreadPoolExecutor(50) as pool:
        futures = [pool.submit(flights.share, "key", work, heard.append) for _ in range(50)]
        until(lambda: work.begun == 1 and threads_waiting(flights, "key") == 49)
        work.may_end.set()

        assert [future.result(30) for future in futures] == ["result 1"] * 50
    assert (work.begun, heard, flights._running) == (1, ["nearly"] * 50, {})


def test_work_that_is_over_is_done_again() -> None:
    flights, work = Flights[str, str](), Work()
    work.may_end.set()

    assert [flights.share("key", work), flights.share("key", work)] == ["result 1", "result 2"]


def test_work_for_other_things_does_not_wait() -> None:
    flights, slow, quick = Flights[str, str](), Work(), Work()
    quick.may_end.set()
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(flights.share, "slow", slow)
        assert slow.has_begun.wait(30)

        assert within(lambda: flights.share("quick", quick)) == "result 1"
        slow.may_end.set()
        waits.result(30)


def test_who_wants_it_anew_waits_for_what_was_begun_and_begins_again() -> None:
    flights, work = Flights[str, str](), Work()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flights.share, "key", work)
        assert work.has_begun.wait(30)
        anew = pool.submit(flights.share, "key", work, anew=True)
        work.may_end.set()

        assert (first.result(30), anew.result(30)) == ("result 1", "result 2")


def test_who_does_not_want_it_anew_shares_what_is_done_anew() -> None:
    flights, work = Flights[str, str](), Work()
    with ThreadPoolExecutor(2) as pool:
        anew = pool.submit(flights.share, "key", work, ignore, anew=True)
        assert work.has_begun.wait(30)
        other = pool.submit(flights.share, "key", work, ignore)
        until(lambda: threads_waiting(flights, "key") == 1)
        work.may_end.set()

        assert (anew.result(30), other.result(30)) == ("result 1", "result 1")


def test_work_that_is_interrupted_is_begun_again_by_who_waits() -> None:
    flights, work = Flights[str, str](), Work()
    may_interrupt = threading.Event()

    def interrupted(tell: Callable[[str], None]) -> str:
        assert may_interrupt.wait(30)
        raise KeyboardInterrupt

    work.may_end.set()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flights.share, "key", interrupted, ignore)
        until(lambda: "key" in flights._running)
        second = pool.submit(flights.share, "key", work, ignore)
        until(lambda: threads_waiting(flights, "key") == 1)
        may_interrupt.set()

        with pytest.raises(KeyboardInterrupt):
            first.result(30)
        assert second.result(30) == "result 1"


def test_who_stops_waiting_is_told_nothing_more() -> None:
    flights, work = Flights[str, str](), Work()
    heard: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(flights.share, "key", work)
        assert work.has_begun.wait(30)
        flight = flights._running["key"]
        flight.leave(flight.join(heard.append))
        work.may_end.set()
        running.result(30)

    assert heard == []
