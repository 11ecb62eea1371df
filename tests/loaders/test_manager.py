"""Several models at once. Loading is faked, but for the last tests: what is tested is who waits for whom."""

import dataclasses
import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny
from waiting import WAIT_S, until, within

from registry.errors import (
    InsufficientMemoryError,
    InvalidOptionError,
    ModelClosedError,
    ModelNotDownloadedError,
    ModelNotFoundError,
    RegistryError,
)
from registry.loaders import LoadOptions, ModelManager, ModelStatus
from registry.records import ChatModel, ModelFile


class FakeModel:
    """As much of a loaded model as a manager sees; tells when it is used after its end."""

    load_seconds = 0.5

    def __init__(self, record: ChatModel, footprint_bytes: int) -> None:
        self.model = record
        self.footprint_bytes = footprint_bytes
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def ask(self) -> str:
        assert not self.closed
        return self.model.id


class Loader:
    """Stands in for `load`."""

    def __init__(self) -> None:
        self.loads: Counter[str] = Counter()
        self.models: list[FakeModel] = []
        self.errors: dict[str, BaseException] = {}
        self.extra_bytes = 0
        self.begun: dict[str, threading.Event] = {}
        self.held: dict[str, threading.Event] = {}

    def hold(self, name: str) -> tuple[threading.Event, threading.Event]:
        """Make loads of a model wait; gives the event that one has begun, and the one that lets them go on."""
        self.begun[name], self.held[name] = threading.Event(), threading.Event()
        return self.begun[name], self.held[name]

    def __call__(self, record: ChatModel, **_: object) -> FakeModel:
        self.loads[record.id] += 1
        if record.id in self.held:
            self.begun[record.id].set()
            assert self.held[record.id].wait(WAIT_S)
        if record.id in self.errors:
            raise self.errors[record.id]
        model = FakeModel(record, (record.file.size_bytes or 0) + self.extra_bytes)
        self.models.append(model)
        return model

    @property
    def open_ids(self) -> list[str]:
        return [model.model.id for model in self.models if not model.closed]


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    made = Loader()
    monkeypatch.setattr("registry.loaders.manager.load", made)
    return made


@pytest.fixture
def record(home: Path) -> Callable[..., ChatModel]:
    """Make a record and, unless it is to be missing, its file of as many bytes."""

    def make(name: str, size: int = 10, *, missing: bool = False, **changes: Any) -> ChatModel:
        file = home / "models" / f"{name}.gguf"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not missing:
            file.write_bytes(b"x" * size)
        pinned = ModelFile(file.name, "gguf", size_bytes=size)
        template = tiny.chat_record(Path(__file__))  # whatever file: its own replaces it
        return dataclasses.replace(template, id=name, file=pinned, **changes)

    return make


@pytest.fixture
def manager(loader: Loader) -> Iterator[Callable[..., ModelManager]]:
    made: list[ModelManager] = []

    def make(**options: Any) -> ModelManager:
        made.append(ModelManager(**options))
        return made[-1]

    yield make
    for each in made:
        within(each.close)
    assert loader.open_ids == []


class User:
    """A thread that takes and gives back what it is told to."""

    def __init__(self, manager: ModelManager) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._manager = manager
        self._leases: list[Any] = []

    def take(self, record: Any, **options: Any) -> Future[str]:
        def enter() -> str:
            lease = self._manager.use(record, **options)
            model: Any = lease.__enter__()
            self._leases.append(lease)
            return model.ask()

        return self._pool.submit(enter)

    def leave(self) -> None:
        self._pool.submit(lambda: self._leases.pop().__exit__(None, None, None)).result(WAIT_S)

    def do(self, call: Callable[[], Any]) -> Future[Any]:
        return self._pool.submit(call)

    def end(self) -> None:
        while self._leases:
            self.leave()
        self._pool.shutdown()


@pytest.fixture
def user() -> Iterator[Callable[[ModelManager], User]]:
    made: list[User] = []

    def make(manager: ModelManager) -> User:
        made.append(User(manager))
        return made[-1]

    yield make
    for each in made:
        within(each.end)


def waits(manager: ModelManager, number: int = 1) -> None:
    """Wait until so many threads wait."""
    until(lambda: len(manager._waiting) >= number)


# One thread


