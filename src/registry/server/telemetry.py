"""What is counted, and `/metrics`, which gives it in the text format of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from registry.server.readiness import readiness_of

if TYPE_CHECKING:
    from registry.server.services import Services

# Upper bounds in seconds: answers from memory take less than the first, long texts of a chat model more than the last.
BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BOUNDS = (*map(str, BUCKETS_S), "+Inf")


class Series(NamedTuple):
    """The requests of one kind.

    Attributes:
        route: Template of the route, such as `/api/models/{model}`; `unmatched` where there is none.
        method: HTTP method; `OTHER` for one that no route has.
        status: Status of the answer; 499: the client went away before there was one.
    """

    route: str
    method: str
    status: int


class Telemetry:
    """Counts requests. Only the event loop writes, so that a count costs no lock.

    Attributes:
        in_flight: Requests that are being answered.
        kept_answers: Reads that were answered from memory.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.kept_answers = 0
        self._seconds: dict[Series, float] = {}
        self._buckets: dict[Series, list[int]] = {}

    def count(self, series: Series, seconds: float) -> None:
        """Count an answer that took this long."""
        buckets = self._buckets.get(series)
        if buckets is None:
            buckets = self._buckets[series] = [0] * len(_BOUNDS)
            self._seconds[series] = 0.0
        buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self._seconds[series] += seconds

    def requests(self) -> Iterator[tuple[Series, int, float, list[int]]]:
        """Give each kind of request with its number, its seconds altogether, and its number in each bucket."""
        for series, buckets in list(self._buckets.items()):
            numbers = list(buckets)
            yield series, sum(numbers), self._seconds[series], numbers


class _Requests(Collector):
    """What was asked of this server."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def collect(self) -> Iterable[Metric]:
        labels = ("route", "method", "status")
        total = CounterMetricFamily("registry_http_requests", "Requests answered.", labels=labels)
        durations = HistogramMetricFamily("registry_http_request_duration_seconds", "Time to answer.", labels=labels)
        for series, number, seconds, buckets in self._telemetry.requests():
            values = (series.route, series.method, str(series.status))
            total.add_metric(values, number)
            durations.add_metric(values, _cumulated(buckets), seconds)
        in_flight = GaugeMetricFamily("registry_http_requests_in_flight", "Requests being answered, this one included.")
        in_flight.add_metric((), self._telemetry.in_flight)
        kept = CounterMetricFamily("registry_http_answers_from_memory", "Reads answered from memory.")
        kept.add_metric((), self._telemetry.kept_answers)
        return total, durations, in_flight, kept


class _Models(Collector):
    """What is loaded, and who waits for it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        loaded = self._services.manager.status()
        size = GaugeMetricFamily("registry_model_loaded_bytes", "Memory of a loaded model.", labels=("model",))
        users = GaugeMetricFamily("registry_model_users", "Requests that use a loaded model.", labels=("model",))
        for status in loaded:
            size.add_metric((status.model_id,), status.footprint_bytes)
            users.add_metric((status.model_id,), status.users)
        number = GaugeMetricFamily("registry_models_loaded", "Models that are loaded.")
        number.add_metric((), len(loaded))
        return number, size, users, self._queues()

    def _queues(self) -> Metric:
        lengths = GaugeMetricFamily("registry_model_queue_length", "Requests that wait for a model.", labels=("model",))
        waiting: Counter[str] = Counter()
        for status in self._services.desks.status():  # an adapter may have two, for its new version and for the last
            waiting[status.adapter_id or status.model_id] += status.waiting
        for name, number in waiting.items():
            lengths.add_metric((name,), number)
        return lengths


class _Readiness(Collector):
    """Whether the server can do its work, as `/ready` says it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        ready = GaugeMetricFamily("registry_ready", "1 where the server can do its work.")
        found = readiness_of(self._services)
        ready.add_metric((), float(found["status"] == "ready"))
        roles = GaugeMetricFamily("registry_role_ready", "1 where a role has a model that is ready.", labels=("role",))
        for role, state in found["roles"].items():
            roles.add_metric((role,), float(state == "ready"))
        return ready, roles


def router(services: Services) -> APIRouter:
    """Make the route `/metrics`."""
    routes, collectors = APIRouter(tags=["Operation"]), _collectors(services)

    @routes.get("/metrics", response_class=Response, summary="Counters for Prometheus")
    async def metrics() -> Response:
        """Requests by route, method and status, how long they took, how many are in flight, and the loaded models."""
        body = await run_in_threadpool(generate_latest, collectors)  # it reads files of the system
        return Response(body, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4, "cache-control": "no-store"})

    return routes


def _collectors(services: Services) -> CollectorRegistry:
    """Collect into a registry of this application: several may run in one process."""
    collectors = CollectorRegistry()
    ProcessCollector(registry=collectors)
    PlatformCollector(registry=collectors)
    GCCollector(registry=collectors)
    collectors.register(_Requests(services.telemetry))
    collectors.register(_Models(services))
    collectors.register(_Readiness(services))
    return collectors


def _cumulated(buckets: list[int]) -> list[tuple[str, float]]:
    so_far, cumulated = 0, []
    for bound, number in zip(_BOUNDS, buckets, strict=True):
        so_far += number
        cumulated.append((bound, float(so_far)))
    return cumulated
