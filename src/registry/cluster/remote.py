"""Requests that are answered in other processes, and asked of another replica where one of those is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from grpc.aio import AioRpcError
from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, WorkerCrashedError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from starlette.exceptions import HTTPException

from registry.errors import ModelBusyError, ModelClosedError
from registry.server.failures import Failure
from registry.server.v1.calls import Limits, mean_with, too_late, whole_wait_s
from registry.server.v1.contract import DeskStatus

if TYPE_CHECKING:
    from registry.adapters.version import AdapterVersion
    from registry.cluster.batching import Part
    from registry.records import ModelInfo
    from registry.server.options import ServerOptions
    from registry.server.v1.calls import Work
    from registry.server.v1.fair_queue import Client

T = TypeVar("T")

# The process that had the request is gone, or what it sent is: another one can do the work from the beginning.
_LOST = (RayActorError, ObjectLostError, NodeDiedError, WorkerCrashedError, ReplicaUnavailableError, AioRpcError)
_MOST_LOSSES = 4  # replicas that may be lost over one request: it may be what kills them
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_ADAPTER_WAIT_S = 10.0  # for which a replica is looked for that has the adapter of a request
_LOG = logging.getLogger("registry.cluster")


class Answer(Protocol):
    """The parts of an answer that a replica sends: what a handle of Serve gives for a method that streams."""

    async def __anext__(self) -> Part:
        """Wait for the next part."""
        ...

    def cancel(self) -> None:
        """Stop the work in the replica."""


class RemoteDesks:
    """Takes requests to the replicas of their models. For the event loop of the ingress.

    Args:
        replicas: Id of each model that is deployed, to what sends work to one of its replicas.
        options: How long requests may wait and take.
    """

    def __init__(
        self,
        replicas: Mapping[str, Callable[[Work[Any], Client, AdapterVersion | None], Answer]],
        options: ServerOptions,
    ) -> None:
        self._replicas = replicas
        self._limits = Limits(options.queue_timeout_s, options.request_timeout_s)
        self._open: dict[str, set[RemoteCall[Any]]] = {}
        self._mean_s: dict[str, float] = {}
        self._is_closed = False

    def open(
        self, record: ModelInfo, work: Work[T], client: Client, adapter: AdapterVersion | None = None
    ) -> RemoteCall[T]:
        """Send a request to a replica. Whoever opens a call must cancel it in the end.

        Raises:
            HTTPException: The model is not deployed (404).
            ModelClosedError: The ingress is being stopped.
        """
        if self._is_closed:
            raise ModelClosedError("the server")
        replicas = self._replicas.get(record.id)
        if replicas is None:
            raise _not_deployed(record.id)
        call = RemoteCall[T](
            record.id,
            send=lambda: replicas(work, client, adapter),
            limits=self._limits,
            retry_after_s=lambda: self._retry_after_s(record.id),
            left=self._leave,
        )
        self._open.setdefault(record.id, set()).add(call)
        return call

    async def ask(self, record: ModelInfo, work: Work[T], client: Client, adapter: AdapterVersion | None = None) -> T:
        """Wait for the one piece that the work gives. Otherwise as `open`; a cancelled task stops the work."""
        call = self.open(record, work, client, adapter)
        try:
            (piece,) = await call.more()
            call.finish()
            return piece
        finally:
            call.cancel()

    def has(self, record: ModelInfo) -> bool:
        """True when a model is deployed."""
        return record.id in self._replicas

    def status(self) -> tuple[DeskStatus, ...]:
        """Give what this ingress has sent, or waits to send, to each model."""
        return tuple(
            DeskStatus(
                model_id,
                sum(not call.is_taken for call in calls),
                any(call.is_taken for call in calls),
                self._mean_s.get(model_id),
            )
            for model_id, calls in list(self._open.items())
        )

    async def close(self) -> None:
        """Take no more requests, and end those that were taken."""
        self._is_closed = True
        for calls in list(self._open.values()):
            for call in list(calls):
                call.cancel(ModelClosedError("the server"))

    def _leave(self, call: RemoteCall[Any]) -> None:
        self._open[call.model_id].discard(call)
        self._mean_s[call.model_id] = mean_with(self._mean_s.get(call.model_id), call.age_s)

    def _retry_after_s(self, model_id: str) -> int:
        return whole_wait_s(self._mean_s.get(model_id, 0.0))


class RemoteCall(Generic[T]):
    """One request that a replica answers.

    Until the first piece is there, nothing was given to the client: a replica that is lost by then is replaced by
    another, within the time that a request may take.

    Attributes:
        model_id: The model.
        is_taken: True once a replica has the request.

    Args:
        model_id: The model.
        send: Sends the request to a replica, another one each time if possible.
        limits: How long it may take.
        retry_after_s: Says when to try again.
        left: Told when nothing follows any more.
    """

    def __init__(
        self,
        model_id: str,
        *,
        send: Callable[[], Answer],
        limits: Limits,
        retry_after_s: Callable[[], int],
        left: Callable[[RemoteCall[T]], None],
    ) -> None:
        self.model_id = model_id
        self.is_taken = False
        self._send = send
        self._limits = limits
        self._retry_after_s = retry_after_s
        self._left = left
        self._asked_at = time.monotonic()
        self._has_begun = self._is_over = False
        self._losses = self._turns = 0
        self._error: Exception | None = None
        self._answer = send()

    @property
    def age_s(self) -> float:
        """Time since the request was made."""
        return time.monotonic() - self._asked_at

    async def more(self) -> list[T]:
        """Wait for pieces, and give all that were made since last time; none when the answer is at its end.

        Raises:
            ModelBusyError: No replica was free in time, or too many requests wait for one.
            HTTPException: The request took too long (504), or the replica was lost in the middle of the answer (503).
            Exception: What the work raised, once all pieces before it were given.
        """
        while not self._is_over:
            part = await self._within_limits()
            if part is None:
                self._end()
            elif part.error is not None:
                self._end()
                raise part.error
            elif part.pieces:
                self._has_begun = True
                return list(part.pieces)
        if self._error is not None:
            raise self._error
        return []

    def finish(self) -> None:
        """Wait for nothing more: the work has given all that it gives, and is not worth a message to stop it."""
        if not self._is_over:
            self._end()

    def cancel(self, error: Exception | None = None) -> None:
        """Stop the work, or leave the queue. Nothing happens to what is over.

        Args:
            error: What to tell who waits for the answer all the same.
        """
        if self._is_over:
            return
        self._error = error
        self._answer.cancel()
        self._end()

    def _end(self) -> None:
        self._is_over = True
        self._left(self)

    async def _within_limits(self) -> Part | None:
        limits = self._limits
        limit_s = limits.request_s if self.is_taken else min(limits.queue_s, limits.request_s)
        limit = asyncio.timeout(limit_s - self.age_s)
        try:
            async with limit:
                part = await self._next()
        except TimeoutError:
            if not limit.expired():  # a model that is busy raises one of these too
                raise
            self.cancel()
            raise self._too_late(limit_s) from None
        self.is_taken = True
        return part

    async def _next(self) -> Part | None:
        """Wait for the next part, of another replica where the one that had the request is lost."""
        while True:
            try:
                part = await self._answer.__anext__()
                if not part.lacks_adapter:
                    return part
                await self._look_elsewhere()
            except StopAsyncIteration:
                return None
            except BackPressureError as error:
                self._end()
                waiting = f"{error.args[0]} requests are waiting for it already."
                raise ModelBusyError(self.model_id, waiting, self._retry_after_s()) from error
            except DeploymentUnavailableError as error:
                self._end()
                raise _unavailable(self.model_id) from error
            except _LOST as error:
                await self._go_elsewhere(error)
            except asyncio.CancelledError as error:
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                await self._go_elsewhere(error)  # a replica that is stopped cancels what it does

    async def _go_elsewhere(self, error: BaseException) -> None:
        self._losses += 1
        if self._has_begun or self._losses > _MOST_LOSSES:
            self._end()
            raise _lost(self.model_id) from error
        _LOG.warning("A replica of `%s` was lost with a request: %s", self.model_id, type(error).__name__)
        await self._send_again(self._losses)

    async def _look_elsewhere(self) -> None:
        """Ask another replica than one that has not got the adapter yet."""
        if self.age_s > _ADAPTER_WAIT_S:
            self._end()
            raise _lacks_adapter(self.model_id, self._retry_after_s())
        self._turns += 1
        await self._send_again(self._turns)

    async def _send_again(self, number: int) -> None:
        pause_s = min(_FIRST_PAUSE_S * 2 ** min(number - 1, 10), _LONGEST_PAUSE_S)
        self.is_taken = False
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 # spreads what comes at once; no secret
        self._answer = self._send()

    def _too_late(self, limit_s: float) -> Exception:
        return too_late(self.model_id, limit_s, None if self.is_taken else self._retry_after_s())


def _not_deployed(model_id: str) -> HTTPException:
    message = f"`{model_id}` is not deployed on this cluster."
    return _refused(Failure(404, "model_not_deployed", message, "`/v1/models?downloaded=true` lists those that are."))


def _unavailable(model_id: str) -> HTTPException:
    message = f"`{model_id}` could not be started on this cluster."
    hint = "`serve status` says why, where the cluster runs."
    return _refused(Failure(503, "model_unavailable", message, hint, None, {"Retry-After": "10"}))


def _lacks_adapter(model_id: str, retry_after_s: int) -> HTTPException:
    message = f"No replica of `{model_id}` has this version of the adapter yet."
    return _refused(Failure(503, "adapter_not_ready", message, "Ask again.", None, {"Retry-After": str(retry_after_s)}))


def _lost(model_id: str) -> HTTPException:
    message = f"The process that answered with `{model_id}` was lost."
    return _refused(Failure(503, "replica_lost", message, "Ask again.", None, {"Retry-After": "1"}))


def _refused(failure: Failure) -> HTTPException:
    return HTTPException(failure.status, detail=failure)  # type: ignore[arg-type] # what the app's handlers take