def test_model_is_loaded_on_first_use_and_stays(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    fox = record("fox")
    managed = manager()
    assert (managed.loaded, managed.current, managed.status()) == ((), None, ())
    with managed.use(fox) as first:
        assert managed.status() == (ModelStatus("fox", "fox", 10, 0.5, 1, False),)
    with managed.use(fox) as second, managed.use(fox) as third:
        assert first is second is third
        assert managed.status()[0].users == 2
    assert (loader.loads, managed.loaded, managed.current) == ({"fox": 1}, ("fox",), "fox")
    assert managed.status()[0].users == 0
    assert repr(managed) == "<ModelManager: fox loaded, at most 1>"


def test_nothing_is_loaded_before_the_block_is_entered(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed = manager()
    managed.use(record("fox"))
    assert loader.loads == {}


def test_least_recently_used_model_goes_first(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed = manager(max_models=2)
    for name in ("a", "b", "a", "c"):
        with managed.use(record(name)):
            pass
    assert managed.loaded == ("c", "a")
    assert loader.open_ids == ["a", "c"]
    with managed.use(record("a")), managed.use(record("b")):
        assert managed.loaded == ("b", "a")
    assert managed.current == "a"  # it was given back last
    assert loader.loads == {"a": 1, "b": 2, "c": 1}


def test_pinned_model_stays_until_it_is_unpinned(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed = manager(max_models=2)
    a, b, c = (record(name) for name in "abc")
    managed.pin(a)
    for each in (a, b, c):
        with managed.use(each):
            pass
    assert managed.loaded == ("c", "a")
    assert [status.pinned for status in managed.status()] == [False, True]
    managed.pin(c)
    with pytest.raises(RegistryError, match="No room for `b`: `a`, `c` are pinned"), managed.use(b):
        pass
    managed.unpin(a)
    managed.unpin(a)
    with managed.use(b):
        assert managed.loaded == ("b", "c")


def test_unload_frees_one_or_all_pinned_or_not(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed = manager(max_models=3)
    records = [record(name) for name in "abc"]
    for each in records:
        with managed.use(each):
            pass
    managed.unload(record("never"))
    managed.pin(records[1])
    managed.unload(records[1])
    assert (managed.loaded, loader.open_ids) == (("c", "a"), ["a", "c"])
    managed.unload()
    assert (managed.loaded, loader.open_ids) == ((), [])
    with managed.use(records[0]):
        assert loader.loads["a"] == 2


def test_unload_frees_what_was_loaded_with_some_options_and_nothing_else(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed = manager(max_models=3)
    for model, seed in (("a", 1), ("a", 2), ("b", 1)):
        with managed.use(record(model), options=LoadOptions(seed=seed)):
            pass
    managed.unload(record("a"), options=LoadOptions(seed=1))
    managed.unload(record("a"), options=LoadOptions(seed=3))
    assert managed.loaded == ("b", "a")
    managed.unload(options=LoadOptions(seed=1))
    assert managed.loaded == ("a",)


def test_unload_inside_ones_own_block_is_an_error(
    manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed = manager(max_models=2)
    with managed.use(record("a")), managed.use(record("b")):
        for call in (managed.unload, lambda: managed.unload(record("a")), managed.close):
            with pytest.raises(
                RegistryError, match=r"^Cannot unload `a` inside its own `with` block\. Leave it first\.$"
            ):
                call()
        assert managed.loaded == ("b", "a")
    with managed.use(record("c")):  # so close did nothing
        pass


def test_same_model_with_other_options_or_from_another_path_is_another(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], home: Path
) -> None:
    managed = manager(max_models=4, options=LoadOptions(threads=1))
    fox = record("fox")
    options: list[dict[str, Any]] = [
        {},
        {"options": LoadOptions(threads=1)},
        {"options": LoadOptions(threads=2)},
        {"path": home / "models" / "fox.gguf"},
        {"path": str(home / "models" / "fox.gguf")},
    ]
    for each in options:
        with managed.use(fox, **each):
            pass
    assert (loader.loads, managed.loaded) == ({"fox": 3}, ("fox", "fox", "fox"))
    managed.unload(fox)
    assert managed.loaded == ()


def test_names_are_looked_up_in_the_registry_that_is_given(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    fox = record("fox")
    managed = manager(registry=_registry(fox))
    with managed.use("fox") as model:
        assert model.model is fox
    managed.pin("fox")
    managed.unload("fox")
    with pytest.raises(ModelNotFoundError):
        managed.use("wolf")
    with pytest.raises(ModelNotFoundError):
        manager().use("fox")


def _registry(*records: ChatModel) -> Any:
    class Registry(dict):  # type: ignore[type-arg]
        def lookup_model(self, name: str) -> ChatModel:
            if name not in self:
                raise ModelNotFoundError(name)
            return self[name]

    return Registry({each.id: each for each in records})


@pytest.mark.parametrize("wrong", [0, -1, 1.0, "2", True])
def test_limits_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"^`max_models`: expected an integer of at least 1"):
        ModelManager(max_models=wrong)
    with pytest.raises(InvalidOptionError, match=r"^`max_bytes`: expected an integer of at least 1"):
        ModelManager(max_bytes=wrong)


def test_nested_use_beyond_the_limit_is_an_error_not_a_deadlock(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed = manager(max_models=2)
    a, b, c = (record(name) for name in "abc")

    def nested() -> None:
        with managed.use(a), managed.use(b), managed.use(c):
            pass

    with pytest.raises(RegistryError) as caught:
        within(nested)
    assert str(caught.value) == (
        "No room for `c`: `a`, `b` are pinned, or held by this thread or by others that wait for room. "
        "Leave its `with` block, unpin it, or raise `max_models` or `max_bytes`."
    )
    with managed.use(c) as model:
        assert model.model is c


def test_error_in_the_block_gives_the_model_back(
    manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed = manager()
    with pytest.raises(ZeroDivisionError), managed.use(record("a")):
        _ = 1 / 0
    with managed.use(record("b")):
        assert managed.loaded == ("b",)


def test_block_that_is_dropped_gives_the_model_back(
    manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed = manager()
    lease = managed.use(record("a"))
    lease.__enter__()
    del lease
    gc.collect()
    with managed.use(record("b")):
        assert managed.loaded == ("b",)


def test_close_frees_everything_and_lends_no_more(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed = manager(max_models=2)
    for name in ("a", "b"):
        with managed.use(record(name)):
            pass
    lease = managed.use(record("a"))
    with managed:
        pass
    managed.close()
    assert (managed.loaded, loader.open_ids) == ((), [])
    with pytest.raises(ModelClosedError, match=r"^`the model manager` is closed"), managed.use(record("a")):
        pass
    with pytest.raises(ModelClosedError), lease:
        pass
    managed.unload()
    managed.pin(record("a"))


# Bytes


def test_bytes_are_a_limit_beside_the_number(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed = manager(max_models=9, max_bytes=100)
    for name, size in (("a", 40), ("b", 40), ("c", 20), ("d", 50)):
        with managed.use(record(name, size)):
            pass
    assert managed.loaded == ("d", "c")
    assert loader.loads == dict.fromkeys("abcd", 1)
    with managed.use(record("e", 100)):
        assert managed.loaded == ("e",)
    with pytest.raises(InsufficientMemoryError) as caught, managed.use(record("f", 101)):
        pass
    assert caught.value.reason == (
        "It needs 101 bytes at least, and the manager may use 100. "
        "`fallback=True` would take a smaller file of the same model."
    )
    assert managed.loaded == ("e",)


def test_bytes_that_a_model_takes_beyond_its_file_count(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], user: Callable[..., User]
) -> None:
    managed = manager(max_models=9, max_bytes=100)
    loader.extra_bytes = 30
    for name in ("a", "b"):
        with managed.use(record(name, 40)):
            pass
    assert managed.loaded == ("b",)
    assert managed.status()[0].footprint_bytes == 70
    with pytest.raises(InsufficientMemoryError, match="It needs 110 bytes"), managed.use(record("c", 80)):
        pass
    assert loader.open_ids == []
    one, other = user(managed), user(managed)
    assert one.take(record("d", 40)).result(WAIT_S) == "d"
    asked = other.take(record("e", 40))
    waits(managed)
    assert loader.open_ids == ["d"]
    one.leave()
    assert asked.result(WAIT_S) == "e"
    assert loader.open_ids == ["e"]


# Threads


@pytest.mark.parametrize("options", [{"max_models": 3}, {"max_models": 8, "max_bytes": 30}], ids=str)
def test_threads_that_ask_at_once_load_each_model_once(
    options: dict[str, int], loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed, records = manager(**options), [record(name) for name in "abc"]
    start = threading.Barrier(32)

    def ask(number: int) -> set[str]:
        start.wait(WAIT_S)
        said = set()
        for turn in range(6):
            with managed.use(records[(number + turn) % 3]) as model:
                said.add(model.ask())
        return said

    with ThreadPoolExecutor(32) as pool:
        said = [job.result(WAIT_S) for job in [pool.submit(ask, number) for number in range(32)]]
    assert said == [{"a", "b", "c"}] * 32
    assert loader.loads == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("most", [1, 2])
def test_threads_that_ask_for_more_than_there_is_room_for_never_use_a_closed_model(
    most: int, loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel]
) -> None:
    managed, records = manager(max_models=most), [record(name) for name in "abc"]
    start, open_at_once = threading.Barrier(32), []

    def ask(number: int) -> None:
        start.wait(WAIT_S)
        for turn in range(6):
            with managed.use(records[(number + turn) % 3]) as model:
                assert model.ask() == "abc"[(number + turn) % 3]
                open_at_once.append(len(loader.open_ids))
                assert model.ask()

    with ThreadPoolExecutor(32) as pool:
        for job in [pool.submit(ask, number) for number in range(32)]:
            job.result(WAIT_S)
    assert max(open_at_once) <= most
    assert len(managed.loaded) <= most


def test_model_in_use_is_waited_for(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], user: Callable[..., User]
) -> None:
    managed = manager()
    one, other = user(managed), user(managed)
    assert one.take(record("a")).result(WAIT_S) == "a"
    asked = other.take(record("b"))
    waits(managed)
    assert loader.open_ids == ["a"]
    one.leave()
    assert asked.result(WAIT_S) == "b"
    assert loader.open_ids == ["b"]


def test_model_that_never_rests_does_not_keep_others_out(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], user: Callable[..., User]
) -> None:
    managed = manager()
    first, second, third = (user(managed) for _ in range(3))
    a, b = record("a"), record("b")
    assert first.take(a).result(WAIT_S) == "a"
    asked = second.take(b)
    waits(managed)
    again = third.take(a)  # which is there, but somebody waits for its place
    waits(managed, 2)
    assert first.take(a).result(WAIT_S) == "a"  # who has it already must be able to go on
    first.leave(), first.leave()
    assert asked.result(WAIT_S) == "b"
    second.leave()
    assert again.result(WAIT_S) == "a"
    assert loader.loads == {"a": 2, "b": 1}


def test_one_who_holds_a_model_may_wait_for_what_others_do_with_it(
    manager: Callable[..., ModelManager],
    record: Callable[..., ChatModel],
    user: Callable[..., User],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("registry.loaders.manager._GRACE_S", 0.01)
    managed = manager()
    first, second, third = (user(managed) for _ in range(3))
    first.take(record("a")).result(WAIT_S)
    asked = second.take(record("b"))
    waits(managed)
    assert third.take(record("a")).result(WAIT_S) == "a"
    first.leave(), third.leave()
    assert asked.result(WAIT_S) == "b"


def test_one_who_holds_what_another_waits_for_and_asks_for_the_same_is_refused(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], user: Callable[..., User]
) -> None:
    managed = manager()
    one, other = user(managed), user(managed)
    one.take(record("a")).result(WAIT_S)
    asked = other.take(record("b"))
    waits(managed)
    with pytest.raises(RegistryError, match="No room for `b`: `a` is pinned, or held by this thread"):
        one.take(record("b")).result(WAIT_S)
    one.leave()
    assert asked.result(WAIT_S) == "b"


def test_two_who_wait_for_each_other_are_told(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], user: Callable[..., User]
) -> None:
    managed = manager(max_models=2)
    one, other = user(managed), user(managed)
    one.take(record("a")).result(WAIT_S), other.take(record("b")).result(WAIT_S)
    asked = one.take(record("c"))
    waits(managed)
    with pytest.raises(RegistryError, match="No room for `d`: `a`, `b` are pinned, or held by this thread or by"):
        other.take(record("d")).result(WAIT_S)
    other.leave()
    assert asked.result(WAIT_S) == "c"


def test_one_who_waits_for_a_model_that_will_be_given_back_is_not_told_of_a_circle(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], user: Callable[..., User]
) -> None:
    managed = manager(max_models=2)
    one, other, third = (user(managed) for _ in range(3))
    one.take(record("a")).result(WAIT_S), third.take(record("b")).result(WAIT_S)
    asked = one.take(record("c"))
    also = other.take(record("d"))
    waits(managed, 2)
    third.leave()
    until(lambda: asked.done() or also.done())
    (one if asked.done() else other).leave()
    assert (asked.result(WAIT_S), also.result(WAIT_S)) == ("c", "d")


def test_one_who_has_been_woken_waits_for_nobody(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], user: Callable[..., User]
) -> None:
    managed = manager(max_models=2)
    one, loading, *others = (user(managed) for _ in range(10))
    begun, go_on = loader.hold("b")
    one.take(record("a")).result(WAIT_S)
    first = loading.take(record("b"))
    assert begun.wait(WAIT_S)
    managed.pin(record("b"))
    asked = [each.take(record("c")) for each in others]
    waits(managed, 8)
    shared = one.take(record("b"))
    waits(managed, 9)
    go_on.set()  # which wakes all nine; whoever looks first must not take the others for stuck
    assert (first.result(WAIT_S), shared.result(WAIT_S)) == ("b", "b")
    one.leave(), one.leave()
    assert [each.result(WAIT_S) for each in asked] == ["c"] * 8


def test_waiting_for_a_load_that_waits_for_oneself_to_unload_is_told(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], user: Callable[..., User]
) -> None:
    managed = manager()
    one, other = user(managed), user(managed)
    one.take(record("a")).result(WAIT_S)
    asked = other.take(record("b"))
    waits(managed)
    with pytest.raises(RegistryError, match=r"^Cannot unload `b`: `a` is"):
        one.do(lambda: managed.unload(record("b"))).result(WAIT_S)
    one.leave()
    assert asked.result(WAIT_S) == "b"


def test_threads_wait_for_one_load_and_share_it(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], user: Callable[..., User]
) -> None:
    managed, fox = manager(), record("fox")
    begun, go_on = loader.hold("fox")
    users = [user(managed) for _ in range(4)]
    asked = [each.take(fox) for each in users]
    assert begun.wait(WAIT_S)
    waits(managed, 3)
    assert (managed.loaded, managed.status()) == ((), ())
    go_on.set()
    assert [each.result(WAIT_S) for each in asked] == ["fox"] * 4
    assert (loader.loads, managed.status()[0].users) == ({"fox": 1}, 4)


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), ModelNotFoundError("x")])
def test_error_in_loading_gives_the_place_back_and_wakes_who_waits(
    error: BaseException,
    loader: Loader,
    manager: Callable[..., ModelManager],
    record: Callable[..., ChatModel],
    user: Callable[..., User],
) -> None:
    managed, fox = manager(), record("fox")
    loader.errors["fox"] = error
    begun, go_on = loader.hold("fox")
    one, other, third = (user(managed) for _ in range(3))
    failing = one.take(fox)
    assert begun.wait(WAIT_S)
    same, another = other.take(fox), third.take(record("wolf"))
    waits(managed, 2)
    go_on.set()
    with pytest.raises(type(error)):
        failing.result(WAIT_S)
    assert another.result(WAIT_S) == "wolf"
    third.leave()
    with pytest.raises(type(error)):
        same.result(WAIT_S)
    assert (loader.loads, loader.open_ids) in (
        ({"fox": 2, "wolf": 1}, ["wolf"]),  # who asked for the same came first
        ({"fox": 2, "wolf": 1}, []),
    )
    del loader.errors["fox"]
    assert one.take(fox).result(WAIT_S) == "fox"


