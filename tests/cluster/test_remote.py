"""Requests to replicas that do what the test says: lost, busy, slow."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, OwnerDiedError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from starlette.exceptions import HTTPException
from waiting import WAIT_S

from registry.cluster import remote as module
from registry.cluster.batching import Part
from registry.cluster.remote import RemoteDesks
from registry.errors import ContextOverflowError, ModelBusyError, ModelClosedError
from registry.records import ChatModel, ModelFile
from registry.server.options import ServerOptions
from registry.server.v1.contract import DeskStatus
from registry.server.v1.fair_queue import Client

pytestmark = pytest.mark.usefixtures("no_pause")
A = Client("A")
LOST = ActorDiedError()
WORK: Any = object()
NAMES = dict.fromkeys(("name", "huggingface_id", "organization", "description"), "")
FOX = ChatModel(id="fox", model_type="chat", file=ModelFile("fox.gguf", "gguf"), quantization="", **NAMES)
FOREVER = "forever"


class Scripted:
    """An answer that gives parts and raises errors in turn; at `FOREVER` it waits until it is cancelled."""

    def __init__(self, *script: Any) -> None:
        self._script: Iterator[Any] = iter(script)
        self.is_cancelled = False

    async def __anext__(self) -> Part:
        step = next(self._script, None)
        if step is None:
            raise StopAsyncIteration
        if step == FOREVER:
            await asyncio.Event().wait()
        if isinstance(step, BaseException):
            raise step
        return step if isinstance(step, Part) else Part(list(step))

    def cancel(self) -> None:
        self.is_cancelled = True


class Replicas:
    """Gives the answers in turn to whoever sends a request."""

    def __init__(self, *answers: Scripted) -> None:
        self.answers = list(answers)
        self.sent = 0

    def __call__(self, work: Any, client: Client, adapter: Any) -> Scripted:
        assert (work, client, adapter) == (WORK, A, None)
        self.sent += 1
        return self.answers[self.sent - 1]


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.0)


def run(replicas: Replicas, test: Callable[[RemoteDesks], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    async def whole() -> Any:
        async with asyncio.timeout(WAIT_S):
            return await test(RemoteDesks({"fox": replicas}, ServerOptions(**options)))

    return asyncio.run(whole())


async def ask(desks: RemoteDesks) -> Any:
    return await desks.ask(FOX, WORK, A)


async def read(desks: RemoteDesks) -> list[str]:
    call = desks.open(FOX, WORK, A)
    found: list[str] = []
    while pieces := await call.more():
        found += pieces
    return found


def failure(caught: pytest.ExceptionInfo[HTTPException]) -> tuple[int, str, str]:
    told: Any = caught.value.detail
    return told.status, told.code, told.message


def test_pieces_come_in_order_and_end() -> None:
    assert run(Replicas(Scripted(Part(), "ab", "c")), read) == ["a", "b", "c"]


def test_one_piece_is_given_and_its_end_is_not_waited_for() -> None:
    answer = Scripted(["whole"], FOREVER)

    assert run(Replicas(answer), ask) == "whole"
    assert not answer.is_cancelled


@pytest.mark.parametrize("lost", [LOST, ActorUnavailableError("x", None), OwnerDiedError("x", None, "")])
def test_request_whose_replica_is_lost_goes_to_another(lost: Exception) -> None:
    replicas = Replicas(Scripted(Part(), lost), Scripted(["whole"]))

    assert run(replicas, ask) == "whole"
    assert replicas.sent == 2


def test_replica_that_cancels_what_it_does_is_lost_too() -> None:
    assert run(Replicas(Scripted(asyncio.CancelledError()), Scripted(["whole"])), ask) == "whole"


def test_request_goes_to_another_replica_where_one_lacks_its_adapter() -> None:
    lacks = Part(lacks_adapter=True)
    replicas = Replicas(*(Scripted(lacks) for _ in range(6)), Scripted(Part(), lacks), Scripted(["whole"]))

    assert run(replicas, ask) == "whole"
    assert replicas.sent == 8


def test_request_whose_adapter_no_replica_has_is_told_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ADAPTER_WAIT_S", 0.0)
    with pytest.raises(HTTPException) as caught:
        run(Replicas(Scripted(Part(lacks_adapter=True))), ask)

    told: Any = caught.value.detail
    assert (told.status, told.code, told.headers) == (503, "adapter_not_ready", {"Retry-After": "1"})


def test_stream_whose_replica_is_lost_after_the_first_piece_is_not_repeated() -> None:
    replicas = Replicas(Scripted("a", LOST), Scripted("ab"))
    with pytest.raises(HTTPException) as caught:
        run(replicas, read)

    assert failure(caught) == (503, "replica_lost", "The process that answered with `fox` was lost.")
    assert replicas.sent == 1


def test_request_that_kills_one_replica_after_the_other_is_given_up() -> None:
    replicas = Replicas(*(Scripted(LOST) for _ in range(9)))
    with pytest.raises(HTTPException) as caught:
        run(replicas, ask)

    assert failure(caught)[:2] == (503, "replica_lost")
    assert replicas.sent == 5


def test_error_of_the_work_comes_after_the_pieces_before_it() -> None:
    async def test(desks: RemoteDesks) -> None:
        call = desks.open(FOX, WORK, A)
        assert await call.more() == ["a"]
        with pytest.raises(ContextOverflowError):
            await call.more()
        assert await call.more() == []

    run(Replicas(Scripted("a", Part(error=ContextOverflowError("fox", 9, 8)))), test)


def test_request_that_no_replica_takes_in_time_is_told_when_to_come_again() -> None:
    answer = Scripted(FOREVER)
    with pytest.raises(ModelBusyError) as caught:
        run(Replicas(answer), ask, queue_timeout_s=0.01)

    assert str(caught.value) == "`fox` is busy: it was not ready within 0.01 s. Try again in 1 s."
    assert answer.is_cancelled


def test_request_that_was_taken_may_take_longer_than_it_may_wait() -> None:
    async def slowly(desks: RemoteDesks) -> Any:
        asyncio.get_running_loop().call_later(0.05, gone.set)
        return await ask(desks)

    gone = asyncio.Event()

    class Slow(Scripted):
        async def __anext__(self) -> Part:
            part = await super().__anext__()
            if part.pieces:
                await gone.wait()
            return part

    assert run(Replicas(Slow(Part(), ["whole"])), slowly, queue_timeout_s=0.01) == "whole"


def test_request_that_takes_too_long_is_stopped() -> None:
    answer = Scripted(Part(), FOREVER)
    with pytest.raises(HTTPException) as caught:
        run(Replicas(answer), ask, request_timeout_s=0.01)

    assert failure(caught) == (504, "timeout", "`fox` was not done with the request after 0.01 s.")
    assert answer.is_cancelled


def test_queue_that_is_full_refuses() -> None:
    with pytest.raises(ModelBusyError) as caught:
        run(Replicas(Scripted(BackPressureError(7, 7))), ask)

    assert str(caught.value) == "`fox` is busy: 7 requests are waiting for it already. Try again in 1 s."


def test_model_that_could_not_be_started_is_unavailable() -> None:
    unknown: Any = None
    with pytest.raises(HTTPException) as caught:
        run(Replicas(Scripted(DeploymentUnavailableError(unknown))), ask)

    assert failure(caught) == (503, "model_unavailable", "`fox` could not be started on this cluster.")


def test_model_that_is_not_deployed_is_not_found() -> None:
    async def test(desks: RemoteDesks) -> None:
        other = ChatModel(id="hen", model_type="chat", file=ModelFile("h.gguf", "gguf"), quantization="", **NAMES)
        desks.open(other, WORK, A)

    with pytest.raises(HTTPException) as caught:
        run(Replicas(), test)

    assert failure(caught) == (404, "model_not_deployed", "`hen` is not deployed on this cluster.")


def test_cancelled_task_stops_the_work() -> None:
    answer = Scripted(Part(), FOREVER)

    async def test(desks: RemoteDesks) -> None:
        task = asyncio.create_task(ask(desks))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert desks.status()[0][:3] == ("fox", 0, False)

    run(Replicas(answer), test)
    assert answer.is_cancelled


def test_status_tells_who_waits_from_who_is_answered() -> None:
    async def test(desks: RemoteDesks) -> tuple[DeskStatus, ...]:
        taken = desks.open(FOX, WORK, A)
        desks.open(FOX, WORK, A)
        await taken.more()
        return desks.status()

    assert run(Replicas(Scripted("a"), Scripted(FOREVER)), test) == (DeskStatus("fox", 1, True, None),)


def test_closing_ends_what_is_open_and_takes_no_more() -> None:
    answer = Scripted(FOREVER)

    async def test(desks: RemoteDesks) -> None:
        call = desks.open(FOX, WORK, A)
        await desks.close()
        with pytest.raises(ModelClosedError):
            await call.more()
        with pytest.raises(ModelClosedError):
            desks.open(FOX, WORK, A)

    run(Replicas(answer), test)
    assert answer.is_cancelled
