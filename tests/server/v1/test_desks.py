"""Queues, turns and limits of time, with models that do what the test says."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
from starlette.exceptions import HTTPException
from waiting import WAIT_S, until

from registry.adapters import AdapterVersion
from registry.errors import ModelBusyError, ModelClosedError
from registry.loaders import LoadOptions
from registry.records import ChatModel, ModelFile
from registry.server.options import ServerOptions
from registry.server.v1 import desks as module
from registry.server.v1.calls import Call, Working
from registry.server.v1.contract import DeskStatus
from registry.server.v1.desks import Desks
from registry.server.v1.fair_queue import Client

A, B = Client("A"), Client("B")


def record(model_id: str = "fox") -> ChatModel:
    file = ModelFile("fox.gguf", "gguf")
    names = dict.fromkeys(("name", "huggingface_id", "organization", "description"), "")
    return ChatModel(id=model_id, model_type="chat", file=file, quantization="", **names)


class Manager:
    """Lends what it is asked for, and counts who has it. `opening` runs before, as loading does."""

    def __init__(self, opening: Callable[[], None] = lambda: None) -> None:
        self.users = 0
        self.threads: set[int] = set()
        self._opening = opening

    @contextmanager
    def use(self, model: ChatModel) -> Iterator[str]:
        self._opening()
        self.users += 1
        self.threads.add(threading.get_ident())
        try:
            yield model.id
        finally:
            assert threading.get_ident() in self.threads
            self.users -= 1


class Hold:
    """Work that goes on until it is let go."""

    def __init__(self, answer: str = "done") -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.answer = answer

    def __call__(self, _: str, call: Working) -> Generator[str, None, None]:
        call.stop_with(self.go.set)
        self.begun.set()
        assert self.go.wait(WAIT_S)
        yield self.answer


def says(*pieces: str) -> Any:
    def work(*_: object) -> Generator[str, None, None]:
        yield from pieces

    return work


def run(test: Callable[[Desks], Coroutine[Any, Any, Any]], manager: Any = None, **options: Any) -> Any:
    async def whole() -> Any:
        desks = Desks(manager or Manager(), ServerOptions(**options))
        try:
            async with asyncio.timeout(WAIT_S):
                return await test(desks)
        finally:
            await desks.close()

    return asyncio.run(whole())


async def reached(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, WAIT_S)


async def pieces_of(call: Call[str]) -> list[str]:
    found: list[str] = []
    while pieces := await call.more():
        found += pieces
    return found


def test_work_is_done_in_one_thread_of_its_own_and_the_model_is_given_back() -> None:
    manager = Manager()

    async def test(desks: Desks) -> list[str]:
        return [await desks.ask(record(), says("one"), A), await desks.ask(record(), says("two"), A)]

    assert run(test, manager) == ["one", "two"]
    assert (manager.users, len(manager.threads), threading.get_ident() in manager.threads) == (0, 1, False)


def test_pieces_come_in_order_and_end() -> None:
    async def test(desks: Desks) -> list[str]:
        return await pieces_of(desks.open(record(), says(*"abcdef"), A))

    assert run(test) == list("abcdef")


def test_error_comes_after_the_pieces_before_it() -> None:
    def breaks(handle: str, call: Working) -> Generator[str, None, None]:
        yield "a"
        raise ZeroDivisionError

    async def test(desks: Desks) -> None:
        call = desks.open(record(), breaks, A)
        assert await call.more() == ["a"]
        with pytest.raises(ZeroDivisionError):
            await call.more()
        assert await desks.ask(record(), says("again"), A) == "again"

    run(test)


def test_error_of_loading_is_told_and_the_next_request_tries_again() -> None:
    tries = iter([OSError("no disk"), None])

    def opening() -> None:
        if error := next(tries):
            raise error

    async def test(desks: Desks) -> None:
        with pytest.raises(OSError, match="no disk"):
            await desks.ask(record(), says("one"), A)
        assert await desks.ask(record(), says("two"), A) == "two"

    run(test, Manager(opening))


def test_loading_of_one_model_leaves_another_free() -> None:
    loading, go = threading.Event(), threading.Event()

    class Slow(Manager):
        @contextmanager
        def use(self, model: ChatModel) -> Iterator[str]:
            if model.id == "slow":
                loading.set()
                assert go.wait(WAIT_S)
            with super().use(model) as handle:
                yield handle

    async def test(desks: Desks) -> None:
        slow = asyncio.create_task(desks.ask(record("slow"), says("slow"), A))
        await reached(loading)
        assert await desks.ask(record("fast"), says("fast"), A) == "fast"
        go.set()
        assert await slow == "slow"

    run(test, Slow())


def test_clients_take_turns() -> None:
    order: list[str] = []

    def work(name: str) -> Any:
        def note(handle: str, call: Working) -> Generator[str, None, None]:
            order.append(name)
            yield name

        return note

    async def test(desks: Desks) -> None:
        hold = Hold()
        first = desks.open(record(), hold, A)
        await reached(hold.begun)
        calls = [desks.open(record(), work(f"a{number}"), A) for number in range(4)]
        calls.append(desks.open(record(), work("b"), B))
        hold.go.set()
        await asyncio.gather(*(pieces_of(call) for call in (first, *calls)))

    run(test)
    assert order == ["a0", "b", "a1", "a2", "a3"]


def test_full_queue_refuses_with_the_time_that_those_before_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    async def test(desks: Desks) -> None:
        def slow(handle: str, call: Working) -> Generator[str, None, None]:
            now[0] += 7
            yield "slow"

        assert await pieces_of(desks.open(record(), slow, A)) == ["slow"]
        hold = Hold()
        calls = [desks.open(record(), hold, A)]
        await reached(hold.begun)
        calls += [desks.open(record(), says("x"), A) for _ in range(2)]
        with pytest.raises(ModelBusyError) as caught:
            desks.open(record(), says("y"), A)
        assert str(caught.value) == "`fox` is busy: 2 requests are waiting for it already. Try again in 21 s."
        assert desks.status() == (DeskStatus("fox", 2, True, 7.0),)
        hold.go.set()
        assert [await pieces_of(call) for call in calls] == [["done"], ["x"], ["x"]]

    run(test, queue_length=2, queue_timeout_s=1000, request_timeout_s=1000)


def test_queue_of_no_length_takes_a_request_for_a_free_model_only() -> None:
    async def test(desks: Desks) -> None:
        hold = Hold()
        call = desks.open(record(), hold, A)
        await reached(hold.begun)
        with pytest.raises(ModelBusyError, match="is busy: it answers another request"):
            desks.open(record(), says("y"), B)
        hold.go.set()
        assert await pieces_of(call) == ["done"]

    run(test, queue_length=0)


def test_full_queue_of_one_client_gives_way_to_another() -> None:
    async def test(desks: Desks) -> None:
        hold = Hold()
        held = desks.open(record(), hold, A)
        await reached(hold.begun)
        flood = [desks.open(record(), says(str(number)), A) for number in range(3)]
        other = desks.open(record(), says("b"), B)
        with pytest.raises(ModelBusyError, match="3 requests are waiting"):
            await flood[-1].more()
        hold.go.set()
        assert [await pieces_of(call) for call in (held, *flood[:-1], other)] == [["done"], ["0"], ["1"], ["b"]]

    run(test, queue_length=3)


def test_cancelled_request_leaves_the_queue_and_its_work_is_not_begun() -> None:
    begun: list[str] = []

    def work(handle: str, call: Working) -> Generator[str, None, None]:
        begun.append("begun")
        yield "x"

    async def test(desks: Desks) -> None:
        hold = Hold()
        held = desks.open(record(), hold, A)
        await reached(hold.begun)
        task = asyncio.create_task(desks.ask(record(), work, A))
        await asyncio.sleep(0)
        assert desks.status()[0].waiting == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert desks.status()[0].waiting == 0
        hold.go.set()
        assert await pieces_of(held) == ["done"]
        assert await desks.ask(record(), says("next"), A) == "next"

    run(test)
    assert begun == []


def test_cancelled_work_is_stopped_and_the_model_is_free() -> None:
    manager = Manager()

    async def test(desks: Desks) -> None:
        hold = Hold()
        task = asyncio.create_task(desks.ask(record(), hold, A))
        await reached(hold.begun)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert hold.go.is_set()
        assert await desks.ask(record(), says("next"), A) == "next"

    run(test, manager)
    assert manager.users == 0


def test_request_that_is_cancelled_while_its_model_is_loaded_begins_no_work() -> None:
    loading, go, begun = threading.Event(), threading.Event(), threading.Event()

    def opening() -> None:
        loading.set()
        assert go.wait(WAIT_S)

    def work(handle: str, call: Working) -> Generator[str, None, None]:
        begun.set()
        yield "x"

    async def test(desks: Desks) -> None:
        call = desks.open(record(), work, A)
        await reached(loading)
        call.cancel()
        go.set()
        assert await desks.ask(record(), says("next"), A) == "next"

    run(test, Manager(opening))
    assert not begun.is_set()


def test_request_that_waits_too_long_is_told_when_to_come_again() -> None:
    async def test(desks: Desks) -> None:
        hold = Hold()
        held = desks.open(record(), hold, A)
        await reached(hold.begun)
        with pytest.raises(ModelBusyError) as caught:
            await desks.ask(record(), says("x"), A)
        assert (caught.value.reason, caught.value.retry_after_s) == ("it was not ready within 0.05 s.", 1)
        assert desks.status()[0].waiting == 0
        hold.go.set()
        assert await pieces_of(held) == ["done"]

    run(test, queue_timeout_s=0.05)


def test_time_in_the_queue_ends_when_the_model_is_lent() -> None:
    async def test(desks: Desks) -> list[str]:
        hold = Hold()
        call = desks.open(record(), hold, A)
        await reached(hold.begun)
        asyncio.get_running_loop().call_later(0.1, hold.go.set)
        return await pieces_of(call)

    assert run(test, queue_timeout_s=0.05) == ["done"]


def test_request_that_takes_too_long_is_stopped_and_frees_the_model() -> None:
    async def test(desks: Desks) -> None:
        hold = Hold()
        with pytest.raises(HTTPException) as caught:
            await desks.ask(record(), hold, A)
        failure: Any = caught.value.detail
        assert (failure.status, failure.code, failure.message) == (
            504,
            "timeout",
            "`fox` was not done with the request after 0.05 s.",
        )
        assert hold.go.is_set()
        assert await desks.ask(record(), says("next"), A) == "next"

    run(test, request_timeout_s=0.05)


def test_closing_sends_away_who_waits_and_stops_what_is_being_done() -> None:
    manager = Manager()

    async def test(desks: Desks) -> None:
        hold = Hold()
        calls = [desks.open(record(), hold, A)]
        await reached(hold.begun)
        calls += [desks.open(record(), says("x"), client) for client in (A, B)]
        await desks.close()
        assert (hold.go.is_set(), manager.users) == (True, 0)
        for call in calls:
            with pytest.raises(ModelClosedError, match="`the server` is closed"):
                await call.more()
        with pytest.raises(ModelClosedError):
            desks.open(record(), says("x"), A)
        with pytest.raises(ModelClosedError):
            desks.open(record("other"), says("x"), A)

    run(test, manager)


def _no_desk_runs() -> bool:
    return all(thread.name != "desk of fox" for thread in threading.enumerate())


def test_thread_of_an_idle_desk_ends_and_another_one_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE_S", 0.01)

    async def test(desks: Desks) -> None:
        for _ in range(2):
            assert await desks.ask(record(), says("x"), A) == "x"
            await asyncio.to_thread(until, _no_desk_runs)

    run(test)


def test_loop_that_is_gone_does_not_break_the_desk() -> None:
    hold = Hold()
    manager: Any = Manager()
    desks = Desks(manager, ServerOptions())

    async def leave() -> None:
        desks.open(record(), hold, A)
        await reached(hold.begun)

    asyncio.run(leave())
    hold.go.set()
    until(lambda: not desks.status()[0].is_busy)

    async def again() -> str:
        return await desks.ask(record(), says("x"), A)

    assert asyncio.run(again()) == "x"
    asyncio.run(desks.close())


def version(sha256: str) -> AdapterVersion:
    return AdapterVersion("dialect", "1", "fox", sha256, Path(f"{sha256}.gguf"))


class WithOptions(Manager):
    """Lends what it is asked for, and notes with which adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.options = LoadOptions(threads=3)
        self.asked: list[tuple[int | None, object]] = []

    @contextmanager
    def use(self, model: ChatModel, *, options: LoadOptions | None = None) -> Iterator[str]:
        with super().use(model) as handle:
            self.asked.append((None, None) if options is None else (options.threads, options.adapter))
            yield handle


def test_each_version_of_an_adapter_has_a_desk_and_is_loaded_as_the_model_is() -> None:
    manager = WithOptions()

    async def test(desks: Desks) -> list[str | None]:
        for adapter in (None, version("a"), version("b"), version("a")):
            await desks.ask(record(), says("x"), A, adapter)
        return [status.adapter_id for status in desks.status()]

    assert run(test, manager) == [None, "dialect", "dialect"]
    assert manager.asked == [(None, None), (3, Path("a.gguf")), (3, Path("b.gguf")), (3, Path("a.gguf"))]


def test_desk_of_a_version_that_nobody_asks_for_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE_S", 0.01)

    async def test(desks: Desks) -> int:
        await desks.ask(record(), says("x"), A, version("a"))
        await asyncio.to_thread(until, _no_desk_runs)
        await desks.ask(record(), says("x"), A, version("b"))
        return len(desks.status())

    assert run(test, WithOptions()) == 1