def test_model_that_cannot_be_closed_stays_and_the_error_is_told(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], monkeypatch: Any
) -> None:
    managed = manager()
    with managed.use(record("a")):
        pass

    def refuse(self: FakeModel) -> None:
        raise RegistryError("Cannot close `a` while this thread reads a stream of it.")

    with monkeypatch.context() as patched:
        patched.setattr(FakeModel, "close", refuse)
        for call in (managed.unload, managed.use(record("b")).__enter__):
            with pytest.raises(RegistryError, match="reads a stream"):
                call()
    assert managed.loaded == ("a",)
    with managed.use(record("b")):
        assert loader.open_ids == ["b"]


def test_unload_and_close_wait_for_who_uses_the_model(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], user: Callable[..., User]
) -> None:
    managed, fox = manager(), record("fox")
    one, other = user(managed), user(managed)
    for call in (lambda: managed.unload(fox), managed.close):
        assert one.take(fox).result(WAIT_S) == "fox"
        ending = other.do(call)
        waits(managed)
        assert loader.open_ids == ["fox"]
        one.leave()
        ending.result(WAIT_S)
        assert loader.open_ids == []


def test_close_during_a_load_frees_it_afterwards_and_refuses_who_waits_for_room(
    loader: Loader, manager: Callable[..., ModelManager], record: Callable[..., ChatModel], user: Callable[..., User]
) -> None:
    managed = manager()
    begun, go_on = loader.hold("a")
    one, other, third = (user(managed) for _ in range(3))
    loading = one.take(record("a"))
    assert begun.wait(WAIT_S)
    waiting = other.take(record("b"))
    waits(managed)
    closing = third.do(managed.close)
    with pytest.raises(ModelClosedError):
        waiting.result(WAIT_S)
    go_on.set()
    assert loading.result(WAIT_S) == "a"
    assert not closing.done()
    one.leave()
    closing.result(WAIT_S)
    assert loader.open_ids == []


