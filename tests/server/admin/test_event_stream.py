"""Provisioning as server-sent events, over a socket: what comes, when, and what is done when the client leaves."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

import httpx
from waiting import until

from registry.errors import DownloadError
from server.api import server

from .shop import ADMIN, Shop, client

EVENTS = {**ADMIN, "accept": "text/event-stream"}


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def address(shop: Shop) -> Iterator[str]:
    with client(shop) as api, server(api.app) as address:
        yield f"{address}/api/v1/models/provision"


def asked(address: str, *roles: str) -> Any:
    """A request whose answer is read event by event."""
    return httpx.stream("POST", address, json={"roles": roles or None}, headers=EVENTS, timeout=30)


def events_of(response: Any) -> Iterator[tuple[str, Any]]:
    """The events: their names and what they say; comments are events without a name."""
    name = ""
    for line in response.iter_lines():
        if line.startswith(":"):
            yield "", line
        elif line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


PROGRESS = {
    "role": "general",
    "provider": "shop",
    "model": "large",
    "file": "weights",
    "stage": "downloading",
    "done_bytes": 5,
    "total_bytes": 10,
    "bytes_per_second": None,
    "eta_s": None,
}


def test_events_come_while_it_is_fetched(address: str, shop: Shop) -> None:
    shop.may_go_on.clear()
    with asked(address, "general") as response:
        events = events_of(response)

        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-store", "no")
        assert next(events) == ("", ": keep-alive")
        assert next(events) == ("progress", PROGRESS)
        shop.may_go_on.set()
        (first, outcome), (second, answer) = events

    assert (first, outcome["role"], outcome["model"], outcome["action"]) == ("outcome", "general", "large", "pulled")
    assert (second, answer["success"], answer["data"]["outcomes"]) == ("report", True, [outcome])


def test_who_comes_later_is_told_what_has_come_of_it_so_far(address: str, shop: Shop) -> None:
    with asked(address, "general") as response:
        list(events_of(response))
    shop.may_go_on.clear()
    with asked(address) as first:
        heard = events_of(first)
        while next(heard)[0] != "outcome":
            pass
        with asked(address) as later:
            events = events_of(later)
            assert [next(events)[0], next(events)[0]] == ["", "outcome"]
            shop.may_go_on.set()
            *_, (name, answer) = events

    assert (name, [each["action"] for each in answer["data"]["outcomes"]]) == ("report", ["pulled", "pulled"])
    assert shop.asked == [("large", False), ("rank", False)]


def test_connection_is_kept_open_while_nothing_happens(
    address: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.server.admin.event_stream.IDLE_S", 0.01)
    shop.may_go_on.clear()
    with asked(address, "general") as response:
        events = events_of(response)

        while next(events)[0] != "progress":
            pass
        assert [next(events) for _ in range(3)] == [("", ": keep-alive")] * 3
        shop.may_go_on.set()
        assert [name for name, _ in events if name] == ["outcome", "report"]


def test_client_that_leaves_stops_no_download(address: str, shop: Shop) -> None:
    shop.may_go_on.clear()
    with asked(address, "general") as response:
        assert next(events_of(response)) == ("", ": keep-alive")
    until(lambda: shop.asked != [])
    shop.may_go_on.set()

    with asked(address, "general") as response:
        *_, (name, answer) = events_of(response)

    assert (name, answer["data"]["outcomes"][0]["action"]) == ("report", "pulled")
    assert shop.asked == [("large", False)]


def test_reader_that_has_left_is_forgotten(shop: Shop) -> None:
    shop.may_go_on.clear()
    with client(shop) as api, server(api.app) as address:
        jobs = api.app.state.services.provisioner._jobs
        with asked(f"{address}/api/v1/models/provision", "general") as response:
            events = events_of(response)  # kept: with it the connection would go
            next(events)
            (job,) = jobs.values()
            until(lambda: len(job._readers) == 1)
        until(lambda: job._readers == [])
        shop.may_go_on.set()
        until(lambda: not jobs)


def test_client_that_waits_for_the_report_and_leaves_is_forgotten(shop: Shop) -> None:
    import httpx

    shop.may_go_on.clear()
    with client(shop) as api, server(api.app) as address:
        services = api.app.state.services
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/api/v1/models/provision", headers=ADMIN, timeout=httpx.Timeout(30, read=0.5))
        (job,) = services.provisioner._jobs.values()

        until(lambda: job._readers == [] and services.telemetry.in_flight == 0)
        shop.may_go_on.set()
        until(lambda: not services.provisioner._jobs)


def test_failure_is_an_outcome(address: str, shop: Shop) -> None:
    shop.error = DownloadError("rank", "the line is cut.", "Try again.")

    with asked(address, "reranking") as response:
        *_, (first, outcome), (second, answer) = events_of(response)

    assert (first, outcome["action"], outcome["reason"]) == (
        "outcome",
        "failed",
        "Cannot fetch `rank`: the line is cut. Try again.",
    )
    assert (second, answer["data"]["ok"]) == ("report", False)


def test_run_that_breaks_ends_with_an_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr("registry.server.admin.provisioner.provision_in", broken)

    with asked(address) as response:
        *_, (name, answer) = events_of(response)

    assert (name, answer["error"]["code"]) == ("error", "internal_error")


def test_who_comes_while_the_server_stops_is_sent_away(shop: Shop) -> None:
    with client(shop) as api:
        api.app.state.services.provisioner.close()

        response = api.post("/api/v1/models/provision", headers=EVENTS)

    assert (response.status_code, response.json()["error"]["code"], shop.asked) == (503, "stopping", [])


def test_role_that_does_not_exist_is_no_stream(address: str) -> None:
    with asked(address, "generall") as response:
        assert (response.status_code, response.headers["content-type"]) == (404, "application/json")


def test_fifty_clients_follow_one_run(address: str, shop: Shop) -> None:
    shop.may_go_on.clear()

    def follow(_: int) -> Any:
        with asked(address, "general") as response:
            events = events_of(response)
            assert [next(events)[0], next(events)[0]] == ["", "progress"]
            began.append(1)
            return list(events)

    began: list[int] = []
    with ThreadPoolExecutor(50) as pool:
        futures = [pool.submit(follow, number) for number in range(50)]
        until(lambda: len(began) == 50)
        shop.may_go_on.set()
        heard = [future.result(30) for future in futures]

    assert shop.asked == [("large", False)]
    assert {json.dumps(events) for events in heard} == {json.dumps(heard[0])}