# Smaller models


@pytest.fixture
def family(record: Callable[..., ChatModel], home: Path) -> list[ChatModel]:
    """Four files of one model, the largest first, the second not on this machine; and others."""
    made = [
        record(name, size, base_model="family", missing=name == "q6")
        for name, size in (("q8", 80), ("q6", 60), ("q4", 40), ("q2", 20))
    ]
    return [*made, record("stranger", 70, base_model="other"), record("orphan", 10, base_model=None)]


def no_memory(name: str) -> InsufficientMemoryError:
    return InsufficientMemoryError(name, f"{name} does not fit.")


def test_next_smaller_model_of_this_machine_stands_in(
    loader: Loader, manager: Callable[..., ModelManager], family: list[ChatModel]
) -> None:
    managed = manager(registry=_registry(*family))
    loader.errors["q8"] = no_memory("q8")
    with managed.use("q8", fallback=True) as model:
        assert model.model.id == "q4"
        assert managed.status() == (ModelStatus("q4", "q8", 40, 0.5, 1, False),)
        assert (managed.loaded, managed.current) == (("q4",), "q4")
    with managed.use("q8", fallback=True) as again:
        assert again is model
    with managed.use("q4") as itself:
        assert itself is model
        assert managed.status()[0].requested_id == "q4"
    assert loader.loads == {"q8": 1, "q4": 1}
    managed.pin("q8")
    assert managed.status()[0].pinned
    managed.unload("q8")
    assert managed.loaded == ()


def test_smaller_models_are_tried_in_turn(
    loader: Loader, manager: Callable[..., ModelManager], family: list[ChatModel]
) -> None:
    managed = manager(registry=_registry(*reversed(family)))
    loader.errors |= {name: no_memory(name) for name in ("q8", "q4")}
    with managed.use(family[0], fallback=True) as model:
        assert model.model.id == "q2"
    loader.errors["q2"] = no_memory("q2")
    managed.unload()
    with pytest.raises(InsufficientMemoryError) as caught, managed.use(family[0], fallback=True):
        pass
    assert str(caught.value) == (
        "Not enough memory for `q8`. q8 does not fit (`q8`); q4 does not fit (`q4`); q2 does not fit (`q2`)."
    )
    assert (managed.loaded, managed._slots) == ((), [])


def test_without_leave_to_fall_back_nothing_stands_in(
    loader: Loader, manager: Callable[..., ModelManager], family: list[ChatModel]
) -> None:
    managed = manager(max_models=2, registry=_registry(*family))
    loader.errors["q8"] = no_memory("q8")
    with pytest.raises(InsufficientMemoryError) as caught, managed.use("q8"):
        pass
    assert caught.value.reason == "q8 does not fit. `fallback=True` would take a smaller file of the same model."
    with managed.use("q8", fallback=True):
        pass
    with pytest.raises(InsufficientMemoryError), managed.use("q8"):  # though a smaller one is there, loaded for it
        pass
    del loader.errors["q8"]
    with managed.use("q8") as whole:
        assert whole.model.id == "q8"


def test_limit_of_the_manager_is_a_reason_to_fall_back(
    loader: Loader, manager: Callable[..., ModelManager], family: list[ChatModel]
) -> None:
    managed = manager(max_bytes=50, registry=_registry(*family))
    with managed.use("q8", fallback=True) as model:
        assert model.model.id == "q4"
    assert loader.loads == {"q4": 1}


def test_model_that_is_not_on_this_machine_is_told_and_not_replaced(
    loader: Loader, manager: Callable[..., ModelManager], family: list[ChatModel]
) -> None:
    managed = manager(registry=_registry(*family))
    with pytest.raises(ModelNotDownloadedError), managed.use("q6", fallback=True):
        pass
    assert (loader.loads, managed.loaded) == ({}, ())


def test_model_without_family_has_nothing_to_fall_back_on(
    loader: Loader, manager: Callable[..., ModelManager], family: list[ChatModel]
) -> None:
    managed = manager(registry=_registry(*family))
    loader.errors["orphan"] = no_memory("orphan")
    with pytest.raises(InsufficientMemoryError, match=r"`orphan`\. orphan does not fit \(`orphan`\)\.$"):
        managed.use("orphan", fallback=True).__enter__()


def test_threads_that_fall_back_together_try_the_large_model_once(
    loader: Loader, manager: Callable[..., ModelManager], family: list[ChatModel], user: Callable[..., User]
) -> None:
    managed = manager(max_models=2, registry=_registry(*family))
    loader.errors["q8"] = no_memory("q8")
    begun, go_on = loader.hold("q4")
    users = [user(managed) for _ in range(5)]
    asked = [each.take("q8", fallback=True) for each in users[:4]]
    assert begun.wait(WAIT_S)
    strict = users[4].take("q8")
    waits(managed, 4)
    go_on.set()
    assert [each.result(WAIT_S) for each in asked] == ["q4"] * 4
    with pytest.raises(InsufficientMemoryError):
        strict.result(WAIT_S)
    assert loader.loads == {"q8": 2, "q4": 1}


# Real models


@pytest.mark.skipif(find_spec("llama_cpp") is None or find_spec("gguf") is None, reason="needs llama-cpp-python, gguf")
def test_real_models_are_loaded_used_and_freed(made: Callable[..., Path]) -> None:
    paths = {name: made(tiny.chat_gguf, script=f"I am {name}.") for name in ("Anna", "Ben", "Cleo")}
    records = {name: tiny.chat_record(path, id=name.lower()) for name, path in paths.items()}
    messages = [{"role": "user", "content": "who?"}]

    def ask(managed: ModelManager, number: int) -> None:
        for turn in range(3):
            name = [*paths][(number + turn) % 3]
            with managed.use(records[name], path=paths[name]) as chat:
                said = chat.reply(messages)["choices"][0]["message"]["content"]
            assert said == f"I am {name}."

    with ModelManager(max_models=2) as managed:
        with ThreadPoolExecutor(8) as pool:
            for job in [pool.submit(ask, managed, number) for number in range(8)]:
                job.result(2 * WAIT_S)
        assert len(managed.loaded) == 2
        assert all(status.footprint_bytes > 500_000 and status.load_seconds > 0 for status in managed.status())
        with managed.use(records["Anna"], path=paths["Anna"]) as chat:
            pass
    assert chat.closed


@pytest.mark.skipif(find_spec("llama_cpp") is None or find_spec("gguf") is None, reason="needs llama-cpp-python, gguf")
def test_stream_left_open_by_a_thread_is_waited_for_by_others_and_refused_to_itself(made: Callable[..., Path]) -> None:
    path, other = made(tiny.chat_gguf, script=["la ", "la ", "li "], repeat=True), made(tiny.chat_gguf, script="Hi.")
    messages = [{"role": "user", "content": "who?"}]
    with ModelManager() as managed:
        with managed.use(tiny.chat_record(path), path=path) as chat:
            stream = chat.stream(messages, max_tokens=50)
            next(stream), next(stream)
        with pytest.raises(RegistryError, match="Cannot close `tiny-chat` while this thread reads a stream of it"):
            managed.use(tiny.chat_record(other, id="other"), path=other).__enter__()
        assert managed.loaded == ("tiny-chat",)
        with ThreadPoolExecutor(1) as pool:
            lease = managed.use(tiny.chat_record(other, id="other"), path=other)
            asked = pool.submit(lease.__enter__)
            assert sum(1 for _ in stream) > 10
            assert asked.result(WAIT_S).model.id == "other"
            lease.__exit__(None, None, None)
